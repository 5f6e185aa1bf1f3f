"""Noise of fluxes over a field: the cells' scatter, smoothed over neighbours and filled where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.lattice import fill
from tilegc.photometry.noise_cells import CELL

__all__ = ["noise_map"]

Floats = NDArray[np.float64]

FEWEST: Final = 25
"""Places in a cell from which its scatter is used."""

BINOMIAL: Final = (0.5, 1.0, 0.5)
"""Weights of a cell's neighbours along y and x."""


def noise_map(cells: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the scatter of fluxes, and of single pixels, over that of white noise, at the cells' centres.

    Parameters
    ----------
    cells : mapping
        Of `noise_cells`, of the whole field, by row and column.
    shape : (int, int)
        Of the field, pixels.

    Returns
    -------
    (Floats, Floats)
        (cell_y, cell_x), without gaps; 1 everywhere in a field without a single cell that tells.
    """
    grid = -(-shape[0] // CELL), -(-shape[1] // CELL)
    count = np.zeros(grid)
    count[cells["row"], cells["column"]] = np.where(cells["count"] >= FEWEST, cells["count"], 0)
    maps = []
    for low, high in (("low", "high"), ("pixel_low", "pixel_high")):
        square = np.zeros(grid)
        half = (cells[high] - cells[low]) / 2
        square[cells["row"], cells["column"]] = np.where(cells["count"] >= FEWEST, half * half, 0.0)
        # Variances are averaged, weighted by the places that they come from; errors would be biased low.
        mean = _smooth(square * count) / np.where(_smooth(count) > 0, _smooth(count), np.nan)
        # Crowded cells have no empty place. They take the noise of their neighbours.
        whole = fill(np.sqrt(mean))
        maps.append(whole if np.isfinite(whole).all() else np.ones(grid))
    return maps[0], maps[1]


def _smooth(values: Floats) -> Floats:
    """Return weighted sums over each cell and its neighbours."""
    for axis in (0, 1):
        edge = [(1, 1) if k == axis else (0, 0) for k in (0, 1)]
        wide = np.pad(values, edge)
        parts = [np.take(wide, range(k, k + values.shape[axis]), axis) for k in range(3)]
        values = BINOMIAL[0] * parts[0] + BINOMIAL[1] * parts[1] + BINOMIAL[2] * parts[2]
    return values
