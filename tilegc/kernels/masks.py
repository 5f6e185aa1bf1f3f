"""Distances from missing data and from bright pixels: mask bits 2 and 4 (algorithm.md, section 2).

All decisions are made with integers, so they are the same on every machine and for every tiling: a pixel is within
reach of another if d^2 = dy^2 + dx^2 <= reach2, between pixel centres.

Both rules take a few passes over the window, whatever the distance. A disc of `reach2` around each set pixel covers,
in a row g rows away, the columns up to isqrt(reach2 - g^2) on both sides. The vertical distance to the nearest set
pixel in every column and one sweep of intervals along every row are therefore sufficient.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["edge", "edge_radius", "grow", "reach_squared"]


def reach_squared(radius: float) -> int:
    """Return floor(radius^2), the largest squared distance within `radius` pixels."""
    return math.floor(radius * radius)


def edge_radius(square: int, reach2: int) -> int:
    """Return the halo in pixels that `edge` requires.

    A square that includes a pixel at distance isqrt(reach2) extends square - 1 pixels further.
    """
    return math.isqrt(reach2) + square - 1


def edge(
    no_data: NDArray[np.bool_], square: int, reach2: int, open_sides: tuple[bool, bool, bool, bool]
) -> NDArray[np.bool_]:
    """Return mask bit 2: pixels too close to the outside or to a large region without data (algorithm.md, section 2).

    A pixel without data counts if it lies in some square of `square` x `square` pixels without any data (the
    morphological opening of the missing data). There is no data outside the field, and the squares may extend there.
    Dead pixels, dead columns and saturated cores smaller than the square do not count, nor do thin extensions of the
    edge: they only have bit 1. The rule is local, unlike a rule on connected regions, which could not be decided
    within a window.

    Parameters
    ----------
    no_data : (ny, nx) bool
        A window: True where there is no data.
    square : int
        Side of the square in pixels, 1 or more (3 arcsec in the recipe).
    reach2 : int
        Largest squared distance, inclusive, from the centre of a pixel that counts, in square pixels; 0 or more
        (floor((6.6 arcsec / scale)^2) in the recipe).
    open_sides : 4 bool
        Whether unseen pixels of the field lie beyond the window: low y, low x, high y, high x.

    Returns
    -------
    (ny, nx) bool
        True where bit 2 is set, including the pixels that count. Valid for pixels at least `edge_radius(square,
        reach2)` inside every open side.

    Raises
    ------
    ValueError
        If `square` is below 1 or `reach2` below 0.
    """
    if square < 1 or reach2 < 0:
        raise ValueError(f"edge: square must be at least 1 and reach2 at least 0, got {square} and {reach2}")
    # Most tiles of a mosaic lie inside the footprint and have no large gap: they cost one look at the mask.
    if all(open_sides) and not no_data.any():
        return np.zeros(no_data.shape, np.bool_)
    # There is no data beyond the edge of the field, and a square may lie out there entirely. Padding by one
    # square is as far as such squares matter; towards unseen pixels nothing is known, so nothing is added.
    low_y, low_x, high_y, high_x = (0 if side else square for side in open_sides)
    padded = np.pad(no_data, ((low_y, high_y), (low_x, high_x)), constant_values=True)
    near = _discs(_opening(padded, square), _half_widths(reach2))
    height, width = no_data.shape
    # A copy, so that the padded array can be freed: a view would keep it alive as long as the mask.
    return near[low_y : low_y + height, low_x : low_x + width].copy()


def grow(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return the pixels whose centre is within `radius` (inclusive) of the centre of a set pixel.

    Parameters
    ----------
    mask : (ny, nx) bool
        A window; pixels outside it count as not set. Halo: int(radius) pixels.
    radius : float
        Radius in pixels, 0 or more; compared with integers, d^2 <= floor(radius^2).

    Returns
    -------
    (ny, nx) bool
        Includes the set pixels themselves.

    Raises
    ------
    ValueError
        If `radius` is negative or not finite.
    """
    if not 0 <= radius < math.inf:
        raise ValueError(f"grow: the radius must be finite and not negative, got {radius}")
    if not mask.any():
        return np.zeros(mask.shape, np.bool_)
    return _discs(np.require(mask, np.bool_, PLAIN), _half_widths(reach_squared(radius)))


def _half_widths(reach2: int) -> NDArray[np.int64]:
    """Return the half-widths of the rows of a disc: entry g is the largest h with g^2 + h^2 <= reach2."""
    return np.array([math.isqrt(reach2 - g * g) for g in range(math.isqrt(reach2) + 1)], np.int64)


@compiled
def _opening(mask: NDArray[np.bool_], square: int) -> NDArray[np.bool_]:
    """Return the pixels that lie in some all-True square: (ny, nx) bool of the same shape."""
    height, width = mask.shape
    result = np.empty((height, width), np.bool_)
    # Downwards: `result` marks the lower right corners of the squares that are all True.
    rows = np.zeros(width, np.int64)  # number of rows up to this one whose last `square` columns are all True
    for y in range(height):
        run = 0
        for x in range(width):
            run = run + 1 if mask[y, x] else 0
            rows[x] = rows[x] + 1 if run >= square else 0
            result[y, x] = rows[x] >= square
    # Upwards and to the left: every corner fills its square.
    rows[:] = 0  # number of rows, including this one, that the lowest square in this column still covers
    for y in range(height - 1, -1, -1):
        columns = 0
        for x in range(width - 1, -1, -1):
            rows[x] = square if result[y, x] else max(rows[x] - 1, 0)
            columns = square if rows[x] > 0 else columns - 1
            result[y, x] = columns > 0
    return result


@compiled
def _discs(mask: NDArray[np.bool_], half_widths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the union of discs around all True pixels: (ny, nx) bool of the same shape."""
    height, width = mask.shape
    # Distances saturate one row beyond the reach: larger ones are not told apart, and the sum below cannot
    # overflow.
    beyond = half_widths.size
    distance = np.empty((height, width), np.int32)  # rows to the nearest True pixel above or below
    for x in range(width):
        distance[0, x] = 0 if mask[0, x] else beyond
    # Column by column would be simpler to read but strides through memory: rows outside keeps the access
    # contiguous.
    for y in range(1, height):
        for x in range(width):
            distance[y, x] = 0 if mask[y, x] else min(distance[y - 1, x] + 1, beyond)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            distance[y, x] = min(distance[y, x], distance[y + 1, x] + 1)
    result = np.zeros((height, width), np.bool_)
    for y in range(height):
        # Each row is a union of intervals. One sweep to the right extends the furthest end seen so far, one
        # to the left the other halves: two comparisons per pixel, for a disc of any size.
        end = -1
        for x in range(width):
            if distance[y, x] < beyond:
                end = max(end, x + half_widths[distance[y, x]])
            if x <= end:
                result[y, x] = True
        end = width
        for x in range(width - 1, -1, -1):
            if distance[y, x] < beyond:
                end = min(end, x - half_widths[distance[y, x]])
            if x >= end:
                result[y, x] = True
    return result
