"""Units of work, the engines that process them, and the books kept about them.

A unit is one call of a module-level function, `function(common, payload)`, usually for one tile. It returns a partial
result or None. `combine` joins two partial results; it is associative and commutative (algorithm.md, section 14.2,
reductions), so that the order in which units finish does not matter.
"""

from __future__ import annotations

import builtins
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from tilegc.engine.progress import Progress
from tilegc.errors import TilesFailedError
from tilegc.geometry import Box
from tilegc.redaction import redact

__all__ = ["Books", "Combine", "Engine", "Function", "Gather", "Marks", "Unit", "describe"]

log = logging.getLogger("tilegc.engine")
# Tracebacks of tiles belong in a log; without a handler they would be written over the user's terminal.
logging.getLogger("tilegc").addHandler(logging.NullHandler())

Function = Callable[[Any, Any], Any]
"""`function(common, payload) -> partial or None`; module-level, so that it can be sent to a worker."""
Combine = Callable[[Any, Any], Any]
"""`combine(a, b) -> partial`; associative and commutative; must not change its arguments."""

Gather = Callable[[Any], None]
"""Receives one unit's partial result in the driver."""

_OUT_OF_MEMORY = {"MemoryError", "_ArrayMemoryError"}
_OF_THE_SYSTEM = {
    name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, OSError)
}
"""Errors that may not occur on a retry or on another machine: they say nothing about the pixels."""

# Each mark is a file that is synced to disk, which costs milliseconds: per tile it would take longer than
# small tiles.
FLUSH_SECONDS = 1.0
"""Minimum time between two writes of marks: after a crash about this much work is repeated."""
LISTED = 5
"""Number of failed units that a message lists; the log has all of them."""


@dataclass(frozen=True)
class Unit:
    """One piece of work that succeeds or fails alone."""

    key: str
    """Its name in the ledger and in messages, e.g. "a/17"."""
    pixels: int
    """Number of pixels of the mosaic that it covers, for progress and for the length of runs of units."""
    payload: Any
    """Second argument of the function; small and picklable."""
    area: tuple[str, Box] | None = None
    """Field and pixels that it is about, if it fails on which the run can go on without them."""


class Marks(Protocol):
    """What an engine needs from a ledger: `tilegc.run_folder.Ledger`, or a simple set in a test."""

    def done(self, name: str) -> set[str]:
        """Return the keys of the units of this pass that are done."""

    def mark(
        self, name: str, keys: Iterable[str], partial: Any = None, stamps: Mapping[str, str] | None = None
    ) -> None:
        """Record units whose output is written, with their joint partial result and the stamps of their files."""

    def partials(self, name: str) -> list[Any]:
        """Return the partial results recorded so far."""


class Engine(Protocol):
    """A driver of passes: `SerialEngine` or `DaskEngine`."""

    progress: Progress
    """Receiver of progress reports."""

    @property
    def workers(self) -> int:
        """How many units can run at the same time."""

    @property
    def dashboard(self) -> str | None:
        """Address of a page that shows the work in progress, if there is one."""

    def run(
        self,
        name: str,
        function: Function,
        units: Sequence[Unit],
        *,
        common: Any = None,
        combine: Combine | None = None,
        gather: Gather | None = None,
        ledger: Marks | None = None,
        units_per_task: int | None = None,
    ) -> Any:
        """Call `function(common, unit.payload)` for all units and return their combined partial result.

        Parameters
        ----------
        name : str
            Name of the pass, for the ledger, progress, dashboard and messages.
        function : callable
            Module-level; when called again it must write the same bytes (a worker may die between the end of a unit and
            its mark).
        units : sequence of Unit
            Neighbours adjacent: runs of them go to one worker.
        common : object, optional
            First argument of every call; picklable; sent to each worker once.
        combine : callable, optional
            Joins two partial results; without it, and without `gather`, return values are dropped.
        gather : callable, optional
            Not with `ledger`: called in the driver with every partial result as soon as it arrives, once for each unit
            that returned one, in any order. For results that grow with the mosaic (rows of sources, cells of the
            sky), which would not fit in a worker when joined. With `combine`, the partial results of a few neighbours
            are joined on the workers first, in groups that do not grow with the mosaic.
        ledger : Marks, optional
            For writing passes: marked units are skipped, and units are marked after they return. With `combine` as
            well, each partial result comes to the driver and is stored with the marks: it must then be small and
            consist of numbers, text, lists, dicts with text as keys, or arrays of integers.
        units_per_task : int, optional
            Length of the runs of units; by default chosen from their number of pixels.

        Returns
        -------
        object or None
            The combined partial result; None if no unit returned one, and with `gather`.

        Raises
        ------
        TileGCError
            Raised by a unit (bad input): passed on unchanged, at once and without a retry.
        TilesFailedError
            If units failed in all their attempts; all others are done and marked.
        RunFailedError
            If the workers or the scheduler are lost.
        """


