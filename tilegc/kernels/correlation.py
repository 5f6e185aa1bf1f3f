"""Correlation coefficients that do not depend on a BLAS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["pearson"]

Floats = NDArray[np.float64]


def pearson(a: Floats, b: Floats) -> float:
    """Return Pearson's r from NumPy's own sums: the last bit of a BLAS sum depends on its number of threads."""
    # Centring first loses fewer digits than the textbook form sum(ab) - n mean(a) mean(b), which cancels.
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
