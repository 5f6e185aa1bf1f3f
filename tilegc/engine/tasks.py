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
    """A run of units that one task does."""

    units: tuple[Unit, ...]
    tries: int = 0
    """Failed tries of these units before this one."""
    again: bool = False
    """Whether they were sent out before."""
    alone: bool = False
    """Whether nothing else runs beside it: a worker that dies then died of its unit."""

    def packed(self) -> bytes:
        """Return the units' keys, pixels and payloads as a task takes them."""
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
    """A task that joins partials."""

    parts: tuple[Part, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units of all parts."""
        return tuple(unit for part in self.parts for unit in part.units)


def run_length(units: Sequence[Unit], slots: int) -> int:
    """Return how many neighbouring units a task carries.

    Long enough that its work outweighs its overhead and that the scheduler keeps up (up to 32 tiles of any
    size), short enough that every worker gets several tasks.
    """
    if not units:
        return 1
    mean = max(sum(unit.pixels for unit in units) / len(units), 1.0)
    small = min(round(TASK_PIXELS / mean), 256, len(units) // (8 * slots))
    many = min(32, len(units) // (16 * slots))
    return max(1, small, many)
