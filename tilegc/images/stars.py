"""Isolated point sources of which a field's PSF is made: found in windows, the brightest of a field kept.

Radius: `REACH` pixels. A star is the brightest pixel of 5 x 5; all pixels of its stamp are there; its light is
as concentrated as a point's may be; nothing beside it within the stamp is a tenth as bright. Stars with
saturated cores fail for their missing pixels, or later for their flat tops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["REACH", "Stars", "find_stars"]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

REACH: Final = 12
"""Pixels from a star's own to the border of its stamp."""

NEIGHBOUR: Final = 0.1
"""Share of a star's peak that no pixel may reach beyond its core."""

LEAST: Final = 0.4
"""Least share of the light within 4 px that lies in the inner 3 x 3 px."""


@dataclass(frozen=True)
class Stars:
    """Stars of a window, brightest first, then by y and x."""

    y: Int64
    """Row in the window."""
    x: Int64
    """Column in the window."""
    value: Float32
    """Of the pixel."""
    concentration: Float32
    """Share of the light within 4 px that lies in the inner 3 x 3 px."""


def find_stars(light: Float32, core: tuple[slice, slice], most: int) -> Stars:
    """Return the brightest isolated point sources whose peak lies in a window's core.

    Parameters
    ----------
    light : (ny, nx) float32
        The summed bands, nJy per pixel; NaN: no data. A star closer than `REACH` to the window's border is none,
        as that is the field's wherever the halo is as wide.
    core : (slice, slice)
        The core's place in the window.
    most : int
        How many at the most.
    """
    light = np.require(light, np.float32, PLAIN)
    (y0, y1, _), (x0, x1, _) = core[0].indices(light.shape[0]), core[1].indices(light.shape[1])
    index = _maxima(light, y0, y1, x0, x1)
    order = np.lexsort((index, -light.ravel()[index]))
    rows, concentration = _isolated(light, index[order], most)
    y, x = np.divmod(rows, max(light.shape[1], 1))
    return Stars(y, x, light[y, x], concentration)


@compiled
def _maxima(light: Float32, y0: int, y1: int, x0: int, x1: int) -> Int64:
    """Return the flat indices of the core's pixels that are the brightest of their 5 x 5, above 0."""
    height, width = light.shape
    found = np.empty(((y1 - y0) // 2 + 1) * ((x1 - x0) // 2 + 1) + 1, np.int64)
    count = 0
    for y in range(max(y0, REACH), min(y1, height - REACH)):
        for x in range(max(x0, REACH), min(x1, width - REACH)):
            value = light[y, x]
            if not value > 0 or not value > light[y, x - 1] or not value >= light[y, x + 1]:
                continue
            highest = True
            for j in range(-2, 3):
                for i in range(-2, 3):
                    before = j < 0 or (j == 0 and i < 0)
                    other = light[y + j, x + i]
                    # of equal pixels the first one; NaN fails both
                    if (j != 0 or i != 0) and not (value > other if before else value >= other):
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                found[count] = y * width + x
                count += 1
    return found[:count]


@compiled
def _isolated(light: Float32, index: Int64, most: int) -> tuple[Int64, Float32]:
    """Return which of the maxima, given brightest first, are stars, and their concentrations."""
    width = light.shape[1]
    rows = np.empty(most, np.int64)
    shares = np.empty(most, np.float32)
    count = 0
    for flat in index:
        if count == most:
            break
        y, x = flat // width, flat % width
        border = 0.0
        for k in range(-REACH, REACH):  # round the stamp's border once
            border += light[y - REACH, x + k]
            border += light[y + k, x + REACH]
            border += light[y + REACH, x - k]
            border += light[y - k, x - REACH]
        border /= 8 * REACH
        peak = light[y, x] - border
        inner, outer, alone = 0.0, 0.0, peak > 0
        for j in range(-REACH, REACH + 1):
            for i in range(-REACH, REACH + 1):
                value = light[y + j, x + i] - border
                near = j * j + i * i
                if near <= 16:
                    outer += value
                    if abs(j) <= 1 and abs(i) <= 1:
                        inner += value
                if not value <= peak or (near > 16 and not value < NEIGHBOUR * peak):
                    alone = False
                    break
            if not alone:
                break
        if alone and inner >= LEAST * outer:
            rows[count], shares[count] = flat, inner / outer
            count += 1
    return rows[:count].copy(), shares[:count].copy()
