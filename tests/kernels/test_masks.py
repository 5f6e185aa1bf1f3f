"""Bits 2 and 4 against the distance to every single pixel that counts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilegc.kernels.masks import edge, edge_radius, grow, reach_squared

CLOSED = (False, False, False, False)
OPEN = (True, True, True, True)


def within(points, shape, reach2):
    """Brute force: is any of the points (rows of y, x) within reach of each pixel?"""
    result = np.zeros(shape, bool)
    for y in range(shape[0]):
        for x in range(shape[1]):
            result[y, x] = any((y - py) ** 2 + (x - px) ** 2 <= reach2 for py, px in points)
    return result


def edge_oracle(no_data, square, reach2):
    """Try every square that overlaps the field or its surroundings, pixel by pixel."""
    margin = square + math.isqrt(reach2) + 1
    padded = np.pad(no_data, margin, constant_values=True)
    opened = np.zeros(padded.shape, bool)
    for y in range(padded.shape[0] - square + 1):
        for x in range(padded.shape[1] - square + 1):
            if padded[y : y + square, x : x + square].all():
                opened[y : y + square, x : x + square] = True
    points = [(y - margin, x - margin) for y, x in np.argwhere(opened)]
    return within(points, no_data.shape, reach2)


@st.composite
def blotches(draw):
    """Missing data: rectangles of all sizes, and some of their pixels there again."""
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    image = np.zeros(shape, bool)
    for _ in range(draw(st.integers(0, 3))):
        y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        image[y : y + draw(st.integers(1, 6)), x : x + draw(st.integers(1, 6))] = True
    if draw(st.booleans()):
        image &= ~draw(arrays(bool, shape))
    return image


@given(blotches(), st.integers(1, 4), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_edge_is_the_distance_to_the_opened_missing_data(no_data, square, reach2):
    np.testing.assert_array_equal(edge(no_data, square, reach2, CLOSED), edge_oracle(no_data, square, reach2))


@given(arrays(bool, st.tuples(st.integers(1, 15), st.integers(1, 15))), st.floats(0, 7))
@settings(max_examples=60, deadline=None)
def test_grow_is_the_distance_to_any_set_pixel(mask, radius):
    points = list(np.argwhere(mask))
    np.testing.assert_array_equal(grow(mask, radius), within(points, mask.shape, math.floor(radius**2)))


def test_the_reach_is_inclusive_and_in_integers():
    mask = np.zeros((13, 13), bool)
    mask[6, 6] = True
    grown = grow(mask, 5.0)
    assert grown[6, 11]
    assert grown[9, 10]  # 3, 4, 5
    assert not grown[9, 11]
    assert reach_squared(5.0) == 25
    assert reach_squared(math.sqrt(10) - 1e-6) == 9
    assert grow(mask, 0.0).sum() == 1


def test_small_holes_and_tendrils_are_no_edge():
    no_data = np.zeros((60, 60), bool)
    no_data[30, 20:] = True  # a dead row that hangs on the edge
    no_data[20:22, 20:22] = True  # dead pixels
    no_data[40:43, 10:13] = True  # a square as large as it takes
    result = edge(no_data, 3, 4, CLOSED)
    inside = np.zeros_like(result)
    inside[2:-2, 2:-2] = True
    expected = ~inside | within([(y, x) for y in (40, 41, 42) for x in (10, 11, 12)], (60, 60), 4)
    np.testing.assert_array_equal(result, expected)


def test_a_hole_counts_with_what_is_missing_outside():
    no_data = np.zeros((8, 20), bool)
    no_data[0, 5:15] = True  # one row deep: with the rows beyond the border it holds squares of 3
    result = edge(no_data, 3, 1, CLOSED)
    assert result[1, 5:15].all()
    assert not result[1, 2:4].any()


def test_no_side_closed_and_nothing_missing():
    assert not edge(np.zeros((5, 7), bool), 3, 100, OPEN).any()
    assert edge(np.ones((5, 7), bool), 3, 0, CLOSED).all()
    assert edge(np.zeros((0, 7), bool), 3, 4, OPEN).shape == (0, 7)
    assert not grow(np.zeros((0, 0), bool), 3.0).size
    assert not grow(np.zeros((5, 7), bool), 3.0).any()


def test_the_radius_is_needed_and_enough():
    assert edge_radius(3, 10) == 3 + 2
    no_data = np.zeros((40, 40), bool)
    no_data[10:14, 20:24] = True
    whole = edge(no_data, 4, 25, OPEN)
    assert whole[10:14, 15].all()  # 5 px from the square's near side: its far side is 8 px away
    for margin, same in ((edge_radius(4, 25), True), (edge_radius(4, 25) - 1, False)):
        window = no_data[:, : 15 + margin + 1]
        assert np.array_equal(edge(window, 4, 25, OPEN)[:, 15], whole[:, 15]) == same


def test_what_makes_no_sense_is_refused():
    mask = np.zeros((3, 3), bool)
    with pytest.raises(ValueError, match="square must be at least 1"):
        edge(mask, 0, 4, CLOSED)
    with pytest.raises(ValueError, match="reach2 at least 0"):
        edge(mask, 1, -1, CLOSED)
    for radius in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="radius must be finite"):
            grow(mask, radius)
