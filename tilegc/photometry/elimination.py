"""The small symmetric system of a star and its neighbours, solved by elimination with the star last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["solved"]

Floats = NDArray[np.float64]


@compiled
def solved(matrix: Floats, right: Floats, size: int, root: Floats, solution: Floats) -> float:
    """Solve a symmetric system of which the lower half is given; return the star's pivot, 0 where there is none.

    The star is eliminated last: its pivot is the inverse of its variance. Sources without weight stay as they are.
    """
    for a in range(size):
        i = a + 1 if a + 1 < size else 0
        for b in range(a + 1):
            j = b + 1 if b + 1 < size else 0
            value = matrix[max(i, j), min(i, j)]
            for k in range(b):
                value -= root[a, k] * root[b, k]
            if a == b:
                if value > 1e-9 * matrix[i, i]:
                    root[a, a] = np.sqrt(value)
                elif i == 0:
                    return 0.0
                else:
                    root[a, a] = np.inf
            else:
                root[a, b] = value / root[b, b]
    work = np.empty(size)
    for a in range(size):
        value = right[a + 1 if a + 1 < size else 0]
        for k in range(a):
            value -= root[a, k] * work[k]
        work[a] = value / root[a, a]
    for a in range(size - 1, -1, -1):
        value = work[a]
        for k in range(a + 1, size):
            value -= root[k, a] * work[k]
        work[a] = value / root[a, a]
    for a in range(size):
        solution[a + 1 if a + 1 < size else 0] = work[a]
    pivot: float = root[size - 1, size - 1] * root[size - 1, size - 1]
    return pivot
