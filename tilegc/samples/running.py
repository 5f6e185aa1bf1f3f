"""`survey`: run all clusters of a sample in parallel, each driven by its own process."""

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
from typing import Any, Final

from tilegc.cluster import TLS, workers_for
from tilegc.config import Compute, RunConfig
from tilegc.errors import ConfigError, RunFolderError, TileGCError, one_line
from tilegc.places import Place, is_remote, place
from tilegc.samples.planning import ClusterPlan, plan_sample
from tilegc.samples.results import write_results
from tilegc.samples.sample import Sample, default_output, load_sample
from tilegc.samples.status import ClusterStatus, read_record, sample_status, write_record

__all__ = ["Outcome", "survey"]

log = logging.getLogger("tilegc")

Watch = Callable[[Sequence[ClusterStatus]], None]
"""Called whenever a cluster starts or ends, and regularly in between."""

LOOK_SECONDS: Final = 2.0
"""Interval in seconds between calls of the watcher while no cluster ends."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one cluster of a sample."""

    name: str
    state: str
    """One of done, failed, refused, or waiting (excluded by `only`)."""
    message: str
    """Why it failed or was refused; otherwise empty."""


@dataclass(frozen=True)
class _Drive:
    """Instructions for the process of a driver."""

    config: RunConfig
    directory: str
    scheduler: str | None
    workers: int | None
    tls: TLS | None
    resume: bool
    overwrite: bool


def survey(
    sample: Sample | str,
    output: str | Place | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    tls: TLS | None = None,
    drivers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    only: Sequence[str] = (),
    retry_failed: bool = False,
    watch: Watch | None = None,
) -> tuple[Outcome, ...]:
    """Run every cluster of a sample, the one with the most work first.

    Parameters
    ----------
    sample : Sample or str
        A sample from `load_sample`, or the path of a sample file.
    output : path, optional
        Directory of the sample, by default `<sample file's stem>-runs`. Runs are in `<output>/<name>/`, the table of
        all clusters is `<output>/clusters.parquet`.
    workers : int, optional
        Number of worker processes shared by all clusters, by default one per core; 0: each driver does its own work.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.
    tls : TLS, optional
        Certificates for the scheduler.
    drivers : int, optional
        Number of clusters processed at the same time, by default one more than workers, so that the serial steps of
        one cluster leave no worker idle.
    resume : bool
        Continue an earlier survey; finished clusters are kept.
    overwrite : bool
        Run all clusters again.
    only : sequence of str
        Names of the clusters to run; by default all.
    retry_failed : bool
        Like `resume`, but also run failed clusters again.
    watch : callable, optional
        Called with the state of all clusters.

    Returns
    -------
    tuple of Outcome
        In the order of the sample file.

    Raises
    ------
    ConfigError, RunFolderError
        If the sample, the options or the directory are wrong; nothing is run in that case.

    Examples
    --------
    >>> found = tilegc.survey("sample.yaml", "runs", workers=0)
    >>> type(found).__name__
    '...'
    """
    if isinstance(sample, str):
        sample = load_sample(sample)
    home = place(output if output is not None else default_output(sample.path))
    before = _checked(home, sample, only, resume=resume or retry_failed, overwrite=overwrite)
    planned = plan_sample(sample, home, workers or 1)
    known = {} if overwrite else before
    states = {entry.name: known.get(entry.name, ("waiting", "")) for entry in sample.entries}
    states |= {one.name: ("refused", one.refusal) for one in planned.clusters if one.refusal is not None}
    chosen = [one for one in planned.runs if (not only or one.name in only)]
    queue = [one for one in chosen if _is_open(states[one.name][0], retry_failed=retry_failed)]
    if not is_remote(home):
        home.mkdir(parents=True, exist_ok=True)
    _run_all(
        sample,
        home,
        queue,
        states,
        workers=workers,
        scheduler=scheduler,
        tls=tls,
        drivers=drivers,
        overwrite=overwrite,
        watch=watch,
    )
    write_results(home)
    return tuple(Outcome(entry.name, *states[entry.name]) for entry in sample.entries)


