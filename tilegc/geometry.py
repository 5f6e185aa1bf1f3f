"""Boxes, tiles and lattices: values without I/O.

All boxes are half-open, in pixels, ordered (y, x) and 0-based, like NumPy indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["LATTICE", "PATCH", "Box", "Tile", "TileGrid", "blocks", "inner_chunk", "spread_blocks"]

LATTICE: Final = 256
"""Side of a lattice cell in pixels, counted from (0, 0). Local noise and blocks refer to these cells, never to
tiles."""

PATCH: Final = 64
"""Side of the patches in which confusion is measured, pixels from (0, 0): a lattice's cell holds 16."""


@dataclass(frozen=True, order=True)
class Box:
    """A half-open rectangle of pixels: y0 <= y < y1, x0 <= x < x1."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def size(self) -> int:
        """Number of pixels."""
        return max(self.y1 - self.y0, 0) * max(self.x1 - self.x0, 0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of the whole field."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grow(self, margin: int) -> Box:
        """Return the box extended by `margin` pixels on every side."""
        return Box(self.y0 - margin, self.x0 - margin, self.y1 + margin, self.x1 + margin)

    def clip(self, other: Box) -> Box:
        """Return the part inside `other`; its size is 0 if there is none."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        return Box(y0, x0, max(y0, min(self.y1, other.y1)), max(x0, min(self.x1, other.x1)))

    def within(self, other: Box) -> tuple[slice, slice]:
        """Return the index of this box in an array that covers `other`."""
        return slice(self.y0 - other.y0, self.y1 - other.y0), slice(self.x0 - other.x0, self.x1 - other.x0)


@dataclass(frozen=True)
class Tile:
    """The core, owned by this tile alone, and the window that is read for it."""

    index: int
    """Index in the grid, row by row from 0."""
    core: Box
    window: Box
    """The core with its halo, clipped to the field."""
    field_shape: tuple[int, int]

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """Index of the core in the arrays of the window."""
        return self.core.within(self.window)

    @property
    def open_sides(self) -> tuple[bool, bool, bool, bool]:
        """Whether unseen pixels of the field lie beyond the window: low y, low x, high y, high x."""
        height, width = self.field_shape
        box = self.window
        return box.y0 > 0, box.x0 > 0, box.y1 < height, box.x1 < width


@dataclass(frozen=True)
class TileGrid:
    """A field of `shape` pixels, divided into cores of `size` x `size` pixels (those at the end may be smaller)."""

    shape: tuple[int, int]
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"tile size must be 1 or more, got {self.size}")

    @property
    def field(self) -> Box:
        """The whole field."""
        return Box(0, 0, *self.shape)

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.shape[0] // self.size), -(-self.shape[1] // self.size)

    def __len__(self) -> int:
        rows, columns = self.counts
        return rows * columns

    def tile(self, index: int, halo: int = 0) -> Tile:
        """Return the tile with this index, with a halo of `halo` pixels."""
        row, column = divmod(index, self.counts[1])
        y0, x0 = row * self.size, column * self.size
        core = Box(y0, x0, y0 + self.size, x0 + self.size).clip(self.field)
        return Tile(index, core, core.grow(halo).clip(self.field), self.shape)

    def tiles(self, halo: int = 0) -> Iterator[Tile]:
        """Yield all tiles, row by row."""
        return (self.tile(index, halo) for index in range(len(self)))


def blocks(box: Box, side: int = LATTICE) -> Iterator[tuple[tuple[int, int], Box]]:
    """Yield (row, column) and the part inside `box` of every lattice cell that overlaps it."""
    for row in range(box.y0 // side, -(-box.y1 // side)):
        for column in range(box.x0 // side, -(-box.x1 // side)):
            cell = Box(row * side, column * side, (row + 1) * side, (column + 1) * side)
            yield (row, column), cell.clip(box)


def spread_blocks(box: Box, most: int) -> list[Box]:
    """Return at most `most` lattice cells, spread evenly over those that overlap a box, in their order."""
    cells = [cell for _, cell in blocks(box)]
    count = min(most, len(cells))
    return [cells[(2 * k + 1) * len(cells) // (2 * count)] for k in range(count)]


def inner_chunk(shard: int) -> int:
    """Return the side of the chunks inside a shard: its largest divisor from 64 to 256, or else the shard itself.

    Zarr requires that chunks divide their shard.
    """
    return next((side for side in range(min(256, shard), 63, -1) if shard % side == 0), shard)
