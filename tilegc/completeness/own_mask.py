"""Stars that mask themselves: so bright, or joined to something so large, that no peak may be recorded on them.

The maps that decide it are linear, so a star's share is added to them as it is to the detection map. What is not
linear comes after: the limit of the bright mask, and for extended objects the size of the connected pixels above the
limit, which are followed from the star outwards.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.window import Placed
from tilegc.kernels.compiled import compiled
from tilegc.photometry.spline_psf import stamp

__all__ = ["REACH", "ByMap", "Extended", "masks_itself"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

REACH: Final = 24
"""Pixels round a star in which an extended object is followed."""

NEAR: Final = 7
"""Pixels round a star in which it is followed first."""

HEIGHT: Final = 2
"""Pixels round a star whose first difference of Gaussians it may raise above the limit of bright objects."""


class ByMap(NamedTuple):
    """One value for each of the maps that decide what is masked for its light: pixels, tables of stars, or limits."""

    first: Any
    """Of the first difference of Gaussians, which finds what is bright."""
    fine: Any
    """Of the finer of the two scales at which extended objects are looked for."""
    coarse: Any
    """Of the coarser one."""


class Extended(NamedTuple):
    """What makes connected pixels an extended object."""

    area: int
    """Pixels that are enough in any case."""
    long_area: int
    """Fewer pixels that are enough for an elongated object."""
    elongation: float
    """Axis ratio from which an object is elongated."""


@compiled
def masks_itself(
    stars: Placed, maps: ByMap, tables: ByMap, limits: ByMap, extended: Extended, masked: Bool
) -> None:
    """Set which stars are masked because of their own light.

    Parameters
    ----------
    stars : Placed
        The stars, n of them.
    maps : ByMap of (ny, nx) float32
        The window without the star, nJy per pixel; fine and coarse are empty where nothing is extended.
    tables : ByMap of (band, s, s, m, m) float64
        From `Responses`.
    limits : ByMap of float
        nJy per pixel.
    extended : Extended
        Sizes of extended objects.
    masked : (n,) bool
        Changed in place.
    """
    flux, dy, dx = stars.flux, stars.dy, stars.dx
    bands = flux.shape[0]
    peak = np.empty((2 * HEIGHT + 1, 2 * HEIGHT + 1))
    total = np.empty((2 * HEIGHT + 1, 2 * HEIGHT + 1))
    work, total_work = np.empty((2 * REACH + 1) ** 2), np.empty(2 * (2 * REACH + 1) ** 2)
    for n in range(stars.row.size):
        row, column = stars.row[n], stars.column[n]
        total[:] = 0.0
        for b in range(bands):
            stamp(tables.first[b], dy[n], dx[n], peak)
            total += flux[b, n] * peak
        if _exceeds(maps.first, row, column, total, limits.first):
            masked[n] = True
            continue
        if maps.fine.size == 0:
            continue
        # A star whose own pixel stays below both limits is in no object that they make.
        at_fine, at_coarse = float(maps.fine[row, column]), float(maps.coarse[row, column])
        for b in range(bands):
            stamp(tables.fine[b], dy[n], dx[n], peak)
            at_fine += flux[b, n] * peak[HEIGHT, HEIGHT]
            stamp(tables.coarse[b], dy[n], dx[n], peak)
            at_coarse += flux[b, n] * peak[HEIGHT, HEIGHT]
        if not (at_fine >= limits.fine or at_coarse >= limits.coarse):
            continue
        # Most are small objects of their own, which a small patch holds.
        for reach in (NEAR, REACH):
            side = 2 * reach + 1
            wide = work[: side * side].reshape(side, side)
            sums = total_work[: 2 * side * side].reshape(2, side, side)
            sums[:] = 0.0
            for b in range(bands):
                _add(tables.fine[b], dy[n], dx[n], flux[b, n], wide, sums[0])
                _add(tables.coarse[b], dy[n], dx[n], flux[b, n], wide, sums[1])
            answer = _joins(maps, row, column, sums, limits, extended)
            if answer >= 0:
                break
        masked[n] = answer == 1


@compiled
def _add(table: Floats, dy: float, dx: float, flux: float, work: Floats, total: Floats) -> None:
    """Add a star's share to a patch, of which the spline may cover a part alone."""
    size = min(table.shape[2] - 2, work.shape[0])
    part = work.ravel()[: size * size].reshape(size, size)
    stamp(table, dy, dx, part)
    first = (work.shape[0] - size) // 2
    for j in range(size):
        for i in range(size):
            total[first + j, first + i] += flux * part[j, i]


@compiled
def _exceeds(values: Float32, row: int, column: int, share: Floats, limit: float) -> bool:
    reach = share.shape[0] // 2
    for j in range(share.shape[0]):
        for i in range(share.shape[1]):
            y, x = row + j - reach, column + i - reach
            if 0 <= y < values.shape[0] and 0 <= x < values.shape[1] and values[y, x] + share[j, i] >= limit:
                return True
    return False


@compiled
def _joins(maps: ByMap, row: int, column: int, share: Floats, limits: ByMap, extended: Extended) -> int:
    """Return whether the connected pixels above the limits that hold the star's own are an extended object.

    1: they are; 0: they are not; -1: they reach the border of the patch, and do not fill it: a larger one must tell.
    """
    fine, coarse = maps.fine, maps.coarse
    size = share.shape[1]
    reach = size // 2
    high = np.zeros((size, size), np.bool_)
    for j in range(size):
        for i in range(size):
            y, x = row + j - reach, column + i - reach
            if 0 <= y < fine.shape[0] and 0 <= x < fine.shape[1]:
                high[j, i] = (
                    fine[y, x] + share[0, j, i] >= limits.fine
                    or coarse[y, x] + share[1, j, i] >= limits.coarse
                )
    if not high[reach, reach]:
        return 0
    line = np.empty(size * size, np.int64)
    line[0] = reach * size + reach
    high[reach, reach] = False
    count, done, cut = 1, 0, False
    sy, sx, syy, sxx, syx = 0.0, 0.0, 0.0, 0.0, 0.0
    # A queue in one flat array, and pixels struck off as they are queued: each is visited once, and nothing is
    # allocated for each star but this.
    while done < count:
        j, i = line[done] // size, line[done] % size
        done += 1
        cut |= min(j, i) == 0 or max(j, i) == size - 1
        sy, sx, syy, sxx, syx = sy + j, sx + i, syy + j * j, sxx + i * i, syx + j * i
        for v in range(max(j - 1, 0), min(j + 2, size)):
            for u in range(max(i - 1, 0), min(i + 2, size)):
                if high[v, u]:
                    high[v, u] = False
                    line[count] = v * size + u
                    count += 1
    if count >= extended.area:
        return 1
    if cut and reach < REACH:
        return -1
    if count < extended.long_area:
        return 0
    # Axis ratio from the second moments, those of the pixels themselves included.
    yy = syy / count - (sy / count) ** 2 + 1 / 12
    xx = sxx / count - (sx / count) ** 2 + 1 / 12
    yx = syx / count - sy / count * sx / count
    half, apart = 0.5 * (yy + xx), np.sqrt(0.25 * (yy - xx) ** 2 + yx * yx)
    return 1 if np.sqrt((half + apart) / max(half - apart, 1 / 12)) >= extended.elongation else 0
