"""Rows of the normal equations of all fluxes of a band: overlaps between sources, and their products with the data.

All fluxes minimise the sum over pixels of w (d - sum_i F_i P_i - B)^2, with weights w, stamps P_i and a smooth sky B.
Source i's row holds N_ij = sum w P_i P_j for every later source j whose stamp overlaps, r_i = sum w P_i d, and its
products with the sky's B-splines. A row depends on the pixels of stamp i and on positions alone, so the tile that
owns source i computes the same floats from its window as any other tile would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.photometry.local_sky import Planes
from tilegc.photometry.sky_spline import SPAN
from tilegc.photometry.spline_psf import SplinePsf, stamp

__all__ = ["Points", "Rows", "neighbours", "rows", "stamps"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """Sources in and about a tile, in the order of their numbers, split into pixel and offset from its centre.

    The offset is taken in the driver, before the window's origin is subtracted, so that it is the same float in
    every window.
    """

    number: Int64
    """Of each source in the whole field, ascending."""
    row: Int64
    """Pixel in the window that holds the source; the stamp's middle."""
    column: Int64
    dy: Floats
    """Offset from that pixel's centre, pixels, within ±0.5."""
    dx: Floats
    own: NDArray[np.bool_]
    """Whether the tile owns it: its peak's pixel lies in the core."""

    def arrays(self) -> tuple[Int64, Int64, Floats, Floats]:
        """Return row, column, dy and dx as kernels take them."""
        return (
            np.require(self.row, np.int64, PLAIN),
            np.require(self.column, np.int64, PLAIN),
            np.require(self.dy, np.float64, PLAIN),
            np.require(self.dx, np.float64, PLAIN),
        )


@dataclass(frozen=True)
class Rows:
    """Rows of the normal equations of the sources that a tile owns."""

    number: Int64
    """Of each source, ascending."""
    diagonal: Floats
    """N_ii, nJy^-2."""
    right: Floats
    """r_i, nJy^-1."""
    first: Int64
    """Number of the source of each pair, the smaller one."""
    second: Int64
    """Number of the other."""
    overlap: Floats
    """N_ij of each pair, nJy^-2; pairs without a common pixel of weight are left out."""
    knot: Int64
    """First row and column of sky splines that each source's stamp meets, (n, 2)."""
    sky: Floats
    """Products with `SPAN` x `SPAN` sky splines from there, (n, SPAN, SPAN), nJy^-2."""


def stamps(points: Points, psf: SplinePsf) -> Floats:
    """Return the stamps of all points, float64 (n, size, size)."""
    _, _, dy, dx = points.arrays()
    out = np.empty((dy.size, psf.size, psf.size))
    _stamps(psf.table, dy, dx, out)
    return out


def neighbours(points: Points, reach: int) -> tuple[Int64, Int64]:
    """Return all pairs whose pixels differ by at most `reach` along y and x and whose first one is owned.

    Returns
    -------
    (Int64, Int64)
        Places of the two in `points`, the smaller first; sorted by both.
    """
    row, column, _, _ = points.arrays()
    own = np.require(points.own, np.bool_, PLAIN)
    # Sources sorted into cells as large as the reach: partners lie in the nine cells around, and finding all
    # pairs takes a time in proportion to their number.
    cell_y, cell_x = row // (reach + 1), column // (reach + 1)
    cell_y, cell_x = cell_y - cell_y.min(initial=0), cell_x - cell_x.min(initial=0)
    across = int(cell_x.max(initial=0)) + 1
    cell = cell_y * across + cell_x
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange((int(cell_y.max(initial=0)) + 1) * across + 1))
    return _pairs(row, column, own, reach, order.astype(np.int64), starts.astype(np.int64), cell, across)


def rows(
    data: Float32,
    weight: Float32,
    points: Points,
    psf: SplinePsf,
    shapes: Floats,
    splines: tuple[Floats, int, int],
    skies: Planes,
) -> Rows:
    """Return the rows of the normal equations of the points that a tile owns.

    Parameters
    ----------
    data, weight : (ny, nx) float32
        nJy per pixel and nJy^-2; where the weight is 0, data are ignored, NaN too.
    points : Points
    psf : SplinePsf
    shapes : (n, size, size) float64
        Of `stamps`.
    splines : (Floats, int, int)
        Weights of the sky's splines along one axis by pixel of a cell, (step, 4), and the window's first row and
        column in the field.
    skies : Planes
        Of the owned points, whose products with the stamps are taken from r_i.
    """
    row, column, _, _ = points.arrays()
    own = np.flatnonzero(points.own)
    data, weight = np.require(data, np.float32, PLAIN), np.require(weight, np.float32, PLAIN)
    first, second = neighbours(points, 2 * psf.radius)
    diagonal, right = np.empty(own.size), np.empty(own.size)
    knot, sky = np.empty((own.size, 2), np.int64), np.zeros((own.size, SPAN, SPAN))
    basis, y0, x0 = splines
    _own_rows(
        data, weight, row, column, own, shapes, *skies.arrays(), basis, y0, x0, diagonal, right, knot, sky
    )
    overlap = np.empty(first.size)
    _overlaps(weight, row, column, first, second, shapes, overlap)
    # Pairs without a common pixel of weight have an overlap of exactly zero, and are not sent.
    met = overlap != 0
    number = points.number
    return Rows(
        number[own], diagonal, right, number[first[met]], number[second[met]], overlap[met], knot, sky
    )


