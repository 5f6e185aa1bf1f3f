"""The workers of a pass: their number, how long to wait for the first, and which ones are dismissed."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tilegc.engine.interrupt import HeldBack, hurried
from tilegc.engine.on_worker import UnfitWorkerError, busy
from tilegc.engine.work import LISTED, describe
from tilegc.errors import RunFailedError, SchedulerLostError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Pool"]

log = logging.getLogger("tilegc.engine")

UNFIT = 4
"""Number of workers that may be dismissed as unfit; one more ends the run."""

SETTLE_SECONDS = 60.0
"""How long an abandoned pass waits for running tasks, which cannot be stopped."""
HURRIED_SECONDS = 10.0
"""The same after SIGTERM: SLURM and Kubernetes kill after 30 s, and by then the workers must have stopped, too."""


class Pool:
    """What a pass knows about its workers.

    Parameters
    ----------
    client : distributed.Client
        Synchronous.
    name : str
        The pass, for messages.
    interrupts : HeldBack
        Lets Ctrl-C through while the driver waits for the scheduler.
    patience : float
        Seconds without any worker after which the pass gives up.
    shortage : callable
        Returns one line on why no more workers will come, or None as long as some may.
    here : set of str, optional
        Addresses of the workers at the last count of an earlier pass.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        interrupts: HeldBack,
        *,
        patience: float,
        shortage: Callable[[], str | None],
        here: set[str] | None,
    ) -> None:
        self.client: Client = client
        self.name = name
        self.interrupts = interrupts
        self.patience = patience
        self.shortage = shortage
        self.here = here
        self.slots = 1
        """Threads of all workers."""
        self.looked = self._seen = time.monotonic()
        """When the workers were last counted, and when there last were any."""
        self._sent_away: set[str] = set()

    def look(self) -> None:
        """Count the workers, and check that the scheduler is still there."""
        # A closed client answers none of the questions below with an error: it would count no workers, and
        # wait for some.
        self.alive()
        self.looked = time.monotonic()
        with self.interrupts.let_through():
            threads: dict[str, int] = self.client.nthreads()
        self.slots = max(1, sum(threads.values()))
        self.tell_of(set(threads))
        if threads:
            # Patience runs from the last time that any worker was there, so that a batch queue may take one
            # away and bring another.
            self._seen = self.looked
            return
        # A scheduler of batch jobs knows more than the passing of time: if all jobs failed, none will ever
        # come.
        why = self.shortage()
        if why is not None:
            raise RunFailedError(f"{self.name}: {why}; fix the cause and rerun with --resume")
        if self.looked - self._seen > self.patience:
            raise RunFailedError(
                f"{self.name}: no worker for {self.patience:.0f} s: start workers and rerun with --resume "
                "(compute.patience in the run file sets how long to wait)"
            )

    def tell_of(self, here: set[str]) -> None:
        """Log which workers have joined and which have left."""
        before, self.here = self.here, here
        if before is not None and here != before:
            came, left = sorted(here - before), sorted(before - here)
            log.info("workers: %d; joined: %s; left: %s", len(here), _listed(came), _listed(left))
        if not here and before != here:
            how_long = f" {self.patience:.0f} s" if math.isfinite(self.patience) else ""
            log.warning("%s: no worker is left; waiting%s for one", self.name, how_long)

    def alive(self) -> None:
        """Raise RunFailedError if the scheduler is lost."""
        if self.client.status != "running":
            raise SchedulerLostError(
                f"{self.name}: lost the scheduler; finished work is recorded: rerun with --resume"
            )

    def settle(self, keys: list[str]) -> None:
        """Wait until none of these tasks is running: it would write into a directory that the run has left."""
        # A bound, because a task may hang in a dead file system, and leaving must end at some time.
        end = time.monotonic() + (HURRIED_SECONDS if hurried() else SETTLE_SECONDS)
        try:
            while any(self.client.run(busy, keys).values()) and time.monotonic() < end:
                time.sleep(0.1)
        except Exception as error:  # noqa: BLE001  (we are leaving already)
            log.warning("%s: cannot see what still runs: %s", self.name, describe(error))

    def send_away(self, failure: UnfitWorkerError) -> None:
        """Remove a worker that cannot work for this run: it fails fast and would therefore be given most tasks."""
        # Several of its tasks fail before it is gone: it counts once.
        if failure.address in self._sent_away:
            return
        self._sent_away.add(failure.address)
        log.warning("worker %s is dismissed: it %s", failure.worker, failure.reason)
        if len(self._sent_away) > UNFIT:
            raise RunFailedError(
                f"{self.name}: {len(self._sent_away)} workers cannot work here; worker {failure.worker} "
                f"{failure.reason}; fix the cause and rerun with --resume"
            )
        with self.interrupts.let_through():
            self.client.retire_workers([failure.address], close_workers=True, remove=True)


def _listed(names: list[str]) -> str:
    if not names:
        return "-"
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
