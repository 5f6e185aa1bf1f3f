"""Boxes, tiles, lattices: every pixel is owned once, windows are clipped, open sides are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilegc.geometry import LATTICE, Box, Tile, TileGrid, blocks, inner_chunk

shapes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def test_box():
    box = Box(2, 3, 7, 11)
    assert box.shape == (5, 8)
    assert box.size == 40
    assert np.zeros((20, 20))[box.slices].shape == (5, 8)
    assert box.grow(2) == Box(0, 1, 9, 13)
    assert box.within(Box(1, 1, 9, 20)) == (slice(1, 6), slice(2, 10))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0, 0, 100, 100), Box(2, 3, 7, 11)),
        (Box(4, 5, 6, 50), Box(4, 5, 6, 11)),
        (Box(7, 3, 9, 11), None),
        (Box(50, 50, 60, 60), None),
        (Box(0, 0, 1, 1), None),
    ],
)
def test_clip(other, expected):
    found = Box(2, 3, 7, 11).clip(other)
    if expected is None:
        assert found.size == 0
        assert min(found.shape) >= 0  # an index made of it is empty, never from the other end
    else:
        assert found == expected


@given(shape=shapes, size=st.integers(1, 90), halo=st.integers(0, 40))
def test_every_pixel_is_owned_once(shape, size, halo):
    grid = TileGrid(shape, size)
    owners = np.zeros(shape, int)
    tiles = list(grid.tiles(halo))
    assert len(tiles) == len(grid)
    for number, tile in enumerate(tiles):
        assert tile == grid.tile(number, halo)
        assert tile.index == number
        owners[tile.core.slices] += 1
        assert 0 < tile.core.size <= size * size
        assert tile.core.y0 % size == tile.core.x0 % size == 0
    assert (owners == 1).all()


@given(shape=shapes, size=st.integers(1, 30), halo=st.integers(0, 20))
def test_windows_hold_the_halo_or_end_with_the_field(shape, size, halo):
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    for tile in TileGrid(shape, size).tiles(halo):
        window = number[tile.window.slices]
        assert window.shape == tile.window.shape
        np.testing.assert_array_equal(window[tile.core_in_window], number[tile.core.slices])
        margins = (
            tile.core.y0 - tile.window.y0,
            tile.core.x0 - tile.window.x0,
            tile.window.y1 - tile.core.y1,
            tile.window.x1 - tile.core.x1,
        )
        ends = (
            tile.window.y0 == 0,
            tile.window.x0 == 0,
            tile.window.y1 == shape[0],
            tile.window.x1 == shape[1],
        )
        assert tile.open_sides == tuple(not end for end in ends)
        for margin, end in zip(margins, ends, strict=True):
            assert margin == halo or (end and margin < halo)


def test_tiles_are_numbered_row_by_row():
    grid = TileGrid((5, 7), 3)
    assert grid.counts == (2, 3)
    assert grid.tile(4) == Tile(4, Box(3, 3, 5, 6), Box(3, 3, 5, 6), (5, 7))
    assert [tile.core.x0 for tile in grid.tiles()] == [0, 3, 6, 0, 3, 6]


@pytest.mark.parametrize("size", [0, -3])
def test_a_tile_has_a_pixel(size):
    with pytest.raises(ValueError, match=f"1 or more, got {size}"):
        TileGrid((5, 5), size)


@given(origin=st.tuples(st.integers(0, 40), st.integers(0, 40)), shape=shapes, side=st.integers(1, 25))
def test_blocks_are_those_of_the_lattice(origin, shape, side):
    """The parts fill the box; a pixel's cell is its position over the side, whatever box it is seen in."""
    box = Box(*origin, origin[0] + shape[0], origin[1] + shape[1])
    seen = np.zeros((box.y1, box.x1), int)
    for (row, column), part in blocks(box, side):
        assert part.size > 0
        seen[part.slices] += 1
        assert {y // side for y in range(part.y0, part.y1)} == {row}
        assert {x // side for x in range(part.x0, part.x1)} == {column}
    assert (seen[box.slices] == 1).all()
    assert seen.sum() == box.size


def test_the_lattice_is_not_a_setting():
    assert LATTICE == 256
    assert [cell for cell, _ in blocks(Box(0, 0, 257, 256))] == [(0, 0), (1, 0)]


@pytest.mark.parametrize(
    ("shard", "chunk"),
    [
        (2048, 256),
        (512, 256),
        (300, 150),
        (256, 256),
        (257, 257),
        (262, 131),
        (100, 100),
        (1, 1),
        (130, 130),
        (127, 127),
        (4400, 220),
    ],
)
def test_inner_chunk(shard, chunk):
    assert inner_chunk(shard) == chunk
    assert shard % chunk == 0
