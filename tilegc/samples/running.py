"""`survey`: run all clusters of a sample in parallel, each driven by its own process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tilegc.cluster import TLS, as_files, workers_for
from tilegc.config import Compute
from tilegc.errors import ConfigError, RunFolderError
from tilegc.places import Place, is_remote, place
from tilegc.samples.driving import Drive, Keep, driven
from tilegc.samples.live import StatusPage
from tilegc.samples.occupancy import Occupancy, watched
from tilegc.samples.planning import ClusterPlan, plan_sample
from tilegc.samples.results import write_results
from tilegc.samples.sample import Sample, default_output, load_sample
from tilegc.samples.status import ClusterStatus, read_record, sample_status, write_record

__all__ = ["Outcome", "survey"]

log = logging.getLogger("tilegc")

Watch = Callable[[Sequence[ClusterStatus]], None]
"""Called whenever a cluster starts or ends, and regularly in between."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one cluster of a sample."""

    name: str
    state: str
    """One of done, failed, refused, stopped (its scheduler or its driver was lost; resume continues it), or waiting
    (excluded by `only`, or not begun when the scheduler was lost)."""
    message: str
    """Why it failed, stopped or was refused; otherwise empty."""


def survey(
    sample: Sample | str,
    output: str | Place | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster_name: str | None = None,
    tls: TLS | None = None,
    drivers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    only: Sequence[str] = (),
    retry_failed: bool = False,
    keep: Keep = "store",
    watch: Watch | None = None,
) -> tuple[Outcome, ...]:
    """Run every cluster of a sample, the one with the most work first.

    Workers take tiles of the clusters that began first before those of later ones, which fill the gaps that the serial
    steps of the first ones leave. `status.html` in the directory of the sample shows the progress.

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
    cluster_name : str, optional
        Kind of workers to start, as in `tilegc.run`; settings are those of `compute` of the first cluster that runs.
    tls : TLS, optional
        Certificates for the scheduler.
    drivers : int, optional
        Number of clusters processed at the same time, by default one more than workers, so that the serial steps of
        one cluster leave no worker idle.
    resume : bool
        Continue an earlier survey: clusters that were waiting, running or stopped. Finished and failed ones remain as
        they are.
    overwrite : bool
        Run all clusters again.
    only : sequence of str
        Names of the clusters to run; by default all.
    retry_failed : bool
        Like `resume`, but also run failed clusters again.
    keep : {"store", "products"}
        What remains of a finished cluster: everything, or all but the pixel arrays in its store, which are most of its
        size.
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
        cluster_name=cluster_name,
        tls=tls,
        drivers=drivers,
        overwrite=overwrite,
        keep=keep,
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
    cluster_name: str | None,
    tls: TLS | None,
    drivers: int | None,
    overwrite: bool,
    keep: Keep,
    watch: Watch | None,
) -> None:
    """Run the clusters of the queue on common workers; their states change as they start and end."""
    configs = {entry.name: entry.config for entry in sample.entries if entry.config is not None}
    ranks = {one.name: rank for rank, one in enumerate(queue)}
    compute = configs[queue[0].name].compute if queue and cluster_name else Compute()
    memory = max((one.memory for one in queue), default=0)
    page = StatusPage(home)
    with contextlib.ExitStack() as stack:
        made = workers_for(
            workers=workers,
            scheduler=scheduler,
            cluster=cluster_name,
            compute=compute,
            tls=tls,
            need=memory,
            beside=None if is_remote(home) else home,
        )
        found = stack.enter_context(made)
        client = found.client
        address = None if client is None else str(client.scheduler.address)
        drivers_tls = tls or (None if client is None else stack.enter_context(as_files(client.security)))
        busy = stack.enter_context(watched(client))
        many = drivers or found.threads + (client is not None)

        def drive(one: ClusterPlan) -> Drive:
            there = home / one.name
            return Drive(
                config=configs[one.name],
                directory=str(there),
                scheduler=scheduler or address,
                workers=None if scheduler or address else 0,
                tls=drivers_tls,
                resume=not overwrite and there.exists(),
                overwrite=overwrite,
                # Two apart: joining the partial results of a cluster comes before the tiles of its own pass only.
                priority=-2 * ranks[one.name],
                keep=keep,
            )

        def tell() -> None:
            busy.clusters_left = sum(states[one.name][0] in {"waiting", "running"} for one in queue)
            if watch is None and not page.is_due:
                return
            statuses = sample_status(home)
            if page.is_due:
                page.write(statuses, busy)
            if watch is not None:
                watch(statuses)

        common = sample.common.model_dump()
        _record(home, states, busy, common)
        tell()
        for name, state, message in driven(queue, drive, many, tell):
            states[name] = (state, message)
            _record(home, states, busy, common)
            tell()
    page.write(sample_status(home), busy, ended=True)


def _record(
    home: Place, states: Mapping[str, tuple[str, str]], busy: Occupancy, common: Mapping[str, object]
) -> None:
    clusters = [{"name": name, "state": state, "message": why} for name, (state, why) in states.items()]
    write_record(home, clusters, {"whole": busy.whole, "while_shared": busy.shared}, common)


def _is_open(state: str, *, retry_failed: bool) -> bool:
    return state not in ({"done"} if retry_failed else {"done", "failed"})


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
