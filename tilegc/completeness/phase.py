"""The phase `completeness`: artificial stars, put one at a time into the sky that the run has seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tilegc.completeness import products
from tilegc.completeness.artificial import TURNOVER, inject, prepare
from tilegc.completeness.injection import AREA, halo_of, stars_pass
from tilegc.completeness.kept import KeptStars
from tilegc.completeness.recovery_map import recovery_map
from tilegc.completeness.response_table import response_table
from tilegc.completeness.results import Completed
from tilegc.completeness.star_fluxes import FLUXES, star_fluxes
from tilegc.completeness.tables import artificial_table, common_magnitude, completeness_table, with_recovery
from tilegc.config import RunConfig
from tilegc.detection import shapes
from tilegc.detection.threshold import is_local
from tilegc.filter.detection_map import planned_params
from tilegc.filter.results import Filtered
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.photometry.catalogue import band_names
from tilegc.photometry.results import Measured
from tilegc.photometry.stamps import stamp_radius
from tilegc.places import Place
from tilegc.sky import ClusterFrame, cosmology

__all__ = ["COMPLETENESS", "completed", "passes"]


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes; the stars of every field are one."""
    if planned.config.completeness_settings is None:
        return
    yield planned.over_tiles(AREA, "searched pixels of every cell")
    halo = {
        source.name: halo_of(planned_params(planned.config, source), stamp_radius(source.scale))
        for source in planned.sources
    }
    step = stars_pass(halo, expected=planned.config.recipe == "calibrated")
    yield planned.over_tiles(step, "what became of the stars of every tile")
    if planned.config.photometry_settings is not None:
        memory = 32.0 + 26.0 * planned.bands
        yield planned.over_tiles(
            replace(FLUXES, bytes_per_pixel=memory), "fluxes of the recovered stars of every tile"
        )


def completed(
    context: Context,
    config: RunConfig,
    frame: ClusterFrame,
    found: Measured,
    filtered: Filtered,
    ledger: Place | None = None,
) -> Completed | None:
    """Put artificial stars into all fields, where the run file asks for it."""
    settings = config.completeness_settings
    if settings is None:
        return None
    distances = cosmology(config.cosmology)
    modulus = distances.distmod([config.cluster.redshift, TURNOVER[1]]).value
    selection = found.selection
    prepared = prepare(
        context,
        config,
        selection,
        filtered.psfs,
        filtered.params,
        shapes.field_tables(filtered.psfs),
        frame,
        float(modulus[0] - modulus[1]),
        flat_colours=settings.colours == "flat",
    )
    kept = None if ledger is None else KeptStars(ledger)
    stars = inject(context, prepared, frame, stars=settings.number, seed=settings.seed, kept=kept)
    fluxes = star_fluxes(context, found.fits, prepared, stars)
    recovery = with_recovery(selection.candidates, stars, prepared, ranked=is_local(config))
    depths = completeness_table(stars, selection.local)
    magnitude = common_magnitude(depths)
    maps = {
        name: recovery_map(one.table, prepared[name].area, magnitude, context.source(name).scale)
        for name, one in stars.items()
    }
    return Completed(
        stars=stars,
        prepared=prepared,
        artificial=artificial_table(stars, prepared, band_names(context), fluxes),
        depths=depths,
        response=response_table(stars, fluxes),
        maps=maps,
        p_recovery=np.asarray(recovery["p_recovery"]),
        p_point=np.asarray(recovery["p_point"]),
    )


COMPLETENESS: Phase[object, RunConfig] = Phase(
    name="completeness",
    timing="completeness_s",
    passes=passes,
    write=products.write,
    summarise=products.summarise,
)
