"""Small symmetric systems: that of a star and its neighbours, solved by elimination with the star last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["solved", "substitute"]

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
    for a in range(size):
        solution[a] = right[a + 1 if a + 1 < size else 0]
    substitute(root, solution, size)
    star = solution[size - 1]
    for a in range(size - 1, 0, -1):
        solution[a] = solution[a - 1]
    solution[0] = star
    pivot: float = root[size - 1, size - 1] * root[size - 1, size - 1]
    return pivot


@compiled
def substitute(root: Floats, values: Floats, size: int) -> None:
    """Turn the right side of a system into its solution, in place, given the lower triangular root of its matrix."""
    for a in range(size):
        value = values[a]
        for k in range(a):
            value -= root[a, k] * values[k]
        values[a] = value / root[a, a]
    for a in range(size - 1, -1, -1):
        value = values[a]
        for k in range(a + 1, size):
            value -= root[k, a] * values[k]
        values[a] = value / root[a, a]
