"""Where a field is complete: the chance to find a source of one magnitude, mapped from the artificial stars.

The chance depends on the place in two ways. It follows the noise, which may change from one pixel to the next along a
step of depth, and it follows crowding and light, which change smoothly. The first is known: with magnitudes counted
from the local limit, one curve of the whole field says what the noise alone would give. The second is what the stars
near a place show beyond that curve, a mean of residuals with the inverse density of the draw as weights. Only
residuals are smoothed, so steps of depth stay sharp, and where stars are few the curve remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.completeness.curves import FEWEST, curve
from tilegc.kernels.monotone import falling
from tilegc.phases.partials import Table

__all__ = ["CELL", "RecoveryMap", "recovery_map"]

Floats = NDArray[np.float64]

CELL: Final = 16
"""Side, pixels, of the cells of the map."""

REACH: Final = 0.5
"""Stars within this many magnitudes of that of the map count."""

NARROWEST: Final = 2.0
"""Least standard deviation, arcsec, of the Gaussian over which residuals are averaged."""

AVERAGED: Final = 50.0
"""Stars under the Gaussian; it is wider where a field has few."""

NEAREST: Final = 3
"""Stars that tell the noise of a cell."""

SHRUNK: Final = 10.0
"""Stars' worth of the field's curve that are added everywhere."""


@dataclass(frozen=True)
class RecoveryMap:
    """Chance that the run finds a source of one magnitude, by cells of `CELL` pixels."""

    magnitude: float
    """AB, of the flat spectrum that raises the detection map as much."""
    value: Floats
    """(cell_y, cell_x); NaN where no star may be put."""
    error: Floats
    """Its standard deviation."""
    smoothing: float
    """Standard deviation, arcsec, of the Gaussian."""
    stars: int
    """Stars near this magnitude in the whole field."""


def recovery_map(table: Table, area: NDArray[np.int64], magnitude: float, scale: float) -> RecoveryMap:
    """Map the chance to find a source of one magnitude.

    Parameters
    ----------
    table : table
        Stars of `tilegc.completeness.artificial.FieldStars`.
    area : (cell_y, cell_x) int64
        Searched pixels of every cell.
    magnitude : float
        AB; NaN gives a map without values.
    scale : float
        Side of a pixel, arcsec.
    """
    nothing = np.full(area.shape, np.nan)
    good = table["good"] & np.isfinite(table["noise"]) & (table["noise"] > 0)
    near = good & (np.abs(table["mag"] - magnitude) <= REACH)
    count = int(near.sum())
    if count < FEWEST:
        return RecoveryMap(magnitude, nothing, nothing.copy(), np.nan, count)
    # Magnitudes less those of the noise, so that equal numbers mean equal signal-to-noise.
    noise = table["noise"].astype(np.float64)
    level = float(np.median(noise[good]))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = table["mag"] + 2.5 * np.log10(noise / level)
    found = curve(relative[good], table["recovered"][good], 1 / table["q"][good])
    known = found.count > 0
    smooth = falling(found.recovered[known], 1 / found.error[known] ** 2)

    def expected(at: Floats) -> Floats:
        return np.interp(at, found.magnitude[known], smooth)

    place = np.stack([table["y_in"][near], table["x_in"][near]], axis=1)
    row, column = (np.floor((axis + 0.5) / CELL).astype(np.int64) for axis in place.T)
    residual = table["recovered"][near] - expected(relative[near])
    weight = 1 / table["q"][near]
    cell = CELL * scale
    density = count / (float(area.sum()) * scale**2)
    sigma = max(NARROWEST, float(np.sqrt(AVERAGED / (4 * np.pi * density)))) / cell
    sums = [
        scipy.ndimage.gaussian_filter(_summed(area.shape, row, column, values), sigma, mode="constant")
        for values in (weight, weight * residual)
    ]
    # The square of a Gaussian is one of 1/sqrt(2) times its width, over 4 pi sigma^2.
    square = scipy.ndimage.gaussian_filter(
        _summed(area.shape, row, column, (weight * residual) ** 2), sigma / np.sqrt(2), mode="constant"
    ) / (4 * np.pi * sigma**2)
    prior = SHRUNK * float(np.median(weight)) / (4 * np.pi * sigma**2)
    here = area > 0
    total = sums[0][here] + prior
    mean, variance = sums[1][here] / total, square[here] / total**2
    # What the curve does not know where there are no stars: how much places differ from it.
    spread = max(float(np.mean(mean**2 - variance)), 0.0)
    error = np.sqrt(variance + spread * (prior / total) ** 2)
    middle = (np.argwhere(here) + 0.5) * CELL - 0.5
    # The noise of a cell is that of the stars in it, or nearest to it.
    at = noise[near][scipy.spatial.cKDTree(place).query(middle, NEAREST)[1]]
    value, scatter = nothing, nothing.copy()
    curve_there = expected(magnitude + 2.5 * np.log10(at / level)).mean(axis=1)
    value[here] = np.clip(curve_there + mean, 0.0, 1.0)
    scatter[here] = error
    return RecoveryMap(magnitude, value, scatter, sigma * cell, count)


def _summed(
    shape: tuple[int, ...], row: NDArray[np.int64], column: NDArray[np.int64], values: Floats
) -> Floats:
    total = np.bincount(row * shape[1] + column, values, minlength=shape[0] * shape[1])
    return np.asarray(total.reshape(shape), np.float64)
