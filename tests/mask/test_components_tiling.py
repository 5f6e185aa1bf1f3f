"""Components depend neither on the tiles nor on the order in which they were added."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from tilegc.geometry import TileGrid
from tilegc.mask.components import combine, draw, find, merge

TABLE = ("y", "x", "area", "centroid", "moments", "elongation", "bounds")


def spiral(side):
    """A line of one pixel, one pixel apart, from the border to the middle."""
    mask = np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    mask[0, 0] = True
    for _ in range(side * side):
        for _ in range(4):
            ahead = [(y + k * dy, x + k * dx) for k in (1, 2)]
            free = [0 <= a < side and 0 <= b < side and not mask[a, b] for a, b in ahead]
            beyond = not (0 <= ahead[1][0] < side and 0 <= ahead[1][1] < side)
            if free[0] and (free[1] or beyond):
                break
            dy, dx = dx, -dy
        else:
            break
        y, x = ahead[0]
        mask[y, x] = True
    return mask


def snake(side):
    """Rows joined by turns at alternate ends."""
    mask = np.zeros((side, side), bool)
    mask[::2] = True
    mask[1::4, -1] = True
    mask[3::4, 0] = True
    return mask


def diagonals(side):
    """Lines that touch by corners only, in both directions, three pixels apart."""
    y, x = np.indices((side, side))
    return ((y + x) % 7 == 0) | ((y - x) % 11 == 0)


def comb(side):
    """Teeth that meet only in the last row: every tile but the last ones sees many separate fragments."""
    mask = np.zeros((side, side), bool)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


def check(mask, size, min_area, seed):
    """Compare the tiled table with that of one tile, and what is drawn with scipy's labels."""
    rng = np.random.default_rng(seed)
    tiles = list(TileGrid(mask.shape, size).tiles())
    partials = [find(mask[t.core.slices], t.core.y0, t.core.x0, min_area) for t in tiles]
    while len(partials) > 1:
        a, b = (partials.pop(rng.integers(len(partials))) for _ in range(2))
        partials.append(combine(a, b))
    table = merge(partials[0], min_area)
    whole = merge(find(mask, 0, 0, min_area), min_area)
    for name in TABLE:
        assert getattr(table, name).tobytes() == getattr(whole, name).tobytes(), name
    drawn = np.zeros_like(mask)
    for tile in tiles:
        drawn[tile.core.slices] = draw(mask[tile.core.slices], tile.core.y0, tile.core.x0, table)
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    area[0] = 0
    np.testing.assert_array_equal(drawn, (area >= min_area)[labels])
    assert sorted(table.area) == sorted(area[area >= min_area])


@given(
    arrays(bool, st.tuples(st.integers(1, 13), st.integers(1, 13))),
    st.integers(1, 14),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_any_mask(mask, size, min_area, seed):
    check(mask, size, min_area, seed)


@given(st.floats(0.05, 0.6), st.integers(2, 40), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_percolating_noise(density, size, min_area, seed):
    check(np.random.default_rng(seed).random((25, 31)) < density, size, min_area, seed)


@pytest.mark.parametrize("shape", [spiral, snake, diagonals, comb])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_long_things(shape, size):
    mask = shape(23)
    if shape is not diagonals:
        assert ndimage.label(mask, structure=np.ones((3, 3)))[1] == 1
    for turned in (mask, mask.T.copy(), mask[::-1, ::-1].copy()):
        check(turned, size, 5, size)


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_two_pixels_that_touch_at_the_corner_of_four_tiles(corner):
    mask = np.zeros((8, 8), bool)
    mask[3 + corner[0], 3 + corner[1]] = mask[4 - corner[0], 4 - corner[1]] = True
    tiles = TileGrid(mask.shape, 4).tiles()
    parts = [find(mask[t.core.slices], t.core.y0, t.core.x0) for t in tiles]
    assert list(merge(functools.reduce(combine, parts)).area) == [2]


@given(arrays(bool, (9, 9)), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_combine_is_associative_and_commutative(mask, size):
    parts = [find(mask[t.core.slices], t.core.y0, t.core.x0) for t in TileGrid(mask.shape, size).tiles()]
    left = functools.reduce(combine, parts)
    right = functools.reduce(combine, parts[::-1])
    for name in ("key", "area", "sums", "bounds", "rows", "columns"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
