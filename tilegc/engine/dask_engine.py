"""The engine on the workers of a Dask client: one `tilegc.engine.futures.Drive` for each pass."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tilegc.deferred import Deferred
from tilegc.engine.futures import Drive
from tilegc.engine.on_worker import Fitness, Listed
from tilegc.engine.progress import Progress, Silent
from tilegc.engine.work import Books, Combine, Function, Gather, Marks, Unit, describe
from tilegc.engine.written import Joined, Stamped
from tilegc.errors import RunFailedError

if TYPE_CHECKING:
    import distributed
    from distributed import Client
else:
    distributed = Deferred("distributed")

__all__ = ["PATIENCE_SECONDS", "DaskEngine"]

PATIENCE_SECONDS = 60.0
"""Default time that a pass waits for a worker while there is none."""


class DaskEngine:
    """Runs units on the workers of a Dask client.

    Parameters
    ----------
    client : distributed.Client
        Synchronous.
    progress : Progress, optional
        Silent by default.
    retries : int
        Number of times that a failed unit is retried.
    patience : float
        Seconds without any worker after which a pass gives up.
    shortage : callable, optional
        Returns one line on why no more workers will come, or None as long as some may.
    fitness : Fitness, optional
        Check made on each worker before its first unit; a worker that does not pass is dismissed.
    priority : int
        Priority of the units among those of other clients of the scheduler; joining partial results has one more.
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
        priority: int = 0,
    ) -> None:
        self.client: Client = client
        self.progress: Progress = progress or Silent()
        self.retries = retries
        self.patience = patience
        self.shortage = shortage or (lambda: None)
        self.fitness = fitness
        self.priority = priority
        self.here: set[str] | None = None
        """Addresses of the workers at the last count."""

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
        # The books are outermost: whatever ends the pass below, an error or Ctrl-C, finished units get their
        # mark on the way out. The drive is stopped before, so that no task still writes when the marks are
        # complete.
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
                priority=self.priority,
            )
            try:
                # Results pass through the same reduction in either case. Gathered partials travel as lists,
                # which `+` joins; units of a writing pass bring the stamps of their files along, so that a
                # mark is never written without them.
                if gather is not None and combine is None:
                    function, combine = Listed(function), operator.add
                elif ledger is not None:
                    function, combine = Stamped(function), Joined(combine)
                with drive.interrupts:
                    return drive.go((name, function, combine, common, self.fitness), units_per_task)
            except distributed.comm.CommClosedError as error:
                # The client notices that its scheduler is gone a moment later than a question that was under way. It
                # may also be only a connection that broke; then nothing else is known of the pass either.
                raise RunFailedError(
                    f"{name}: lost the scheduler ({describe(error)}); finished work is recorded: rerun with --resume"
                ) from error
            finally:
                # Remembered for the next pass, so that workers that come or go between two passes are
                # reported, too.
                self.here = drive.pool.here
                drive.stop()
