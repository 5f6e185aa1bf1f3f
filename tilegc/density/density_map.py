"""Maps of the density of detected sources per arcsec^2, on the pixel grid of the mosaic (algorithm.md, section 7).

The local density, from which masked areas are inpainted, is smoothed with a Gaussian of 2 arcsec, or a wider one
where little good area is left. On request there are two more maps: a Gaussian of fixed width, and the density from
the distance to the k-th neighbour. Each map is divided by its good area and comes with a map of its Poisson error.
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
"""Sigma of the Gaussian of the local density in arcsec."""

NEIGHBOUR_RADIUS = 10.0
"""Maximum distance in arcsec of the k-th neighbour."""

BYTES_PER_PIXEL = 90.0
"""Peak memory of a density tile in bytes per pixel."""

LATTICE_BYTES = 16 * 2**20
"""Memory in bytes of the lattice nodes around a tile: they extend 100 nodes beyond it."""


def arrays_of(config: RunConfig) -> tuple[str, ...]:
    """Return the names of the arrays that this phase writes."""
    names = ["density", "density_error", "coverage"]
    if config.density.gaussian is not None:
        names += ["density_gaussian", "density_gaussian_error"]
    if config.density.neighbours is not None:
        names += ["density_adaptive", "density_adaptive_error"]
    return tuple(names)


def tile_bytes(grid: TileGrid, scale: float, config: Density) -> int:
    """Return the peak memory of a tile in bytes."""
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
    """The Gaussian of fixed width; empty if not requested."""
    trends: Mapping[str, Trend | None]


def density(context: Context, run: RunConfig, catalogue: Table) -> dict[str, Convergence]:
    """Write the density maps of every field, and return how the iterated inpainting of each field converged."""
    config = run.density
    scales = {field.source.name: field.source.scale for field in context.fields}
    gaussians = {name: widths(DENSITY_SIGMA / scale) for name, scale in scales.items()}
    wide = {
        name: one_width(config.gaussian / scale)
        for name, scale in scales.items()
        if config.gaussian is not None
    }
    # Good area and sources are first summed onto lattices for the whole field, from which any tile then takes its
    # share: the widest Gaussian reaches over a hundred arcsec, far beyond the halo of any tile.
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
    # Before the density itself: where the profile is steep, a Gaussian across a mask needs to know the slope.
    trends, convergence = iterate(context, catalogue, gaussians, run.inpaint_iterations, run.cluster)
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in context.fields
        for tile in field.grid.tiles()
    ]
    fields = {field.source.name: field for field in context.fields}
    common = _Common(fields, config, gaussians, wide, trends)
    # Units with a ledger of their own and not a pass over windows, because a tile reads lattices besides
    # pixels.
    context.engine.run("density", _density_unit, units, common=common, ledger=context.ledger)
    for field in context.fields:
        # Written with the map, so that nobody takes the width of a map for granted.
        store.annotate(field.store, {"resolution_arcsec": resolutions(run)})
    return convergence


def resolutions(config: RunConfig) -> dict[str, str]:
    """Return a description of the resolution (arcsec) of each density map."""
    wider = f"Gaussian sigma {DENSITY_SIGMA:g}; 4, 8, 16 where coverage < 0.2"
    text = {"density": wider, "density_error": wider, "coverage": wider}
    if config.density.gaussian is not None:
        fixed = f"Gaussian sigma {config.density.gaussian:g}"
        text |= {"density_gaussian": fixed, "density_gaussian_error": fixed}
    if config.density.neighbours is not None:
        nearest = f"distance of neighbour {config.density.neighbours}, at most {NEIGHBOUR_RADIUS:g}"
        text |= {"density_adaptive": nearest, "density_adaptive_error": nearest}
    kernel = f"({config.density.softening:g} + d)^-{config.density.alpha:g}"
    return text | {"rho": kernel, "rho_error": kernel, "rho_scatter": f"{kernel}, on blocks of 8 px"}


def _largest(scale: float) -> int:
    return int(NEIGHBOUR_RADIUS / scale)


def _density_unit(common: _Common, payload: tuple[str, int]) -> None:
    """Compute and write the densities of one tile."""
    name, index = payload
    field = common.fields[name]
    core = field.grid.tile(index).core
    mask = store.read(field.store, "mask", core)
    local = estimate(field, core, common.gaussians[name], "density", common.trends[name])
    # A saturated core has no data, but sources are inpainted there, which needs a density.
    blank = no_data(mask) & ~hidden(mask)
    maps = {"density": local.density, "density_error": local.error, "coverage": local.coverage}
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
        # Densities are computed in float64 and rounded once, when they are written.
        rounded = values.astype(np.float32)
        rounded[blank] = np.nan
        store.write(field.store, array, core, rounded)
