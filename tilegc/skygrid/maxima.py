"""Local maxima of a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["local_maxima"]


def local_maxima(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the local maxima, the pixels above all their neighbours, sorted by row, then column.

    Of equal neighbours the first in this order counts as the higher. Pixels at the border can be maxima; NaN counts
    as lower than any value. Radius: 1 px.

    Parameters
    ----------
    values : ndarray of float64 (y, x)
        The map.
    """
    low = np.pad(np.where(np.isnan(values), -np.inf, values), 1, constant_values=-np.inf)
    height, width = values.shape
    middle = low[1:-1, 1:-1]
    highest = np.isfinite(middle)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                other = low[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
                # Strictly higher than neighbours before, at least as high as those after: of a plateau exactly
                # one pixel remains.
                highest &= middle > other if (dy, dx) < (0, 0) else middle >= other
    rows, columns = np.nonzero(highest)
    return rows, columns
