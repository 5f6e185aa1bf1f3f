"""The Dask driver: runs of units as futures, a bounded number in flight, their partial results reduced on the workers.

Futures are the only part of Dask used here, because the internals of array graphs keep changing. A task costs about
2 ms, so it carries a run of neighbouring units. Partial results stay on the workers. As soon as there are `FAN_IN` of
them, one more task joins them, and only the last one comes to the driver: any order gives the same result because
`combine` is associative and commutative. Results that grow with the mosaic are gathered, `FAN_IN` tiles at a time.

What can go wrong, and what happens then:

- a unit raises: it is retried alone, `retries` times, mostly on another worker; then it is listed;
- a unit raises a `TileGCError` (bad input): the pass ends with it at once;
- a worker dies: Dask repeats its tasks elsewhere, including those whose partial results it held; of tasks that were on
  worker after worker that died, each unit is tried with nothing beside it, and the one at fault is listed;
- a partial result is lost for good: the units that it was computed from are repeated;
- the last worker leaves with partial results: the driver waits for them as for any other work, with patience;
- the scheduler is lost, or all workers stay away: `RunFailedError`;
- Ctrl-C: held back while futures are created and dropped, answered while the driver waits.
"""

from __future__ import annotations

import logging
import pickle
import queue
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]

from tilegc.deferred import Deferred
from tilegc.engine.interrupt import HeldBack
from tilegc.engine.on_worker import Job, UnfitWorkerError, UnitsError, do_units, merge
from tilegc.engine.pool import Pool
from tilegc.engine.tasks import Batch, Merge, Part, batches, run_length
from tilegc.engine.work import Books, Unit, describe
from tilegc.engine.written import Written
from tilegc.errors import RunFailedError, SchedulerLostError, TileGCError

if TYPE_CHECKING:
    import dask
    import distributed
    from distributed import Client, Future
else:
    dask = Deferred("dask")
    distributed = Deferred("distributed")

__all__ = ["Drive"]

log = logging.getLogger("tilegc.engine")

FAN_IN = 16
"""Number of partial results that one task joins."""
# A worker always has a next task, even when several end at once while the driver is busy; and there are few
# enough that a pass can be cancelled quickly.
IN_FLIGHT = 4
"""Tasks in flight per worker thread: enough that no worker waits for the driver."""
LARGE = {"distributed.admin.large-graph-warning-threshold": "1GiB"}
"""Tables of a field and lens models are large but sent only once, so Dask's warning about size does not apply."""
POLL_SECONDS = 5.0
"""How often the driver counts the workers while no task finishes."""
LOST_SECONDS = 0.5
"""How often the driver checks tasks that the scheduler repeats, since nothing announces their end."""


