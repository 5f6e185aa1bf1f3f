"""How much work a run is, and whether workers on this machine are worth their start.

Worker processes take seconds to start: each imports the libraries and loads the compiled kernels, and a scheduler
starts beside them. A field of 4096 px is searched in that time by this process alone.

The constants are rough, those of photometry and artificial stars guesses: near the threshold both choices take the
same time, and far from it no precision is needed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Literal

from tilegc.config import RunConfig
from tilegc.io.fits import FieldSource

__all__ = ["seconds_of_work", "workers_pay"]

DETECTION: Final = 0.6e-6
"""Processor time of the catalogue per pixel of a field, seconds, without photometry."""
MEASUREMENT: Final = 0.5e-6
"""Processor time of photometry per pixel of a field and band, seconds."""
STAR: Final = 0.5e-3
"""Processor time of an artificial star, seconds."""
ANALYSIS: Final = 0.5e-6
"""Processor time of density, kernel sum, sky grid and viewer per pixel of a field, seconds."""
REPORT: Final = 10.0
"""Processor time of figures and profiles, seconds, whatever the size of the field."""
RELATION: Final = 15.0
"""The same of the relation to a convergence map."""

START: Final = 10.0
"""Time from the start of workers to their first tile, seconds."""
EFFICIENCY: Final = 0.8
"""What n workers do in a second, over n times what one process does: they share caches, and wait at ends of passes."""


def seconds_of_work(
    config: RunConfig, sources: Sequence[FieldSource], until: Literal["catalogue"] | None
) -> float:
    """Return the processor time that workers could share, seconds; a rough estimate.

    Parameters
    ----------
    config : RunConfig
        The settings of the run.
    sources : sequence of FieldSource
        Its fields.
    until : {"catalogue"}, optional
        Where it stops.
    """
    pixels = sum(source.box.size for source in sources)
    seconds = DETECTION * pixels
    if config.photometry_settings is not None:
        seconds += MEASUREMENT * sum(len(source.bands) * source.box.size for source in sources)
    if (stars := config.completeness_settings) is not None:
        for source in sources:
            area = source.box.size * source.pixel_area
            seconds += STAR * (stars.number or min(20.0 * area, 200_000.0))
    if until is None:
        seconds += ANALYSIS * pixels + REPORT
        seconds += 0.0 if config.convergence is None else RELATION
    return seconds


def workers_pay(
    config: RunConfig,
    sources: Sequence[FieldSource],
    until: Literal["catalogue"] | None,
    cores: int | None = None,
) -> bool:
    """Return whether a run ends earlier with one worker process per core than in this process alone.

    Parameters
    ----------
    config, sources, until
        As above.
    cores : int, optional
        Number of processors; by default those that this process may use.
    """
    cores = cores or len(os.sched_getaffinity(0))
    alone = seconds_of_work(config, sources, until)
    return START + alone / max(EFFICIENCY * cores, 1.0) < alone
