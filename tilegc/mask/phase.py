"""The phase `mask`: where no source may be recorded, and why (algorithm.md, section 2)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from tilegc.config import DetectionConfig
from tilegc.images.psfs import BandPsf
from tilegc.mask import masked_area, products
from tilegc.mask.mask_map import MASKS, REGIONS, Edge, Regions, idle, mask, mask_pass, object_passes
from tilegc.mask.masked_area import COUNT_MASKS
from tilegc.mask.results import Masked
from tilegc.mask.ridges import RIDGES, SPREAD, wanted
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.sky import SkyGrid

__all__ = ["MASK", "masked", "passes"]

log = logging.getLogger("tilegc")

STAR_BYTES = 2 * 2**20
"""Peak memory, bytes, of measuring the light about a bright star, whose window has 97 pixels a side."""


def arrays(config: DetectionConfig) -> tuple[str, ...]:  # noqa: ARG001
    """State the arrays that this phase writes."""
    return MASKS


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes: regions, lines, objects, and the mask with its area."""
    masks, matched = planned.config.mask, planned.config.recipe == "calibrated"
    yield planned.over_tiles(REGIONS)
    if wanted(masks):
        yield planned.over_blocks(SPREAD, "noise of cells of 128 px")
        yield planned.over_tiles(RIDGES)
    if objects := object_passes(masks):
        find, draw = objects
        yield planned.over_tiles(find, "parts of objects, as integer sums; the driver joins them")
        if masks.spikes != "off":
            yield Step(
                name="bright stars",
                over="objects",
                units=0,
                memory=STAR_BYTES,
                reads=("light",),
                gives="core and rings of what is very bright; the driver has the stars and their discs",
            )
        yield planned.over_tiles(draw)
    edges = {
        source.name: Edge.of(masks.edge_arcsec, source.scale, matched=matched) for source in planned.sources
    }
    yield planned.over_tiles(mask_pass(edges))
    yield planned.over_tiles(COUNT_MASKS, "pixels by annulus and value of the mask")


def masked(
    context: Context,
    config: DetectionConfig,
    regions: Mapping[str, Regions],
    psfs: Mapping[str, tuple[BandPsf, ...]],
    grid: SkyGrid | None,
    edges: tuple[float, ...],
) -> Masked:
    """Write the mask of every field, and count what it takes.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    regions : mapping
        The user's masks, by field.
    psfs : mapping
        PSFs of the bands, by field.
    grid : SkyGrid or None
        The grid about the cluster's centre; None: the masked area is not counted.
    edges : tuple of float
        Edges of the annuli in which it is counted, arcsec.
    """
    for field in context.fields:
        for path in idle(field.source, regions[field.source.name]):
            log.warning(
                "field %s: %s masks no pixel; is it meant for another field?", field.source.name, path
            )
    stars = mask(context, config, regions, psfs)
    annuli = masked_area.annuli(edges)
    counts = {} if grid is None else masked_area.count(context, grid, annuli)
    return Masked(stars=stars, edges=annuli, counts=counts)


MASK: Phase[object, DetectionConfig] = Phase(
    name="mask",
    timing="mask_s",
    arrays=arrays,
    passes=passes,
    write=products.write,
    summarise=products.summarise,
)
