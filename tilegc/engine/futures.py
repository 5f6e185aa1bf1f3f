"""The Dask driver: runs of units as futures, bounded in flight, their partials reduced on the workers.

Futures are all of Dask that is used (internals of array graphs change).  A task costs about 2
ms, so it carries a run of neighbouring units.  Partials stay on the workers, `FAN_IN` of them are joined by
one more task as soon as there are so many, and only the last one comes to the driver: any order gives the
same result since `combine` is associative and commutative.  What grows with the mosaic is joined over `FAN_IN`
neighbouring tiles at most, and then gathered.

What can go wrong, and what then happens:

- a unit raises: it is tried again alone, `retries` times, mostly on another worker; then it is listed;
- a unit raises a `TileGCError` (bad input): the pass ends with it at once;
- a worker dies: Dask does its tasks again elsewhere, also those whose partials it held; a run of units on
  which worker after worker dies is taken apart, and the unit that kills them is listed;
- a partial cannot be had again: the units it came from are done again;
- the last worker leaves with partials that were to be taken: they are waited for as any work is, with patience;
- the scheduler is lost, or all workers stay away: `RunFailedError`;
- Ctrl-C: held back while futures are made and dropped, answered while the driver waits.
"""

from __future__ import annotations

import logging
import math
import operator
import pickle
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import dask
from distributed import Client, Future
from distributed.scheduler import KilledWorker

from tilegc.engine.interrupt import HeldBack, hurried
from tilegc.engine.on_worker import Fitness, Job, Listed, UnfitWorkerError, UnitsError, busy, do_units, merge
from tilegc.engine.progress import Progress, Silent
from tilegc.engine.work import LISTED, Books, Combine, Function, Gather, Marks, Unit, describe
from tilegc.engine.written import Joined, Stamped, Written
from tilegc.errors import RunFailedError, TileGCError

__all__ = ["DaskEngine", "run_length"]

log = logging.getLogger("tilegc.engine")

FAN_IN = 16
"""Partials joined by one task."""
TASK_PIXELS = 2048 * 2048
"""Runs of small tiles are made about this long: tens of milliseconds of work against 2 ms of overhead."""
IN_FLIGHT = 4
"""Tasks submitted and not ended, per worker thread: enough that no worker waits for the driver."""
LARGE = {"distributed.admin.large-graph-warning-threshold": "1GiB"}
"""What is sent may be large (tables of a field, lens models), and is sent once: Dask's advice does not apply."""
POLL_SECONDS = 5.0
"""How often the driver looks whether there still are workers while nothing ends."""
LOST_SECONDS = 0.5
"""How often it looks after tasks that are done again, which nobody announces."""
PATIENCE_SECONDS = 60.0
"""How long it waits without any worker, if nobody says otherwise."""
UNFIT = 4
"""So many workers that joined late and cannot work here are sent away; with one more the run ends."""
SETTLE_SECONDS = 60.0
"""How long a pass that is given up waits for the tasks that run already; they cannot be stopped."""
HURRIED_SECONDS = 10.0
"""The same after SIGTERM: SLURM and Kubernetes kill 30 s later, and the workers must be ended before that, too."""


@dataclass(frozen=True)
class _Batch:
    """A run of units that one task does."""

    units: tuple[Unit, ...]
    tries: int = 0
    """Failed tries of these units before this one."""
    again: bool = False
    """Whether they were sent out before."""


