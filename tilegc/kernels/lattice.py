"""Maps known on the lattice: one value per cell, bilinear between the centres of the cells.

Cells are fixed squares counted from pixel (0, 0) of the field, so a measurement in a cell does not depend on the
tiling. Only + - * / touch a pixel. No radius: the whole lattice is passed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tilegc.geometry import LATTICE, Box
from tilegc.kernels.compiled import compiled

__all__ = ["bilinear", "bilinear_at", "bilinear_part", "fill", "lattice_shape"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def lattice_shape(shape: tuple[int, int], side: int = LATTICE) -> tuple[int, int]:
    """Return the numbers of rows and columns of the cells that cover a field of `shape` pixels; the last may be cut."""
    return -(-shape[0] // side), -(-shape[1] // side)


def bilinear(values: Float64, box: Box, side: int = LATTICE) -> Float32:
    """Return the map of a lattice on the pixels of a box.

    Parameters
    ----------
    values : (cell_y, cell_x) float64
        Value at the centre of each full cell of `side` x `side` pixels.
    box : Box
        Pixels of the field.
    side : int
        Side of a cell in pixels.

    Returns
    -------
    (ny, nx) float32
        Bilinear in float64, rounded once; constant beyond the outermost centres. A pixel has the same bits in any
        box.
    """
    out = np.empty(box.shape, np.float32)
    _interpolate_box(np.ascontiguousarray(values, np.float64), box.y0, box.x0, side, out)
    return out


def bilinear_part(
    values: Float64, cells: Box, box: Box, whole: tuple[int, int], side: int = LATTICE
) -> Float32:
    """Return the map of a lattice on the pixels of a box, from part of the lattice.

    Parameters
    ----------
    values : float64 of the shape of `cells`
        Value at the centre of each cell.
    cells : Box
        Cells in `values`: those of the box, and one more on every side where the lattice has one.
    box : Box
        Pixels of the field.
    whole : tuple of int
        Rows and columns of the whole lattice.
    side : int
        Side of a cell in pixels.

    Returns
    -------
    (ny, nx) float32
        The same bits as `bilinear` with the whole lattice.
    """
    out = np.empty(box.shape, np.float32)
    part = np.ascontiguousarray(values, np.float64)
    _interpolate_part(part, cells.y0, cells.x0, whole[0], whole[1], box.y0, box.x0, side, out)
    return out


def bilinear_at(values: Float64, y: ArrayLike, x: ArrayLike, side: int = LATTICE) -> Float32:
    """Return the map of a lattice at single pixels: float32 (n,), the same bits as `bilinear`."""
    rows, columns = np.asarray(y, np.int64), np.asarray(x, np.int64)
    out = np.empty(rows.shape, np.float32)
    _interpolate_at(np.ascontiguousarray(values, np.float64), rows, columns, side, out)
    return out


def fill(values: Float64) -> Float64:
    """Return a lattice without gaps: a cell without a value takes the mean of its known neighbours, out of eight.

    Gaps are filled layer by layer from the known cells outwards; NaN remains only if no cell is known.
    """
    filled: Float64 = np.array(values, np.float64)
    while (unknown := np.isnan(filled)).any() and not unknown.all():
        # All cells of a layer are computed from the state before it. Filling in place would let a value
        # spread along the direction of the loop, and the result would depend on the orientation of the image.
        padded = np.pad(filled, 1, constant_values=np.nan)
        total, count = np.zeros(filled.shape), np.zeros(filled.shape)
        for dy in range(3):
            for dx in range(3):
                part = padded[dy : dy + filled.shape[0], dx : dx + filled.shape[1]]
                known = np.isfinite(part)
                total += np.where(known, part, 0.0)
                count += known
        reached = unknown & (count > 0)
        filled[reached] = total[reached] / count[reached]
    return filled


@compiled
def _cell(pixel: int, side: int, cells: int) -> tuple[int, float]:
    """Return the cell whose centre precedes a pixel, and the pixel's distance from that centre in cells."""
    # Computed from the absolute number of the pixel, never by adding a step from pixel to pixel: rounding
    # errors would accumulate from the edge of the window and differ between tilings.
    along = (2.0 * pixel + 1.0 - side) / (2.0 * side)
    if along <= 0.0 or cells == 1:
        return 0, 0.0
    # The last centre is reached from the last interval with weight 1, so that no index beyond the lattice is
    # read.
    if along >= cells - 1:
        return cells - 2, 1.0
    first = int(along)
    return first, along - first


@compiled
def _between(values: Float64, row: int, down: float, column: int, across: float) -> np.float32:
    lower, right = min(row + 1, values.shape[0] - 1), min(column + 1, values.shape[1] - 1)
    above = values[row, column] * (1.0 - across) + values[row, right] * across
    below = values[lower, column] * (1.0 - across) + values[lower, right] * across
    return np.float32(above * (1.0 - down) + below * down)


@compiled
def _interpolate_box(values: Float64, y0: int, x0: int, side: int, out: Float32) -> None:
    for j in range(out.shape[0]):
        row, down = _cell(y0 + j, side, values.shape[0])
        for i in range(out.shape[1]):
            column, across = _cell(x0 + i, side, values.shape[1])
            out[j, i] = _between(values, row, down, column, across)


@compiled
def _interpolate_part(
    values: Float64, first: int, left: int, rows: int, columns: int, y0: int, x0: int, side: int, out: Float32
) -> None:
    for j in range(out.shape[0]):
        # The cell is located in the whole lattice and only then shifted into the part: at the edge of the
        # lattice the weights must be those of the whole one.
        row, down = _cell(y0 + j, side, rows)
        for i in range(out.shape[1]):
            column, across = _cell(x0 + i, side, columns)
            out[j, i] = _between(values, row - first, down, column - left, across)


@compiled
def _interpolate_at(values: Float64, y: Int64, x: Int64, side: int, out: Float32) -> None:
    for k in range(len(y)):
        row, down = _cell(y[k], side, values.shape[0])
        column, across = _cell(x[k], side, values.shape[1])
        out[k] = _between(values, row, down, column, across)