class Drive:
    """A pass in progress."""

    def __init__(
        self,
        client: Client,
        books: Books,
        *,
        retries: int,
        patience: float,
        shortage: Callable[[], str | None],
        here: set[str] | None,
        priority: int = 0,
    ) -> None:
        self.client = client
        self.books = books
        self.retries = retries
        self.priority = priority
        self.interrupts = HeldBack()
        self.pool = Pool(client, books.name, self.interrupts, patience=patience, shortage=shortage, here=here)
        self.lost: set[str] = set()
        """Finished tasks whose worker then left with the result; the scheduler repeats them."""
        self.pending: deque[Batch] = deque()
        self.suspects: deque[Batch] = deque()
        """Units that were on workers that died, perhaps because of other units: each is retried alone at the end."""
        self.running: dict[str, tuple[Future, Batch | Merge]] = {}
        self.ready: deque[Part] = deque()
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.lost_merges = 0
        self.job: Future | None = None
        self.fan = FAN_IN
        """Number of partial results that one task joins."""

    def go(self, job: Job, length: int | None) -> Any:
        """Process all units, `length` per task, and return the result of the pass."""
        # The workers are counted before the work is cut into runs, whose length depends on how many there
        # are.
        books = self.books
        self.pool.look()
        length = length or run_length(books.units, self.pool.slots)
        if books.rooted:
            self.fan = max(1, FAN_IN // length)
        self.pending.extend(batches(books.units, length))
        # A task that unpickles rather than `scatter`: data that was scattered to a worker which then dies
        # is gone.
        with dask.config.set(LARGE):
            self.job = self.client.submit(
                pickle.loads,
                cloudpickle.dumps(job),
                key=f"{books.name}-load-{uuid.uuid4().hex}",
                pure=False,
                priority=self.priority,
            )
        # Units of a ledger must come to the driver one by one, because their marks are written here;
        # otherwise only the joined partials travel.
        in_driver = books.ledger is not None or (books.gather is not None and not books.rooted)
        # Ends when nothing runs, nothing waits and at most one partial is left. A partial may turn out to be lost
        # only when it is fetched; its units are then queued again, and the loop goes on.
        while True:
            self.fill()
            if self.running:
                self.take(self.wait(), in_driver=in_driver)
            elif not self.ready or (self.books.failed and not self.books.rooted):
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
        """Release all futures; after Ctrl-C or an error, cancel running tasks, too."""
        futures = [future for future, _ in self.running.values()]
        if futures and self.client.status == "running":
            try:
                self.client.cancel(futures, force=True)
            except Exception as error:  # noqa: BLE001  (we are leaving already)
                log.warning("%s: cannot cancel: %s", self.books.name, describe(error))
            # Dask cannot interrupt a running task. One that is left behind could still write into the run's
            # directory after the lock has been released and another run has taken over.
            self.pool.settle([future.key for future in futures])
        for future in futures:
            future.release()
        self.running.clear()
        self.ready.clear()
        self.pending.clear()
        self.suspects.clear()
        self.job = None  # an exception's traceback may keep this object: let its data on the workers go

    def fill(self) -> None:
        """Submit merges when they are due, and units up to the limit of tasks in flight."""
        # While units are still to come, only full groups of partials are joined, so that the tree stays flat; at the
        # end whatever is left is joined.
        # `fan` is 1 where a run of units alone gives as much as the driver takes at once: nothing is then
        # joined on the workers.
        due = self.fan if self.pending or self.running or self.suspects else 2
        while self.fan > 1 and len(self.ready) >= due:
            parts = tuple(self.ready.popleft() for _ in range(min(self.fan, len(self.ready))))
            self.join(parts)
            due = self.fan
        # The bound keeps the scheduler's memory and the time of a cancellation independent of the size of the mosaic.
        # It is refilled by halves, because each message to the scheduler has a cost of its own.
        bound = max(IN_FLIGHT * self.pool.slots, FAN_IN)
        if len(self.running) <= bound // 2 or len(self.pending) <= bound // 2:
            room = max(bound - len(self.running), 0)
            self.send([self.pending.popleft() for _ in range(min(room, len(self.pending)))])
        # A unit that killed its worker is tried with nothing beside it: Dask blames every task on a worker that dies,
        # so that neighbours would be suspected with it.
        if self.suspects and not self.running:
            self.send([self.suspects.popleft()])

    def send(self, runs: list[Batch]) -> None:
        """Submit runs of units in one message, because every message costs the scheduler a millisecond."""
        if not runs:
            return
        with dask.config.set(LARGE):
            # `pure=False` and keys of our own: Dask must neither take two equal payloads for one task nor
            # reuse the result of an earlier pass of the same name.
            futures = self.client.map(
                do_units,
                [self.job] * len(runs),
                [batch.packed() for batch in runs],
                [batch.again for batch in runs],
                key=[self.key("tiles") for _ in runs],
                pure=False,
                priority=self.priority,
            )
        for future, batch in zip(futures, runs, strict=True):
            self.enter(future, batch)

    def join(self, parts: tuple[Part, ...]) -> None:
        """Submit a task that joins partial results, ahead of further units."""
        # One higher than units: joining frees the memory of up to `FAN_IN` partials, and must not queue behind
        # units that create more.
        future = self.client.submit(
            merge,
            self.job,
            [part.future for part in parts],
            key=self.key("merge"),
            pure=False,
            priority=self.priority + 1,
        )
        self.enter(future, Merge(parts))

    def key(self, what: str) -> str:
        """Return a unique key for a task."""
        return f"{self.books.name}-{what}-{uuid.uuid4().hex}"

    def enter(self, future: Future, what: Batch | Merge) -> None:
        """Register a submitted task and have its end announced."""
        self.running[future.key] = (future, what)
        # The callback runs in Dask's thread. It holds the queue, not this object: a reference to the drive
        # from a future's callback would keep the futures, and with them the data on the workers, alive.
        ended = self.ended
        future.add_done_callback(lambda done: ended.put(done.key))

    def wait(self) -> str:
        """Wait for the next task to end, and return its key."""
        while True:
            # Also while tasks finish: a scheduler that is lost cancels every future, and workers that leave
            # must be seen.
            if time.monotonic() - self.pool.looked > POLL_SECONDS:
                self.pool.look()
            # A task whose result left with its worker is computed again under the same key, and its callback does not
            # fire a second time: its state must be asked for.
            for key in self.lost:
                if self.running[key][0].status not in {"lost", "pending"}:
                    self.lost.remove(key)
                    return key
            try:
                with self.interrupts.let_through():
                    return self.ended.get(timeout=LOST_SECONDS if self.lost else POLL_SECONDS)
            except queue.Empty:
                continue

    def take(self, key: str, *, in_driver: bool) -> None:
        """Process a task that has ended."""
        # States are asked for now and not when the callback fired: in between a worker may have left with the
        # result.
        future, what = self.running.pop(key)
        if future.status == "finished":
            if isinstance(what, Merge):
                self.enter_part(Part(future, what.units), whole=True)
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
                    self.enter_part(Part(future, what.units), whole=self.fan == 1)
            return
        # It had ended when its callback fired, but its worker left before the driver looked.
        if future.status in {"lost", "pending"}:
            self.running[key] = (future, what)
            self.lost.add(key)
            return
        if future.status != "error":
            self.pool.alive()
            raise SchedulerLostError(
                f"{self.books.name}: the scheduler dropped a task ({future.status}); rerun with --resume"
            )
        # From the most general cause to the most special one: bad input ends the run, workers that cannot
        # even load the work make every task fail for the same reason, and only what remains is a matter of
        # single units.
        failure: BaseException = future.exception()
        if isinstance(failure, TileGCError):
            raise failure
        if self.job is not None and self.job.status == "error":
            raise RunFailedError(
                f"{self.books.name}: the workers cannot load the work: {describe(self.job.exception())}; "
                "they need the same tilegc as this process"
            )
        if isinstance(what, Merge):
            self.again(what.units, failure)
        elif isinstance(failure, UnfitWorkerError):
            # Its tasks were never tried: they go to the front again and count as no failure of theirs.
            self.pool.send_away(failure)
            self.pending.appendleft(what)
        else:
            self.broken(what, failure)

    def fetch(self, future: Future) -> Any:
        """Return the result of a finished task; its worker may have left with it, and may have been the last one."""
        # A result cannot simply be awaited: if the last worker leaves with it, it comes back only when
        # another worker has computed it again, and in between somebody has to notice that none is coming.
        seconds = POLL_SECONDS
        while True:
            try:
                with self.interrupts.let_through():
                    return future.result(timeout=seconds)
            except TimeoutError:
                if future.status == "error":
                    raise
                self.pool.look()
            seconds *= 2  # what is large may come slowly, and begins anew

    def enter_part(self, part: Part, *, whole: bool) -> None:
        """Keep a partial result for joining, or gather it in the driver once it is as large as it may get."""
        if not (whole and self.books.rooted):
            self.ready.append(part)
            return
        try:
            partial = self.fetch(part.future)
        except Exception as error:  # noqa: BLE001  (dead workers)
            self.again(part.units, error)
        else:
            self.books.gathered(partial)

    def broken(self, batch: Batch, error: BaseException) -> None:
        """Retry the units of a failed run; each unit that may be at fault is retried alone."""
        # A task names the units that raised, if any did. Otherwise it is only known that one of them is at
        # fault, and all are tried one by one; after the death of a worker, moreover, with nothing else
        # running.
        killed = isinstance(error, distributed.KilledWorker)
        if isinstance(error, UnitsError):
            failures = {key: (line, trace) for key, line, trace in error.failures}
            for key, (_, trace) in failures.items():
                log.warning("%s: %s on worker %s: %s", self.books.name, key, error.worker, trace)
            # The other units of the task did their work. Where they only wrote, or their partial came along, they are
            # finished; where their partial was lost with the failure, they are done again, marked as such so that
            # nothing is counted twice.
            well = tuple(unit for unit in batch.units if unit.key not in failures)
            if well and error.written is not None:
                self.books.finished(well, error.written.partial, error.written.stamps)
            elif well and self.books.combine is None and self.books.gather is None:
                self.books.finished(well)
            elif well:  # their partial went with the failure
                self.pending.append(Batch(well, batch.tries, again=True))
            for unit in batch.units:
                if unit.key in failures:
                    self.once_more(unit, batch.tries + 1, failures[unit.key][0], data=True)
        elif len(batch.units) > 1 or (killed and not batch.alone):
            log.warning(
                "%s: a group of tiles failed and is repeated tile by tile: %s",
                self.books.name,
                describe(error),
            )
            waiting = self.suspects if killed else self.pending
            waiting.extend(Batch((unit,), batch.tries, again=True, alone=killed) for unit in batch.units)
        # It was alone on several workers, and all of them died: the unit is at fault, most likely by its
        # size.
        elif isinstance(error, distributed.KilledWorker):
            deaths = error.allowed_failures + 1
            self.books.gave_up(
                batch.units[0],
                f"it killed {deaths} workers one after the other: out of memory?",
                memory=True,
            )
        else:
            self.once_more(batch.units[0], batch.tries + 1, describe(error))

    def once_more(self, unit: Unit, tries: int, reason: str, *, data: bool = False) -> None:
        """Queue a failed unit again, or give up on it after the last try."""
        if tries > self.retries:
            self.books.gave_up(unit, reason, data=data)
        else:
            self.pending.append(Batch((unit,), tries, again=True))

    def again(self, units: tuple[Unit, ...], error: BaseException) -> None:
        """Repeat units whose joined partial result was lost."""
        if isinstance(error, TileGCError):
            raise error
        self.lost_merges += 1
        log.warning("%s: joining partial results failed: %s", self.books.name, describe(error))
        # Without a bound, a combine that always fails would repeat the same units forever.
        if self.lost_merges > self.retries:
            raise RunFailedError(
                f"{self.books.name}: joining partial results failed: {describe(error)}"
            ) from error
        self.pending.extend(batches(units, run_length(units, self.pool.slots), again=True))
