"""The processes that drive the clusters of a sample: each runs one cluster on workers that all of them share."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, Literal

from tilegc.cluster import TLS
from tilegc.config import RunConfig
from tilegc.errors import NoSchedulerError, SchedulerLostError, TileGCError, one_line
from tilegc.places import place
from tilegc.samples.planning import ClusterPlan

__all__ = ["LOOK_SECONDS", "Drive", "Keep", "driven"]

Keep = Literal["store", "products"]
"""What remains of a finished run: everything, or all but the arrays of its fields."""

LOOK_SECONDS: Final = 2.0
"""Interval in seconds between calls of the watcher while no cluster ends."""

COMMUNICATION: Final = ("CommClosedError", "FutureCancelledError", "ConnectionRefusedError")
"""Errors of a connection to a scheduler that has gone."""

LOST: Final = "stopped"
"""State of a cluster that ended for no reason of its own: a resumed survey continues it."""


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Instructions for the process of a driver."""

    config: RunConfig
    directory: str
    scheduler: str | None
    workers: int | None
    tls: TLS | None
    resume: bool
    overwrite: bool
    priority: int
    """Among the clusters on the same workers."""
    keep: Keep


def driven(
    queue: Sequence[ClusterPlan], drive: Callable[[ClusterPlan], Drive], many: int, idle: Callable[[], None]
) -> Iterator[tuple[str, str, str]]:
    """Run clusters in processes of their own; yield name, state and message whenever one starts or ends.

    If the scheduler is lost, no further cluster is started: it would only fail to connect.

    Parameters
    ----------
    queue : sequence of ClusterPlan
        Clusters in the order in which they start.
    drive : callable
        Returns the instructions for a cluster.
    many : int
        Clusters that are driven at the same time.
    idle : callable
        Called every `LOOK_SECONDS`.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(queue)
    running: dict[str, tuple[BaseProcess, Connection]] = {}
    process: BaseProcess
    try:
        while waiting or running:
            while waiting and len(running) < many:
                one = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_drive, args=(drive(one), sender), name=f"tilegc {one.name}")
                process.start()
                sender.close()
                running[one.name] = process, receiver
                yield one.name, "running", ""
            multiprocessing.connection.wait(
                [process.sentinel for process, _ in running.values()], timeout=LOOK_SECONDS
            )
            idle()
            for name in [name for name, (process, _) in running.items() if not process.is_alive()]:
                process, receiver = running.pop(name)
                process.join()
                state, message, lost = _ended(process, receiver)
                if lost:
                    waiting.clear()
                yield name, state, message
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join(60)


def _ended(process: BaseProcess, receiver: Connection) -> tuple[str, str, bool]:
    """Return state and message of a cluster whose process has ended, and whether it lost the scheduler."""
    with receiver, contextlib.suppress(EOFError):
        if receiver.poll():
            state, message, lost = receiver.recv()
            return str(state), str(message), bool(lost)
    message = f"its driver was killed (exit code {process.exitcode}); rerun with --resume"
    return LOST, message, False


def lost_scheduler(error: BaseException) -> bool:
    """Return whether an error, or one that it followed from, says that the scheduler is gone.

    Whatever is closed while the connection is lost may fail once more, and its error then hides the first one.
    """
    seen: set[int] = set()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        # distributed's own errors by their names, since importing it takes a second.
        if isinstance(now, SchedulerLostError | NoSchedulerError) or type(now).__name__ in COMMUNICATION:
            return True
        now = now.__cause__ or now.__context__
    return False


def _drive(told: Drive, sender: Any) -> None:
    """Run one cluster in this process and report how it ended."""
    from tilegc import running  # noqa: PLC0415
    from tilegc.run_folder import keep_products  # noqa: PLC0415

    # Each run has its own log; messages of libraries do not belong on the terminal of the survey.
    logging.lastResort = None
    warnings.simplefilter("ignore")
    directory = place(told.directory)
    try:
        running.run_in(
            told.config,
            directory,
            running.Workers(told.workers, told.scheduler, None, told.tls, told.priority),
            running.Start(resume=told.resume, overwrite=told.overwrite and directory.exists()),
        )
        if told.keep == "products":
            keep_products(directory)
    except KeyboardInterrupt:
        sender.send(("waiting", "interrupted", False))
    except Exception as error:  # noqa: BLE001  (one cluster never stops the others)
        message = one_line(error)
        if not isinstance(error, TileGCError):
            message = f"unexpected error: {type(error).__name__}: {message}"
        if lost := lost_scheduler(error):
            message = f"lost the scheduler ({one_line(error)[:200]}); rerun with --resume"
        sender.send((LOST if lost else "failed", message, lost))
    else:
        sender.send(("done", "", False))
