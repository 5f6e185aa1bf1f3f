"""The engine on the workers of a Dask client: one `tilegc.engine.futures.Drive` for each pass."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tilegc.engine.futures import Drive
from tilegc.engine.on_worker import Fitness, Listed
from tilegc.engine.progress import Progress, Silent
from tilegc.engine.work import Books, Combine, Function, Gather, Marks, Unit
from tilegc.engine.written import Joined, Stamped

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["PATIENCE_SECONDS", "DaskEngine"]

PATIENCE_SECONDS = 60.0
"""How long it waits for a worker while there is none, by default."""


class DaskEngine:
    """Runs units on the workers of a Dask client.

    Parameters
    ----------
    client : distributed.Client
        Synchronous.
    progress : Progress, optional
        Silent by default.
    retries : int
        How often a failed unit is tried again.
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
            drive = Drive(
                self.client,
                books,
                retries=self.retries,
                patience=self.patience,
                shortage=self.shortage,
                here=self.here,
            )
            try:
                if gather is not None and combine is None:
                    function, combine = Listed(function), operator.add
                elif ledger is not None:
                    function, combine = Stamped(function), Joined(combine)
                with drive.interrupts:
                    return drive.go((name, function, combine, common, self.fitness), units_per_task)
            finally:
                self.here = drive.pool.here
                drive.stop()
