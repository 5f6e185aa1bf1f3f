"""Variances of simultaneous fluxes, and crowding: from each source's own small part of the normal matrix.

The variance of a flux is the diagonal of the matrix's inverse. Overlaps fall off within a few pixels, so that the
inverse of the matrix of a source and its overlapping neighbours has the same entry for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.photometry.solve import Solution, System

__all__ = ["Variance", "closest_pairs", "variances"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

COUPLED: Final = 1e-3
"""Overlap, relative to the two sources' own, from which a neighbour counts."""

MOST: Final = 48
"""Neighbours of one source that count at the most, those of the largest overlap."""


@dataclass(frozen=True)
class Variance:
    """Of every flux of one band."""

    white: Floats
    """Diagonal of the inverse, nJy^2: for white noise of the given weights; NaN where a source has no weight."""
    neighbours: Floats
    """Light of neighbours in the source's own stamp, as a flux, nJy."""
    weight: Floats
    """sum w P over the stamp, nJy^-2."""


def variances(system: System, solution: Solution) -> Variance:
    """Return the variances of all fluxes, and the flux that the neighbours would add, were they not fitted."""
    n = system.diagonal.size
    start, other, value = _adjacency(system.first, system.second, system.overlap, n)
    white = np.full(n, np.nan)
    _local(system.diagonal, start, other, value, white)
    total = np.zeros(n)
    # Both ways, since each pair is listed once.
    np.add.at(total, system.first, system.overlap * solution.flux[system.second])
    np.add.at(total, system.second, system.overlap * solution.flux[system.first])
    some = system.diagonal > 0
    neighbours = np.where(some, total / np.where(some, system.diagonal, 1.0), np.nan)
    return Variance(white, neighbours, system.cross.sum(axis=(1, 2)))


def closest_pairs(first: Int64, second: Int64, y: Floats, x: Floats, reach: float) -> NDArray[np.bool_]:
    """Return which sources have another one within `reach` pixels, bool (n,)."""
    near = np.zeros(y.size, bool)
    close = (y[first] - y[second]) ** 2 + (x[first] - x[second]) ** 2 < reach**2
    near[first[close]] = True
    near[second[close]] = True
    return near


def _adjacency(first: Int64, second: Int64, overlap: Floats, n: int) -> tuple[Int64, Int64, Floats]:
    """Return every source's neighbours and overlaps: where they start, who they are, how much."""
    both, partner = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.lexsort((partner, both))
    start = np.searchsorted(both[order], np.arange(n + 1)).astype(np.int64)
    return start, partner[order].astype(np.int64), np.concatenate([overlap, overlap])[order]


@compiled
def _local(diagonal: Floats, start: Int64, other: Int64, value: Floats, white: Floats) -> None:
    n = diagonal.size
    # One array of the size of the catalogue serves all sources: entries are set for the members of a group, and
    # reset afterwards, which is cheaper than a search or a new array for each.
    place = np.full(n, -1, np.int64)
    member = np.empty(MOST + 1, np.int64)
    matrix = np.empty((MOST + 1, MOST + 1))
    for i in range(n):
        if not diagonal[i] > 0:
            continue
        member[0] = i
        place[i] = 0
        count = 1
        least = COUPLED
        some = 0
        for k in range(start[i], start[i + 1]):
            some += 1 if abs(value[k]) >= COUPLED * np.sqrt(diagonal[i] * diagonal[other[k]]) else 0
        if some > MOST:  # the largest alone: raise the limit to the overlap of the last one that fits
            ratio = np.empty(start[i + 1] - start[i])
            for k in range(start[i], start[i + 1]):
                ratio[k - start[i]] = abs(value[k]) / np.sqrt(diagonal[i] * diagonal[other[k]])
            least = np.sort(ratio)[ratio.size - MOST]
        for k in range(start[i], start[i + 1]):
            j = other[k]
            if (
                abs(value[k]) >= least * np.sqrt(diagonal[i] * diagonal[j])
                and count <= MOST
                and diagonal[j] > 0
            ):
                member[count] = j
                place[j] = count
                count += 1
        for a in range(count):
            j = member[a]
            for b in range(count):
                matrix[a, b] = 0.0
            matrix[a, a] = diagonal[j]
            for k in range(start[j], start[j + 1]):
                if place[other[k]] >= 0:
                    matrix[a, place[other[k]]] = value[k]
        # By elimination down to one unknown: no other entry of the inverse is wanted.
        white[i] = _first_of_inverse(matrix, count)
        for a in range(count):
            place[member[a]] = -1


@compiled
def _first_of_inverse(matrix: Floats, count: int) -> float:
    """Return entry (0, 0) of the inverse of a positive matrix: eliminate all others, last one first."""
    for k in range(count - 1, 0, -1):
        pivot = matrix[k, k]
        if not pivot > 0:
            return np.nan
        for a in range(k):
            factor = matrix[a, k] / pivot
            for b in range(k):
                matrix[a, b] -= factor * matrix[k, b]
    return 1.0 / matrix[0, 0] if matrix[0, 0] > 0 else np.nan
