"""The plan of a run, made before anything is computed: tiles, memory, disk space, and reasons to refuse the run."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tilegc.config import RunConfig
from tilegc.density.multilevel import require_accuracy
from tilegc.errors import ResourceError
from tilegc.images.phase import needed
from tilegc.io.fits import FieldSource
from tilegc.memory import machine_memory
from tilegc.phases.planned import MOST_CELLS, Planned, Step
from tilegc.pipeline import PHASES, layout
from tilegc.places import Place, is_remote
from tilegc.sizes import binary, decimal
from tilegc.sky import centre_outside
from tilegc.viewer.phase import BYTES_PER_PIXEL, wanted

__all__ = ["Plan", "Step", "check", "plan"]

WORKER_BASE = 528 * 2**20
"""Memory of an idle worker, bytes: libraries, compiled kernels, and freed windows that it has not returned."""


MOST_TILES = 1_000_000
"""Maximum number of tiles of all fields: driver and ledger hold several hundred bytes per tile for every pass."""

CPU_FIXED: Final = 30.0
"""Processor time of a run of any size, seconds: start-up, fits, figures and report."""

CPU_PER_MPIX: Final[Mapping[str, float]] = {"diego2026": 0.6, "calibrated": 4.0}
"""Processor time per million pixels of one band, seconds. Measured: `as1063` (155 Mpix in all bands, diego2026) 110 to
131 s; the demo (15 Mpix, calibrated) 90 s. Crowding, photometry and artificial stars change it by a factor of two."""


@dataclass(frozen=True)
class Plan:
    """The passes, memory and disk space of a run, and the reasons to refuse it.

    Examples
    --------
    >>> planned = tilegc.plan("run.yaml", "new")
    >>> planned.pixels, planned.memory > 2**20
    (14208, True)
    """

    steps: tuple[Step, ...]
    """The passes in the order in which they run."""
    disk: int
    """Size of the run directory before compression, bytes."""
    pixels: int
    """Number of pixels of all fields."""
    refusals: tuple[str, ...]
    """Reasons why the run is refused; empty if it can start."""
    notes: tuple[str, ...] = ()
    """Possible mistakes that do not prevent the run."""
    cpu_seconds: float = 0.0
    """Rough processor time, seconds: measured rates for this recipe, to a factor of two."""

    @property
    def writing(self) -> dict[str, int]:
        """Number of units of each writing pass: the entries of the ledger of a complete run."""
        return {step.name: step.units for step in self.steps if step.marked and step.units}

    @property
    def memory(self) -> int:
        """Peak memory of a worker, bytes."""
        return max((step.memory for step in self.steps), default=0)


def plan(
    config: RunConfig,
    sources: Sequence[FieldSource],
    directory: Place,
    workers: int,
    *,
    local: bool = True,
    limit: int | None = None,
    others: Sequence[FieldSource] = (),
) -> Plan:
    """Plan a run.

    Parameters
    ----------
    config : RunConfig
        The settings of the run.
    sources : sequence of FieldSource
        Its fields, as returned by `probe_field`.
    directory : Place
        The run directory.
    workers : int
        Number of tasks that can run at the same time.
    local : bool
        Whether the workers run on this machine and share its memory.
    limit : int, optional
        Memory limit of each worker in bytes, if it is known.
    others : sequence of FieldSource
        The bands that are only measured.

    Returns
    -------
    Plan
        The plan, with reasons to refuse the run if there are any.
    """
    planned = Planned(config=config, sources=tuple(sources), others=tuple(others))
    steps = tuple(
        replace(step, memory=WORKER_BASE + step.memory) for phase in PHASES for step in phase.passes(planned)
    )
    pixels = sum(source.box.size for source in sources)
    disk = sum(_disk(config, source) for source in sources)
    disk += BYTES_PER_PIXEL * pixels if wanted(config, pixels) else 0
    draft = Plan(steps, disk, pixels, (), cpu_seconds=_cpu_seconds(config, sources))
    reasons = _refusals(planned, draft, directory, workers, local=local, limit=limit)
    outside = centre_outside(config.cluster, sources) if config.cluster.known else None
    notes = () if outside is None else (f"cluster: {outside.text}; check cluster.ra and cluster.dec",)
    return replace(draft, refusals=tuple(reasons), notes=notes)


def check(found: Plan) -> None:
    """Raise ResourceError with the first reason why a run is refused, if there is one."""
    if found.refusals:
        raise ResourceError(found.refusals[0])


def _cpu_seconds(config: RunConfig, sources: Sequence[FieldSource]) -> float:
    """Return the rough processor time of a run, without compilation of the kernels."""
    per_pixel = CPU_PER_MPIX[config.recipe] / 1e6
    return CPU_FIXED + per_pixel * sum(source.box.size * len(source.band_names) for source in sources)


def _disk(config: RunConfig, source: FieldSource) -> int:
    """Return the size of the store and the maps of a field before compression, bytes."""
    height, width = source.shape
    planes = sum(len(band.given) for band in source.bands) if needed(source, config) else 0
    stored = sum(np.dtype(array.dtype).itemsize for array in layout(config) if array.dims == ("y", "x"))
    return height * width * (4 * planes + stored + 4 * len(config.outputs))


def _refusals(
    planned: Planned,
    found: Plan,
    directory: Place,
    workers: int,
    *,
    local: bool,
    limit: int | None,
) -> list[str]:
    config, reasons = planned.config, []
    for source in planned.sources:
        try:
            require_accuracy(source.shape, source.scale, config.density.alpha, config.density.softening)
        except ValueError as error:
            reasons.append(f"field {source.name!r}: {error}")
    tiles = sum(map(len, planned.tiles.values()))
    if tiles > MOST_TILES:
        reasons.append(
            f"tiles.size: with {config.tiles.size} pixels the fields have {tiles:,} tiles, but at most {MOST_TILES:,} "
            "are possible; choose a larger tiles.size"
        )
    cells, in_boxes = planned.sky_cells
    if not cells <= MOST_CELLS:  # NaN: a field beyond 90 deg from the centre
        reasons.append(
            f"comparison.pixel: with cells of {config.comparison.pixel:g} arcsec the sky grid over all fields has "
            f"{cells:.1e} cells, but at most {MOST_CELLS:.0e} are possible; choose larger cells, or "
            "fields of one cluster only"
        )
    elif in_boxes > max(MOST_CELLS, 2 * cells):
        reasons.append(
            f"relation.box: extended to whole boxes of {config.relation.box:g} arcsec, the sky grid has {in_boxes:.1e} "
            f"cells, but at most {MOST_CELLS:.0e} are possible; choose smaller boxes, or a larger comparison.pixel"
        )
    if local:
        reasons += _memory(found, max(workers, 1))
    if limit is not None:
        reasons += _memory_of_each(found, limit)
    free = _free(directory)
    if found.disk > free:
        reasons.append(
            f"{directory}: the run needs up to {decimal(found.disk)} of disk space, but only {decimal(free)} are free "
            "there: free some space or choose another directory with -o"
        )
    return reasons


def _memory_of_each(found: Plan, limit: int) -> list[str]:
    """Return the reason to refuse a run whose workers have too little memory for the most demanding pass."""
    worst = max(found.steps, key=lambda step: step.memory)
    if worst.memory <= limit:
        return []
    return [
        f"pass {worst.name}: a worker needs {binary(worst.memory)}, but the smallest may use only {binary(limit)}: "
        "raise the limit (compute.memory, or --memory-limit where the worker is started) or choose a smaller tiles.size"
    ]


def _free(directory: Place) -> float:
    """Return the free space at the location of a directory, bytes; infinite for object stores, which do not tell."""
    if is_remote(directory):
        return math.inf
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _memory(found: Plan, workers: int) -> list[str]:
    """Return the reason to refuse a run whose workers together need more memory than this machine has."""
    available = machine_memory()  # of this machine, or of the container or job in which this process runs
    worst, need = None, 0
    for step in found.steps:
        at_a_time = min(workers, step.units)
        total = workers * WORKER_BASE + at_a_time * (step.memory - WORKER_BASE)
        if total > max(need, available):
            worst, need = step, total
    if worst is None:
        return []
    return [
        f"pass {worst.name}: {workers} workers together need {binary(need)}, but this machine has {binary(available)}: "
        "choose a smaller tiles.size or fewer --workers"
    ]
