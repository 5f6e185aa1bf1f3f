"""Units of work, who does them, and the books that are kept about them.

A unit is one call of a module-level function, `function(common, payload)`: mostly a tile.  It returns a
partial result or None; `combine` joins two partials, associative and commutative (algorithm.md, section 14.2,
reductions), so that the order in which units end does not matter.
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
from tilegc.redaction import redact

__all__ = ["Books", "Combine", "Engine", "Function", "Gather", "Marks", "Unit", "describe"]

log = logging.getLogger("tilegc.engine")
# Tracebacks of tiles are for a log; without one they would be written over the user's terminal.
logging.getLogger("tilegc").addHandler(logging.NullHandler())

Function = Callable[[Any, Any], Any]
"""`function(common, payload) -> partial or None`; module-level, so that it can be sent to a worker."""
Combine = Callable[[Any, Any], Any]
"""`combine(a, b) -> partial`; associative and commutative; must not change its arguments."""

Gather = Callable[[Any], None]
"""Takes one unit's partial in the driver."""

_OUT_OF_MEMORY = {"MemoryError", "_ArrayMemoryError"}
_OF_THE_SYSTEM = {
    name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, OSError)
}
"""Errors that another try, or another machine, may not have: they say nothing about the pixels."""

FLUSH_SECONDS = 1.0
"""Marks are written at most this often: a crash repeats about this much work."""
LISTED = 5
"""How many failed units a message lists; the log has them all."""


@dataclass(frozen=True)
class Unit:
    """One piece of work that succeeds or fails alone."""

    key: str
    """Its name in the ledger and in messages, e.g. "a/17"."""
    pixels: int
    """How much of the mosaic it covers: for progress and for the length of runs of units."""
    payload: Any
    """Second argument of the function; small and picklable."""


class Marks(Protocol):
    """What an engine needs of a ledger: `tilegc.run_folder.Ledger`, or a set in a test."""

    def done(self, name: str) -> set[str]:
        """Return the keys of the units of this pass that are done."""

    def mark(
        self, name: str, keys: Iterable[str], partial: Any = None, stamps: Mapping[str, str] | None = None
    ) -> None:
        """Record units whose payload is written, with their common partial and the stamps of their files, if any."""

    def partials(self, name: str) -> list[Any]:
        """Return the partials recorded so far."""


class Engine(Protocol):
    """A driver of passes: `SerialEngine` or `DaskEngine`."""

    progress: Progress
    """Who is told how far a pass is."""

    @property
    def workers(self) -> int:
        """How many units can run at the same time."""

    @property
    def dashboard(self) -> str | None:
        """Address of a page to watch the work on, if there is one."""

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
        """Call `function(common, unit.payload)` for all units and return their combined partials.

        Parameters
        ----------
        name : str
            Name of the pass, for the ledger, progress, dashboard and messages.
        function : callable
            Module-level; what it writes must be the same bytes when it is called again (a worker may die
            between its end and its mark).
        units : sequence of Unit
            Neighbours next to each other: runs of them go to one worker.
        common : object, optional
            First argument of every call; picklable; sent to each worker once.
        combine : callable, optional
            Joins two partials; without it, and without `gather`, what the function returns is dropped.
        gather : callable, optional
            Not with `ledger`: called in the driver with every unit's partial as soon as it is there, once for each
            unit that gave one, in any order.  For what grows with the mosaic (rows of sources, cells of the sky):
            joined on a worker it would have to fit there.  With `combine`, partials of a few neighbours are joined
            on the workers first, in groups that do not grow with the mosaic.
        ledger : Marks, optional
            For writing passes: units that are marked are skipped, those done are marked after their return.
            With `combine` as well, each partial comes to the driver and is kept with the marks: it must then
            be small, and of numbers, text, lists, dicts with text as keys, or arrays of integers.
        units_per_task : int, optional
            Length of the runs of units; chosen from their pixels by default.

        Returns
        -------
        object or None
            The combined partial; None where no unit gave one, and with `gather`.

        Raises
        ------
        TileGCError
            Raised by a unit (bad input): passed on as it is, at once and without another try.
        TilesFailedError
            If units failed in all their tries; all others are done and marked.
        RunFailedError
            If the workers or the scheduler are lost.
        """


def describe(error: BaseException) -> str:
    """Return an exception as one line: its class and what it says, without credentials."""
    text = redact(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Books:
    """Which units of one pass are open, done and failed; writes the marks and reports the progress.

    A context manager: however the pass ends (an error, Ctrl-C), what is done gets its mark.
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
        keys = {unit.key for unit in units}
        if len(keys) != len(units):
            raise ValueError(f"{name}: two units have the same key")
        self.name = name
        self.combine = combine
        self.ledger = ledger
        self.with_partials = ledger is not None and combine is not None
        """Whether partials go with the marks (a writing pass that also counts)."""
        self.gather = gather
        self.rooted = gather is not None and combine is not None
        """Whether partials are joined before they are gathered."""
        done = ledger.done(name) if ledger is not None else set()
        self.units = [unit for unit in units if unit.key not in done]
        self.failed: dict[str, str] = {}
        self._memory: set[str] = set()
        self._data: set[str] = set()
        self._total = len(units)
        self._progress = progress
        self._counted: set[str] = set()
        self._unmarked: list[str] = []
        self._partial: Any = None
        """Partial of the units that are done but not yet marked ..."""
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
        """Enter units whose function has returned; their partial, where it comes to the driver.

        With `gather` alone: a list of the partials of each.
        """
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
        """Hand on a partial that has come to the driver."""
        if partial is not None and self.gather is not None:
            self.gather(partial)

    def gave_up(self, unit: Unit, reason: str, *, memory: bool = False, data: bool = False) -> None:
        """Enter a unit that failed in all its tries.

        Parameters
        ----------
        unit : Unit
            It.
        reason : str
            One line, which begins with the class of the error if there was one.
        memory : bool
            Whether workers died of it.
        data : bool
            Whether its function raised, rather than that a worker or its connection failed.
        """
        self.failed[unit.key] = reason
        kind = reason.partition(":")[0]
        if memory or kind in _OUT_OF_MEMORY:
            self._memory.add(unit.key)
        elif data and kind not in _OF_THE_SYSTEM:
            self._data.add(unit.key)
        log.error("%s: %s failed: %s", self.name, unit.key, reason)

    def result(self, partial: Any = None, *, tries: int) -> Any:
        """Close the books: return the combined partial, or say which units failed."""
        self._flush()
        if self.failed:
            shown = "; ".join(f"{key} ({why})" for key, why in sorted(self.failed.items())[:LISTED])
            more = f"; and {len(self.failed) - LISTED} more" if len(self.failed) > LISTED else ""
            fate = "recorded" if self.ledger is not None else "done"
            raise TilesFailedError(
                f"{self.name}: {len(self.failed)} of {self._total} tiles failed in {tries} tries: "
                f"{shown}{more}; the others are {fate}; fix the cause and rerun with --resume",
                memory=self._memory,
                data=self._data,
            )
        return self._join(self._result, partial)

    def _join(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        assert self.combine is not None
        return self.combine(a, b)

    def _flush(self) -> None:
        if self._unmarked and self.ledger is not None:
            partial = self._partial if self.with_partials else None
            self.ledger.mark(self.name, self._unmarked, partial, self._stamps)
        self._result = self._join(self._result, self._partial)
        self._partial = None
        self._unmarked = []
        self._stamps = {}
        self._flushed = time.monotonic()
