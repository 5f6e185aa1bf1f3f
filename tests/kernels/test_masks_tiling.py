"""Masks do not depend on the tiles."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.geometry import TileGrid
from tilegc.kernels.masks import edge, edge_radius, grow

CLOSED = (False, False, False, False)


@st.composite
def fields(draw):
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    image = np.zeros(shape, bool)
    for _ in range(draw(st.integers(0, 6))):
        y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        image[y : y + draw(st.integers(1, 9)), x : x + draw(st.integers(1, 9))] = True
    return image


@given(fields(), st.integers(1, 45), st.integers(1, 6), st.integers(0, 60), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_edge(no_data, size, square, reach2, spare):
    whole = edge(no_data, square, reach2, CLOSED)
    tiled = np.zeros_like(whole)
    for tile in TileGrid(no_data.shape, size).tiles(edge_radius(square, reach2) + spare):
        window = no_data[tile.window.slices]
        part = edge(window, square, reach2, tile.open_sides)
        tiled[tile.core.slices] = part[tile.core_in_window]
    np.testing.assert_array_equal(tiled, whole)


@given(fields(), st.integers(1, 45), st.floats(0, 9))
@settings(max_examples=60, deadline=None)
def test_grow(mask, size, radius):
    whole = grow(mask, radius)
    tiled = np.zeros_like(whole)
    for tile in TileGrid(mask.shape, size).tiles(math.floor(radius)):
        tiled[tile.core.slices] = grow(mask[tile.window.slices], radius)[tile.core_in_window]
    np.testing.assert_array_equal(tiled, whole)
