"""The phase `sky grid`: all fields on one grid on the sky (algorithm.md, section 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from tilegc.completeness.results import Completed
from tilegc.config import RunConfig
from tilegc.detection.threshold import Selection
from tilegc.filter.detection_map import EXPECTED
from tilegc.images.psfs import BandPsf
from tilegc.luminosity.results import Luminosities
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.sky import SkyGrid
from tilegc.skygrid import crowding, products
from tilegc.skygrid.cells import CELLS, add_up, field_of_centre
from tilegc.skygrid.central_light import central_light
from tilegc.skygrid.galaxies import galaxy_discs
from tilegc.skygrid.galaxy_light import galaxy_light, whole_light
from tilegc.skygrid.lens_models import APERTURE, LensModels, realisations
from tilegc.skygrid.results import Gridded
from tilegc.skygrid.seen_share import seen_share, seen_stars

__all__ = ["SKY_GRID", "gridded", "passes"]


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes: sums over cells, and once more of all light near the centre."""
    config = planned.config
    step = CELLS if config.recipe == "diego2026" else replace(CELLS, reads=(*CELLS.reads, EXPECTED))
    yield planned.over_tiles(step, "exact sums per cell of the sky grid")
    if _reads_light(config):
        yield planned.by_tile(
            "galaxy-light",
            lambda source, grid: CELLS.window_bytes(source.name, grid),
            reads=("mask", "light"),
            gives="the same sums of all light near the centre",
        )


def _reads_light(config: RunConfig) -> bool:
    """Return whether the law has a term that follows the light of galaxies, of the central one or of the others."""
    relation = config.relation
    return config.convergence is not None and (
        relation.galaxy_light == "auto" or relation.central_galaxy == "light"
    )


def gridded(
    context: Context,
    config: RunConfig,
    grid: SkyGrid,
    selection: Selection,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    stars: Table,
    lens: LensModels | None,
    artificial: Completed | None = None,
    luminosities: Luminosities | None = None,
) -> Gridded:
    """Add up all fields on the sky grid, and say which sources and cells count.

    Parameters
    ----------
    context : Context
    config : RunConfig
    grid : SkyGrid
    selection : Selection
        Candidates and catalogue.
    psfs : mapping
        PSFs of the bands, by field.
    stars : table
        Bright stars, whose light is no galaxy's.
    lens : LensModels or None
    artificial : Completed, optional
        Artificial stars; without them completeness is that of crowding alone, from the counts.
    luminosities : Luminosities, optional
        The luminosity function that weights them.
    """
    kappa = None if lens is None else lens.kappa
    common = selection.common(config.detect.keep)
    # Fields of different depth are compared above one limit, and only where each is complete to it.
    compared = common.sources(selection.catalogue)
    cells = add_up(context, grid, config.relation.box, compared, kappa, common.complete)
    zones = crowding.zones(context, config, psfs)
    reach = config.relation.max_radius
    discs = galaxy_discs(cells, reach)
    beyond = cells.kept & (cells.radius >= config.relation.min_radius)
    # Discs around galaxies are for the likelihoods of positions; a law with a term for galaxies' light needs no
    # discs.
    counting = beyond & ~discs if config.relation.galaxy_discs == "auto" else beyond
    light = central = None
    if _reads_light(config):
        everywhere = config.relation.outer_galaxies == "auto"
        whole = whole_light(context, cells, np.inf if everywhere else reach)
        central = central_light(whole, cells)
        if config.relation.galaxy_light == "auto":
            light = galaxy_light(whole, cells, stars, reach, everywhere=everywhere)
    range_maps = None
    if lens is not None and lens.ensemble is not None:
        range_maps = realisations(cells, lens.ensemble, max(reach, APERTURE))
    seen = seen_stars(artificial, luminosities, cells, common) if np.isfinite(common.limit) else None
    return Gridded(
        cells=cells,
        limit=common.limit,
        compared=compared,
        centre=field_of_centre(context.fields, config.cluster),
        zones=zones,
        recovery=crowding.of_cells(cells, zones) if seen is None else seen_share(cells, seen, common.limit),
        seen=seen,
        discs=discs,
        counting=counting,
        in_law=counting if light is None else beyond,
        light=light,
        central_light=central,
        range_maps=range_maps,
    )


SKY_GRID: Phase[object, RunConfig] = Phase(
    name="sky grid", timing="compare_s", passes=passes, summarise=products.summarise
)
