"""From what a user says to workers: a number, an address, or the name of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tilegc.cluster.address import remote
from tilegc.cluster.jobs import SYSTEMS, Wanted, jobs
from tilegc.cluster.kubernetes import pods
from tilegc.cluster.local import local
from tilegc.cluster.logs import dask_logs_to_ours
from tilegc.cluster.security import TLS, security_for
from tilegc.cluster.workers import Workers
from tilegc.config import Compute
from tilegc.deferred import Deferred
from tilegc.errors import ConfigError, SchedulerLostError, one_line

if TYPE_CHECKING:
    from dask import system
else:
    system = Deferred("dask.system")

__all__ = ["NAMES", "connect", "workers_for"]

NAMES: Final = ("local", *SYSTEMS, "kubernetes")
"""What --cluster takes."""

LEAST_MEMORY: Final = 2 * 2**30
"""Of a worker in a job or pod, bytes, where the run file does not say."""


@contextlib.contextmanager
def workers_for(
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: str | None = None,
    compute: Compute | None = None,
    tls: TLS | None = None,
    need: int = 0,
    beside: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Workers]:
    """Yield the workers of a run; on leaving close what was started.

    Parameters
    ----------
    workers : int, optional
        Processes of one thread each; by default `compute.workers`, locally one per core. 0: none, work in this
        process.
    scheduler : str, optional
        Address of a scheduler that runs already, e.g. "tcp://10.0.0.1:8786", or the .json file it wrote.
    cluster : str, optional
        One of `NAMES`.
    compute : Compute, optional
        The run file's section.
    tls : TLS, optional
        Certificates; by default those that Dask's config names.
    need : int
        Bytes that a worker needs, as far as is known: for jobs and pods without `compute.memory`.
    beside : Path, optional
        Folder on a disk that workers elsewhere see too; by default the current one.
    tell : callable, optional
        Takes lines for a user who waits.

    Raises
    ------
    ConfigError
        For options that contradict each other or do not exist.
    InputError
        If no workers are to be had, or they have other software.
    ResourceError
        If no local workers can be started.
    SchedulerLostError
        In place of whatever distributed raises within the context if the scheduler goes away.
    """
    compute = compute or Compute()
    count = _checked_count(workers, scheduler, cluster, compute, tls)
    memory = compute.memory or max(LEAST_MEMORY, need + need // 4)
    if count != 0 or scheduler is not None or cluster is not None:
        # Now, and not where something of it is first used. Imported while Dask's config is set for the time of a run,
        # it would lose its own defaults when that is taken back, and a second run in this process would fail; and it
        # would put its own log, on the terminal, in place of ours.
        import_module("distributed")
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask_logs_to_ours())
        if scheduler is not None:
            found = remote(scheduler, compute, security_for(tls, encrypt=False))
        elif cluster == "kubernetes":
            if tls is not None or compute.encrypt:
                raise ConfigError(
                    "--cluster kubernetes: certificates of pods come from their manifest (deploy/kubernetes/components/"
                    "tls) and Dask's config: leave out --tls-ca and compute.encrypt"
                )
            found = pods(count or 1, memory, compute)
        elif cluster in SYSTEMS:
            security = security_for(tls, encrypt=compute.encrypt is not False)
            wanted = Wanted(cluster, count or 1, memory, compute)
            found = jobs(wanted, security, beside or Path.cwd(), tell)
        elif count == 0:
            yield Workers(None, memory=compute.memory)
            return
        else:
            found = local(
                count or system.CPU_COUNT, compute, security_for(tls, encrypt=bool(compute.encrypt))
            )
        given = stack.enter_context(found)
        try:
            yield given
        except OSError as error:
            # By its name, because importing distributed here would cost every command a second. Whoever asked the
            # scheduler something while it went away gets this; passes find out by themselves.
            if type(error).__name__ != "CommClosedError":
                raise
            raise SchedulerLostError(
                f"{given.name}: lost the connection to the scheduler ({one_line(error)[:120]}); finished work is "
                "recorded: rerun with --resume"
            ) from error


def _checked_count(
    workers: int | None, scheduler: str | None, cluster: str | None, compute: Compute, tls: TLS | None
) -> int | None:
    """Refuse options that contradict each other; return the number of workers, or None: one per core."""
    if scheduler is not None and cluster is not None:
        raise ConfigError("--scheduler and --cluster exclude each other; give only one")
    if scheduler is not None and workers is not None:
        raise ConfigError("--workers starts workers, but a --scheduler has its own; leave out one of the two")
    if cluster not in {None, *NAMES}:
        raise ConfigError(
            f"--cluster {cluster}: unknown kind; choose {', '.join(NAMES[:-1])} or {NAMES[-1]}, "
            "or the address of a --scheduler"
        )
    count = compute.workers if workers is None else workers
    if count is not None and count < 0:
        raise ConfigError(f"--workers {count}: give 0 (in this process) or more")
    elsewhere = cluster not in {None, "local"}
    if elsewhere and not count:
        raise ConfigError(
            f"--cluster {cluster}: the number of workers is missing; set --workers or compute.workers"
        )
    if tls is not None and count == 0 and scheduler is None and not elsewhere:
        raise ConfigError("--tls-ca, --tls-cert, --tls-key: not used with --workers 0; leave them out")
    return count


@contextlib.contextmanager
def connect(
    *, workers: int | None = None, scheduler: str | None = None, cluster: str | None = None, **rest: Any
) -> Iterator[Any]:
    """Yield a Dask client, or None for work in this process; on leaving close what was started.

    As `workers_for`, whose client it is. Give it to `tilegc.engine.for_client`.

    Yields
    ------
    distributed.Client or None
    """
    with workers_for(workers=workers, scheduler=scheduler, cluster=cluster, **rest) as found:
        yield found.client
