"""Tasks of a pass: runs of units, their partial results, and the tasks that join these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cloudpickle  # type: ignore[import-untyped]

from tilegc.engine.work import Unit

if TYPE_CHECKING:
    from distributed import Future

__all__ = ["Batch", "Merge", "Part", "batches", "run_length"]

TASK_PIXELS = 2048 * 2048
"""Runs of small tiles cover about this many pixels: tens of milliseconds of work against 2 ms of overhead."""


@dataclass(frozen=True)
class Batch:
    """A run of units that one task processes."""

    units: tuple[Unit, ...]
    tries: int = 0
    """Number of failed attempts at these units so far."""
    again: bool = False
    """Whether they were sent to a worker before."""
    alone: bool = False
    """Whether nothing else runs at the same time, so that a worker that dies was killed by this unit."""

    def packed(self) -> bytes:
        """Return the units' keys, pixels and payloads in the form in which a task receives them."""
        # Packed here as one object. Given a list, Dask would search every payload for futures and serialise
        # each by itself.
        packed: bytes = cloudpickle.dumps([(unit.key, unit.pixels, unit.payload) for unit in self.units])
        return packed


def batches(units: Sequence[Unit], length: int, *, again: bool = False) -> Iterator[Batch]:
    """Cut units into runs of this length."""
    for first in range(0, len(units), length):
        yield Batch(tuple(units[first : first + length]), again=again)


@dataclass(frozen=True)
class Part:
    """A partial result held on a worker, and the units it was computed from."""

    future: Future
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Merge:
    """A task that joins partial results."""

    parts: tuple[Part, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units of all parts."""
        return tuple(unit for part in self.parts for unit in part.units)


def run_length(units: Sequence[Unit], slots: int) -> int:
    """Return the number of neighbouring units per task.

    Tasks are long enough that their work outweighs their overhead and that the scheduler keeps up (up to 32 tiles of
    any size), and short enough that every worker gets several.
    """
    if not units:
        return 1
    # Three limits: enough pixels to outweigh the overhead of a task, at most 256 tiles to repeat if one of
    # them kills the worker, and at least eight tasks per slot, so that the last ones to finish leave few
    # workers idle. Tiles of normal size are grouped as well once there are thousands, because the scheduler
    # needs 1 to 2 ms for every task.
    mean = max(sum(unit.pixels for unit in units) / len(units), 1.0)
    small = min(round(TASK_PIXELS / mean), 256, len(units) // (8 * slots))
    many = min(32, len(units) // (16 * slots))
    return max(1, small, many)