@compiled
def _stamps(table: Floats, dy: Floats, dx: Floats, out: Floats) -> None:
    for i in range(dy.size):
        stamp(table, dy[i], dx[i], out[i])


@compiled
def _pairs(
    row: Int64,
    column: Int64,
    own: NDArray[np.bool_],
    reach: int,
    order: Int64,
    starts: Int64,
    cell: Int64,
    across: int,
) -> tuple[Int64, Int64]:
    down = (starts.size - 1) // across
    count = 0
    found = np.empty(0, np.int64)
    other = np.empty(0, np.int64)
    # Twice: count the pairs, then list them.
    for listing in range(2):
        if listing == 1:
            found, other = np.empty(count, np.int64), np.empty(count, np.int64)
        count = 0
        for i in range(row.size):
            if not own[i]:
                continue
            begin = count
            cy, cx = cell[i] // across, cell[i] % across
            for ny in range(max(cy - 1, 0), min(cy + 2, down)):
                for nx in range(max(cx - 1, 0), min(cx + 2, across)):
                    for place in range(starts[ny * across + nx], starts[ny * across + nx + 1]):
                        j = order[place]
                        if j <= i or abs(row[j] - row[i]) > reach or abs(column[j] - column[i]) > reach:
                            continue
                        if listing == 1:
                            found[count], other[count] = i, j
                        count += 1
            if listing == 1:
                other[begin:count].sort()
    return found, other


@compiled
def _own_rows(
    data: Float32,
    weight: Float32,
    row: Int64,
    column: Int64,
    own: Int64,
    shapes: Floats,
    peak_row: Int64,
    peak_column: Int64,
    plane: Floats,
    basis: Floats,
    y0: int,
    x0: int,
    diagonal: Floats,
    right: Floats,
    knot: Int64,
    sky: Floats,
) -> None:
    radius = shapes.shape[1] // 2
    step = basis.shape[0]
    height, width = data.shape
    along = np.empty(SPAN)
    for n in range(own.size):
        i = own[n]
        top, left = row[i] - radius, column[i] - radius
        ky, kx = (y0 + top) // step, (x0 + left) // step
        knot[n, 0], knot[n, 1] = ky, kx
        total, product = 0.0, 0.0
        begin, end = max(left, 0), min(column[i] + radius + 1, width)
        for y in range(max(top, 0), min(row[i] + radius + 1, height)):
            along[:] = 0.0
            level = plane[n, 0] + plane[n, 1] * (y - peak_row[n])
            # Sums over the pixels of one cell of the splines first, in registers, then onto the few splines
            # that cover it.
            for k in range((x0 + begin) // step, (x0 + end - 1) // step + 1):  # one or two cells
                origin = k * step - x0
                one, two, three, four = 0.0, 0.0, 0.0, 0.0
                for x in range(max(begin, origin), min(end, origin + step)):
                    w = weight[y, x]
                    if w > 0:
                        p = shapes[i, y - top, x - left]
                        wp = w * p
                        total += wp * p
                        product += wp * (data[y, x] - (level + plane[n, 2] * (x - peak_column[n])))
                        one += wp * basis[x - origin, 0]
                        two += wp * basis[x - origin, 1]
                        three += wp * basis[x - origin, 2]
                        four += wp * basis[x - origin, 3]
                along[k - kx] += one
                along[k - kx + 1] += two
                along[k - kx + 2] += three
                along[k - kx + 3] += four
            k = (y0 + y) // step
            t = y0 + y - k * step
            k -= ky
            for a in range(4):
                for b in range(SPAN):
                    sky[n, k + a, b] += basis[t, a] * along[b]
        diagonal[n], right[n] = total, product


@compiled
def _overlaps(
    weight: Float32, row: Int64, column: Int64, first: Int64, second: Int64, shapes: Floats, overlap: Floats
) -> None:
    radius = shapes.shape[1] // 2
    height, width = weight.shape
    for n in range(first.size):
        i, j = first[n], second[n]
        # Only the rectangle that both stamps cover.
        top, left = max(row[i], row[j]) - radius, max(column[i], column[j]) - radius
        bottom, end = min(row[i], row[j]) + radius + 1, min(column[i], column[j]) + radius + 1
        total = 0.0
        for y in range(max(top, 0), min(bottom, height)):
            for x in range(max(left, 0), min(end, width)):
                one = shapes[i, y - row[i] + radius, x - column[i] + radius]
                other = shapes[j, y - row[j] + radius, x - column[j] + radius]
                total += weight[y, x] * (one * other)
        overlap[n] = total
