"""`survey`: run all clusters of a sample side by side, each driven by a process of its own."""

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
from tilegc.samples.clusters import write_clusters
from tilegc.samples.planning import ClusterPlan, plan_sample
from tilegc.samples.sample import Sample, default_output, load_sample
from tilegc.samples.status import ClusterStatus, read_record, sample_status, write_record

__all__ = ["Outcome", "survey"]

log = logging.getLogger("tilegc")

TABLE: Final = "clusters.parquet"

Watch = Callable[[Sequence[ClusterStatus]], None]
"""Called whenever a cluster starts or ends, and now and then in between."""

LOOK_SECONDS: Final = 2.0
"""How often the watcher is told while nothing ends."""


@dataclass(frozen=True)
class Outcome:
    """How one cluster of a sample ended."""

    name: str
    state: str
    """done, failed, refused, or waiting (left out by `only`)."""
    message: str
    """Why it failed or was refused; empty otherwise."""


@dataclass(frozen=True)
class _Drive:
    """What a driver's process is told."""

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
    """Run every cluster of a sample, the one with most work first.

    Parameters
    ----------
    sample : Sample or str
        Of `load_sample`, or the path of a sample file.
    output : path, optional
        Folder of the sample, `<sample file's stem>-runs` by default: the
        runs are `<output>/<name>/`, the table of all is `<output>/clusters.parquet`.
    workers : int, optional
        Worker processes that all clusters share; one per core by default; 0: each driver works alone.
    scheduler : str, optional
        Address of a Dask scheduler to share instead.
    tls : TLS, optional
        Certificates for it.
    drivers : int, optional
        Clusters in flight; by default one more than workers, so that the serial steps of one keep no worker idle.
    resume : bool
        Go on with what an earlier survey left: finished clusters stay as they are.
    overwrite : bool
        Run all clusters anew.
    only : sequence of str
        Names of the clusters to run; all by default.
    retry_failed : bool
        As `resume`, but of the clusters that ended, those that failed are run again.
    watch : callable, optional
        Is told how far all clusters are.

    Returns
    -------
    tuple of Outcome
        In the order of the sample file.

    Raises
    ------
    ConfigError, RunFolderError
        If the sample, the options or the folder are wrong; nothing is run then.
    """
    if isinstance(sample, str):
        sample = load_sample(sample)
    home = place(output if output is not None else default_output(sample.path))
    before = _checked(home, sample, only, resume=resume or retry_failed, overwrite=overwrite)
    planned = plan_sample(sample, home, workers or 1)
    refused = {one.name: one.refusal for one in planned.clusters if one.refusal is not None}
    wanted = [one for one in planned.runs if (not only or one.name in only)]
    states = {entry.name: before.get(entry.name, ("waiting", "")) for entry in sample.entries}
    if overwrite:
        states = dict.fromkeys(states, ("waiting", ""))
    states |= {name: ("refused", str(reason)) for name, reason in refused.items()}
    queue = [one for one in wanted if _is_open(states[one.name][0], retry_failed=retry_failed)]
    configs = {entry.name: entry.config for entry in sample.entries if entry.config is not None}
    if not is_remote(home):
        home.mkdir(parents=True, exist_ok=True)

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
    write_clusters(home / TABLE, home, _statuses(home, sample))
    return tuple(Outcome(entry.name, *states[entry.name]) for entry in sample.entries)


def _statuses(home: Place, sample: Sample) -> list[ClusterStatus]:
    by_name = {status.name: status for status in sample_status(home)}
    return [by_name[entry.name] for entry in sample.entries]


def _is_open(state: str, *, retry_failed: bool) -> bool:
    return state not in ({"done", "waiting"} if retry_failed else {"done"})


def _tell(watch: Watch | None, home: Place) -> None:
    if watch is not None:
        watch(sample_status(home))


def _checked(
    home: Place, sample: Sample, only: Sequence[str], *, resume: bool, overwrite: bool
) -> dict[str, tuple[str, str]]:
    """Refuse what cannot be meant; return how an earlier survey of this folder left its clusters."""
    names = {entry.name for entry in sample.entries}
    for name in only:
        if name not in names:
            raise ConfigError(
                f"--only {name}: no such cluster in {sample.path} (it has {', '.join(sorted(names))})"
            )
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite: give one of them")
    if not home.exists():
        return {}
    record = read_record(home)
    if record is None:
        if any(home.iterdir()):
            raise RunFolderError(
                f"{home}: is not a survey's folder; nothing was changed. Choose an empty directory"
            )
        return {}
    if not (resume or overwrite):
        raise RunFolderError(
            f"{home}: holds a survey; continue it with --resume or start over with --overwrite"
        )
    found = {str(one["name"]): (str(one["state"]), str(one.get("message", ""))) for one in record}
    # What was under way when a survey was killed is under way no more.
    return {
        name: ("waiting", "") if state == "running" else (state, why) for name, (state, why) in found.items()
    }


def _driven(
    queue: Sequence[ClusterPlan], drive: Callable[[ClusterPlan], _Drive], many: int, idle: Callable[[], None]
) -> Iterator[tuple[str, str, str]]:
    """Run clusters in processes, `many` at a time; yield name, state and message as they start and end."""
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
    return "failed", f"its driver ended with code {process.exitcode} and said nothing; see its log.txt"


def _drive(told: _Drive, sender: Any) -> None:
    """Run one cluster in this process and say how it ended."""
    from tilegc import running  # noqa: PLC0415

    # Each run has a log of its own; a library's remarks do not belong on the survey's terminal.
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
        sender.send(("failed", f"unexpectedly: {type(error).__name__}: {one_line(error)}"))
    else:
        sender.send(("done", ""))
