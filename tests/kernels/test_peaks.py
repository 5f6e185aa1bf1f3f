"""Greedy blanking in one window and on a sparse table, by hand and against the sequential rule."""

import math
import time

import numpy as np
import pytest

from tilegc.kernels.peaks import classify, settle

CLOSED = (False, False, False, False)
ALL = (slice(None), slice(None))


def greedy(values, allowed, threshold, radius):
    """Peaks of a whole image by the sequential rule (algorithm.md, section 5), brightest first."""
    left = np.where(allowed, values, np.float32(np.nan))
    y, x = np.indices(values.shape)
    peaks = []
    while True:
        bright = left >= np.float32(threshold)
        if not bright.any():
            return peaks
        # argmax gives the first of equal values: smaller y, then smaller x
        j, i = np.unravel_index(np.argmax(np.where(bright, left, -np.inf)), values.shape)
        if not bright[j, i]:  # nothing but -inf above a threshold of -inf
            j, i = np.argwhere(bright)[0]
        peaks.append((int(j), int(i)))
        left[(y - j) ** 2 + (x - i) ** 2 <= math.floor(radius**2)] = np.nan


def single(values, allowed=None, threshold=0.0, radius=3.0, open_sides=CLOSED, core=ALL):
    values = np.asarray(values, np.float32)
    allowed = np.ones(values.shape, bool) if allowed is None else allowed
    return classify(values, allowed, threshold, radius, open_sides, core)


def pixels(found):
    return list(zip(found.y.tolist(), found.x.tolist(), strict=True))


def row(**values):
    line = np.zeros((1, 20), np.float32)
    for key, value in values.items():
        line[0, int(key[1:])] = value
    return line


def test_one_peak():
    found = single(row(x7=5), threshold=1)
    assert pixels(found) == [(0, 7)]
    assert found.value.tolist() == [5]
    assert found.decided.tolist() == [True]
    assert (found.y.dtype, found.x.dtype) == (np.int64, np.int64)
    assert (found.value.dtype, found.decided.dtype) == (np.float32, np.bool_)


@pytest.mark.parametrize(("gap", "peaks"), [(1, 1), (3, 1), (4, 2)])
def test_the_radius_is_inclusive(gap, peaks):
    assert len(single(row(x5=9, **{f"x{5 + gap}": 8}), threshold=1).y) == peaks


@pytest.mark.parametrize(
    ("radius", "offset", "peaks"),
    [
        (3.0, (2, 2), 1),  # 8 <= 9
        (3.0, (1, 3), 2),  # 10 > 9
        (3.2, (1, 3), 1),  # 10 <= 10.24
        (3.1, (1, 3), 2),
        (math.sqrt(2), (1, 1), 1),
        (1.0, (1, 1), 2),
        (0.0, (0, 1), 2),
    ],
)
def test_distances_are_integers(radius, offset, peaks):
    image = np.zeros((11, 11), np.float32)
    image[5, 5], image[5 + offset[0], 5 + offset[1]] = 3, 2
    assert len(single(image, threshold=1, radius=radius).y) == peaks


def test_a_suppressed_pixel_does_not_suppress():
    assert pixels(single(row(x3=9, x5=8, x8=7), threshold=1)) == [(0, 3), (0, 8)]


def test_equal_values_go_by_y_then_x():
    image = np.zeros((9, 9), np.float32)
    image[2, 5] = image[3, 3] = image[3, 4] = 4
    assert pixels(single(image, threshold=1)) == [(2, 5)]
    image[2, 5] = 0
    assert pixels(single(image, threshold=1)) == [(3, 3)]


def test_both_zeros_are_equal():
    image = np.full((1, 9), -5, np.float32)
    image[0, 2], image[0, 4] = -0.0, 0.0
    assert pixels(single(image, threshold=-1)) == [(0, 2)]


def test_the_threshold_is_inclusive_and_float32():
    value = np.float32(0.1)
    assert len(single(row(x4=value), threshold=0.1).y) == 1
    assert len(single(row(x4=value), threshold=np.nextafter(value, np.float32(1))).y) == 0


def test_masked_pixels_neither_count_nor_suppress():
    image = row(x3=9, x5=8)
    allowed = np.ones(image.shape, bool)
    allowed[0, 3] = False
    assert pixels(single(image, allowed, threshold=1)) == [(0, 5)]
    assert pixels(single(image, allowed.astype(np.uint8), threshold=1)) == [(0, 5)]


def test_nan_is_no_candidate():
    assert pixels(single(row(x3=np.nan, x5=8, x9=np.nan), threshold=1)) == [(0, 5)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (3, 0), (4, 4)])
def test_nothing_to_find(shape):
    found = single(np.zeros(shape), threshold=1)
    assert len(found.y) == len(found.x) == len(found.value) == len(found.decided) == 0
    assert found.y.dtype == np.int64


