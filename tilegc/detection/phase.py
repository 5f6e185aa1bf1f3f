"""The phase `detect`: noise, peaks, threshold and shapes (algorithm.md, sections 5 and 6)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from tilegc.config import DetectionConfig
from tilegc.detection import products, shapes, surroundings, threshold
from tilegc.detection.noise import balance, global_noise
from tilegc.detection.noise.global_noise import COUNT, Noise
from tilegc.detection.noise.local_noise import local_noise, maps_of
from tilegc.detection.noise.null_maps import null_pass
from tilegc.detection.noise.quiet_pixels import quiet_pass
from tilegc.detection.peaks import PEAKS
from tilegc.detection.results import Detected
from tilegc.detection.shapes import SHAPES
from tilegc.detection.threshold import Selection
from tilegc.filter.detection_map import EXPECTED, response_halo
from tilegc.filter.phase import planned_filters
from tilegc.filter.point_response import point_response
from tilegc.filter.results import Filtered
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.sky import ClusterFrame

__all__ = ["DETECT", "detected", "passes"]

log = logging.getLogger("tilegc")

SPREAD_OUT = "the map has values of every size"
"""When the noise takes two passes more."""


def arrays(config: DetectionConfig) -> tuple[str, ...]:
    """State the arrays that this phase measures; they are written with the products."""
    return maps_of(config.recipe)


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes: global and local noise, null maps, peaks and shapes."""
    params = planned_filters(planned)
    expected = planned.config.recipe == "calibrated"
    for name, rarely in (
        ("sigma 1/2", ""),
        ("sigma 2/2", ""),
        ("deviation 1/2", SPREAD_OUT),
        ("deviation 2/2", SPREAD_OUT),
    ):
        yield planned.over_tiles(
            replace(COUNT, name=name), "counts of 2^16 bins, from which the median follows", rarely=rarely
        )
    yield planned.over_blocks(quiet_pass(expected=expected), "noise away from peaks; isolated sources")
    yield planned.over_cells(
        "balance",
        balance.CELLS,
        halo=max(map(response_halo, params.values())),
        bytes_per_pixel=240.0 + 44.0 * planned.bands,
        reads=("sci", "err", "wht", "flags", "mask", "detection"),
        gives="the response of groups of bands at isolated sources",
    )
    yield planned.over_blocks(null_pass(params), "noise of null maps, and their peaks")
    peaks = replace(PEAKS, reads=(*PEAKS.reads, EXPECTED), bytes_per_pixel=PEAKS.bytes_per_pixel + 8.0)
    yield planned.over_tiles(
        peaks if expected else PEAKS, "candidates, each decided or undecided; the driver settles these"
    )
    yield planned.over_tiles(SHAPES, "sharpness, roundness and concentration of candidates")
    if expected:
        yield planned.over_blocks(
            surroundings.SURROUNDINGS, "candidates at the rims of masks; scatter between the sources"
        )


def detected(
    context: Context, config: DetectionConfig, filtering: Filtered, frame: ClusterFrame | None
) -> Detected:
    """Measure the noise, find the peaks, and keep those above the threshold.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    filtering : Filtered
    frame : ClusterFrame or None
        The cluster's centre; without it, distances from it are NaN.
    """
    # The order is forced: local noise needs the scale of the global one where a field has few pixels;
    # thresholds need the local noise and its null peaks; shapes decide which of the peaks count; surroundings
    # need the final shapes.
    noises = global_noise.noise(context)
    tables = shapes.field_tables(filtering.psfs)
    deciding = tables if config.detect.shape == "auto" else None
    local = local_noise(context, config.detect.exclusion_radius, noises, filtering.params, deciding)
    responses = None
    if config.recipe == "calibrated":
        responses = {
            name: point_response(params.matched, filtering.psfs[name])
            for name, params in filtering.params.items()
        }
    selection = threshold.select(context, config, noises, local, tables, frame, responses)
    selection = shapes.judged(context, config.detect, selection, tables)
    if config.recipe == "calibrated":
        listed, around = surroundings.surroundings(context, selection.candidates, local)
        # Identifiers number the candidates, so that the catalogue is a selection of their rows.
        rows = selection.catalogue["id"]
        kept = {name: column[rows] for name, column in listed.items()}
        selection = replace(selection, candidates=listed, catalogue=kept, surroundings=around)
    _remark(context, noises, selection)
    return Detected(noises=noises, selection=selection)


def _remark(context: Context, noises: Mapping[str, Noise], selection: Selection) -> None:
    """Log what a reader of the results should know about each field."""
    for field in context.fields:
        name = field.source.name
        for note in field.source.notes:
            log.info("field %s: %s", name, note)
        if not noises[name].n_good:
            log.warning("field %s: no good pixel, and therefore no candidates", name)
        elif not np.isfinite(selection.thresholds[name].value):
            log.warning(
                "field %s: the noise is %g, so there is no threshold and there are no candidates",
                name,
                noises[name].sigma,
            )
        for note in selection.notes(name):
            log.info("field %s: %s", name, note)
    if len({field.source.band_names for field in context.fields}) > 1:
        log.warning("the fields have different bands, so their limits, light and counts cannot be compared")


DETECT: Phase[object, DetectionConfig] = Phase(
    name="detect",
    timing="detect_s",
    arrays=arrays,
    passes=passes,
    write=products.write,
    summarise=products.summarise,
)
