"""The median and MAD from counts, compared with NumPy's of all values at once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilegc.kernels import order
from tilegc.kernels.order import (
    BINS,
    histogram,
    mad_from,
    mad_prefixes,
    median_from,
    median_prefixes,
    ordered_keys,
    refine,
    sigma,
)

ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)
FEW = st.sampled_from([-1.5, -0.0, 0.0, 1e-45, -1e-45, 2.0, 2.0000002, 3e38, -3e38])


def median(parts, centre=None):
    """All steps over parts (values, select), as for tiles."""
    counts = sum(histogram(values, select, centre) for values, select in parts)
    prefixes = median_prefixes(counts)
    refined = sum(refine(values, select, prefixes, centre) for values, select in parts)
    return median_from(counts, prefixes, refined)


@settings(max_examples=200, deadline=None)
@given(values=arrays(np.float32, st.integers(1, 60), elements=ANY | FEW), cuts=st.data())
def test_median_and_mad_equal_numpy(values, cuts):
    select = cuts.draw(arrays(np.bool_, len(values)))
    cut = cuts.draw(st.integers(0, len(values)))
    parts = [(values[:cut], select[:cut]), (values[cut:], select[cut:])]
    with np.errstate(over="ignore"):  # NumPy's mean of two huge values is infinite, and so is ours
        found = median(parts)
    assert isinstance(found, np.float32)
    if not select.any():
        assert math.isnan(found)
        return
    with np.errstate(over="ignore"):
        expected = np.median(values[select])
        assert found == expected
        if not np.isfinite(expected):
            return
        deviations = np.abs(values - expected)
        assert median(parts, found) == np.median(deviations[select])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10_000, 10_001])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_median_and_mad_of_noise_to_the_bit(n, scale):
    rng = np.random.default_rng(n)
    values = (rng.normal(size=n) * scale).astype(np.float32)
    parts = [(part, np.ones(len(part), bool)) for part in np.array_split(values, 7)]
    found = median(parts)
    assert found.tobytes() == np.median(values).tobytes()
    mad = median(parts, found)
    assert mad.tobytes() == np.median(np.abs(values - np.median(values))).tobytes()
    assert sigma(mad) == 1.4826 * float(np.median(np.abs(values - np.median(values))))


def test_the_two_middle_values_may_be_far_apart():
    values = np.float32([-1e10, -1e-10, 5.0, 1e20])
    parts = [(values, np.ones(4, bool))]
    assert len(median_prefixes(histogram(*parts[0]))) == 2
    assert median(parts) == np.median(values)


def test_order_of_parts_and_shape_are_of_no_influence():
    rng = np.random.default_rng(4)
    image = rng.normal(size=(40, 50)).astype(np.float32)
    good = rng.random(image.shape) > 0.3
    whole = histogram(image, good)
    assert whole.shape == (BINS,)
    assert whole.dtype == np.int64
    assert whole.sum() == good.sum()
    np.testing.assert_array_equal(whole, histogram(image.ravel()[::-1], good.ravel()[::-1]))
    np.testing.assert_array_equal(whole, histogram(np.asfortranarray(image), good.astype(np.uint8)))
    halves = histogram(image[:13], good[:13]) + histogram(image[13:], good[13:])
    np.testing.assert_array_equal(whole, halves)


def test_nan_is_never_counted():
    values = np.float32([np.nan, 1, 2, np.nan, 7])
    parts = [(values, np.ones(5, bool))]
    assert median(parts) == 2
    assert median(parts, np.float32(2)) == 1


def test_infinities_stand_at_the_ends():
    values = np.float32([np.inf, 1, -np.inf, 4, np.inf])
    assert median([(values, np.ones(5, bool))]) == 4


@pytest.mark.parametrize("values", [[np.inf, 1, 2], [-np.inf, 1, np.inf, 2], [np.inf, -np.inf, 0, -0.0, 7]])
def test_distances_from_infinities_are_left_to_the_way_of_four_steps(values):
    """Half of them infinitely far: the bounds of two steps would leave those out."""
    part = np.float32(values), np.ones(len(values), bool)
    assert mad_prefixes(histogram(*part)) is None
    found = median([part])
    assert median([part], found) == np.median(np.abs(part[0] - found))
    largest = np.float32([np.finfo(np.float32).max, -np.finfo(np.float32).max, 1])
    assert mad_prefixes(histogram(largest, part[1][:3])) is not None


def test_zeros_are_one():
    values = np.float32([-0.0, 0.0, -0.0, 1.0, -1.0])
    found = median([(values, np.ones(5, bool))])
    assert found.tobytes() == np.float32(0.0).tobytes()
    assert np.count_nonzero(histogram(values, np.ones(5, bool))) == 3


def test_nothing_counted():
    empty = np.zeros((0, 4), np.float32)
    counts = histogram(empty, np.zeros((0, 4), bool))
    assert median_prefixes(counts) == ()
    refined = refine(empty, np.zeros((0, 4), bool), ())
    assert refined.shape == (0, BINS)
    assert median_from(counts, (), refined).tobytes() == np.float32(np.nan).tobytes()


def test_a_constant_has_no_scatter():
    values = np.full(100, 3.3, np.float32)
    parts = [(values, np.ones(100, bool))]
    assert median(parts) == np.float32(3.3)
    assert median(parts, np.float32(3.3)) == 0


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, 30, elements=ANY | FEW))
def test_keys_sort_as_values_do(values):
    keys = ordered_keys(values)
    assert keys.dtype == np.uint32
    np.testing.assert_array_equal(keys[:, None] < keys, values[:, None] < values)
    np.testing.assert_array_equal(keys[:, None] == keys, values[:, None] == values)
    # and the compiled counts agree with them
    counts = np.bincount(keys >> 16, minlength=BINS)
    np.testing.assert_array_equal(histogram(values, np.ones(30, bool)), counts)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same shape"):
        histogram(np.zeros(3, np.float32), np.ones(4, bool))


def both(parts):
    """Median and MAD in two steps; None where that takes too many prefixes."""
    counts = sum(histogram(values, select) for values, select in parts)
    prefixes = mad_prefixes(counts)
    if prefixes is None:
        return None
    refined = sum(refine(values, select, prefixes) for values, select in parts)
    middle = median_from(counts, prefixes, refined)
    return middle, mad_from(counts, prefixes, refined, middle)


PILE = st.integers(-9, 9).map(lambda step: np.float32(1000 + step * 2.0**-13))
NEAR = st.floats(-2, 2, width=32) | st.sampled_from([-1.5, -0.0, 0.0, 1e-45, -1e-45, 2.0])
SEVERAL = st.one_of(
    *(arrays(np.float32, st.integers(1, 60), elements=one) for one in (ANY | FEW, NEAR, PILE))
)


@settings(max_examples=200, deadline=None)
@given(values=SEVERAL)
def test_median_and_mad_in_two_steps(values):
    most, order.MOST = order.MOST, 200
    try:
        with np.errstate(over="ignore"):  # as above
            found = both([(values, np.ones(values.shape, bool))])
    finally:
        order.MOST = most
    assert found is not None
    with np.errstate(all="ignore"):
        middle = np.median(values)
        if np.isfinite(middle):
            assert found[0] == middle
            assert found[1] == np.median(np.abs(values - middle))


@pytest.mark.parametrize("n", [999, 10_000, 200_001])
@pytest.mark.parametrize(
    ("scale", "shift"), [(1e-30, 0.0), (1.0, 0.0), (1.0, 0.3), (1e-3, 1000.0), (1e30, -1e30)]
)
def test_noise_takes_few_prefixes(n, scale, shift):
    values = (np.random.default_rng(n).normal(size=n) * scale + shift).astype(np.float32)
    found = both([(part, np.ones(len(part), bool)) for part in np.array_split(values, 3)])
    assert found is not None
    middle = np.median(values)
    assert (found[0], found[1]) == (middle, np.median(np.abs(values - middle)))


def test_middle_values_far_apart_take_too_many():
    """Anything between -1 and 1 may be the median then, and any distance the middle one."""
    size = np.linspace(1, 2, 5000).astype(np.float32)
    assert both([(np.concatenate([-size, size]), np.ones(10_000, bool))]) is None


def test_nothing_has_no_mad():
    assert mad_prefixes(np.zeros(BINS, np.int64)) == ()
    assert math.isnan(mad_from(np.zeros(BINS, np.int64), (), np.zeros((0, BINS), np.int64), np.float32(0)))
