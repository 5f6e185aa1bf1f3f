"""Density from the distance to the k-th nearest source: finer resolution where sources are denser.

It is measured at every `STEP`-th pixel of the field, counted from pixel (0, 0), and interpolated bilinearly between.
The estimate is the number of sources nearer than the k-th divided by the good area within its distance, which is
unbiased for a Poisson field, with a relative scatter of (k - 2)^-1/2. Where fewer than k sources lie within the
maximum radius, all of them are divided by the good area within that radius. Areas and squared distances are integers,
so that comparisons are exact. Radius: the maximum radius plus `STEP`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.density.splines import interpolate, touched
from tilegc.geometry import Box
from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["STEP", "neighbour_density"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

STEP: Final = 8
"""Spacing in pixels of the positions where the density is measured."""


def neighbour_density(
    box: Box,
    window: Box,
    good: NDArray[np.bool_],
    y: Int64,
    x: Int64,
    weight: Float64,
    k: int,
    largest: int,
    pixel_area: float,
) -> tuple[Float64, Float64]:
    """Return the density and its error at every pixel of a box.

    Parameters
    ----------
    box : Box
        Pixels of the field.
    window : Box
        `box` grown by `largest` and `STEP` pixels, clipped to the field.
    good : bool of the window's shape
        Pixels where a source could be recorded.
    y, x : (n,) int
        Pixels of all sources in the window.
    weight : (n,) float64
        Weight of each source.
    k : int
        Rank of the neighbour, 3 or more.
    largest : int
        Maximum radius in pixels.
    pixel_area : float
        Area of a pixel in arcsec^2.

    Returns
    -------
    density, error : float64 of the box's shape
        Sources per arcsec^2 of good area; NaN where there is no good area within the maximum radius.

    Raises
    ------
    ValueError
        If k is below 3.
    """
    if k < 3:
        raise ValueError(f"density.neighbours must be 3 or more, got {k}")
    sums = np.zeros((window.shape[0], window.shape[1] + 1), np.int64)
    # Running sums along rows: the good area of any disc is then two look-ups per row instead of one per pixel.
    np.cumsum(good, axis=1, out=sums[:, 1:])
    order = np.lexsort((x, y))
    nodes = touched(box, STEP, 1)
    density, error = np.empty(nodes.shape), np.empty(nodes.shape)
    _measure(
        np.require(y[order], np.int64, PLAIN),
        np.require(x[order], np.int64, PLAIN),
        np.require(weight[order], np.float64, PLAIN),
        sums,
        window.y0,
        window.x0,
        nodes.y0,
        nodes.x0,
        k,
        largest,
        pixel_area,
        density,
        error,
    )
    return interpolate(density, nodes, box, STEP, 1), interpolate(error, nodes, box, STEP, 1)


@compiled
def _measure(
    y: Int64,
    x: Int64,
    weight: Float64,
    sums: Int64,
    y0: int,
    x0: int,
    j0: int,
    i0: int,
    k: int,
    largest: int,
    pixel_area: float,
    density: Float64,
    error: Float64,
) -> None:
    nearest = np.empty(k, np.int64)
    height, width = sums.shape[0], sums.shape[1] - 1
    limit = largest * largest
    for j in range(density.shape[0]):
        cy = (j0 + j) * STEP
        # Sources are sorted by row, so that only a strip of them is looked at.
        first, last = np.searchsorted(y, cy - largest), np.searchsorted(y, cy + largest + 1)
        for i in range(density.shape[1]):
            cx = (i0 + i) * STEP
            neighbours = 0
            for n in range(first, last):
                d2 = (y[n] - cy) ** 2 + (x[n] - cx) ** 2
                if d2 <= limit and (neighbours < k or d2 < nearest[k - 1]):
                    # Insertion into a sorted list of k: for the ten or so neighbours of interest faster than
                    # any tree.
                    at = neighbours if neighbours < k else k - 1
                    while at > 0 and nearest[at - 1] > d2:
                        nearest[at] = nearest[at - 1]
                        at -= 1
                    nearest[at] = d2
                    neighbours = min(neighbours + 1, k)
            # Count the sources strictly nearer than the k-th; if there are fewer than k, count all of them.
            radius2 = nearest[k - 1] if neighbours == k else limit + 1
            number, squares = 0.0, 0.0
            for n in range(first, last):
                if (y[n] - cy) ** 2 + (x[n] - cx) ** 2 < radius2:
                    number += weight[n]
                    squares += weight[n] * weight[n]
            area = np.int64(0)
            reach = min(int(np.sqrt(float(radius2))) + 1, largest)
            across = reach
            for row in range(cy - reach, cy + reach + 1):
                dy2 = (row - cy) ** 2
                # From row to row the half width changes by little: it is followed, not computed with a square
                # root.
                while across > 0 and across * across + dy2 >= radius2:
                    across -= 1
                while (across + 1) ** 2 + dy2 < radius2 and across < largest:
                    across += 1
                if row < y0 or row >= y0 + height or dy2 >= radius2:
                    continue
                low, high = max(cx - across, x0) - x0, min(cx + across + 1, x0 + width) - x0
                if low < high:
                    area += sums[row - y0, high] - sums[row - y0, low]
            if area == 0:
                density[j, i] = np.nan
                error[j, i] = np.nan
            else:
                density[j, i] = number / (area * pixel_area)
                error[j, i] = np.sqrt(squares) / (area * pixel_area)
