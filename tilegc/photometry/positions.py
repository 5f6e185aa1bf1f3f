"""Sub-pixel positions, one for all detection bands: Gauss-Newton steps on the residuals of the last solution.

Every source moves alone, its neighbours held where they are. In each band its flux is free, and is eliminated, so
that only the position is shared. Radius: `CORE` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.photometry.local_sky import Planes
from tilegc.photometry.normal_matrix import Points
from tilegc.photometry.spline_psf import SplinePsf, stamp, stamp_with_slopes

__all__ = ["CORE", "FARTHEST", "refine", "refine_all"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

CORE: Final = 3
"""Pixels along y or x about a source's own whose residuals move it."""

STEP: Final = 0.4
"""Largest step along y or x, pixels: beyond it the PSF is no longer linear in the position."""

# A source that wants to go farther is drawn by a neighbour that was not detected.
FARTHEST: Final = 1.0
"""Pixels along y or x that a source may be from the centre of its peak's pixel."""

STEPS: Final = 2
"""Steps that a source makes on the same residuals."""


def refine(
    residuals: Sequence[Float32],
    weight: Sequence[Float32],
    points: Points,
    offset: Floats,
    flux: Floats,
    psfs: Sequence[SplinePsf],
    skies: Sequence[Planes],
) -> tuple[Floats, Floats]:
    """Return better positions of the points that a tile owns.

    Parameters
    ----------
    residuals, weight : sequences of (ny, nx) float32
        Of each band, nJy per pixel and nJy^-2.
    points : Points
        As they were when the residuals were made.
    offset : (n, 2) float64
        Their distance along y and x from the centre of the peak's pixel, which `FARTHEST` limits.
    flux : (bands, n) float64
        nJy.
    psfs : sequence of SplinePsf
    skies : sequence of Planes
        Of the owned points in each band.

    Returns
    -------
    offset : (own, 2) float64
        Of the owned points.
    error : (own, 2) float64
        Standard deviations along y and x, pixels, for white noise of these weights; NaN where the data do not tell.
    """
    own = np.flatnonzero(points.own)
    row, column, dy, dx = points.arrays()
    new, error = offset[own].copy(), np.full((own.size, 2), np.nan)
    tables = np.stack([psf.table for psf in psfs])
    stacked = np.stack([np.require(one, np.float32, PLAIN) for one in residuals])
    weights = np.stack([np.require(one, np.float32, PLAIN) for one in weight])
    peak_row, peak_column, _ = skies[0].arrays()
    plane = np.stack([one.terms for one in skies])
    flux = np.require(flux, np.float64, PLAIN)
    refine_all(
        stacked,
        weights,
        row,
        column,
        dy,
        dx,
        own,
        flux,
        tables,
        peak_row,
        peak_column,
        plane,
        new,
        error,
    )
    return new, error


@compiled
def refine_all(
    residuals: NDArray[np.float32],
    weight: NDArray[np.float32],
    row: Int64,
    column: Int64,
    dy: Floats,
    dx: Floats,
    own: Int64,
    flux: Floats,
    tables: Floats,
    peak_row: Int64,
    peak_column: Int64,
    plane: Floats,
    offset: Floats,
    error: Floats,
) -> None:
    """Do the work of `refine` in compiled code; `offset` and `error` are changed in place."""
    bands, height, width = residuals.shape
    # Stamps and slopes on a slightly larger square, so that a move into the next pixel needs no new residuals.
    size = 2 * CORE + 3  # one pixel more, as the source may cross into the next pixel
    reach = CORE + 1
    before, plain = np.empty((bands, size, size)), np.empty((size, size))
    along_y, along_x = np.empty((size, size)), np.empty((size, size))
    for n in range(own.size):
        i = own[n]
        for b in range(bands):
            stamp(tables[b], dy[i], dx[i], before[b])
        moved_y, moved_x = 0.0, 0.0
        for _ in range(STEPS):
            ayy, axx, ayx, gy, gx = 0.0, 0.0, 0.0, 0.0, 0.0
            here_y, here_x = dy[i] + moved_y, dx[i] + moved_x
            jump_y, jump_x = int(np.floor(here_y + 0.5)), int(np.floor(here_x + 0.5))
            if abs(jump_y) > 1 or abs(jump_x) > 1:
                break
            for b in range(bands):
                f = flux[b, i]
                # A band in which the source is not seen says nothing about its position.
                if not f > 0:
                    continue
                stamp_with_slopes(tables[b], here_y - jump_y, here_x - jump_x, plain, along_y, along_x)
                pp, py, px, yy, xx, yx, pr, yr, xr = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                for j in range(-CORE, CORE + 1):
                    y = row[i] + j
                    if y < 0 or y >= height:
                        continue
                    level = plane[b, n, 0] + plane[b, n, 1] * (y - peak_row[n])
                    for k in range(-CORE, CORE + 1):
                        x = column[i] + k
                        if x < 0 or x >= width or not weight[b, y, x] > 0:
                            continue
                        w = weight[b, y, x]
                        p = plain[j - jump_y + reach, k - jump_x + reach]
                        u = f * along_y[j - jump_y + reach, k - jump_x + reach]
                        v = f * along_x[j - jump_y + reach, k - jump_x + reach]
                        # the residual as it would be, had the source been moved already
                        r = residuals[b, y, x] - (level + plane[b, n, 2] * (x - peak_column[n]))
                        r += f * (before[b, j + reach, k + reach] - p)
                        pp += w * p * p
                        py += w * p * u
                        px += w * p * v
                        yy += w * u * u
                        xx += w * v * v
                        yx += w * u * v
                        pr += w * p * r
                        yr += w * u * r
                        xr += w * v * r
                if pp > 0:
                    # The flux is eliminated from the equations (Schur complement): a wrong flux would pull the
                    # position towards neighbours.
                    ayy += yy - py * py / pp
                    axx += xx - px * px / pp
                    ayx += yx - py * px / pp
                    gy += yr - py * pr / pp
                    gx += xr - px * pr / pp
            determinant = ayy * axx - ayx * ayx
            # Only one direction is constrained, as at the edge of the data.
            if not determinant > 1e-6 * ayy * axx:
                break
            error[n, 0], error[n, 1] = np.sqrt(axx / determinant), np.sqrt(ayy / determinant)
            step_y = (axx * gy - ayx * gx) / determinant
            step_x = (ayy * gx - ayx * gy) / determinant
            step_y, step_x = min(max(step_y, -STEP), STEP), min(max(step_x, -STEP), STEP)
            moved_y = min(max(moved_y + step_y, -FARTHEST - offset[n, 0]), FARTHEST - offset[n, 0])
            moved_x = min(max(moved_x + step_x, -FARTHEST - offset[n, 1]), FARTHEST - offset[n, 1])
        offset[n, 0] += moved_y
        offset[n, 1] += moved_x