def _run_all(
    sample: Sample,
    home: Place,
    queue: Sequence[ClusterPlan],
    states: dict[str, tuple[str, str]],
    *,
    workers: int | None,
    scheduler: str | None,
    tls: TLS | None,
    drivers: int | None,
    overwrite: bool,
    watch: Watch | None,
) -> None:
    """Run the clusters of the queue on common workers; their states change as they start and end."""
    configs = {entry.name: entry.config for entry in sample.entries if entry.config is not None}

    def record() -> None:
        write_record(
            home, [{"name": name, "state": state, "message": why} for name, (state, why) in states.items()]
        )

    record()
    memory = max((one.memory for one in queue), default=0)
    with workers_for(workers=workers, scheduler=scheduler, compute=Compute(), tls=tls, need=memory) as found:
        address = None if found.client is None else str(found.client.scheduler.address)
        many = drivers or (found.threads + 1 if found.client is not None else found.threads)

        def drive(one: ClusterPlan) -> _Drive:
            there = home / one.name
            return _Drive(
                config=configs[one.name],
                directory=str(there),
                scheduler=scheduler or address,
                workers=None if scheduler or address else 0,
                tls=tls,
                resume=not overwrite and there.exists(),
                overwrite=overwrite,
            )

        for name, state, message in _driven(queue, drive, many, lambda: _tell(watch, home)):
            states[name] = (state, message)
            record()
            _tell(watch, home)


def _is_open(state: str, *, retry_failed: bool) -> bool:
    return state not in ({"done", "waiting"} if retry_failed else {"done"})


def _tell(watch: Watch | None, home: Place) -> None:
    if watch is not None:
        watch(sample_status(home))


def _checked(
    home: Place, sample: Sample, only: Sequence[str], *, resume: bool, overwrite: bool
) -> dict[str, tuple[str, str]]:
    """Refuse invalid options, and return the state in which an earlier survey left the clusters of this directory."""
    names = {entry.name for entry in sample.entries}
    for name in only:
        if name not in names:
            raise ConfigError(
                f"--only {name}: no such cluster in {sample.path} (its clusters: {', '.join(sorted(names))})"
            )
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite exclude each other; give only one")
    if not home.exists():
        return {}
    record = read_record(home)
    if record is None:
        if any(home.iterdir()):
            raise RunFolderError(
                f"{home}: is not the directory of a survey; nothing was changed. Choose an empty directory"
            )
        return {}
    if not (resume or overwrite):
        raise RunFolderError(
            f"{home}: contains a survey; continue it with --resume or start over with --overwrite"
        )
    found = {str(one["name"]): (str(one["state"]), str(one.get("message", ""))) for one in record}
    # Clusters that were running when a survey was killed are no longer running.
    return {
        name: ("waiting", "") if state == "running" else (state, why) for name, (state, why) in found.items()
    }


def _driven(
    queue: Sequence[ClusterPlan], drive: Callable[[ClusterPlan], _Drive], many: int, idle: Callable[[], None]
) -> Iterator[tuple[str, str, str]]:
    """Run clusters in processes, `many` at a time; yield name, state and message whenever one starts or ends."""
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
                yield name, *_ended(process, receiver)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join(60)


def _ended(process: BaseProcess, receiver: Connection) -> tuple[str, str]:
    with receiver, contextlib.suppress(EOFError):
        if receiver.poll():
            state, message = receiver.recv()
            return str(state), str(message)
    return "failed", f"its driver exited with code {process.exitcode} without a message; see its log.txt"


def _drive(told: _Drive, sender: Any) -> None:
    """Run one cluster in this process and report how it ended."""
    from tilegc import running  # noqa: PLC0415

    # Each run has its own log; messages of libraries do not belong on the terminal of the survey.
    logging.lastResort = None
    warnings.simplefilter("ignore")
    try:
        running.run(
            told.config,
            told.directory,
            workers=told.workers,
            scheduler=told.scheduler,
            tls=told.tls,
            resume=told.resume,
            overwrite=told.overwrite and place(told.directory).exists(),
        )
    except TileGCError as error:
        sender.send(("failed", one_line(error)))
    except KeyboardInterrupt:
        sender.send(("waiting", "interrupted"))
    except Exception as error:  # noqa: BLE001  (one cluster never stops the others)
        sender.send(("failed", f"unexpected error: {type(error).__name__}: {one_line(error)}"))
    else:
        sender.send(("done", ""))
