"""The sky of every single source: a plane in the residuals about it, fitted together with a change of its flux.

The splines of `sky_spline` bend over 28 pixels and cannot follow the light of a galaxy, which changes within a few.
What they leave is nearly flat under one source, so that its equation is made with the data less a plane of its own:
that of the residuals in a box of `BOX` x `BOX` pixels about its peak. The flux is free in that fit, or the plane would
take a part of it. Neighbours keep the fluxes of the last solution; as equations and planes are made in turns, they
agree in the end.

This is the rule for all fluxes, and the noise of a flux is measured with it too (`kernel`, in `noise_cells`). An
artificial star that is measured in pixels must get its plane from here as well, or it would not be measured as sources
are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.photometry.elimination import substitute

__all__ = ["BOX", "HALF", "Planes", "kernel", "planes", "planes_of"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

HALF: Final = 5
"""Pixels from the middle of the box to its border."""

BOX: Final = 2 * HALF + 1
"""Side of the box, pixels."""

WORST: Final = 2.0
"""Variance of a flux with a free plane, over that without one, beyond which a constant is fitted, or nothing at all."""


@dataclass(frozen=True)
class Planes:
    """The sky's planes under the sources that a tile owns, in one band."""

    row: Int64
    """Of the source's peak, pixels of the window: there the plane has its level."""
    column: Int64
    terms: Floats
    """Level, nJy per pixel, and slopes along y and x, nJy per pixel and pixel, (n, 3)."""

    def arrays(self) -> tuple[Int64, Int64, Floats]:
        """Return row, column and terms as kernels take them."""
        return (
            np.require(self.row, np.int64, PLAIN),
            np.require(self.column, np.int64, PLAIN),
            np.require(self.terms, np.float64, PLAIN),
        )

    @classmethod
    def flat(cls, n: int) -> Planes:
        """Return planes of no light under `n` sources."""
        return cls(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros((n, 3)))


def kernel(shape: Floats) -> Floats:
    """Return the weights with which a flux over a plane is the sum over the pixels of the box, float64 (BOX, BOX).

    For pixels of one weight; the flux of a plane is 0.

    Parameters
    ----------
    shape : (n, n) float64
        Stamp of a point at a pixel's centre, at least `BOX` pixels wide.
    """
    cut = shape.shape[0] // 2 - HALF
    point = shape[cut : cut + BOX, cut : cut + BOX]
    offset = np.arange(-HALF, HALF + 1.0)
    # On a symmetric box, constant and slopes are orthogonal to one another, and each is projected out by
    # itself.
    square = (offset * offset).sum() * BOX
    free = point - point.sum() / (BOX * BOX)
    free -= offset[:, None] * ((point * offset[:, None]).sum() / square)
    free -= offset * ((point * offset).sum() / square)
    return np.ascontiguousarray(free / (free * free).sum())


def planes(
    residual: Float32,
    weight: Float32,
    peaks: tuple[Int64, Int64],
    places: tuple[Int64, Int64],
    shapes: Floats,
    own: Int64,
) -> tuple[Floats, Floats]:
    """Return the plane of every source that a tile owns.

    Parameters
    ----------
    residual, weight : (ny, nx) float32
        Data less the splines' sky and all sources, nJy per pixel, and nJy^-2.
    peaks : (Int64, Int64)
        Row and column of all points' peaks, pixels of the window: the middle of their boxes.
    places : (Int64, Int64)
        Row and column of the middle of their stamps.
    shapes : (n, size, size) float64
        Stamps of the points.
    own : (m,) int64
        Places of the owned ones in these.

    Returns
    -------
    plane : (m, 3) float64
        Level at the peak's pixel, nJy per pixel, and slopes along y and x, nJy per pixel and pixel.
    growth : (m,) float64
        Variance of the flux over that with a known sky, at least 1, for white noise of these weights.
    """
    found, growth = np.zeros((own.size, 3)), np.ones(own.size)
    residual, weight = np.require(residual, np.float32, PLAIN), np.require(weight, np.float32, PLAIN)
    peak_row, peak_column, row, column = (np.require(one, np.int64, PLAIN) for one in (*peaks, *places))
    planes_of(residual, weight, peak_row, peak_column, row, column, shapes, own, found, growth)
    return found, growth


