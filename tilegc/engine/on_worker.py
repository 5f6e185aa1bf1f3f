"""The functions that run on a Dask worker: a run of units, and the joining of their partial results."""

from __future__ import annotations

import logging
import pickle
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tilegc.deferred import Deferred
from tilegc.engine.counters import count_failures, count_retries, count_tile
from tilegc.engine.work import Combine, Function, describe
from tilegc.engine.written import Joined, Written
from tilegc.errors import TileGCError, disk_full
from tilegc.redaction import redact

if TYPE_CHECKING:
    import distributed
else:
    distributed = Deferred("distributed")

__all__ = ["Fitness", "Job", "Listed", "UnfitWorkerError", "UnitsError", "busy", "do_units", "merge"]

log = logging.getLogger("tilegc.tiles")
"""One line per tile at level INFO, with the names of tile and worker."""


class Fitness(Protocol):
    """A check made on a worker before its first unit of a run; hashable and picklable."""

    def problem(self) -> str | None:
        """Return one line on why this worker cannot take part in the run, or None if it can."""


@dataclass(frozen=True)
class Listed:
    """A function of units whose partial results are not joined: a run of units returns the list of them."""

    function: Function

    def __call__(self, common: Any, payload: Any) -> list[Any] | None:
        """Return the partial result as a list of one."""
        partial = self.function(common, payload)
        return None if partial is None else [partial]


Job = tuple[str, Function, Combine | None, Any, Fitness | None]
"""Name of the pass, function, combine, common, fitness."""

# A property of the process, not of a pass: the check reads from disk or network and is made once for each
# worker.
_fit: set[Fitness] = set()
"""Checks that this process has passed."""


class UnfitWorkerError(Exception):
    """A worker cannot take part in the run: its address, its name, and the reason."""

    def __init__(self, address: str, worker: str, reason: str) -> None:
        # All arguments go to the base class, because exceptions are pickled as their class and `args`: this
        # is how it comes back from the worker.
        super().__init__(address, worker, reason)
        self.address = address
        self.worker = worker
        self.reason = reason


def require_fit(fitness: Fitness | None) -> None:
    """Raise UnfitWorkerError if this worker fails the check; a check that was passed is not repeated."""
    if fitness is None or fitness in _fit:
        return
    reason = fitness.problem()
    if reason is not None:
        worker = distributed.get_worker()
        raise UnfitWorkerError(worker.address, str(worker.name), reason)
    _fit.add(fitness)


class UnitsError(Exception):
    """Some units of a run failed: key, one-line reason and traceback of each, and what the other units wrote."""

    def __init__(
        self, failures: list[tuple[str, str, str]], worker: str, written: Written | None = None
    ) -> None:
        super().__init__(failures, worker, written)
        self.failures = failures
        self.worker = worker
        self.written = written


def busy(keys: list[str], dask_worker: Any) -> bool:
    """Return whether this worker is running one of these tasks, including cancelled ones."""
    return any(task.key in keys for task in dask_worker.state.executing)


def do_units(job: Job, payloads: bytes, again: bool) -> Any:
    """Process a run of units and return its partial result (on a worker); `again` if they were sent before."""
    name, function, combine, common, fitness = job
    require_fit(fitness)
    # Joined unit by unit, so that a run of 256 tiles holds one partial in memory and not 256.
    result: Any = None
    failures: list[tuple[str, str, str]] = []
    units = pickle.loads(payloads)  # noqa: S301  (from our own driver)
    if again:
        count_retries(name, len(units))
    for key, pixels, payload in units:
        begun = time.perf_counter()
        try:
            # Another unit of the run may still succeed: failures are collected, and reported together at the
            # end.
            partial = function(common, payload)
        # Bad input (a truncated file, say) fails in every tile that touches it: the whole pass ends with its
        # message at once.
        except TileGCError:
            raise
        except Exception as error:  # noqa: BLE001  (of a rule: any)
            full = disk_full(error)
            if full is not None:  # a retry would fail as well, and so would the other tiles
                raise full from None
            # Dask repeats what a task raises in the worker's log and on its web pages, and a client of an object
            # store may quote the whole address, with its password.
            failures.append((key, describe(error), redact(traceback.format_exc())))
            continue
        seconds = time.perf_counter() - begun
        count_tile(name, pixels, seconds)
        if log.isEnabledFor(logging.INFO):
            log.info("worker %s: %s: %s in %.3f s", _worker(), name, key, seconds)
        # Units that wrote their output are marked even if another unit of the run failed.
        if combine is not None and (isinstance(combine, Joined) or not failures):
            result = _join(combine, result, partial)
    if failures:
        count_failures(name, len(failures))
        raise UnitsError(failures, _worker(), result if isinstance(result, Written) else None) from None
    return result


def _worker() -> str:
    """Return the name of the worker that runs this code."""
    try:
        return str(distributed.get_worker().name)
    except ValueError:
        return "?"


def merge(job: Job, parts: list[Any]) -> Any:
    """Join partial results (on a worker)."""
    combine = job[2]
    assert combine is not None
    result: Any = None
    for part in parts:
        result = _join(combine, result, part)
    return result


def _join(combine: Combine, a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return combine(a, b)
