"""Completeness against magnitude, and the magnitudes at which it is 50, 80 and 90 per cent.

A mean over a population is a sum over stars of the population's density over the density of their draw. Here the
population is even over the area of a zone or an annulus: the curve of a field says what it would find of sources put
anywhere on it; how many of its own were found depends on where they are.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.monotone import falling
from tilegc.phases.partials import Table

__all__ = ["EDGES", "FEWEST", "LEVELS", "Curve", "curve", "depths", "zones_and_annuli"]

Floats = NDArray[np.float64]
Bool = NDArray[np.bool_]

LEVELS: Final = (0.5, 0.8, 0.9)
"""Completeness whose magnitudes are listed."""

EDGES: Final = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, np.inf)
"""Edges of the annuli about the cluster's centre, arcsec."""

STEP: Final = 0.25
"""Width of the bins in magnitude."""

FEWEST: Final = 30
"""Stars of a curve at the least, and half as many in a bin on either side of a level."""


@dataclass(frozen=True)
class Curve:
    """Completeness in bins of magnitude."""

    magnitude: Floats
    """Middle of each bin, AB."""
    count: NDArray[np.int64]
    """Stars in it."""
    recovered: Floats
    """Share of them that is found, by weight; NaN without stars."""
    error: Floats
    """Its standard deviation, for as many independent stars as the weights are worth."""


def curve(magnitude: Floats, recovered: Bool, weight: Floats) -> Curve:
    """Return completeness against magnitude.

    Parameters
    ----------
    magnitude : (n,) float64
        AB.
    recovered : (n,) bool
    weight : (n,) float64
        Density of the population over that of the draw, up to a factor.
    """
    if not magnitude.size:
        empty = np.zeros(0)
        return Curve(empty, np.zeros(0, np.int64), empty, empty)
    first = int(np.floor(magnitude.min() / STEP))
    place = np.floor(magnitude / STEP).astype(np.int64) - first
    bins = int(place.max()) + 1
    count = np.bincount(place, minlength=bins)
    total = np.bincount(place, weight, minlength=bins)
    square = np.bincount(place, weight**2, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.bincount(place, weight * recovered, minlength=bins) / total
        worth = total**2 / square
        # One star more of either kind keeps the error of 0 of n and n of n above 0.
        smooth = (share * worth + 1) / (worth + 2)
        error = np.sqrt(smooth * (1 - smooth) / (worth + 2))
    middle = np.asarray((first + np.arange(bins) + 0.5) * STEP, np.float64)
    return Curve(middle, count, share, error)


def depths(found: Curve) -> dict[float, tuple[float, float]]:
    """Return, by level, the magnitude down to which a curve stays above it, and its error; NaN where it never is.

    The curve is made monotone first: completeness does not rise with magnitude.
    """
    known = found.count > 0
    magnitude, error = found.magnitude[known], found.error[known]
    smooth = falling(found.recovered[known], 1 / error**2)
    result = {}
    for level in LEVELS:
        result[level] = np.nan, np.nan
        below = np.flatnonzero(smooth < level)
        if not below.size or below[0] == 0 or found.count.sum() < FEWEST:
            continue
        k = int(below[0])
        drop = smooth[k - 1] - smooth[k]
        part = (smooth[k - 1] - level) / drop
        at = magnitude[k - 1] + part * (magnitude[k] - magnitude[k - 1])
        sigma = np.hypot((1 - part) * error[k - 1], part * error[k])
        result[level] = float(at), float(sigma * (magnitude[k] - magnitude[k - 1]) / drop)
    return result


def zones_and_annuli(table: Table, zone: NDArray[np.int64]) -> list[tuple[int, float, float, Bool]]:
    """Return the parts of a field whose curves are listed: zone (-1: all), inner and outer radius (arcsec), stars.

    Parameters
    ----------
    table : table
        Of `tilegc.completeness.artificial`.
    zone : (n,) int64
        Zone of noise of every star.
    """
    everywhere = np.ones(zone.size, bool)
    parts = [(-1, 0.0, np.inf, everywhere)]
    numbers = np.unique(zone).tolist()
    if len(numbers) > 1:
        parts += [(number, 0.0, np.inf, zone == number) for number in numbers]
    radius = table["radius_arcsec"]
    for low, high in itertools.pairwise(EDGES):
        inside = (radius >= low) & (radius < high)
        if inside.any():
            parts.append((-1, low, high, inside))
    return parts
