"""Objects drawn in small sky cells that are fixed to the cluster centre.

How many are in a cell, where in it, and what they are like are hashes of (seed, stream, cell, number),
see `deviates`: they do not depend on the fields' sizes, and two fields that overlap share their objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.simulation.deviates import cell_counts, cell_normals, cell_uniforms, stream_key
from tilegc.simulation.frame import Frame

__all__ = ["Draw", "SkyCells"]

_CELL = 0.5  # arcsec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Draw:
    """Objects of one kind drawn in cells.

    Attributes
    ----------
    key : uint64
        Stream of their properties.
    j, i : ndarray of int64
        Cell of each object.
    k : ndarray of int64
        Its number within the cell.
    """

    key: np.uint64
    j: Ints
    i: Ints
    k: Ints

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.j)

    def uniform(self, slot: int) -> Floats:
        """Return property `slot` of every object, uniform in (0, 1)."""
        return cell_uniforms(self.key, self.j, self.i, self.k, slot)

    def normal(self, slot: int) -> Floats:
        """Return property `slot` of every object, standard normal."""
        return cell_normals(self.key, self.j, self.i, self.k, slot)

    def place(self) -> tuple[Floats, Floats]:
        """Return (xi, eta) in arcsec, uniform within the cells; slots 0 and 1 are used up."""
        return (self.i + self.uniform(0)) * _CELL, (self.j + self.uniform(1)) * _CELL


class SkyCells:
    """The cells on and near the frames of a cluster.

    Parameters
    ----------
    seed : int
    frames : sequence of Frame
    """

    def __init__(self, seed: int, frames: Sequence[Frame]) -> None:
        self.seed = seed
        self.frames = frames

    def draw(self, name: str, rim: float, density: Callable[[Floats, Floats], Floats]) -> Draw:
        """Draw the objects of a stream.

        Parameters
        ----------
        name : str
            Of the stream.
        rim : float
            How far beyond the frames objects are drawn, arcsec.
        density : callable
            Expected number per arcsec^2 at (xi, eta), taken at each cell's middle.
        """
        key = stream_key(self.seed, "objects", name)
        taken: list[tuple[Ints, Ints, Ints]] = []
        for n, frame in enumerate(self.frames):
            j0, i0, shape = _cell_range(frame, rim)
            j, i = np.indices(shape)
            xi: Floats = (i + i0 + 0.5) * np.float64(_CELL)
            eta: Floats = (j + j0 + 0.5) * np.float64(_CELL)
            here = _near(frame, xi, eta, rim)
            for other in self.frames[:n]:
                here &= ~_near(other, xi, eta, rim)
            mean = np.where(here, density(xi, eta), 0.0) * _CELL**2
            counts = cell_counts(key, i0, j0, mean)
            jj, ii = np.nonzero(counts)
            number = counts[jj, ii]
            k = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
            taken.append((np.repeat(jj + j0, number), np.repeat(ii + i0, number), k))
        j, i, k = (np.concatenate(column).astype(np.int64) for column in zip(*taken, strict=True))
        order = np.lexsort((k, i, j))
        return Draw(key, j[order], i[order], k[order])


def _cell_range(frame: Frame, rim: float) -> tuple[int, int, tuple[int, int]]:
    x = np.array([0.0, frame.nx, 0.0, frame.nx])
    y = np.array([0.0, 0.0, frame.ny, frame.ny])
    xi, eta = frame.plane(x, y)
    i0, j0 = math.floor((xi.min() - rim) / _CELL) - 1, math.floor((eta.min() - rim) / _CELL) - 1
    i1, j1 = math.ceil((xi.max() + rim) / _CELL) + 1, math.ceil((eta.max() + rim) / _CELL) + 1
    return j0, i0, (j1 - j0, i1 - i0)


def _near(frame: Frame, xi: Floats, eta: Floats, rim: float) -> NDArray[np.bool_]:
    x, y = frame.pixel(xi, eta)
    px = rim / frame.scale
    return (x > -px) & (x < frame.nx + px) & (y > -px) & (y < frame.ny + px)
