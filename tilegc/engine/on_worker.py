"""What runs on a Dask worker: a run of units, and the joining of their partials."""

from __future__ import annotations

import logging
import pickle
import time
import traceback
from dataclasses import dataclass
from typing import Any, Protocol

from distributed import get_worker

from tilegc.engine.counters import count_failures, count_retries, count_tile
from tilegc.engine.work import Combine, Function, describe
from tilegc.engine.written import Joined, Written
from tilegc.errors import TileGCError, disk_full
from tilegc.redaction import redact

__all__ = ["Fitness", "Job", "Listed", "UnfitWorkerError", "UnitsError", "busy", "do_units", "merge"]

log = logging.getLogger("tilegc.tiles")
"""A line a tile, at INFO; it names tile and worker."""


class Fitness(Protocol):
    """What is asked of a worker before its first unit of a run; hashable and picklable."""

    def problem(self) -> str | None:
        """Return what keeps this worker from working for the run, one line; None where nothing does."""


@dataclass(frozen=True)
class Listed:
    """A function of units whose partials are not joined: a run of them gives the list of all."""

    function: Function

    def __call__(self, common: Any, payload: Any) -> list[Any] | None:
        """Return the partial alone in a list."""
        partial = self.function(common, payload)
        return None if partial is None else [partial]


Job = tuple[str, Function, Combine | None, Any, Fitness | None]
"""Name of the pass, function, combine, common, fitness."""

_fit: set[Fitness] = set()
"""Those that this process was found to have."""


class UnfitWorkerError(Exception):
    """A worker is not fit for the run: address, name, what is the matter."""

    def __init__(self, address: str, worker: str, reason: str) -> None:
        super().__init__(address, worker, reason)
        self.address = address
        self.worker = worker
        self.reason = reason


def require_fit(fitness: Fitness | None) -> None:
    """Raise UnfitWorkerError where this worker is not fit; what it was found to have is not asked again."""
    if fitness is None or fitness in _fit:
        return
    reason = fitness.problem()
    if reason is not None:
        worker = get_worker()
        raise UnfitWorkerError(worker.address, str(worker.name), reason)
    _fit.add(fitness)


class UnitsError(Exception):
    """Some units of a run raised: key, one line and traceback of each, and what the others wrote."""

    def __init__(
        self, failures: list[tuple[str, str, str]], worker: str, written: Written | None = None
    ) -> None:
        super().__init__(failures, worker, written)
        self.failures = failures
        self.worker = worker
        self.written = written


def busy(keys: list[str], dask_worker: Any) -> bool:
    """Whether this worker runs one of these tasks, also a cancelled one."""
    return any(task.key in keys for task in dask_worker.state.executing)


def do_units(job: Job, payloads: bytes, again: bool) -> Any:
    """Do a run of units, return its partial (runs on a worker); `again`: they were sent out before."""
    name, function, combine, common, fitness = job
    require_fit(fitness)
    result: Any = None
    failures: list[tuple[str, str, str]] = []
    units = pickle.loads(payloads)  # noqa: S301  (from our own driver)
    if again:
        count_retries(name, len(units))
    for key, pixels, payload in units:
        begun = time.perf_counter()
        try:
            partial = function(common, payload)
        except TileGCError:
            raise
        except Exception as error:  # noqa: BLE001  (of a rule: any)
            full = disk_full(error)
            if full is not None:  # another try would not go better, nor would the other tiles
                raise full from None
            # Dask repeats what a task raises in the worker's log and on its web pages, and a client of an object
            # store may quote the whole address, with its password.
            failures.append((key, describe(error), redact(traceback.format_exc())))
            continue
        seconds = time.perf_counter() - begun
        count_tile(name, pixels, seconds)
        if log.isEnabledFor(logging.INFO):
            log.info("worker %s: %s: %s in %.3f s", _worker(), name, key, seconds)
        # What was written next to a unit that failed gets its mark all the same.
        if combine is not None and (isinstance(combine, Joined) or not failures):
            result = _join(combine, result, partial)
    if failures:
        count_failures(name, len(failures))
        raise UnitsError(failures, _worker(), result if isinstance(result, Written) else None) from None
    return result


def _worker() -> str:
    """Return the name of the worker that this runs on."""
    try:
        return str(get_worker().name)
    except ValueError:
        return "?"


def merge(job: Job, parts: list[Any]) -> Any:
    """Join partials (runs on a worker)."""
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
