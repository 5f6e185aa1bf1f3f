"""How busy the workers of a sample are: the share of their threads that have a task, once a second."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Occupancy", "watched"]

SECONDS: Final = 1.0


@dataclass
class Occupancy:
    """Sums over the samples that were taken."""

    threads: float = 0.0
    """Threads seen, in all samples."""
    busy: float = 0.0
    """Those of them that had a task."""
    shared_threads: float = 0.0
    """Threads seen while more than one cluster was left."""
    shared_busy: float = 0.0
    clusters_left: int = 0
    """Clusters that wait or run; set by whoever starts them."""

    @property
    def whole(self) -> float | None:
        """Busy share over the whole time; None if nothing was seen."""
        return self.busy / self.threads if self.threads else None

    @property
    def shared(self) -> float | None:
        """Busy share while more than one cluster was left."""
        return self.shared_busy / self.shared_threads if self.shared_threads else None

    def look(self, client: Any) -> None:
        """Take one sample: a thread is busy if its worker has as many tasks."""
        threads = client.nthreads()
        tasks = client.processing()
        total = sum(threads.values())
        busy = sum(min(len(tasks.get(worker, ())), count) for worker, count in threads.items())
        self.threads += total
        self.busy += busy
        if self.clusters_left > 1:
            self.shared_threads += total
            self.shared_busy += busy


@contextlib.contextmanager
def watched(client: Any | None) -> Iterator[Occupancy]:
    """Measure the workers of a client as long as the context lasts; None: there are none to measure."""
    found, ended = Occupancy(), threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS):
            # The scheduler may be gone, which is the drivers' affair.
            with contextlib.suppress(Exception):
                found.look(client)

    if client is None:
        yield found
        return
    thread = threading.Thread(target=watch, name="tilegc-occupancy", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(10 * SECONDS)
