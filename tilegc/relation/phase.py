"""The phase `relation`: n against kappa, and rho against kappa (algorithm.md, sections 10 and 11)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from tilegc.config import RunConfig
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.shapes import eligible
from tilegc.engine import Call, Shared, Stored, bounded, together
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.relation import products
from tilegc.relation.assumptions import Frame, assumptions, assumptions_table, parts_of
from tilegc.relation.boxes import Boxes, boxes, compare, fit
from tilegc.relation.families import Families
from tilegc.relation.floors import Floor
from tilegc.relation.goodness import Goodness, goodness
from tilegc.relation.kernel import kernel_statistics
from tilegc.relation.lens_families import lens_families
from tilegc.relation.likelihood import CountsRelation, fit_counts
from tilegc.relation.options import law_map, slope_error
from tilegc.relation.ranking import rank_maps
from tilegc.relation.results import Related
from tilegc.relation.sensitivity import SAMPLES, Settings, as_table, sample_row, systematic_of
from tilegc.relation.sky_counts import OUTER_AREA, box_counts, too_small_outer
from tilegc.relation.star_error import star_error
from tilegc.skygrid.cells import stored_cells
from tilegc.skygrid.lens_models import LensModels
from tilegc.skygrid.results import Gridded

__all__ = ["RELATION", "passes", "related"]

log = logging.getLogger("tilegc")

RESIDUAL_SIDE: Final = 1.5
"""Side in arcsec, to the nearest whole cell, of the boxes in which residuals of the law are examined."""


def passes(planned: Planned) -> Iterator[Step]:
    """State the one pass: independent measurements, in parallel on this machine's workers."""
    if planned.config.convergence is not None:
        yield planned.over_sky(
            "relation",
            5 + len(SAMPLES),
            "law of counts, families, assumptions, kernel, ranking of maps, and the law from samples",
        )


def related(
    context: Context,
    config: RunConfig,
    sky: Gridded,
    lens: LensModels | None,
    candidates: Table,
    inpainted: Table,
    noises: Mapping[str, Noise],
    sky_store: str,
) -> Related | None:
    """Write the sky grid into its store, and measure how sources follow the convergence.

    Parameters
    ----------
    context : Context
    config : RunConfig
    sky : Gridded
    lens : LensModels or None
    candidates : table
        Columns of `schema.CANDIDATES`.
    inpainted : table
        Columns of `schema.INPAINTED`.
    noises : mapping
        Global noise, by field.
    sky_store : str
        Path of the store of the sky grid, which workers read it from.

    Returns
    -------
    Related or None
        None without a convergence map.
    """
    reach = config.relation.max_radius
    use = None if lens is None else law_map(config, sky, lens.kappa)
    if use is not None and lens is not None and use.changes:
        sky, lens = replace(sky, cells=use.cells), replace(lens, kappa=use.kappa)
    in_boxes = None if lens is None else boxes(sky.cells, config.relation.box)
    products.write_sky_grid(config.recipe, sky_store, sky, in_boxes)
    if lens is None or in_boxes is None or use is None:
        return None
    sigma = {name: one.sigma for name, one in noises.items()}
    _remark(too_small_outer(sky.cells, reach, sky.in_law, sky.recovery))
    chosen = eligible(config.detect, candidates)
    settings = _settings(config, sky, inpainted, use.frame.floor)
    shared = {
        "cells": Stored(sky.cells, stored_cells, sky_store),
        "range_maps": sky.range_maps,
        "settings": settings,
        "recovery": sky.recovery,
        "within": np.where(sky.counting, sky.recovery, np.nan),
        "candidates": {name: chosen[name] for name in ("field", "ra", "dec", "peak")},
    }
    calls = _calls(config, sky, in_boxes, lens, settings, sigma, use.frame)
    answers = together(bounded(context.near, sky.cells.nbytes), "relation", calls, shared)
    sensitivity = as_table([answers[name] for name in SAMPLES])
    counts: CountsRelation = answers["counts"]
    families: Families | None = answers["families"]
    parts = systematic_of(sensitivity, counts.attenuation)
    changed = assumptions_table(answers["assumptions"])
    parts = replace(
        parts,
        lens_family=np.nan if families is None else families.c_err,
        background=slope_error(config, use),
        **parts_of(changed),
    )
    if sky.seen is not None and counts.law.found:
        error = star_error(
            sky.cells,
            sky.seen,
            sky.limit,
            config.relation.box,
            reach,
            kept=sky.in_law,
            light=sky.light,
            floor=use.frame.floor,
        )
        parts = replace(parts, stars=error)
    return Related(
        goodness=_goodness(config, sky, counts, use.frame.floor),
        assumptions=changed,
        changes=use.changes,
        boxes=in_boxes,
        binned=fit(in_boxes),
        counts=replace(counts, systematic=parts, families=families),
        comparison=compare(sky.cells, sky.centre, reach),
        kernel=answers["kernel"],
        ranking=answers["ranking"],
        sensitivity=sensitivity,
    )


