"""Components of one window against scipy's labels and sums over single pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from tilegc.mask import components as module
from tilegc.mask.components import draw, find, merge, rows_of


@given(arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14))), st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_a_table_of_one_window(mask, min_area):
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    table = merge(find(mask, 100, 2000, min_area), min_area)
    corner, expected = np.array([100, 2000]), []
    for label in range(1, count + 1):
        pixels = np.argwhere(labels == label) + corner
        if len(pixels) >= min_area:
            expected.append(pixels)
    expected.sort(key=lambda pixels: tuple(pixels[0]))
    assert len(table.area) == len(expected)
    for row, pixels in enumerate(expected):
        assert (table.y[row], table.x[row]) == tuple(pixels[0])
        assert table.area[row] == len(pixels)
        np.testing.assert_allclose(table.centroid[row], pixels.mean(axis=0), rtol=1e-14)
        covariance = np.cov(pixels.T, bias=True).reshape(2, 2) + np.eye(2) / 12
        yy, xx, yx = table.moments[row]
        np.testing.assert_allclose([[yy, yx], [yx, xx]], covariance, atol=1e-12)
        small, large = np.linalg.eigvalsh(covariance)
        assert table.elongation[row] == pytest.approx(math.sqrt(large / small), rel=1e-9)
        assert tuple(table.bounds[row]) == (*pixels.min(axis=0), *(pixels.max(axis=0) + 1))
    rows = rows_of(mask, 100, 2000, table)
    drawn = np.full(mask.shape, -1)
    for row, pixels in enumerate(expected):
        drawn[tuple((pixels - corner).T)] = row
    np.testing.assert_array_equal(rows, drawn)
    np.testing.assert_array_equal(draw(mask, 100, 2000, table), drawn >= 0)
    even = np.arange(len(table.area)) % 2 == 0
    np.testing.assert_array_equal(draw(mask, 100, 2000, table, even), (drawn >= 0) & (drawn % 2 == 0))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (4, 6), (30, 3)])
def test_the_elongation_of_a_rectangle_is_that_of_its_sides(height, width):
    mask = np.zeros((40, 40), bool)
    mask[3 : 3 + height, 5 : 5 + width] = True
    table = merge(find(mask, 0, 0))
    assert table.elongation[0] == pytest.approx(max(height, width) / min(height, width), rel=1e-12)
    assert table.elongation[0] >= 1


def test_nothing_set_is_an_empty_table():
    fragments = find(np.zeros((4, 5), bool), 0, 0)
    table = merge(module.combine(fragments, fragments))
    assert table.area.shape == (0,)
    assert (table.centroid.shape, table.moments.shape, table.bounds.shape) == ((0, 2), (0, 3), (0, 4))
    assert not draw(np.ones((4, 5), bool), 0, 0, table).any()


def test_small_fragments_inside_are_left_out_early():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = mask[0, 3] = mask[6:8, 6:8] = True
    assert list(find(mask, 0, 0, 3).area) == [1, 4]  # one pixel at the border may go on beyond it
    assert list(merge(find(mask, 0, 0, 3), 3).area) == [4]


def test_sums_too_large_for_int64_are_the_same():
    """A component of 120,000 x 120,000 px: four fragments whose sums are written down, not counted."""
    side = 60_000
    n = side * side
    one = side * (side - 1) // 2 * side
    squares = (side - 1) * side * (2 * side - 1) // 6 * side
    product = (side * (side - 1) // 2) ** 2
    corners = [(0, 0), (0, side), (side, 0), (side, side)]
    key = np.array([(y << 32) | x for y, x in corners])
    rows = [
        (y + end, x, x + side, k) for (y, x), k in zip(corners, key, strict=True) for end in (0, side - 1)
    ]
    columns = [
        (x + end, y, y + side, k) for (y, x), k in zip(corners, key, strict=True) for end in (0, side - 1)
    ]
    fragments = module.Fragments(
        key,
        np.full(4, n),
        np.array([[one, one, squares, squares, product]] * 4),
        np.array([(y, x, y + side, x + side) for y, x in corners]),
        np.array(sorted(rows)),
        np.array(sorted(columns)),
    )
    table = merge(fragments)
    assert list(table.area) == [4 * n]
    np.testing.assert_allclose(table.centroid, [[side - 0.5, side - 0.5]], rtol=1e-14)
    np.testing.assert_allclose(table.moments[0], [4 * n / 12, 4 * n / 12, 0], rtol=1e-12, atol=1e-3)
    assert table.elongation[0] == pytest.approx(1.0)