def describe(error: BaseException) -> str:
    """Return an exception as one line: its class and its message, without credentials."""
    text = redact(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Books:
    """The open, finished and failed units of one pass; writes the marks and reports the progress.

    As a context manager it marks the finished units however the pass ends (an error, Ctrl-C).
    """

    def __init__(
        self,
        name: str,
        units: Sequence[Unit],
        progress: Progress,
        *,
        combine: Combine | None,
        ledger: Marks | None,
        gather: Gather | None = None,
    ) -> None:
        if gather is not None and ledger is not None:
            raise ValueError(f"{name}: partials cannot be both gathered and kept with marks")
        # Two units of one key would share a mark, and a resumed run would skip the second without its having
        # been done.
        keys = {unit.key for unit in units}
        if len(keys) != len(units):
            raise ValueError(f"{name}: two units have the same key")
        self.name = name
        self.combine = combine
        self.ledger = ledger
        self.with_partials = ledger is not None and combine is not None
        """Whether partial results are stored with the marks (a writing pass that also counts)."""
        self.gather = gather
        self.rooted = gather is not None and combine is not None
        """Whether partial results are joined before they are gathered."""
        # Skipped units were counted in an earlier process; their partials were recorded with the marks and
        # are joined below, so that the result of a resumed pass is that of one that ran through.
        done = ledger.done(name) if ledger is not None else set()
        self.units = [unit for unit in units if unit.key not in done]
        self.failed: dict[str, str] = {}
        self._memory: set[str] = set()
        self._areas: dict[str, tuple[str, tuple[int, int, int, int]]] = {}
        self._total = len(units)
        self._progress = progress
        self._counted: set[str] = set()
        self._unmarked: list[str] = []
        self._partial: Any = None
        """Partial result of the units that are done but not yet marked ..."""
        self._stamps: dict[str, str] = {}
        """... and the stamps of their files."""
        self._result: Any = None
        self._flushed = self._begun = time.monotonic()
        if ledger is not None and self.with_partials:
            for partial in ledger.partials(name):
                self._result = self._join(self._result, partial)

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._progress.start(self.name, sum(unit.pixels for unit in self.units), len(self.units))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._flush()
        finally:
            self._progress.finish(self.name)
            seconds, done = time.monotonic() - self._begun, len(self._counted)
            log.info("%s: %d of %d units in %.1f s", self.name, done, len(self.units), seconds)

    def finished(
        self, units: Sequence[Unit], partial: Any = None, stamps: Mapping[str, str] | None = None
    ) -> None:
        """Record units whose function has returned, with their partial result if it comes to the driver.

        With `gather` alone, `partial` is the list of the units' partial results.
        """
        # A unit may end twice: if its worker died after it had finished, its task is repeated. Progress
        # counts it once, its mark may be written twice, and its partial is joined once, because the engine
        # drops the first with the dead worker.
        self._stamps.update(stamps or {})
        if self.gather is not None:
            for one in partial or ():
                self.gathered(one)
        elif partial is not None and self.combine is not None:
            self._partial = self._join(self._partial, partial)
        new = [unit for unit in units if unit.key not in self._counted]
        self._counted.update(unit.key for unit in new)
        self._unmarked.extend(unit.key for unit in units)
        if new:
            self._progress.advance(sum(unit.pixels for unit in new), len(new))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def gathered(self, partial: Any) -> None:
        """Pass on a partial result that has arrived in the driver."""
        if partial is not None and self.gather is not None:
            self.gather(partial)

    def gave_up(self, unit: Unit, reason: str, *, memory: bool = False, data: bool = False) -> None:
        """Record a unit that failed in all its attempts.

        Parameters
        ----------
        unit : Unit
            The unit.
        reason : str
            One line; begins with the class of the error if there was one.
        memory : bool
            Whether it killed workers.
        data : bool
            Whether its function raised an exception, as opposed to a failure of a worker or its connection.
        """
        self.failed[unit.key] = reason
        # The class is known by its name only: the exception itself stayed on the worker, and might not be
        # picklable.
        kind = reason.partition(":")[0]
        if memory or kind in _OUT_OF_MEMORY:
            self._memory.add(unit.key)
        elif data and unit.area is not None and kind not in _OF_THE_SYSTEM:
            field, box = unit.area
            self._areas[unit.key] = field, (box.y0, box.x0, box.y1, box.x1)
        log.error("%s: %s failed: %s", self.name, unit.key, reason)

    def result(self, partial: Any = None, *, tries: int) -> Any:
        """Return the combined partial result, or raise an error that lists the units that failed."""
        self._flush()
        if self.failed:
            shown = "; ".join(f"{key} ({why})" for key, why in sorted(self.failed.items())[:LISTED])
            more = f"; and {len(self.failed) - LISTED} more" if len(self.failed) > LISTED else ""
            fate = "recorded" if self.ledger is not None else "done"
            raise TilesFailedError(
                f"{self.name}: {len(self.failed)} of {self._total} tiles failed in {tries} attempts: "
                f"{shown}{more}; the others are {fate}; fix the cause and rerun with --resume",
                memory=self._memory,
                step=self.name,
                failed=self.failed,
                areas=self._areas,
            )
        return self._join(self._result, partial)

    def _join(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        assert self.combine is not None
        return self.combine(a, b)

    def _flush(self) -> None:
        # The mark is written before the partial counts as a result: if writing it fails, both are missing
        # together, and the units are simply done again.
        if self._unmarked and self.ledger is not None:
            partial = self._partial if self.with_partials else None
            self.ledger.mark(self.name, self._unmarked, partial, self._stamps)
        self._result = self._join(self._result, self._partial)
        self._partial = None
        self._unmarked = []
        self._stamps = {}
        self._flushed = time.monotonic()
