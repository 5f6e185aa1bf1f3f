"""Density of detected sources, per arcsec^2, at the mosaic's own pixels (algorithm.md, section 7).

The local density feeds the inpainting: a Gaussian of 2 arcsec, wider where little area is left. Beside it, where the
run file asks for them, a Gaussian of one stated width, and the density by the distance to the k-th neighbour. Each
is divided by its good area and has a map of its Poisson error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.config import Density, RunConfig
from tilegc.density.coverage import Gaussians, cover, detected, estimate, place
from tilegc.density.inpainting import hidden, no_data
from tilegc.density.local_density import one_width, widths
from tilegc.density.neighbours import STEP, neighbour_density
from tilegc.density.trend import Convergence, iterate
from tilegc.density.trend_fit import Trend
from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import TileGrid
from tilegc.io import lattices, store
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["DENSITY_SIGMA", "NEIGHBOUR_RADIUS", "arrays_of", "density", "resolutions", "tile_bytes"]

DENSITY_SIGMA = 2.0
"""Width, arcsec, of the Gaussian of the local density."""

NEIGHBOUR_RADIUS = 10.0
"""Largest distance, arcsec, at which the k-th neighbour is looked for."""

BYTES_PER_PIXEL = 90.0
"""Peak memory of a tile of the density."""

LATTICE_BYTES = 16 * 2**20
"""Nodes round a tile: its lattices reach 100 nodes beyond it."""


def arrays_of(config: RunConfig) -> tuple[str, ...]:
    """Return the arrays that this stage writes."""
    names = ["density", "density_error", "coverage"]
    if config.density.gaussian is not None:
        names += ["density_gaussian", "density_gaussian_error"]
    if config.density.neighbours is not None:
        names += ["density_adaptive", "density_adaptive_error"]
    return tuple(names)


def tile_bytes(grid: TileGrid, scale: float, config: Density) -> int:
    """Return the peak memory of a tile, bytes."""
    halo = 0 if config.neighbours is None else _largest(scale) + STEP
    return (
        int(BYTES_PER_PIXEL * grid.tile(0).core.size + 12.0 * grid.tile(0, halo).window.size) + LATTICE_BYTES
    )


@dataclass(frozen=True)
class _Common:
    fields: Mapping[str, FieldTiles]
    config: Density
    gaussians: Gaussians
    wide: Gaussians
    """Of the Gaussian of one width; empty where none is asked for."""
    trends: Mapping[str, Trend | None]


def density(context: Context, run: RunConfig, catalogue: Table) -> dict[str, Convergence]:
    """Write the density maps of every field; return how the iteration of the inpainting ended, by field."""
    config = run.density
    scales = {field.source.name: field.source.scale for field in context.fields}
    gaussians = {name: widths(DENSITY_SIGMA / scale) for name, scale in scales.items()}
    wide = {
        name: one_width(config.gaussian / scale)
        for name, scale in scales.items()
        if config.gaussian is not None
    }
    cover(context, gaussians, "density")
    if wide:
        cover(context, wide, "gaussian")
    for field in context.fields:
        place(field, gaussians[field.source.name], catalogue, "density")
        if wide:
            place(field, wide[field.source.name], catalogue, "gaussian")
        if config.neighbours is not None:
            y, x, weight = detected(catalogue, field.source.name)
            lattices.put_points(field.store, "detected", field.source.shape, y, x, weight=weight)
    trends, convergence = iterate(context, catalogue, gaussians, run.inpaint_iterations, run.cluster)
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in context.fields
        for tile in field.grid.tiles()
    ]
    fields = {field.source.name: field for field in context.fields}
    common = _Common(fields, config, gaussians, wide, trends)
    context.engine.run("density", _density_unit, units, common=common, ledger=context.ledger)
    for field in context.fields:
        store.annotate(field.store, {"resolution_arcsec": resolutions(run)})
    return convergence


def resolutions(config: RunConfig) -> dict[str, str]:
    """Say of each map of densities what its resolution is, arcsec."""
    wider = f"Gaussian sigma {DENSITY_SIGMA:g}; 4, 8, 16 where coverage < 0.2"
    found = {"density": wider, "density_error": wider, "coverage": wider}
    if config.density.gaussian is not None:
        fixed = f"Gaussian sigma {config.density.gaussian:g}"
        found |= {"density_gaussian": fixed, "density_gaussian_error": fixed}
    if config.density.neighbours is not None:
        nearest = f"distance of neighbour {config.density.neighbours}, at most {NEIGHBOUR_RADIUS:g}"
        found |= {"density_adaptive": nearest, "density_adaptive_error": nearest}
    kernel = f"({config.density.softening:g} + d)^-{config.density.alpha:g}"
    return found | {"rho": kernel, "rho_error": kernel, "rho_scatter": f"{kernel}, on blocks of 8 px"}


def _largest(scale: float) -> int:
    return int(NEIGHBOUR_RADIUS / scale)


def _density_unit(common: _Common, payload: tuple[str, int]) -> None:
    """Compute and write the densities of one tile."""
    name, index = payload
    field = common.fields[name]
    core = field.grid.tile(index).core
    mask = store.read(field.store, "mask", core)
    found = estimate(field, core, common.gaussians[name], "density", common.trends[name])
    # Where sources are inpainted the density is needed, in a saturated core as well.
    blank = no_data(mask) & ~hidden(mask)
    maps = {"density": found.density, "density_error": found.error, "coverage": found.coverage}
    if common.wide:
        fixed = estimate(field, core, common.wide[name], "gaussian")
        maps |= {"density_gaussian": fixed.density, "density_gaussian_error": fixed.error}
    if common.config.neighbours is not None:
        largest = _largest(field.source.scale)
        window = core.grow(largest + STEP).clip(field.grid.field)
        good = store.read(field.store, "mask", window) == 0
        y, x, weight = lattices.take_points(field.store, "detected", window, "weight")
        adaptive, error = neighbour_density(
            core, window, good, y, x, weight, common.config.neighbours, largest, field.source.pixel_area
        )
        maps |= {"density_adaptive": adaptive, "density_adaptive_error": error}
    for array, values in maps.items():
        rounded = values.astype(np.float32)
        rounded[blank] = np.nan
        store.write(field.store, array, core, rounded)
