"""Maps made of a map, that a true map should beat: turned, mirrored, shifted, made round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["SHIFT", "circularised", "smoothed", "transforms"]

Floats = NDArray[np.float64]

SHIFT: Final = 4.0
"""arcsec by which a map is shifted to the east."""


def transforms(
    at: Callable[[Floats, Floats], Floats], xi: Floats, eta: Floats, pixel: float
) -> dict[str, Floats]:
    """Return maps made of one map, by name.

    Parameters
    ----------
    at : callable
        The map's value at (xi, eta), arcsec east and north of the centre.
    xi, eta : float64
        Places, of one shape.
    pixel : float
        Width of the rings in which the round one is averaged, arcsec.
    """
    return {
        "uniform": np.ones(xi.shape),
        "rotated_90": at(eta, -xi),
        "rotated_180": at(-xi, -eta),
        "mirrored": at(-xi, eta),
        "transposed": at(eta, xi),
        f"shifted_{SHIFT:g}": at(xi - SHIFT, eta),
        "circularised": circularised(at(xi, eta), xi, eta, pixel),
    }


def circularised(values: Floats, xi: Floats, eta: Floats, width: float) -> Floats:
    """Return the mean of a map round the centre at each radius, from rings of this width (arcsec)."""
    radius = np.hypot(xi, eta)
    there = np.isfinite(values)
    ring = np.floor(radius / width).astype(np.int64)
    number = np.bincount(ring[there])
    filled = number > 0
    if not filled.any():
        return np.full(values.shape, np.nan)
    mean = np.bincount(ring[there], values[there])[filled] / number[filled]
    middle = np.bincount(ring[there], radius[there])[filled] / number[filled]
    result: Floats = np.where(there, np.interp(radius, middle, mean), np.nan)
    return result


def smoothed(values: Floats, sigma: float) -> Floats:
    """Return a map with gaps smoothed by a Gaussian of `sigma` cells, its gaps filled from beside them.

    NaN where nothing is within reach, 4 sigma.
    """
    there = np.isfinite(values)
    weight = gaussian_filter(there.astype(np.float64), sigma, mode="constant")
    total = gaussian_filter(np.where(there, values, 0.0), sigma, mode="constant")
    mean: Floats = np.divide(total, weight, out=np.full(values.shape, np.nan), where=weight > 1e-6)
    return mean
