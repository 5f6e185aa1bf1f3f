"""Ranks of values, as `scipy.stats` has them, without importing it: that takes a second of processor time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ranks"]


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Return the rank of each value, from 1; equal values share the mean of their ranks.

    Parameters
    ----------
    values : (n,) array_like

    Returns
    -------
    float64 (n,)
        NaN everywhere if any value is NaN.
    """
    array = np.asarray(values)
    if np.isnan(array).any():
        return np.full(array.shape, np.nan)
    _, place, count = np.unique(array, return_inverse=True, return_counts=True)
    # Multiples of a half are exact, so that the result has the bits of scipy.stats.rankdata.
    result: NDArray[np.float64] = (np.cumsum(count) - 0.5 * (count - 1))[place]
    return result
