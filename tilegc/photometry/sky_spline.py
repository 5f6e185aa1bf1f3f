"""The sky of a band as a cubic B-spline surface whose coefficients are fitted together with the fluxes.

The field is cut into cells of `STEP` x `STEP` pixels from pixel (0, 0). In each cell four splines per axis are not
zero: 4 x 4 coefficients. Coefficient (k, l) is that of the spline which is centred on pixel ((k - 1) STEP,
(l - 1) STEP). The sums over pixels are made cell by cell, each in the same order in every window, and only then added
up to the rows of a coefficient.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["OFFSETS", "SPAN", "STEP", "basis", "cells", "evaluate", "grid_shape", "knots_of", "moments"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

STEP: Final = 28
"""Pixels between knots: wide against the PSF, narrow against intracluster light and the wings of galaxies."""

SPAN: Final = 5
"""Splines per axis that a stamp of at most STEP + 1 pixels can meet: it spans two cells."""

OFFSETS: Final = 25
"""Entries of a row of the sky's matrix from its diagonal on: 4 to the right, then 3 rows of 7 below."""


def basis() -> Floats:
    """Return the weights of a cell's four splines at its pixels along one axis, float64 (STEP, 4)."""
    t = np.arange(STEP) / STEP
    u = 1.0 - t
    middle = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
    after = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
    return np.stack([u * u * u / 6.0, middle, after, t * t * t / 6.0], axis=1)


def grid_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of coefficients of a field."""
    return (shape[0] - 1) // STEP + 4, (shape[1] - 1) // STEP + 4


def knots_of(start: int, stop: int, length: int) -> tuple[int, int]:
    """Return the coefficients, first and end, that a tile from pixel `start` to `stop` owns along one axis.

    A coefficient belongs to the tile with its central pixel; those beyond the field's edge to the first or last one.
    """
    first = 0 if start == 0 else -(-start // STEP) + 1
    end = (length - 1) // STEP + 4 if stop == length else -(-stop // STEP) + 1
    return first, end


def cells(data: Float32, weight: Float32, origin: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the sums over the pixels of every cell that a window touches.

    Parameters
    ----------
    data, weight : (ny, nx) float32
        nJy per pixel and nJy^-2; where the weight is 0 data are ignored.
    origin : (int, int)
        The window's first row and column in the field.

    Returns
    -------
    matrix : (cy, cx, 10, 10) float64
        sum w b b of the pairs of splines along y and along x; pairs (0, 0), (0, 1), ... (3, 3), first <= second.
    right : (cy, cx, 4, 4) float64
        sum w b d. Those of cells that the window cuts are not whole.
    """
    data, weight = np.require(data, np.float32, PLAIN), np.require(weight, np.float32, PLAIN)
    y0, x0 = origin
    down = (y0 + data.shape[0] - 1) // STEP - y0 // STEP + 1
    across = (x0 + data.shape[1] - 1) // STEP - x0 // STEP + 1
    matrix, right = np.zeros((down, across, 10, 10)), np.zeros((down, across, 4, 4))
    _cells(data, weight, y0, x0, basis(), matrix, right)
    return matrix, right


def moments(
    matrix: Floats,
    right: Floats,
    first_cell: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    shape: tuple[int, int],
) -> tuple[Floats, Floats]:
    """Return rows of the sky's normal equations from the sums of cells.

    Parameters
    ----------
    matrix, right
        Of `cells`; all cells of the field that these coefficients meet must be whole.
    first_cell : (int, int)
        Row and column of the first cell in the field.
    rows, columns : (int, int)
        Coefficients wanted, first and end along y and x.
    shape : (int, int)
        Coefficients of the field.

    Returns
    -------
    band : (ny, nx, OFFSETS) float64
        Entries with itself and the 24 coefficients after it; see `OFFSETS`.
    right : (ny, nx) float64
    """
    ny, nx = rows[1] - rows[0], columns[1] - columns[0]
    band, total = np.zeros((ny, nx, OFFSETS)), np.zeros((ny, nx))
    _moments(matrix, right, *first_cell, rows[0], columns[0], shape[0] - 3, shape[1] - 3, band, total)
    return band, total


