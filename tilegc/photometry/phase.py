"""The phase `photometry`: positions and fluxes of all candidates at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tilegc.config import RunConfig
from tilegc.detection.results import Detected
from tilegc.images.psfs import BandPsf
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.photometry import products
from tilegc.photometry.catalogue import photometry
from tilegc.photometry.passes import EQUATIONS, FIRST, POSITIONS, REST
from tilegc.photometry.results import Measured
from tilegc.sky import ClusterFrame

__all__ = ["MEASURE", "measured", "passes"]


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes, which are repeated field by field and round by round."""
    if planned.config.photometry_settings is None:
        return
    # Every band is held with its errors, weights and, where positions or residuals are measured, what is left of it.
    fitted, left = 12.0 + 20.0 * planned.bands, 28.0 + 26.0 * planned.bands
    for step, memory, gives in (
        (FIRST, fitted, "normal equations of sources and sky; the driver solves them"),
        (POSITIONS, left, "positions and their errors"),
        (EQUATIONS, fitted, "normal equations of sources at their new positions"),
        (REST, left, "residuals, apertures and noise of fluxes"),
    ):
        yield planned.over_tiles(replace(step, bytes_per_pixel=memory), gives)


def measured(
    context: Context,
    config: RunConfig,
    frame: ClusterFrame,
    found: Detected,
    psfs: Mapping[str, tuple[BandPsf, ...]],
) -> Measured:
    """Measure all candidates, where the run file asks for it."""
    return Measured(selection=photometry(context, config.photometry_settings, frame, found.selection, psfs))


MEASURE: Phase[object, RunConfig] = Phase(
    name="photometry", timing="detect_s", passes=passes, summarise=products.summarise
)