@compiled
def planes_of(
    residual: Float32,
    weight: Float32,
    peak_row: Int64,
    peak_column: Int64,
    row: Int64,
    column: Int64,
    shapes: Floats,
    own: Int64,
    found: Floats,
    growth: Floats,
) -> None:
    """Do the work of `planes` in compiled code; `found` and `growth` are changed in place."""
    height, width = residual.shape
    radius = shapes.shape[1] // 2
    matrix, root = np.empty((4, 4)), np.empty((4, 4))
    right, solution = np.empty(4), np.empty(4)
    for n in range(own.size):
        i = own[n]
        matrix[:] = 0.0
        right[:] = 0.0
        for j in range(-HALF, HALF + 1):
            y = peak_row[i] + j
            if y < 0 or y >= height:
                continue
            # Sums along a row first, in which powers of j are constants and need not be multiplied pixel by
            # pixel.
            s0, s1, s2, p0, p1, pp, r0, r1, rp = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(-HALF, HALF + 1):
                x = peak_column[i] + k
                if x < 0 or x >= width:
                    continue
                w = weight[y, x]
                if w > 0:
                    v, u = y - row[i] + radius, x - column[i] + radius
                    p = 0.0
                    if v >= 0 and u >= 0 and v <= 2 * radius and u <= 2 * radius:
                        p = shapes[i, v, u]
                    wk, wp, wr = w * k, w * p, w * residual[y, x]
                    s0 += w
                    s1 += wk
                    s2 += wk * k
                    p0 += wp
                    p1 += wp * k
                    pp += wp * p
                    r0 += wr
                    r1 += wr * k
                    rp += wr * p
            matrix[3, 3] += pp
            matrix[0, 3] += p0
            matrix[1, 3] += j * p0
            matrix[2, 3] += p1
            matrix[0, 0] += s0
            matrix[0, 1] += j * s0
            matrix[0, 2] += s1
            matrix[1, 1] += j * j * s0
            matrix[1, 2] += j * s1
            matrix[2, 2] += s2
            right[0] += r0
            right[1] += j * r0
            right[2] += r1
            right[3] += rp
        if not matrix[3, 3] > 0:
            continue
        # The flux goes last: the last pivot is then what its variance is the inverse of.
        # A plane where the flux can bear it; a constant where a plane would take too much of it, as at the edge
        # of the data; otherwise nothing, and the splines' sky stands alone.
        for terms in (3, 1):
            pivot = _solved(matrix, right, terms, root, solution)
            if pivot * WORST > matrix[3, 3]:
                found[n, :terms] = solution[:terms]
                growth[n] = matrix[3, 3] / pivot
                break


@compiled
def _solved(matrix: Floats, right: Floats, terms: int, root: Floats, solution: Floats) -> float:
    """Solve for the first terms of the plane and the flux; return the last squared pivot, 0 where there is none."""
    size = terms + 1
    for a in range(size):
        i = a if a < terms else 3
        for b in range(a + 1):
            j = b if b < terms else 3
            value = matrix[j, i]
            for k in range(b):
                value -= root[a, k] * root[b, k]
            if a == b:
                # The pivot of a term that the others explain is only rounding: this plane does not exist.
                if not value > 1e-9 * matrix[i, i]:
                    return 0.0
                root[a, a] = np.sqrt(value)
            else:
                root[a, b] = value / root[b, b]
    for a in range(size):
        solution[a] = right[a if a < terms else 3]
    substitute(root, solution, size)
    pivot: float = root[terms, terms] * root[terms, terms]
    return pivot
