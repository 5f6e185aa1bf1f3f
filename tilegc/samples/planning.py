"""What a sample will take, and which of its clusters would be refused; nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilegc.errors import InputError, one_line
from tilegc.places import Place
from tilegc.samples.sample import Entry, Sample

__all__ = ["ClusterPlan", "SamplePlan", "plan_sample"]

SECONDS_PER_MPIX = 0.16
"""CPU seconds of a run for a megapixel of one band, as `as1063` takes them on one core of 2.5 GHz."""

SERIAL_SECONDS = 12.0
"""Seconds of a run that no worker shortens: start, settling, fits, tables."""


@dataclass(frozen=True)
class ClusterPlan:
    """What one cluster will take."""

    name: str
    pixels: int
    """Of all fields, each counted once however many bands it has."""
    tiles: int
    """Units of all passes."""
    cpu_seconds: float
    """Estimated work of the workers."""
    memory: int
    """Peak memory of a worker, bytes."""
    disk: int
    """Bytes of the run folder."""
    refusal: str | None
    """Why it would be refused; None: it would run."""


@dataclass(frozen=True)
class SamplePlan:
    """What a sample will take."""

    clusters: tuple[ClusterPlan, ...]
    """In the order in which they would start: largest first."""
    workers: int

    @property
    def runs(self) -> tuple[ClusterPlan, ...]:
        """The clusters that would run."""
        return tuple(one for one in self.clusters if one.refusal is None)

    @property
    def wall_seconds(self) -> float:
        """Estimated time from start to end: all work over all workers, but no less than the longest cluster alone."""
        runs = self.runs
        if not runs:
            return 0.0
        longest = max((one.cpu_seconds - SERIAL_SECONDS) / self.workers + SERIAL_SECONDS for one in runs)
        shared = sum(one.cpu_seconds for one in runs) / self.workers + SERIAL_SECONDS
        return max(longest, shared)


def plan_sample(sample: Sample, output: Place, workers: int) -> SamplePlan:
    """Plan every cluster of a sample.

    Parameters
    ----------
    sample : Sample
    output : Place
        Folder below which the runs would go.
    workers : int
        Tasks that can run at the same time.

    Returns
    -------
    SamplePlan
        A cluster that is wrong in any way has a refusal, and no cost.
    """
    # One after the other: readers silence libraries with `warnings.catch_warnings`, which threads would undo.
    planned = [_cluster(entry, output, workers) for entry in sample.entries]
    return SamplePlan(tuple(in_order(planned)), max(workers, 1))


def in_order(planned: Sequence[ClusterPlan]) -> list[ClusterPlan]:
    """Return clusters with the most work first: the last ones to run are then the short ones."""
    return sorted(planned, key=lambda one: (-one.cpu_seconds, one.name))


def _cluster(entry: Entry, output: Place, workers: int) -> ClusterPlan:
    nothing = ClusterPlan(entry.name, 0, 0, 0.0, 0, 0, entry.problem)
    if entry.config is None:
        return nothing
    from tilegc import previews  # noqa: PLC0415

    try:
        found = previews.plan(entry.config, output / entry.name, workers=workers)
    except InputError as error:
        return replace(nothing, refusal=one_line(error))
    # A folder that holds a run of this cluster is no refusal: a sample goes on where it was left.
    reasons = [reason for reason in found.refusals if str(output / entry.name) not in reason]
    bands = sum(len(field.bands or {}) or 1 for field in entry.config.fields) / len(entry.config.fields)
    return ClusterPlan(
        name=entry.name,
        pixels=found.pixels,
        tiles=sum(step.units for step in found.steps),
        cpu_seconds=SERIAL_SECONDS + SECONDS_PER_MPIX * found.pixels / 1e6 * bands,
        memory=found.memory,
        disk=found.disk,
        refusal=reasons[0] if reasons else None,
    )
