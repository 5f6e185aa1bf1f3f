"""Maps derived from a map that the true map should outperform: rotated, mirrored, shifted, made circular."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["SHIFT", "circularised", "smoothed", "transforms"]

Floats = NDArray[np.float64]

SHIFT: Final = 4.0
"""Distance in arcsec by which a map is shifted to the east."""


def transforms(
    at: Callable[[Floats, Floats], Floats], xi: Floats, eta: Floats, pixel: float
) -> dict[str, Floats]:
    """Return maps derived from one map, by name.

    Parameters
    ----------
    at : callable
        Value of the map at (xi, eta), arcsec east and north of the centre.
    xi, eta : float64
        Positions, of the same shape.
    pixel : float
        Width in arcsec of the rings in which the circular map is averaged.
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
    """Return the mean of a map around the centre at each radius, from rings of this width (arcsec)."""
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
    """Smooth a map with gaps with a Gaussian of `sigma` cells, filling the gaps from their surroundings.

    NaN where there are no data within 4 sigma.
    """
    there = np.isfinite(values)
    weight = scipy.ndimage.gaussian_filter(there.astype(np.float64), sigma, mode="constant")
    total = scipy.ndimage.gaussian_filter(np.where(there, values, 0.0), sigma, mode="constant")
    mean: Floats = np.divide(total, weight, out=np.full(values.shape, np.nan), where=weight > 1e-6)
    return mean
