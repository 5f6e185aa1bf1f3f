"""Iterated inpainting: fit the radial trend until the inpainted counts converge (algorithm.md, section 7).

Each step fits the trend to the detected sources and to the inpainted density of the previous step, then measures the
density relative to the new trend. Only lattices are written, so a resumed run repeats the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tilegc.config import Cluster
from tilegc.density.coverage import Gaussians, cover, detected, estimate
from tilegc.density.inpainting import hidden
from tilegc.density.trend_fit import (
    Annuli,
    Trend,
    add_annuli,
    annuli_edges,
    combine_annuli,
    fit_trend,
)
from tilegc.engine import FieldTiles, Unit
from tilegc.io import store
from tilegc.io.fits import FieldSource
from tilegc.kernels import exact
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, by_field
from tilegc.sky import world_to_pixel

__all__ = ["CONVERGED", "Convergence", "iterate"]

CONVERGED = 1e-3
"""The iteration ends when the inpainted counts, summed over annuli, change by less than this fraction."""


@dataclass(frozen=True)
class Convergence:
    """How the iteration converged in one field."""

    iterations: int
    """Number of fits of the trend; 0 if the density has no trend, as in the recipe diego2026."""
    change: float
    """Last relative change of the expected inpainted counts, summed over annuli; NaN if nothing was fitted."""


@dataclass(frozen=True)
class _Common:
    fields: Mapping[str, FieldTiles]
    gaussians: Gaussians
    trends: Mapping[str, Trend | None]
    centres: Mapping[str, tuple[int, int]]
    edges: Mapping[str, np.ndarray]


def iterate(
    context: Context, catalogue: Table, gaussians: Gaussians, most: int, cluster: Cluster
) -> tuple[dict[str, Trend | None], dict[str, Convergence]]:
    """Return the trend of every field, and how it converged within at most `steps` fits."""
    trends: dict[str, Trend | None] = dict.fromkeys(context.names)
    found = dict.fromkeys(context.names, Convergence(0, math.nan))
    if not most:
        return trends, found
    sources = {name: detected(catalogue, name) for name in context.names}
    centres = {name: _centre(context.source(name), cluster) for name in context.names}
    edges = {name: annuli_edges(*sources[name][:2], centres[name]) for name in context.names}
    common = partial(
        _Common,
        {field.source.name: field for field in context.fields},
        gaussians,
        centres=centres,
        edges=edges,
    )
    sums = _annuli(context, common(trends=trends))
    for step in range(1, most + 1):
        trends = {
            field.source.name: fit_trend(
                *sources[field.source.name],
                centres[field.source.name],
                edges[field.source.name],
                sums[field.source.name],
                field.source.pixel_area,
                _farthest(field, centres[field.source.name]),
            )
            for field in context.fields
        }
        if all(trend is None for trend in trends.values()):
            break
        cover(context, gaussians, "trend", trends)
        before, sums = sums, _annuli(context, common(trends=trends))
        found = {name: Convergence(step, _change(before[name], sums[name])) for name in context.names}
        if all(not state.change >= CONVERGED for state in found.values()):
            break
    return trends, found


def _centre(source: FieldSource, cluster: Cluster) -> tuple[int, int]:
    """Return the pixel nearest to the cluster centre, which may lie outside the field."""
    y, x = world_to_pixel(source.wcs, cluster.ra, cluster.dec)
    return round(float(y)), round(float(x))


def _farthest(field: FieldTiles, centre: tuple[int, int]) -> float:
    """Return the distance of the farthest corner of the field in pixels."""
    height, width = field.source.shape
    return math.hypot(
        max(abs(centre[0]), abs(height - centre[0])), max(abs(centre[1]), abs(width - centre[1]))
    )


def _change(before: Annuli, after: Annuli) -> float:
    """Return the relative change of the inpainted counts: the sum of the changes in all annuli over the total."""
    old, new = exact.total(before.filled), exact.total(after.filled)
    total = math.fsum(new.tolist())
    return math.fsum(np.abs(new - old).tolist()) / total if total > 0 else math.nan


def _annuli(context: Context, common: _Common) -> dict[str, Annuli]:
    """Sum the annuli of all fields in a pass over the tiles."""
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in context.fields
        for tile in field.grid.tiles()
    ]
    sums: dict[str, Annuli] = context.engine.run(
        "trend", _annuli_unit, units, common=common, combine=partial(by_field, combine_annuli)
    )
    return sums


def _annuli_unit(common: _Common, payload: tuple[str, int]) -> dict[str, Annuli]:
    """Return the sums over annuli of one tile."""
    name, index = payload
    field = common.fields[name]
    core = field.grid.tile(index).core
    mask = store.read(field.store, "mask", core)
    chosen = hidden(mask)
    values: np.ndarray = np.zeros(core.shape, np.float32)
    if chosen.any():
        found = estimate(field, core, common.gaussians[name], "density", common.trends[name])
        values = found.density.astype(np.float32)
    return {name: add_annuli(core, common.centres[name], common.edges[name], mask == 0, chosen, values)}