@dataclass(frozen=True)
class _Part:
    """A partial on the workers, and the units whose it is."""

    future: Future
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class _Merge:
    """A task that joins partials."""

    parts: tuple[_Part, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
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


class DaskEngine:
    """Does units on the workers of a Dask client.

    Parameters
    ----------
    client : distributed.Client
        Synchronous.
    progress : Progress, optional
        Silent by default.
    retries : int
        Further tries of a unit that failed.
    patience : float
        Seconds without any worker after which a pass is given up.
    shortage : callable, optional
        Returns one line on why no more workers will come, or None as long as some may.
    fitness : Fitness, optional
        What is asked of each worker before its first unit; one that is not fit is sent away.
    """

    def __init__(
        self,
        client: Any,
        progress: Progress | None = None,
        *,
        retries: int = 2,
        patience: float = PATIENCE_SECONDS,
        shortage: Callable[[], str | None] | None = None,
        fitness: Fitness | None = None,
    ) -> None:
        self.client: Client = client
        self.progress: Progress = progress or Silent()
        self.retries = retries
        self.patience = patience
        self.shortage = shortage or (lambda: None)
        self.fitness = fitness
        self.here: set[str] | None = None
        """Addresses of the workers when they were last looked at."""

    @property
    def workers(self) -> int:
        """Threads of all workers; at least 1."""
        return max(1, int(sum(self.client.nthreads().values())))

    @property
    def dashboard(self) -> str | None:
        """Address of Dask's dashboard."""
        return str(self.client.dashboard_link) or None

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
        """See `tilegc.engine.Engine.run`."""
        with Books(name, units, self.progress, combine=combine, ledger=ledger, gather=gather) as books:
            if not books.units:
                return books.result(tries=self.retries + 1)
            drive = _Drive(self, books)
            try:
                if gather is not None and combine is None:
                    function, combine = Listed(function), operator.add
                elif ledger is not None:
                    function, combine = Stamped(function), Joined(combine)
                with drive.interrupts:
                    return drive.go((name, function, combine, common, self.fitness), units_per_task)
            finally:
                drive.stop()


class _Drive:
    """One pass under way."""

    def __init__(self, engine: DaskEngine, books: Books) -> None:
        self.engine = engine
        self.client = engine.client
        self.books = books
        self.retries = engine.retries
        self.patience = engine.patience
        self.shortage = engine.shortage
        self.interrupts = HeldBack()
        self.sent_away: set[str] = set()
        self.lost: set[str] = set()
        """Tasks that had ended, whose worker then left with the result: the scheduler does them again."""
        self.pending: deque[_Batch] = deque()
        self.running: dict[str, tuple[Future, _Batch | _Merge]] = {}
        self.ready: deque[_Part] = deque()
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.lost_merges = 0
        self.job: Future | None = None
        self.slots = 1
        self.fan = FAN_IN
        """Partials that one task joins."""
        self.looked = self.seen = time.monotonic()

    def go(self, job: Job, length: int | None) -> Any:
        books = self.books
        self.look()
        length = length or run_length(books.units, self.slots)
        if books.rooted:
            self.fan = max(1, FAN_IN // length)
        self.pending.extend(
            _Batch(tuple(books.units[i : i + length])) for i in range(0, len(books.units), length)
        )
        # A task that unpickles rather than `scatter`: data that was scattered to a worker which then dies
        # is gone.
        with dask.config.set(LARGE):
            self.job = self.client.submit(
                pickle.loads, cloudpickle.dumps(job), key=f"{books.name}-load-{uuid.uuid4().hex}", pure=False
            )
        in_driver = books.ledger is not None or (books.gather is not None and not books.rooted)
        while True:
            self.fill()
            if self.running:
                self.take(self.wait(), in_driver=in_driver)
            elif self.books.failed or not self.ready:
                return books.result(tries=self.retries + 1)
            else:
                part = self.ready.popleft()
                try:
                    partial = self.fetch(part.future)
                except Exception as error:  # noqa: BLE001  (units' errors, dead workers)
                    self.again(part.units, error)
                else:
                    if not books.rooted:
                        return books.result(partial, tries=self.retries + 1)
                    books.gathered(partial)

    def stop(self) -> None:
        """Let go of everything; on Ctrl-C or an error also of what runs."""
        futures = [future for future, _ in self.running.values()]
        if futures and self.client.status == "running":
            try:
                self.client.cancel(futures, force=True)
            except Exception as error:  # noqa: BLE001  (we are leaving already)
                log.warning("%s: cannot cancel: %s", self.books.name, describe(error))
            self.settle([future.key for future in futures])
        for future in futures:
            future.release()
        self.running.clear()
        self.ready.clear()
        self.pending.clear()
        self.job = None  # an exception's traceback may keep this object: let its data on the workers go

    def settle(self, keys: list[str]) -> None:
        """Wait until nothing of this pass still runs: it would write into a folder that is given up."""
        end = time.monotonic() + (HURRIED_SECONDS if hurried() else SETTLE_SECONDS)
        try:
            while any(self.client.run(busy, keys).values()) and time.monotonic() < end:
                time.sleep(0.1)
        except Exception as error:  # noqa: BLE001  (we are leaving already)
            log.warning("%s: cannot see what still runs: %s", self.books.name, describe(error))

    def fill(self) -> None:
        """Submit merges as soon as they are due, and units up to the bound."""
        due = self.fan if self.pending or self.running else 2
        while self.fan > 1 and len(self.ready) >= due:
            parts = tuple(self.ready.popleft() for _ in range(min(self.fan, len(self.ready))))
            self.join(parts)
            due = self.fan
        bound = max(IN_FLIGHT * self.slots, FAN_IN)
        if len(self.running) <= bound // 2 or len(self.pending) <= bound // 2:
            room = max(bound - len(self.running), 0)
            batches = [self.pending.popleft() for _ in range(min(room, len(self.pending)))]
            self.send(batches)

    def send(self, batches: list[_Batch]) -> None:
        """Submit runs of units, as one message: each costs the scheduler a millisecond."""
        if not batches:
            return
        payloads = [
            cloudpickle.dumps([(unit.key, unit.pixels, unit.payload) for unit in batch.units])
            for batch in batches
        ]
        with dask.config.set(LARGE):
            futures = self.client.map(
                do_units,
                [self.job] * len(batches),
                payloads,
                [batch.again for batch in batches],
                key=[self.key("tiles") for _ in batches],
                pure=False,
            )
        for future, batch in zip(futures, batches, strict=True):
            self.enter(future, batch)

    def join(self, parts: tuple[_Part, ...]) -> None:
        """Submit the joining of partials, before any more units."""
        future = self.client.submit(
            merge, self.job, [part.future for part in parts], key=self.key("merge"), pure=False, priority=1
        )
        self.enter(future, _Merge(parts))

    def key(self, what: str) -> str:
        return f"{self.books.name}-{what}-{uuid.uuid4().hex}"

    def enter(self, future: Future, what: _Batch | _Merge) -> None:
        self.running[future.key] = (future, what)
        ended = self.ended
        future.add_done_callback(lambda done: ended.put(done.key))

    def wait(self) -> str:
        """Return the key of the next task that has ended."""
        while True:
            if time.monotonic() - self.looked > POLL_SECONDS:
                self.look()
            for key in self.lost:
                if self.running[key][0].status not in {"lost", "pending"}:
                    self.lost.remove(key)
                    return key
            try:
                with self.interrupts.let_through():
                    return self.ended.get(timeout=LOST_SECONDS if self.lost else POLL_SECONDS)
            except queue.Empty:
                continue

    def look(self) -> None:
        """See how many workers there are, and whether there still is a scheduler."""
        self.alive()
        self.looked = time.monotonic()
        with self.interrupts.let_through():
            threads: dict[str, int] = self.client.nthreads()
        self.slots = max(1, sum(threads.values()))
        self.tell_of(set(threads))
        if threads:
            self.seen = self.looked
            return
        why = self.shortage()
        if why is not None:
            raise RunFailedError(f"{self.books.name}: {why}; fix the cause and rerun with --resume")
        if self.looked - self.seen > self.patience:
            raise RunFailedError(
                f"{self.books.name}: no worker for {self.patience:.0f} s: start workers at the scheduler, then go "
                "on with --resume (compute.patience in the run file says how long to wait)"
            )

    def tell_of(self, here: set[str]) -> None:
        """Log who has come and who has left."""
        before, self.engine.here = self.engine.here, here
        if before is not None and here != before:
            came, left = sorted(here - before), sorted(before - here)
            log.info("workers: %d; came: %s; left: %s", len(here), _listed(came), _listed(left))
        if not here and before != here:
            how_long = f" {self.patience:.0f} s" if math.isfinite(self.patience) else ""
            log.warning("%s: no worker is left; waiting%s for one", self.books.name, how_long)

    def alive(self) -> None:
        if self.client.status != "running":
            raise RunFailedError(
                f"{self.books.name}: lost the scheduler; what is done is recorded: go on with --resume"
            )

    def take(self, key: str, *, in_driver: bool) -> None:
        """Enter a task that has ended."""
        future, what = self.running.pop(key)
        if future.status == "finished":
            if isinstance(what, _Merge):
                self.enter_part(_Part(future, what.units), whole=True)
            elif in_driver:
                try:
                    partial = self.fetch(future)
                except TileGCError:
                    raise
                except Exception as error:  # noqa: BLE001  (dead workers)
                    self.broken(what, error)
                else:
                    if isinstance(partial, Written):
                        self.books.finished(what.units, partial.partial, partial.stamps)
                    else:
                        self.books.finished(what.units, partial)
            else:
                self.books.finished(what.units)
                if self.books.combine is not None:
                    self.enter_part(_Part(future, what.units), whole=self.fan == 1)
            return
        if future.status in {"lost", "pending"}:
            self.running[key] = (future, what)
            self.lost.add(key)
            return
        if future.status != "error":
            self.alive()
            raise RunFailedError(
                f"{self.books.name}: the scheduler dropped a task ({future.status}): go on with --resume"
            )
        failure: BaseException = future.exception()
        if isinstance(failure, TileGCError):
            raise failure
        if self.job is not None and self.job.status == "error":
            raise RunFailedError(
                f"{self.books.name}: the workers cannot load the work: {describe(self.job.exception())}; "
                "they need the same tilegc as this process"
            )
        if isinstance(what, _Merge):
            self.again(what.units, failure)
        elif isinstance(failure, UnfitWorkerError):
            self.send_away(failure)
            self.pending.appendleft(what)
        else:
            self.broken(what, failure)

    def fetch(self, future: Future) -> Any:
        """Return what a task that has ended gave; its worker may be gone with it, and be the last one."""
        seconds = POLL_SECONDS
        while True:
            try:
                with self.interrupts.let_through():
                    return future.result(timeout=seconds)
            except TimeoutError:
                if future.status == "error":
                    raise
                self.look()
            seconds *= 2  # what is large may come slowly, and begins anew

    def enter_part(self, part: _Part, *, whole: bool) -> None:
        """Keep a partial to be joined; where they are gathered and it is as large as it may be, take it here."""
        if not (whole and self.books.rooted):
            self.ready.append(part)
            return
        try:
            partial = self.fetch(part.future)
        except Exception as error:  # noqa: BLE001  (dead workers)
            self.again(part.units, error)
        else:
            self.books.gathered(partial)

    def send_away(self, failure: UnfitWorkerError) -> None:
        """Rid the scheduler of a worker that cannot work for this run: it would fail fast, and so get most tasks."""
        if failure.address in self.sent_away:
            return
        self.sent_away.add(failure.address)
        log.warning("worker %s is sent away: it %s", failure.worker, failure.reason)
        if len(self.sent_away) > UNFIT:
            raise RunFailedError(
                f"{self.books.name}: {len(self.sent_away)} workers cannot work here; worker {failure.worker} "
                f"{failure.reason}; fix the cause and rerun with --resume"
            )
        with self.interrupts.let_through():
            self.client.retire_workers([failure.address], close_workers=True, remove=True)

    def broken(self, batch: _Batch, error: BaseException) -> None:
        """Try the units of a failed run again, each that may be at fault alone."""
        if isinstance(error, UnitsError):
            failures = {key: (line, trace) for key, line, trace in error.failures}
            for key, (_, trace) in failures.items():
                log.warning("%s: %s on worker %s: %s", self.books.name, key, error.worker, trace)
            well = tuple(unit for unit in batch.units if unit.key not in failures)
            if well and error.written is not None:
                self.books.finished(well, error.written.partial, error.written.stamps)
            elif well and self.books.combine is None and self.books.gather is None:
                self.books.finished(well)
            elif well:  # their partial went with the failure
                self.pending.append(_Batch(well, batch.tries, again=True))
            for unit in batch.units:
                if unit.key in failures:
                    self.once_more(unit, batch.tries + 1, failures[unit.key][0])
        elif len(batch.units) > 1:
            log.warning("%s: a run of tiles failed, each again alone: %s", self.books.name, describe(error))
            self.pending.extend(_Batch((unit,), batch.tries, again=True) for unit in batch.units)
        elif isinstance(error, KilledWorker):
            deaths = error.allowed_failures + 1
            self.books.gave_up(
                batch.units[0], f"{deaths} workers died of it one after the other: out of memory?"
            )
        else:
            self.once_more(batch.units[0], batch.tries + 1, describe(error))

    def once_more(self, unit: Unit, tries: int, reason: str) -> None:
        if tries > self.retries:
            self.books.gave_up(unit, reason)
        else:
            self.pending.append(_Batch((unit,), tries, again=True))

    def again(self, units: tuple[Unit, ...], error: BaseException) -> None:
        """Do units again whose joint partial cannot be had."""
        if isinstance(error, TileGCError):
            raise error
        self.lost_merges += 1
        log.warning("%s: joining partial results failed: %s", self.books.name, describe(error))
        if self.lost_merges > self.retries:
            raise RunFailedError(
                f"{self.books.name}: joining partial results failed: {describe(error)}"
            ) from error
        length = run_length(units, self.slots)
        self.pending.extend(_Batch(units[i : i + length], again=True) for i in range(0, len(units), length))


def _listed(names: list[str]) -> str:
    if not names:
        return "-"
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
