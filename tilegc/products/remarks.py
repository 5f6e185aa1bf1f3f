"""What a reader of the results should know, said in the log while the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.threshold import Selection
from tilegc.images.audits import Line
from tilegc.io.fits import FieldSource
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import Regions
from tilegc.phases.context import Context
from tilegc.relation.sky_counts import OUTER_AREA

__all__ = ["on_audit", "on_fields", "on_masks", "on_outer_field"]

log = logging.getLogger("tilegc")


def on_masks(sources: Sequence[FieldSource], regions: Mapping[str, Regions]) -> None:
    """Log which of the user's masks do nothing."""
    for source in sources:
        for path in mask.idle(source, regions[source.name]):
            log.warning(
                "field %s: %s masks no pixel of it; is it meant for another field?", source.name, path
            )


def on_fields(context: Context, noises: Mapping[str, Noise], selection: Selection) -> None:
    """Log what a reader of the results should know of the fields."""
    for field in context.fields:
        name = field.source.name
        for note in field.source.notes:
            log.info("field %s: %s", name, note)
        if not noises[name].n_good:
            log.warning("field %s: no good pixel; it has no candidates", name)
        elif not np.isfinite(selection.thresholds[name].value):
            log.warning(
                "field %s: its noise is %g; it has no threshold and no candidates", name, noises[name].sigma
            )
        for note in selection.notes(name):
            log.info("field %s: %s", name, note)
    if len({field.source.band_names for field in context.fields}) > 1:
        log.warning(
            "fields have different bands: their limits, light and counts are not those of one another"
        )


def on_outer_field(small: tuple[float, tuple[str, ...]] | None) -> None:
    """Log where the sky far from the centre is too little to tell the law's floor."""
    if small is not None:
        area, names = small
        log.info(
            "field %s: %.0f of %g arcsec^2 needed far from the centre, no prior on the law's floor",
            ", ".join(names), area, OUTER_AREA,
        )  # fmt: skip


def on_audit(lines: Sequence[Line]) -> None:
    """Log what the audit found wrong."""
    for line in lines:
        if line.verdict == "wrong":
            place = ", ".join(part for part in (line.field and f"field {line.field}", line.band) if part)
            log.warning("audit, %s: %s: %s; %s", line.check, place, line.finding, line.remedy)
