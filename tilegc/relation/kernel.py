"""Kernel sum of the central field against kappa: errors, the best kernel, and the correlation at fixed radius.

It is evaluated on cells of about an arcsec, since kappa is smooth and the kernel is averaged over cells; the map of
the kernel sum itself is computed at the pixels of the mosaic (`tilegc.density.rho`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.ellipses import BeyondRadius, beyond_radius, moment_ellipse
from tilegc.relation.kernel_maps import CellMaps, KernelFit, Likeness, fit_kernel, likeness_errors
from tilegc.relation.sky_counts import box_counts
from tilegc.skygrid.cells import HALF, SkyCells

__all__ = ["KernelStatistics", "cell_maps", "kernel_statistics"]

Floats = NDArray[np.float64]

SIDE: Final = 100
"""Maximum number of coarse cells along the longer side of a field."""


@dataclass(frozen=True)
class KernelStatistics:
    """Statistics of the comparison in addition to beta, Pearson and Spearman."""

    errors: Likeness
    """Standard deviations over resampled blocks."""
    kernel: KernelFit
    beyond: BeyondRadius


def cell_maps(
    cells: SkyCells, field: int, max_radius: float, inpainted: Floats, count: NDArray[np.int64] | None = None
) -> CellMaps:
    """Return counts, area and kappa of one field on coarse cells.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    field : int
        Index of the field.
    max_radius : float
        Radius in arcsec within which cells are compared.
    inpainted : float64 (eta, xi)
        Inpainted sources of the field in each cell, averaged over realisations.
    count : int64 (eta, xi), optional
        Detected sources of the field; by default those of the run.
    """
    there = cells.n_pixels[field] > 0
    rows, columns = (np.flatnonzero(there.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        rows = columns = np.zeros(1, np.int64)
    j0, i0, j1, i1 = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    factor = max(1, -(-int(max(j1 - j0, i1 - i0)) // SIDE))
    shape = (-(-int(j1 - j0) // factor), -(-int(i1 - i0) // factor))

    def coarse(values: Floats) -> Floats:
        whole = np.zeros((shape[0] * factor, shape[1] * factor))
        part = values[j0:j1, i0:i1]
        whole[: part.shape[0], : part.shape[1]] = part
        sums: Floats = whole.reshape(shape[0], factor, shape[1], factor).sum(axis=(1, 3))
        return sums

    inside = cells.inside_area[field]
    known = np.isfinite(cells.kappa) & (inside > 0)
    weight = coarse(np.where(known, inside, 0.0))
    kappa = np.divide(
        coarse(np.where(known, cells.kappa * inside, 0.0)),
        weight,
        out=np.full(shape, np.nan),
        where=weight > 0,
    )
    pixel = factor * cells.grid.pixel
    eta = (cells.j0 + j0) * cells.grid.pixel + (np.arange(shape[0]) + 0.5) * pixel
    xi = (cells.i0 + i0) * cells.grid.pixel + (np.arange(shape[1]) + 0.5) * pixel
    use = (weight >= HALF * pixel**2) & (np.hypot(eta[:, None], xi[None, :]) < max_radius)
    detected = cells.n_gc[field] if count is None else count
    return CellMaps(coarse(detected + inpainted), coarse(inside), kappa, use, xi, eta, pixel)


def kernel_statistics(
    cells: SkyCells,
    field: int,
    max_radius: float,
    side: float,
    inpainted: Floats,
    kernel: tuple[float, float],
    recovery: Floats | None = None,
) -> KernelStatistics:
    """Return the errors of the comparison, the best kernel, and the correlation at fixed radius.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    field : int
        Index of the field that is compared with kappa.
    max_radius, side : float
        Radius of the comparison and side of the boxes of the relation in arcsec.
    inpainted : float64 (eta, xi)
        Inpainted sources of the field in each cell, averaged over realisations.
    kernel : tuple of float
        alpha and softening (arcsec) of the kernel of the run.
    recovery : float64 (eta, xi), optional
        Probability that a source is recorded, 1 by default. Used for the correlation at fixed radius, since crowding
        follows the ellipses.
    """
    maps = cell_maps(cells, field, max_radius, inpainted)
    data = box_counts(cells, side, max_radius, recovery=recovery)
    xi, eta = np.meshgrid(maps.xi, maps.eta)
    near = np.where(np.hypot(eta, xi) < max_radius, maps.kappa, np.nan)
    ellipse = moment_ellipse(near, xi, eta, 0.8 * max_radius)
    x, y = ((axis.astype(np.float64) + 0.5) * data.side for axis in (data.column, data.row))
    area = data.box_area
    mean = data.powers(1.0)[0] / area if area.size else area
    return KernelStatistics(
        likeness_errors(maps, *kernel),
        fit_kernel(maps, kernel),
        beyond_radius(x, y, area, data.count, mean, ellipse),
    )
