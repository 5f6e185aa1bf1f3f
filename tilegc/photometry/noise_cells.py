"""The noise of fluxes as it is, cell by cell: fluxes, each over a plane, at empty places of the residuals.

Such a flux is sum(K r) with the weights K of `local_sky.kernel`. The scatter of sum(K r) / sqrt(sum K^2 / w) over
places away from all sources is 1 for white noise of the given weights. It is larger for correlated pixels,
underestimated errors, and sources too faint for the list, and it follows these over the field.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.photometry.local_sky import BOX, HALF, kernel
from tilegc.photometry.normal_matrix import Points

__all__ = ["CELL", "noise_cells"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

CELL: Final = 64
"""Side of a cell, pixels."""

SPACING: Final = 4
"""Pixels between places along y and x: about two widths of the PSF, so that they are nearly independent."""

MISSING: Final = 12
"""Pixels of the box that may be without weight at the most, a tenth: they add nothing to the flux."""

AWAY: Final = 3
"""Pixels along y or x to the nearest source at least."""


def noise_cells(
    residual: Float32, weight: Float32, points: Points, shape: Floats, core: Box, origin: tuple[int, int]
) -> dict[str, NDArray[np.generic]]:
    """Return the scatter in every cell whose first pixel lies in a tile's core.

    Parameters
    ----------
    residual, weight : (ny, nx) float32
        Of the window, which reaches `CELL` + `HALF` pixels beyond the core.
    points : Points
        All sources in the window.
    shape : (n, n) float64
        The PSF's stamp at a pixel's centre.
    core : Box
        Of the tile, in the field.
    origin : (int, int)
        The window's first row and column in the field.

    Returns
    -------
    dict
        `row` and `column` of the cells, `count` of places, and the quantiles 0.16, 0.5, 0.84 of the scaled sums
        (`low`, `middle`, `high`) and of the scaled residuals of the places' own pixels (`pixel_low`, `pixel_high`).
    """
    # A cell belongs to the tile that holds its first pixel, and is measured whole there: hence the wide halo.
    first = -(-core.y0 // CELL), -(-core.x0 // CELL)
    end = -(-core.y1 // CELL), -(-core.x1 // CELL)
    rows, columns = np.meshgrid(np.arange(first[0], end[0]), np.arange(first[1], end[1]), indexing="ij")
    residual, weight = np.require(residual, np.float32, PLAIN), np.require(weight, np.float32, PLAIN)
    # Near sources residuals hold what the PSF does not describe, which is not noise.
    taken = _taken(residual, weight, points.arrays()[0], points.arrays()[1])
    found = np.full((rows.size, 6), np.nan)
    over_plane = kernel(shape)
    for n, (row, column) in enumerate(zip(rows.ravel(), columns.ravel(), strict=True)):
        top, left = int(row) * CELL - origin[0], int(column) * CELL - origin[1]
        sums, pixels = _sample(residual, weight, taken, over_plane, top, left)
        found[n, 0] = sums.size
        if sums.size >= 2:
            found[n, 1:4] = _quantiles(sums, (0.16, 0.5, 0.84))
            found[n, 4:6] = _quantiles(pixels, (0.16, 0.84))
    names = ("low", "middle", "high", "pixel_low", "pixel_high")
    return {
        "row": rows.ravel(),
        "column": columns.ravel(),
        "count": found[:, 0].astype(np.int64),
        **{name: found[:, k + 1] for k, name in enumerate(names)},
    }


def _quantiles(values: Floats, shares: tuple[float, ...]) -> Floats:
    # The nearest value and not one between two: no interpolation whose rounding could differ.
    places = [round(share * (values.size - 1)) for share in shares]
    ordered = np.sort(values)
    return ordered[places]


@compiled
def _taken(residual: Float32, weight: Float32, row: Int64, column: Int64) -> NDArray[np.bool_]:
    """Return which pixels are near a source, or have no weight."""
    height, width = residual.shape
    out = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            out[y, x] = not weight[y, x] > 0
    for i in range(row.size):
        for y in range(max(row[i] - AWAY + 1, 0), min(row[i] + AWAY, height)):
            for x in range(max(column[i] - AWAY + 1, 0), min(column[i] + AWAY, width)):
                out[y, x] = True
    return out


@compiled
def _sample(
    residual: Float32, weight: Float32, taken: NDArray[np.bool_], over_plane: Floats, top: int, left: int
) -> tuple[Floats, Floats]:
    height, width = residual.shape
    most = (CELL // SPACING) ** 2
    sums, pixels = np.empty(most), np.empty(most)
    count = 0
    for y in range(max(top + SPACING // 2, HALF), min(top + CELL, height - HALF), SPACING):
        for x in range(max(left + SPACING // 2, HALF), min(left + CELL, width - HALF), SPACING):
            if taken[y, x]:
                continue
            product, square, total, missing = 0.0, 0.0, 0.0, 0
            for j in range(BOX):
                for k in range(BOX):
                    p = over_plane[j, k]
                    w = weight[y + j - HALF, x + k - HALF]
                    if w > 0:
                        product += p * residual[y + j - HALF, x + k - HALF]
                        square += p * p / w
                        total += residual[y + j - HALF, x + k - HALF]
                    else:
                        missing += 1
            if missing <= MISSING:
                sums[count] = product / np.sqrt(square)
                # Single pixels are compared with the mean of their box: what matters for chi is the noise of
                # pixels about a fitted sky.
                level = total / (BOX * BOX - missing)
                pixels[count] = (residual[y, x] - level) * np.sqrt(weight[y, x])
                count += 1
    return sums[:count], pixels[:count]
