"""The workers of a pass: how many there are, how long to wait for the first, and who is sent away."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tilegc.engine.interrupt import HeldBack, hurried
from tilegc.engine.on_worker import UnfitWorkerError, busy
from tilegc.engine.work import LISTED, describe
from tilegc.errors import RunFailedError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Pool"]

log = logging.getLogger("tilegc.engine")

UNFIT = 4
"""Number of late workers that may be found unfit and sent away; one more ends the run."""

SETTLE_SECONDS = 60.0
"""How long a pass that is given up waits for running tasks, which cannot be stopped."""
HURRIED_SECONDS = 10.0
"""The same after SIGTERM: SLURM and Kubernetes kill 30 s later, and the workers must have ended before that, too."""


class Pool:
    """What a pass knows of its workers.

    Parameters
    ----------
    client : distributed.Client
        Synchronous.
    name : str
        The pass, for messages.
    interrupts : HeldBack
        Lets Ctrl-C through while a question to the scheduler is answered.
    patience : float
        Seconds without any worker after which the pass is given up.
    shortage : callable
        Returns one line on why no more workers will come, or None as long as some may.
    here : set of str, optional
        Addresses of the workers when they were last counted, by an earlier pass.
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
        """Count the workers, and require that there still is a scheduler."""
        self.alive()
        self.looked = time.monotonic()
        with self.interrupts.let_through():
            threads: dict[str, int] = self.client.nthreads()
        self.slots = max(1, sum(threads.values()))
        self.tell_of(set(threads))
        if threads:
            self._seen = self.looked
            return
        why = self.shortage()
        if why is not None:
            raise RunFailedError(f"{self.name}: {why}; fix the cause and rerun with --resume")
        if self.looked - self._seen > self.patience:
            raise RunFailedError(
                f"{self.name}: no worker for {self.patience:.0f} s: start workers and rerun with --resume "
                "(compute.patience in the run file sets how long to wait)"
            )

    def tell_of(self, here: set[str]) -> None:
        """Log who has come and who has left."""
        before, self.here = self.here, here
        if before is not None and here != before:
            came, left = sorted(here - before), sorted(before - here)
            log.info("workers: %d; joined: %s; left: %s", len(here), _listed(came), _listed(left))
        if not here and before != here:
            how_long = f" {self.patience:.0f} s" if math.isfinite(self.patience) else ""
            log.warning("%s: no worker is left; waiting%s for one", self.name, how_long)

    def alive(self) -> None:
        """Require that there still is a scheduler."""
        if self.client.status != "running":
            raise RunFailedError(
                f"{self.name}: lost the scheduler; finished work is recorded: rerun with --resume"
            )

    def settle(self, keys: list[str]) -> None:
        """Wait until none of these tasks still runs: it would write into a directory that is given up."""
        end = time.monotonic() + (HURRIED_SECONDS if hurried() else SETTLE_SECONDS)
        try:
            while any(self.client.run(busy, keys).values()) and time.monotonic() < end:
                time.sleep(0.1)
        except Exception as error:  # noqa: BLE001  (we are leaving already)
            log.warning("%s: cannot see what still runs: %s", self.name, describe(error))

    def send_away(self, failure: UnfitWorkerError) -> None:
        """Remove a worker that cannot work for this run: it would fail fast, and so be given most tasks."""
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