def evaluate(coefficients: Floats, origin: tuple[int, int], shape: tuple[int, int]) -> Float32:
    """Return the sky in a window, nJy per pixel, float32 (ny, nx).

    Parameters
    ----------
    coefficients : (ky, kx) float64
        Of the field.
    origin : (int, int)
        The window's first row and column in the field.
    shape : (int, int)
        Of the window.
    """
    out = np.empty(shape, np.float32)
    _evaluate(np.require(coefficients, np.float64, PLAIN), *origin, basis(), out)
    return out


@compiled
def _cells(
    data: Float32, weight: Float32, y0: int, x0: int, weights: Floats, matrix: Floats, right: Floats
) -> None:
    step = weights.shape[0]
    pair = np.empty(10)
    one = np.empty(4)
    for y in range(data.shape[0]):
        cy = (y0 + y) // step
        ty = y0 + y - cy * step
        cy -= y0 // step
        for cx in range(right.shape[1]):
            begin = max((x0 // step + cx) * step - x0, 0)
            end = min((x0 // step + cx + 1) * step - x0, data.shape[1])
            pair[:] = 0.0
            one[:] = 0.0
            some = False
            for x in range(begin, end):
                w = weight[y, x]
                if w > 0:
                    some = True
                    t = x0 + x - (x0 // step + cx) * step
                    a, b, c, d = weights[t, 0], weights[t, 1], weights[t, 2], weights[t, 3]
                    wa, wb, wc, wd = w * a, w * b, w * c, w * d
                    pair[0] += wa * a
                    pair[1] += wa * b
                    pair[2] += wa * c
                    pair[3] += wa * d
                    pair[4] += wb * b
                    pair[5] += wb * c
                    pair[6] += wb * d
                    pair[7] += wc * c
                    pair[8] += wc * d
                    pair[9] += wd * d
                    value = data[y, x]
                    one[0] += wa * value
                    one[1] += wb * value
                    one[2] += wc * value
                    one[3] += wd * value
            if not some:
                continue
            n = 0
            for j in range(4):
                for i in range(4):
                    right[cy, cx, j, i] += weights[ty, j] * one[i]
                for k in range(j, 4):
                    both = weights[ty, j] * weights[ty, k]
                    for m in range(10):
                        matrix[cy, cx, n, m] += both * pair[m]
                    n += 1


@compiled
def _moments(
    matrix: Floats,
    right: Floats,
    cell_y: int,
    cell_x: int,
    row: int,
    column: int,
    cells_down: int,
    cells_across: int,
    band: Floats,
    total: Floats,
) -> None:
    place = np.empty((4, 4), np.int64)
    n = 0
    for j in range(4):
        for k in range(j, 4):
            place[j, k], place[k, j] = n, n
            n += 1
    for ky in range(band.shape[0]):
        for kx in range(band.shape[1]):
            for j in range(4):  # the spline is the cell's number j along y, i along x
                cy = row + ky - j
                if cy < 0 or cy >= cells_down:
                    continue
                for i in range(4):
                    cx = column + kx - i
                    if cx < 0 or cx >= cells_across:
                        continue
                    cell = matrix[cy - cell_y, cx - cell_x]
                    total[ky, kx] += right[cy - cell_y, cx - cell_x, j, i]
                    for dx in range(4 - i):
                        band[ky, kx, dx] += cell[place[j, j], place[i, i + dx]]
                    for dy in range(1, 4 - j):
                        for dx in range(-i, 4 - i):
                            band[ky, kx, 4 + 7 * (dy - 1) + dx + 3] += cell[
                                place[j, j + dy], place[i, i + dx]
                            ]


@compiled
def _evaluate(coefficients: Floats, y0: int, x0: int, weights: Floats, out: Float32) -> None:
    step = weights.shape[0]
    column = np.empty(coefficients.shape[1])
    for y in range(out.shape[0]):
        cy = (y0 + y) // step
        t = y0 + y - cy * step
        for k in range(x0 // step, min((x0 + out.shape[1] - 1) // step + 4, column.size)):
            column[k] = (
                weights[t, 0] * coefficients[cy, k]
                + weights[t, 1] * coefficients[cy + 1, k]
                + weights[t, 2] * coefficients[cy + 2, k]
                + weights[t, 3] * coefficients[cy + 3, k]
            )
        for x in range(out.shape[1]):
            cx = (x0 + x) // step
            t = x0 + x - cx * step
            out[y, x] = (
                weights[t, 0] * column[cx]
                + weights[t, 1] * column[cx + 1]
                + weights[t, 2] * column[cx + 2]
                + weights[t, 3] * column[cx + 3]
            )
