"""Counts of the law on the sky grid: boxes near the centre, and an outer field that constrains the floor.

Within `relation.max_radius` kappa is that of the lens map. Beyond, where no lensed images constrain the map, it is
not used: there the sky enters as a prior on the floor, from which the few cluster members are subtracted with a kappa
that decreases as a power law of roughly known slope.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.counts import BoxCounts, OuterField, gather
from tilegc.relation.floors import FLAT, Floor
from tilegc.relation.resampling import block_numbers
from tilegc.skygrid.cells import SkyCells

__all__ = ["OUTER_AREA", "SLOPE", "box_counts", "gathered", "too_small_outer", "used_area", "used_cells"]

Floats = NDArray[np.float64]

SLOPE: Final = (1.2, 0.2)
"""-dln kappa/dln r beyond the reach of the lens map, and its uncertainty: 1 for an isothermal halo, up to 1.5 for NFW
halos slightly outside their scale radius."""

FAR: Final = 2.0
"""The outer field begins at this multiple of max_radius."""

OUTER_AREA: Final = 200.0
"""Minimum good area of the outer field in arcsec^2, the same as for the annulus of the contamination."""

RIM: Final = 0.9
"""The extrapolation starts from the kappa between this fraction of max_radius and max_radius."""

PARTS: Final = 40
"""Number of rings into which the outer field is divided for the extrapolation."""


def box_counts(
    cells: SkyCells,
    side: float,
    max_radius: float,
    *,
    count: NDArray[np.int64] | None = None,
    kept: NDArray[np.bool_] | None = None,
    recovery: Floats | None = None,
    light: Floats | None = None,
    floor: Floor = FLAT,
) -> BoxCounts:
    """Gather the cells within `max_radius` into boxes, and the sky far from the centre into an outer field.

    All boxes with any area count, since the law takes the area of each into account.
    """
    use, area, sources = used_cells(cells, max_radius, count, kept, recovery)
    data = gathered(cells, side, cells.kappa, area, sources, use, light, floor)
    far = (cells.kept if kept is None else kept) & (True if recovery is None else np.isfinite(recovery))
    outer = _outer(cells, max_radius, area, sources, far)
    if outer is None:
        return replace(data, outer=None)
    beyond = far & (cells.radius >= FAR * max_radius)
    return replace(data, outer=replace(outer, **_means(cells, area, beyond, light, floor)))


def _means(
    cells: SkyCells, area: Floats, beyond: NDArray[np.bool_], light: Floats | None, floor: Floor
) -> dict[str, Any]:
    """Return the mean light of galaxies in the outer field, and its mean position if the floor is tilted."""
    weight = area[beyond]
    total = float(weight.sum())
    more: dict[str, Any] = {}
    if light is not None:
        more["light"] = float((light[beyond] * weight).sum()) / total
    if floor.tilt is not None:
        xi, eta = np.meshgrid(cells.xi, cells.eta)
        more["place"] = tuple(float((axis[beyond] * weight).sum()) / total / floor.tilt for axis in (xi, eta))
    return more


def used_cells(
    cells: SkyCells,
    max_radius: float,
    count: NDArray[np.int64] | None,
    kept: NDArray[np.bool_] | None,
    recovery: Floats | None,
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return the cells that enter the fit, and effective area and sources of all cells."""
    use = (cells.kept if kept is None else kept) & (cells.radius < max_radius)
    # A cell with unknown recovery has zero area, and its sources do not count.
    area = cells.good_area.sum(axis=0) * (1.0 if recovery is None else np.nan_to_num(recovery))
    sources = (cells.n_gc.sum(axis=0) if count is None else count).astype(np.float64)
    return use, area, sources


def used_area(cells: SkyCells, max_radius: float, kept: NDArray[np.bool_] | None, recovery: Floats) -> float:
    """Return the good area in arcsec^2 of the cells that enter the fit."""
    use, effective, _ = used_cells(cells, max_radius, None, kept, recovery)
    use = use & np.isfinite(cells.kappa) & (effective > 0)
    return float(cells.good_area.sum(axis=0)[use].sum())


def gathered(
    cells: SkyCells,
    side: float,
    kappa: Floats,
    area: Floats,
    sources: Floats,
    use: NDArray[np.bool_],
    light: Floats | None = None,
    floor: Floor = FLAT,
) -> BoxCounts:
    """Return the boxes of some cells of the sky grid, with the given convergence, effective area and sources."""
    pixel = cells.grid.pixel
    return gather(
        kappa,
        area,
        sources,
        use,
        first=(cells.j0, cells.i0),
        cells=round(side / pixel),
        pixel=pixel,
        light=light,
        floor_shape=floor.shape,
        tilt=floor.tilt,
    )


def too_small_outer(
    cells: SkyCells, max_radius: float, kept: NDArray[np.bool_], recovery: Floats
) -> tuple[float, tuple[str, ...]] | None:
    """Return the area (arcsec^2) of an outer field that is too small for a prior, and the names of its fields."""
    outer = kept & np.isfinite(recovery) & (cells.radius >= FAR * max_radius)
    area = cells.good_area * np.where(outer, np.nan_to_num(recovery), 0.0)
    total = float(area.sum())
    if not 0 < total < OUTER_AREA:
        return None
    return total, tuple(
        name for name, part in zip(cells.fields, area.sum(axis=(1, 2)), strict=True) if part > 0
    )


def _outer(
    cells: SkyCells, max_radius: float, area: Floats, sources: Floats, kept: NDArray[np.bool_]
) -> OuterField | None:
    """Return the constraint on the floor from the sky far from the centre; None if there is too little of it."""
    radius = cells.radius
    outer = kept & (radius >= FAR * max_radius)
    total = float(area[outer].sum())
    rim = np.isfinite(cells.kappa) & (radius >= RIM * max_radius) & (radius < max_radius)
    level = float(cells.kappa[rim].mean()) if rim.any() else 0.0
    if total < OUTER_AREA or not level > 0:
        return None
    number = sources[outer].sum()
    density = float(number) / total
    xi, eta = np.meshgrid(cells.xi, cells.eta)
    blocks = block_numbers(xi[outer], eta[outer])
    excess = np.bincount(blocks, sources[outer] - density * area[outer])
    used = np.count_nonzero(np.bincount(blocks, area[outer]))
    scatter = float(np.sqrt((excess**2).sum() * used / (used - 1))) if used > 1 else 0.0
    counting = float(np.sqrt(max(number, 1.0)))
    ln_ratio = np.log(radius[outer] / (0.5 * (1.0 + RIM) * max_radius))
    ring = np.minimum(
        (PARTS * (ln_ratio - ln_ratio.min()) / max(np.ptp(ln_ratio), 1e-9)).astype(int), PARTS - 1
    )
    weight = np.bincount(ring, area[outer], PARTS)
    filled = weight > 0
    middle = np.bincount(ring, area[outer] * ln_ratio, PARTS)[filled] / weight[filled]
    return OuterField(
        density,
        max(scatter, counting) / total,
        np.log(level) - SLOPE[0] * middle,
        SLOPE[1] * middle,
        weight[filled] / total,
    )
