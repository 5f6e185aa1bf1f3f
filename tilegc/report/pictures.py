"""Images small enough for a page: sums of the finite pixels in square blocks. Radius: 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["add_blocks"]


def add_blocks(
    values: NDArray[np.floating],
    corner: tuple[int, int],
    factor: int,
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Add a window to the sums and counts of finite pixels in blocks of `factor` x `factor` pixels, in place.

    Parameters
    ----------
    values : (ny, nx) float
        A window of the image.
    corner : (int, int)
        Its first row and column.
    factor : int
        Side of a block in pixels, counted from pixel (0, 0); the last blocks may be cut.
    sums : (rows, columns) float64
        Sums over all blocks of the image; C-contiguous, like `counts`.
    counts : (rows, columns) int64
        Numbers of finite pixels.
    """
    _add_blocks(np.require(values, None, PLAIN), *corner, factor, sums, counts)


@compiled
def _add_blocks(
    values: NDArray[np.floating],
    y0: int,
    x0: int,
    factor: int,
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    height, width = values.shape
    for y in range(height):
        line, total, count = values[y], sums[(y0 + y) // factor], counts[(y0 + y) // factor]
        for i in range(x0 // factor, (x0 + width - 1) // factor + 1):
            for x in range(max(i * factor - x0, 0), min((i + 1) * factor - x0, width)):
                if math.isfinite(line[x]):
                    total[i] += line[x]
                    count[i] += 1
