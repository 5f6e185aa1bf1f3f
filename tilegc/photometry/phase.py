"""The phase `photometry`: positions and fluxes of all candidates at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tilegc.config import RunConfig
from tilegc.detection.results import Detected
from tilegc.images.psfs import STARS_BESIDE, BandPsf
from tilegc.kernels.psf import Psf
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.photometry import products
from tilegc.photometry.catalogue import photometry
from tilegc.photometry.passes import BESIDE, EQUATIONS, FIRST, POSITIONS, REST
from tilegc.photometry.results import Measured
from tilegc.sky import ClusterFrame

__all__ = ["MEASURE", "measured", "passes"]


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes, which are repeated field by field and round by round."""
    if planned.config.photometry_settings is None:
        return
    # Every band is held with its errors, weights and, where positions or residuals are measured, what is left of it.
    # Measured peaks of the passes; the plan is held to them by a test.
    fitted, left = 12.0 + 20.0 * planned.bands, 28.0 + 26.0 * planned.bands
    for step, memory, gives in (
        (FIRST, fitted, "normal equations of sources and sky; the driver solves them"),
        (POSITIONS, left, "positions and their errors"),
        (EQUATIONS, fitted, "normal equations of sources at their new positions"),
        (REST, left, "residuals, apertures and noise of fluxes"),
    ):
        yield planned.over_tiles(replace(step, bytes_per_pixel=memory), gives)
    if planned.others:
        # As above, for one band, with its part of the fields' masks.
        bands = planned.config.photometry_settings.bands or {}
        if starless := [one for one in planned.others if bands[one.bands[0].name].psf is None]:
            yield planned.over_others(STARS_BESIDE, "the brightest stars of every other band", starless)
        for step, memory, gives in (
            (FIRST, 60.0, "normal equations of sources and sky, in every other band"),
            (POSITIONS, 80.0, "planes of the sky under the sources, which stay where they are"),
            (EQUATIONS, 60.0, "normal equations of sources over these planes"),
            (REST, 80.0, "residuals, apertures and noise of fluxes"),
        ):
            yield planned.over_others(replace(BESIDE[step.name], bytes_per_pixel=memory), gives)


def measured(
    context: Context,
    config: RunConfig,
    frame: ClusterFrame,
    found: Detected,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    given: Mapping[str, Mapping[str, Psf]],
) -> Measured:
    """Measure all candidates, where the run file asks for it."""
    settings = config.photometry_settings
    return photometry(context, settings, frame, found.selection, psfs, given)


MEASURE: Phase[object, RunConfig] = Phase(
    name="photometry", timing="detect_s", passes=passes, summarise=products.summarise
)
