"""The phase `density`: density of sources, inpainting, and the kernel sum rho (algorithm.md, sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterator

from tilegc.config import RunConfig
from tilegc.density import density_map, products, rho, rho_scatter
from tilegc.density.coverage import COVERAGE
from tilegc.density.inpainting import INPAINT, inpaint
from tilegc.density.results import Mapped
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step

__all__ = ["DENSITY", "mapped", "passes"]


def arrays(config: RunConfig) -> tuple[str, ...]:
    """State the arrays that this phase writes."""
    return (*density_map.arrays_of(config), *rho.MAPS, *rho_scatter.MAPS)


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes: coverage and trend, again and again until they agree, density, inpainting, rho."""
    config = planned.config
    yield planned.over_tiles(COVERAGE, "what good pixels leave on coarse lattices, as exact sums")
    if config.inpaint_iterations:
        yield planned.by_tile(
            "trend",
            lambda source, grid: density_map.tile_bytes(grid, source.scale, config.density),
            reads=("mask", "lattices"),
            gives="sums over annuli, seen and filled in; the driver fits a trend to them",
        )
    yield planned.by_tile(
        "density",
        lambda source, grid: density_map.tile_bytes(grid, source.scale, config.density),
        reads=("mask", "lattices"),
        writes=density_map.arrays_of(config),
    )
    yield planned.over_tiles(INPAINT, "drawn sources")
    yield planned.by_tile(
        "rho",
        lambda source, grid: rho.tile_bytes(grid),  # noqa: ARG005
        reads=("mask", "points", "lattices"),
        writes=rho.MAPS,
    )
    yield planned.by_tile(
        "rho-scatter",
        lambda source, grid: rho_scatter.tile_bytes(grid),  # noqa: ARG005
        reads=("mask", "points", "lattices"),
        writes=rho_scatter.MAPS,
    )


def mapped(context: Context, config: RunConfig, catalogue: Table) -> Mapped:
    """Write the density of the catalogue's sources and their kernel sum, and draw those that the masks hide."""
    # Density first, since it gives the rate of the drawn sources; then rho over sources detected and drawn.
    convergence = density_map.density(context, config, catalogue)
    inpainted = inpaint(context, config.inpaint)
    rho.rho(context, config.density, config.inpaint.realisations, catalogue, inpainted)
    rho_scatter.rho_scatter(context, config.density, config.inpaint.realisations, inpainted)
    return Mapped(convergence=convergence, inpainted=inpainted)


DENSITY: Phase[object, RunConfig] = Phase(
    name="density",
    timing="density_s",
    arrays=arrays,
    passes=passes,
    write=products.write,
    summarise=products.summarise,
)
