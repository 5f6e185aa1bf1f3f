"""The sources of a field and their share in every tile: those that it owns and those whose light it must know of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box, Tile
from tilegc.photometry.local_sky import Planes
from tilegc.photometry.normal_matrix import Points

__all__ = ["MARGIN", "FieldSources", "TileSources"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

MARGIN: Final = 88
"""Pixels beyond a tile's core whose sources it must know: their stamps reach the residuals that it looks at."""

BUCKET: Final = 64
"""Side, pixels, of the buckets in which sources are looked up."""


@dataclass(frozen=True)
class TileSources:
    """Sources in and about one tile, by ascending number; picklable."""

    number: Int64
    y_peak: Int64
    x_peak: Int64
    offset: Floats
    """Distance along y and x from the centre of the peak's pixel, (n, 2)."""
    flux: Floats
    """nJy, (bands, n); of the last solution."""
    plane: Floats
    """Of the sky about each peak in every band, (bands, n, 3); see `local_sky`."""

    def near(self, tile: Tile, margin: int) -> TileSources:
        """Return those whose peaks lie at most `margin` pixels beyond the tile's core."""
        box = tile.core.grow(margin)
        rows = (
            (self.y_peak >= box.y0)
            & (self.y_peak < box.y1)
            & (self.x_peak >= box.x0)
            & (self.x_peak < box.x1)
        )
        return self._only(rows)

    def planes(self, tile: Tile, band: int) -> Planes:
        """Return the sky's planes under the sources that the tile owns, in its window's pixels."""
        own = self._only(_owned(self, tile))
        return Planes(own.y_peak - tile.window.y0, own.x_peak - tile.window.x0, own.plane[band])

    def _only(self, rows: NDArray[np.bool_]) -> TileSources:
        return TileSources(
            self.number[rows],
            self.y_peak[rows],
            self.x_peak[rows],
            self.offset[rows],
            self.flux[:, rows],
            self.plane[:, rows],
        )

    def points(self, tile: Tile, shape: tuple[int, int], margin: int) -> Points:
        """Return those of `near` as kernels take them, in the window's pixels; stamps are centred in the field."""
        return _points(self.near(tile, margin), tile, shape)


@dataclass
class FieldSources:
    """All sources of one field; offsets and fluxes are replaced as the fit goes on."""

    y_peak: Int64
    x_peak: Int64
    shape: tuple[int, int]
    offset: Floats
    flux: Floats
    plane: Floats = field(init=False)
    _order: Int64 = field(init=False, repr=False)
    _starts: Int64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.plane = np.zeros((*self.flux.shape, 3))
        self._across = (self.shape[1] - 1) // BUCKET + 1
        down = (self.shape[0] - 1) // BUCKET + 1
        bucket = (self.y_peak // BUCKET) * self._across + self.x_peak // BUCKET
        self._order = np.argsort(bucket, kind="stable").astype(np.int64)
        self._starts = np.searchsorted(bucket[self._order], np.arange(down * self._across + 1)).astype(
            np.int64
        )

    @property
    def y(self) -> Floats:
        """Row of every source, pixels."""
        return np.asarray(self.y_peak + self.offset[:, 0], np.float64)

    @property
    def x(self) -> Floats:
        """Column of every source, pixels."""
        return np.asarray(self.x_peak + self.offset[:, 1], np.float64)

    def of(self, core: Box) -> TileSources:
        """Return the sources that the tile with this core must know."""
        box = core.grow(MARGIN).clip(Box(0, 0, *self.shape))
        first, last = box.x0 // BUCKET, (box.x1 - 1) // BUCKET
        parts = [
            self._order[
                self._starts[row * self._across + first] : self._starts[row * self._across + last + 1]
            ]
            for row in range(box.y0 // BUCKET, (box.y1 - 1) // BUCKET + 1)
        ]
        near = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
        y, x = self.y_peak[near], self.x_peak[near]
        near = near[(y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)]
        return TileSources(
            near,
            self.y_peak[near],
            self.x_peak[near],
            self.offset[near],
            self.flux[:, near],
            self.plane[:, near],
        )


def _points(sources: TileSources, tile: Tile, shape: tuple[int, int]) -> Points:
    y, x = sources.y_peak + sources.offset[:, 0], sources.x_peak + sources.offset[:, 1]
    row = np.clip(np.floor(y + 0.5), 0, shape[0] - 1).astype(np.int64)
    column = np.clip(np.floor(x + 0.5), 0, shape[1] - 1).astype(np.int64)
    return Points(
        sources.number,
        row - tile.window.y0,
        column - tile.window.x0,
        (y - row).clip(-0.5, 0.5),
        (x - column).clip(-0.5, 0.5),
        _owned(sources, tile),
    )


def _owned(sources: TileSources, tile: Tile) -> NDArray[np.bool_]:
    core = tile.core
    down = (sources.y_peak >= core.y0) & (sources.y_peak < core.y1)
    return np.asarray(down & (sources.x_peak >= core.x0) & (sources.x_peak < core.x1))