def _goodness(config: RunConfig, sky: Gridded, counts: CountsRelation, floor: Floor) -> Goodness | None:
    """Compare the residuals of the law with those of simulated skies; None without a law."""
    if not counts.law.found:
        return None
    pixel, reach = config.comparison.pixel, config.relation.max_radius
    side = pixel * max(1, round(RESIDUAL_SIDE / pixel))
    fine = box_counts(
        sky.cells, side, reach, kept=sky.in_law, recovery=sky.recovery, light=sky.light, floor=floor
    )
    # A law of too few sources has no term for the light of galaxies.
    fine = fine if counts.law.free.size > 3 else replace(fine, light=None)
    return goodness(fine, counts.law, counts.clumping, config.relation.box)


def _calls(
    config: RunConfig,
    sky: Gridded,
    in_boxes: Boxes,
    lens: LensModels,
    settings: Settings,
    sigma: Mapping[str, float],
    frame: Frame,
) -> dict[str, Call]:
    """Return the independent measurements, the longest first, so that no worker is left with it at the end."""
    reach, side = config.relation.max_radius, config.relation.box
    calls = {
        "counts": Call(
            fit_counts,
            Shared("cells"),
            side,
            reach,
            found=in_boxes,
            ensemble=Shared("range_maps"),
            kept=sky.in_law,
            recovery=Shared("recovery"),
            light=sky.light,
            floor=frame.floor,
        ),
        "kernel": Call(
            kernel_statistics,
            Shared("cells"),
            sky.centre,
            reach,
            side,
            settings.inpainted,
            settings.kernel,
            Shared("within"),
        ),
        "families": Call(
            lens_families,
            Shared("cells"),
            side,
            reach,
            kept=sky.in_law,
            recovery=Shared("recovery"),
            light=sky.light,
            alternatives=lens.alternatives,
            assumed_rms=config.convergence.family_rms if config.convergence else 0.0,
            floor=frame.floor,
        ),
        "assumptions": Call(assumptions, Shared("cells"), lens.kappa, frame),
        "ranking": Call(rank_maps, Shared("cells"), lens.kappa, lens.rivals, reach, Shared("within")),
    }
    for name in SAMPLES:
        calls[name] = Call(
            sample_row, name, Shared("cells"), Shared("candidates"), sigma, sky.limit, Shared("settings")
        )
    return calls


def _settings(config: RunConfig, sky: Gridded, inpainted: Table, floor: Floor) -> Settings:
    """Return what the relation is measured with, the same for all samples."""
    hidden = inpainted["field"] == sky.cells.fields[sky.centre]
    drawn = sky.cells.count(inpainted["ra"][hidden], inpainted["dec"][hidden])
    return Settings(
        sky.centre,
        config.relation.box,
        config.relation.max_radius,
        (config.density.alpha, config.density.softening),
        drawn / config.inpaint.realisations,
        sky.discs,
        config.relation.galaxy_discs == "auto" and sky.light is None,
        sky.zones,
        sky.light,
        stars=sky.seen,
        floor=floor,
        min_radius=config.relation.min_radius,
    )


def _remark(small: tuple[float, tuple[str, ...]] | None) -> None:
    """Log a message if the sky far from the centre is too small to constrain the floor of the law."""
    if small is not None:
        area, names = small
        log.info(
            "field %s: the outer field has %.0f arcsec^2 of good area, less than %g: no prior on the floor of the law",
            ", ".join(names),
            area,
            OUTER_AREA,
        )


RELATION: Phase[object, RunConfig] = Phase(
    name="relation", timing="compare_s", passes=passes, write=products.write, summarise=products.summarise
)
