"""The monotone sequence nearest to some values in weighted least squares.

Pools adjacent violators: Barlow et al. 1972, Statistical Inference under Order Restrictions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["falling", "rising"]

Floats = NDArray[np.float64]


def rising(values: Floats, weights: Floats) -> Floats:
    """Return the nearest sequence that never falls."""
    level: list[float] = []
    weight: list[float] = []
    length: list[int] = []
    for value, mass in zip(values.tolist(), weights.tolist(), strict=True):
        level.append(value)
        weight.append(mass)
        length.append(1)
        # A violation is resolved by pooling, which may create a new one with the block before: hence the loop
        # backwards.
        while len(level) > 1 and level[-2] > level[-1]:
            total = weight[-2] + weight[-1]
            level[-2] = (level[-2] * weight[-2] + level[-1] * weight[-1]) / total
            weight[-2] = total
            length[-2] += length[-1]
            del level[-1], weight[-1], length[-1]
    return np.repeat(np.array(level, np.float64), np.array(length, np.int64))


def falling(values: Floats, weights: Floats) -> Floats:
    """Return the nearest sequence that never rises."""
    # Rounding is symmetric about zero: the two signs give the same digits.
    return -rising(-values, weights)
