"""Whole-field convolutions against direct sums over all sources."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.kernels.convolve import fft_bytes, kernel_sum, local_density, steepness


def direct(image, kernel):
    """Add kernel(d), d in pixels, of every pixel to every pixel."""
    y, x = np.indices(image.shape)
    result = np.zeros(image.shape)
    for sy, sx in np.argwhere(image):
        result += image[sy, sx] * kernel(np.hypot(y - sy, x - sx))
    return result


def unit_gaussian(sigma):
    reach = math.ceil(10 * sigma)
    one = sum(math.exp(-0.5 * (d / sigma) ** 2) for d in range(-reach, reach + 1))
    return lambda d: np.exp(-0.5 * (d / sigma) ** 2) / one**2


@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.floats(0.02, 0.5),
    st.floats(0.2, 4.0),
    st.floats(0.3, 3.0),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_kernel_sum_is_the_direct_sum(shape, scale, alpha, softening, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.1, shape).astype(float)
    expected = direct(counts, lambda d: (softening + scale * d) ** -alpha)
    np.testing.assert_allclose(kernel_sum(counts, scale, alpha, softening), expected, rtol=1e-10)


def test_kernel_sum_beside_a_crowd():
    counts = np.zeros((300, 40))
    counts[0, 0], counts[299, 39] = 1e6, 1.0
    alpha, softening = 6.0, 0.5
    assert 1e8 < steepness(counts.shape, 0.05, alpha, softening) < 1e9
    expected = direct(counts, lambda d: (softening + 0.05 * d) ** -alpha)
    assert expected.max() / expected.min() > 1e6
    np.testing.assert_allclose(kernel_sum(counts, 0.05, alpha, softening), expected, rtol=1e-4)


def test_kernel_sum_adds_up():
    rng = np.random.default_rng(5)
    one, two = rng.poisson(0.02, (2, 50, 70)).astype(float)
    whole = kernel_sum(one + two, 0.03, 1.6, 0.9)
    parts = kernel_sum(one, 0.03, 1.6, 0.9) + kernel_sum(two, 0.03, 1.6, 0.9)
    np.testing.assert_allclose(whole, parts, rtol=1e-12)


def test_no_source_is_no_density():
    nothing = np.zeros((5, 6))
    np.testing.assert_array_equal(kernel_sum(nothing, 0.03, 1.6, 0.9), nothing)
    np.testing.assert_array_equal(local_density(nothing, nothing == 0, 1.0, 2.0), nothing)
    np.testing.assert_array_equal(local_density(nothing + 1, nothing > 0, 1.0, 2.0), nothing)


def test_a_kernel_that_no_fft_can_hold_is_refused():
    with pytest.raises(ValueError, match="smaller alpha or a larger softening"):
        kernel_sum(np.ones((1000, 8)), 0.05, 10.0, 0.1)


@given(
    st.tuples(st.integers(1, 26), st.integers(1, 26)),
    st.floats(0.6, 3.0),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_local_density_is_the_ratio_of_direct_sums(shape, sigma, fraction, seed):
    rng = np.random.default_rng(seed)
    good = rng.random(shape) < fraction * np.linspace(0, 1, shape[1])  # rare to the left, frequent right
    counts = rng.poisson(0.3, shape) * good.astype(float)
    area = 0.01
    expected, missing = np.zeros(shape), np.ones(shape, bool)
    for factor in (1, 2, 4, 8):
        kernel = unit_gaussian(factor * sigma)
        coverage, smooth = direct(good.astype(float), kernel), direct(counts, kernel)
        if (np.abs(coverage - 0.2) < 1e-9).any():
            return  # on the fence: rounding may choose
        here = missing & (coverage >= (0.2 if factor < 8 else 1e-8))
        expected[here] = smooth[here] / coverage[here] / area
        missing &= ~here
    density = local_density(counts, good, area, sigma)
    assert np.isfinite(density).all()
    np.testing.assert_allclose(
        density[~missing], expected[~missing], rtol=1e-5, atol=1e-6 * expected.max(initial=0.0)
    )


def test_a_uniform_sky_stays_uniform_through_holes_and_gaps():
    """5 arcsec holes, a ragged border and a gap, on pixels five times those of the recipe."""
    scale, truth = 0.15, 200.0  # arcsec, per arcsec^2: many, so that one draw tells 1 %
    rng = np.random.default_rng(11)
    shape = (500, 560)
    y, x = np.indices(shape)
    holes = np.zeros(shape, bool)
    for _ in range(25):
        cy, cx = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        holes |= np.hypot(y - cy, x - cx) * scale <= 5.0
    gap = (np.abs(x - 300) < 100) & (y < 150)
    good = ~holes & ~gap & (x + y > 60)
    counts = rng.poisson(truth * scale**2, shape) * good.astype(float)
    density = local_density(counts, good, scale**2, 2.0 / scale)
    assert density.min() > 0
    for place in (good, holes, gap, y < 5, x > shape[1] - 5):
        assert density[place].mean() == pytest.approx(truth, rel=0.01)
    assert np.abs(density / truth - 1).max() < 0.2


def test_far_from_any_good_pixel_there_is_no_density():
    good = np.zeros((4, 400), bool)
    good[:, :20] = True
    density = local_density(good.astype(float), good, 2.0, 1.0)
    assert density[0, 5] == pytest.approx(0.5)
    assert density[0, 60] == pytest.approx(0.5, rel=1e-4)  # 5 of the widest sigmas away
    assert (density[:, 120:] == 0).all()
    assert (density >= 0).all()


@pytest.mark.parametrize("shape", [(600, 700), (1500, 300)])
def test_the_memory_stated_is_the_memory_taken(shape):
    rng = np.random.default_rng(2)
    good = rng.random(shape) < 0.1
    good[: shape[0] // 2] = False
    counts = good.astype(float)
    for function, arguments in ((kernel_sum, (0.03, 1.6, 0.9)), (local_density, (1e-3, 20.0))):
        first = counts if function is kernel_sum else (counts, good)
        tracemalloc.start()
        try:
            function(*(first if isinstance(first, tuple) else (first,)), *arguments)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= fft_bytes(shape)
        assert function is local_density or fft_bytes(shape) < 2 * peak