@pytest.mark.parametrize(
    ("side", "place", "decided"),
    [
        (0, (2, 10), False),
        (0, (3, 10), True),
        (1, (10, 2), False),
        (1, (10, 3), True),
        (2, (18, 10), False),
        (2, (17, 10), True),
        (3, (10, 18), False),
        (3, (10, 17), True),
    ],
)
def test_near_an_open_side_nothing_is_certain(side, place, decided):
    image = np.zeros((21, 21), np.float32)
    image[place] = 5
    sides = tuple(k == side for k in range(4))
    assert single(image, threshold=1, open_sides=sides).decided.tolist() == [decided]
    assert single(image, threshold=1).decided.tolist() == [True]


def test_doubt_spreads_to_fainter_neighbours_only():
    image = row(x1=9, x4=8, x7=7, x13=6)
    found = single(image, threshold=1, open_sides=(False, True, False, False))
    assert pixels(found) == [(0, 1), (0, 4), (0, 7), (0, 13)]
    assert found.decided.tolist() == [False, False, False, True]
    # a brighter certain peak ends the doubt
    image[0, 5] = 10
    found = single(image, threshold=1, open_sides=(False, True, False, False))
    assert pixels(found) == [(0, 1), (0, 5), (0, 13)]
    assert found.decided.tolist() == [False, True, True]


def test_only_the_core_is_returned_but_the_halo_suppresses():
    image = row(x4=9, x6=8, x12=7, x18=6)
    found = single(image, threshold=1, core=(slice(0, 1), slice(5, 15)))
    assert pixels(found) == [(0, 12)]


def test_against_the_sequential_rule():
    rng = np.random.default_rng(2)
    for shape in [(30, 40), (1, 60), (60, 1)]:
        image = rng.integers(0, 9, shape).astype(np.float32)
        allowed = rng.random(shape) > 0.1
        for radius in (0.0, 1.0, 2.3, 3.0, 6.0):
            found = single(image, allowed, threshold=2, radius=radius)
            assert pixels(found) == sorted(greedy(image, allowed, 2, radius))
            assert found.decided.all()


def test_infinite_values_have_their_place():
    image = row(x3=np.inf, x5=8, x12=-np.inf)
    assert pixels(single(image, threshold=-np.inf, radius=30)) == [(0, 3)]


@pytest.mark.parametrize("radius", [-1.0, math.nan, math.inf])
def test_radius_must_make_sense(radius):
    with pytest.raises(ValueError, match="radius"):
        single(row(x3=1), radius=radius)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same shape"):
        single(np.zeros((3, 4)), np.ones((4, 3), bool))


def test_settle_against_the_sequential_rule():
    rng = np.random.default_rng(7)
    for n_values in (1, 3, 1000):
        image = rng.integers(0, n_values, (35, 45)).astype(np.float32)
        chosen = rng.random(image.shape) < rng.choice([0.05, 0.5, 1.0])
        y, x = np.nonzero(chosen)
        shuffled = rng.permutation(len(y))
        y, x = y[shuffled], x[shuffled]
        for radius in (0.0, 1.5, 3.0, 10.0):
            kept = settle(y + 100, x + 5000, image[y, x], np.zeros(len(y), bool), radius)
            expected = set(greedy(image, chosen, -1, radius))
            assert {(int(a), int(b)) for a, b in zip(y[kept], x[kept], strict=True)} == expected


def test_settle_keeps_what_is_decided():
    # the brighter undecided row lost to a decided fainter one: that one could not be decided otherwise
    kept = settle([0, 0, 0], [0, 2, 9], np.float32([9, 5, 1]), [False, True, False], 3.0)
    assert kept.tolist() == [False, True, True]


def test_settle_nothing():
    kept = settle([], [], [], [], 3.0)
    assert kept.shape == (0,)
    assert kept.dtype == np.bool_


def test_settle_refuses_nonsense():
    with pytest.raises(ValueError, match="occurs twice"):
        settle([1, 1], [2, 2], [1.0, 2.0], [True, False], 3.0)
    with pytest.raises(ValueError, match="equal length"):
        settle([1, 1], [2], [1.0, 2.0], [True, False], 3.0)


def test_settle_grows_linearly():
    # half a million rows: seconds if linear, hours if quadratic
    rng = np.random.default_rng(3)
    position = np.unique(rng.integers(0, 20_000**2, 500_000))
    y, x = np.divmod(position, 20_000)
    value = rng.normal(size=len(y)).astype(np.float32)
    undecided = np.zeros(len(y), bool)
    start = time.perf_counter()
    kept = settle(y, x, value, undecided, 3.0)
    assert time.perf_counter() - start < 60
    assert 0.9 < kept.mean() < 1
