"""Density by the distance to the k-th nearest source: narrow where sources are dense, wide where they are few.

At every `STEP`-th pixel of the field, counted from pixel (0, 0): the sources nearer than the k-th, over the good area
within its distance (unbiased for a Poisson field, with a relative scatter of (k - 2)^-1/2); where fewer than k lie
within the largest radius, all of them over the good area there. Between these pixels the map is bilinear. Areas and
distances are compared as whole numbers. Radius: the largest radius, and `STEP`.
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
"""Pixels between the places where the density is measured."""


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
    """Return density and its error at every pixel of a box.

    Parameters
    ----------
    box : Box
        Pixels of the field.
    window : Box
        `box` grown by `largest` and `STEP` pixels, cut off at the field's border.
    good : bool of the window's shape
        Where a source could be recorded.
    y, x : (n,) int
        Pixels of all sources in the window.
    weight : (n,) float64
        What each counts.
    k : int
        Number of the neighbour, 3 or more.
    largest : int
        Largest radius, pixels.
    pixel_area : float
        arcsec^2.

    Returns
    -------
    density, error : float64 of the box's shape
        Sources per arcsec^2 of good area; NaN where there is none within the largest radius.
    """
    if k < 3:
        raise ValueError(f"the neighbour must be the 3rd or a later one, got {k}")
    sums = np.zeros((window.shape[0], window.shape[1] + 1), np.int64)
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
        first, last = np.searchsorted(y, cy - largest), np.searchsorted(y, cy + largest + 1)
        for i in range(density.shape[1]):
            cx = (i0 + i) * STEP
            found = 0
            for n in range(first, last):
                d2 = (y[n] - cy) ** 2 + (x[n] - cx) ** 2
                if d2 <= limit and (found < k or d2 < nearest[k - 1]):
                    at = found if found < k else k - 1
                    while at > 0 and nearest[at - 1] > d2:
                        nearest[at] = nearest[at - 1]
                        at -= 1
                    nearest[at] = d2
                    found = min(found + 1, k)
            # strictly nearer than the k-th; all of them where there are fewer
            radius2 = nearest[k - 1] if found == k else limit + 1
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
