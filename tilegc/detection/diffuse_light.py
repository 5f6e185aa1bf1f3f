"""Diffuse light about a source, which tells knots of faint galaxies and the outskirts of bright ones.

No mask covers a spiral of low surface brightness whose knots are each as small as a point source. A mask that did
would also cover crowded cores, where many sources lie side by side. But a knot lies in light that is smooth, and a
median does not see the points in it: the median in a ring about the source, less that in a wider ring, tells knots
from sources on empty sky.

Radius: `REACH` pixels. Medians and sums of one window in a fixed order, in float64.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.kernels.order import MAD_TO_SIGMA

__all__ = ["REACH", "diffuse_light"]

INNER: Final = (4.0, 15.0)
"""Radii, pixels, of the ring in which diffuse light is looked for: beyond the source itself."""
OUTER: Final = (28.0, 45.0)
"""Radii of the ring that tells the sky; every second pixel of every second row of it."""
REACH: Final = 45

CORRELATED: Final = 1.5
"""Error of a mean of many drizzled pixels over that of independent ones."""
OF_MEDIAN: Final = math.sqrt(math.pi / 2)
"""Error of a median over that of a mean."""
FEWEST: Final = 100
"""Pixels with data that either ring must have."""


def diffuse_light(
    light: NDArray[np.float32], y: NDArray[np.int64], x: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the significance of the diffuse light about each place, float64 (n,); NaN where too few pixels have data.

    Parameters
    ----------
    light : (ny, nx) float32
        Summed bands of a window that holds `REACH` pixels about every place, or ends there because the field does.
    y, x : (n,) int64
        Places, pixels of the window.
    """
    found = np.empty(y.size)
    offset = np.arange(-REACH, REACH + 1)
    distance = np.hypot(*np.meshgrid(offset, offset, indexing="ij"))
    inner = np.argwhere((distance >= INNER[0]) & (distance <= INNER[1])) - REACH
    outer = np.argwhere((distance >= OUTER[0]) & (distance <= OUTER[1])) - REACH
    _at_places(
        np.require(light, np.float32, PLAIN),
        np.asarray(y, np.int64),
        np.asarray(x, np.int64),
        np.ascontiguousarray(inner),
        np.ascontiguousarray(outer[(outer % 2 == 0).all(axis=1)]),
        found,
    )
    return found


@compiled
def _at_places(
    light: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    inner: NDArray[np.int64],
    outer: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    """Do the work of `diffuse_light`; `found` is changed in place."""
    near, far = np.empty(inner.shape[0]), np.empty(outer.shape[0])
    for n in range(rows.size):
        some, many = (
            _gathered(light, rows[n], columns[n], inner, near),
            _gathered(light, rows[n], columns[n], outer, far),
        )
        if some < FEWEST or many < FEWEST:
            found[n] = np.nan
            continue
        high, sky = _median(near[:some]), _median(far[:many])
        spread = MAD_TO_SIGMA * _median(np.abs(far[:many] - sky))
        error = OF_MEDIAN * CORRELATED * spread * math.sqrt(1.0 / some + 1.0 / many)
        found[n] = (high - sky) / error if error > 0 else np.nan


@compiled
def _gathered(
    light: NDArray[np.float32], row: int, column: int, offsets: NDArray[np.int64], values: NDArray[np.float64]
) -> int:
    """Put the pixels with data at some offsets into `values`; return how many there are."""
    count = 0
    for k in range(offsets.shape[0]):
        y, x = row + offsets[k, 0], column + offsets[k, 1]
        if 0 <= y < light.shape[0] and 0 <= x < light.shape[1]:
            value = float(light[y, x])
            if value == value:  # noqa: PLR0124  (not NaN)
                values[count] = value
                count += 1
    return count


@compiled
def _median(values: NDArray[np.float64]) -> float:
    ordered = np.sort(values)
    middle = ordered.size // 2
    return float(ordered[middle]) if ordered.size % 2 else 0.5 * float(ordered[middle - 1] + ordered[middle])
