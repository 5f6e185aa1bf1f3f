"""What a run will take, said before anything is computed: tiles, tasks, memory, disk, and what does not fit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from distributed.system import MEMORY_LIMIT

from tilegc.config import RunConfig
from tilegc.density.multilevel import kernel_tables
from tilegc.errors import ResourceError
from tilegc.images.phase import needed
from tilegc.io.fits import FieldSource
from tilegc.phases.planned import MOST_CELLS, Planned, Step
from tilegc.pipeline import PHASES, layout
from tilegc.places import Place, is_remote
from tilegc.sizes import binary, decimal
from tilegc.sky import centre_outside
from tilegc.viewer.phase import BYTES_PER_PIXEL, wanted

__all__ = ["Plan", "Step", "check", "plan"]

WORKER_BASE = 528 * 2**20
"""Memory of a worker before it does anything: the libraries and their compiled kernels, and what it keeps of freed
windows."""


MOST_TILES = 1_000_000
"""Tiles of all fields: the driver and the ledger hold an entry of each, several hundred bytes, for every pass."""


@dataclass(frozen=True)
class Plan:
    """What a run needs: its passes, memory and disk space, and reasons to refuse it."""

    steps: tuple[Step, ...]
    disk: int
    """Bytes that the run folder takes, before compression."""
    pixels: int
    """Of all fields."""
    refusals: tuple[str, ...]
    """Why it cannot run as it stands; empty: it can."""
    notes: tuple[str, ...] = ()
    """What may be a mistake although it can run."""

    @property
    def writing(self) -> dict[str, int]:
        """Units of the passes that write, by name: what a ledger will hold in the end."""
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
) -> Plan:
    """Plan a run over fields that were probed.

    Parameters
    ----------
    config, sources
        The run file, and its fields as `probe_field` found them.
    directory
        Folder of the run.
    workers
        How many tasks can run at the same time.
    local
        Whether they run on this machine, whose memory they share.
    limit
        Memory that a worker may take, bytes, where that is known.
    """
    planned = Planned(config=config, sources=tuple(sources))
    steps = tuple(
        replace(step, memory=WORKER_BASE + step.memory) for phase in PHASES for step in phase.passes(planned)
    )
    pixels = sum(source.box.size for source in sources)
    disk = sum(_disk(config, source) for source in sources)
    disk += BYTES_PER_PIXEL * pixels if wanted(config, pixels) else 0
    draft = Plan(steps, disk, pixels, ())
    reasons = _refusals(planned, draft, directory, workers, local=local, limit=limit)
    outside = centre_outside(config.cluster, sources) if config.cluster.known else None
    notes = () if outside is None else (f"cluster: {outside.text}; check cluster.ra and cluster.dec",)
    return replace(draft, refusals=tuple(reasons), notes=notes)


def check(found: Plan) -> None:
    """Raise ResourceError with the first reason why a plan cannot run."""
    if found.refusals:
        raise ResourceError(found.refusals[0])


def _disk(config: RunConfig, source: FieldSource) -> int:
    """Return the bytes of a field's store and maps, before compression."""
    height, width = source.shape
    planes = len(list(source.planes())) if needed(source, config) else 0
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
            kernel_tables(source.shape, source.scale, config.density.alpha, config.density.softening)
        except ValueError as error:
            reasons.append(f"field {source.name!r}: {error}")
    tiles = sum(map(len, planned.tiles.values()))
    if tiles > MOST_TILES:
        reasons.append(
            f"tiles.size: with {config.tiles.size} pixels the fields have {tiles:,} tiles, at most {MOST_TILES:,} are "
            "possible; choose a larger tiles.size"
        )
    cells, in_boxes = planned.sky_cells
    if not cells <= MOST_CELLS:  # NaN: a field beyond 90 deg from the centre
        reasons.append(
            f"comparison.pixel: the sky grid over all fields has {cells:.1e} cells of {config.comparison.pixel:g} "
            f"arcsec, {MOST_CELLS:.0e} are the most: give larger ones, or fields of one cluster only"
        )
    elif in_boxes > max(MOST_CELLS, 2 * cells):
        reasons.append(
            f"relation.box: out to whole boxes of {config.relation.box:g} arcsec the sky grid has {in_boxes:.1e} "
            f"cells, {MOST_CELLS:.0e} are the most: give smaller boxes, or a larger comparison.pixel"
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
    """Return why the limit of a worker is too low for the most demanding pass, if it is."""
    worst = max(found.steps, key=lambda step: step.memory)
    if worst.memory <= limit:
        return []
    return [
        f"pass {worst.name}: a worker needs {binary(worst.memory)}, but the smallest may use only {binary(limit)}: "
        "raise the limit (compute.memory, or --memory-limit where the worker is started) or choose a smaller tiles.size"
    ]


def _free(directory: Place) -> float:
    """Return the bytes that are free where a folder is, or would be; object stores do not say."""
    if is_remote(directory):
        return math.inf
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def _memory(found: Plan, workers: int) -> list[str]:
    """Say which pass does not fit into this machine's memory with so many workers, if any."""
    there = MEMORY_LIMIT  # of this machine, or of the container or job that this process is confined to
    worst, need = None, 0
    for step in found.steps:
        at_a_time = min(workers, step.units)
        total = workers * WORKER_BASE + at_a_time * (step.memory - WORKER_BASE)
        if total > max(need, there):
            worst, need = step, total
    if worst is None:
        return []
    return [
        f"pass {worst.name}: {workers} workers together need {binary(need)}, but this machine has {binary(there)}: "
        "choose a smaller tiles.size or fewer --workers"
    ]
