"""Workers in the jobs of a batch queue, which are submitted from here: SLURM; PBS and LSF by the same code."""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tilegc.cluster.settings import DRIVER, LOOPBACK, environment
from tilegc.cluster.workers import Workers, require_same_software
from tilegc.config import Compute
from tilegc.deferred import Deferred
from tilegc.errors import ConfigError, InputError, one_line

if TYPE_CHECKING:
    import dask
    import distributed
    from distributed import Client
    from distributed.security import Security
else:
    dask = Deferred("dask")
    distributed = Deferred("distributed")

__all__ = ["SYSTEMS", "Wanted", "job_options", "jobs"]

log = logging.getLogger("tilegc.cluster")

SYSTEMS: Final = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}
"""The queues, and the command that submits to each."""

LEAVE_EARLY: Final = 0.05
"""A worker leaves this fraction of the wall time, but at least a minute, before its job is killed."""

OVERHEAD: Final = 300 * 2**20
"""Memory of a job beside that of its workers: the process that watches them, and the shell."""

ALLOWED: Final = ("distributed.scheduler.allowed-failures", 4)
"""Jobs also end for reasons unrelated to tiles: so many deaths are tolerated before a tile is blamed."""

TELL_SECONDS: Final = 30.0
"""How often a user who waits is told what for."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a queue."""

    system: str
    """Which: "slurm", "pbs" or "lsf"."""
    workers: int
    """Processes of one thread each, in all."""
    memory: int
    """Bytes of each."""
    compute: Compute
    """The run file's section."""


@contextlib.contextmanager
def jobs(
    wanted: Wanted, security: Security | None, beside: Path, tell: Callable[[str], None] | None = None
) -> Iterator[Workers]:
    """Submit jobs, wait for the first worker, keep as many as were asked for; cancel them on leaving.

    Parameters
    ----------
    wanted : Wanted
        Queue and workers.
    security : Security, optional
        What secures the connections.
    beside : Path
        Folder on a disk that the jobs see too, for their logs and certificates.
    tell : callable, optional
        Takes lines for the user who waits.

    Raises
    ------
    ConfigError
        Without the queue's commands, or dask-jobqueue.
    InputError
        If a submission is refused, or the first job ends before its worker comes.
    """
    system, compute = wanted.system, wanted.compute
    name = f"--cluster {system}"
    if shutil.which(SYSTEMS[system]) is None:
        raise ConfigError(
            f"{name}: {SYSTEMS[system]} not found; run this on a host from which jobs are submitted"
        )
    try:
        from tilegc.cluster.queues import CLUSTERS  # noqa: PLC0415  (an extra)
    except ImportError:
        raise ConfigError(f"{name}: needs dask-jobqueue; `pip install 'tilegc[slurm]'`") from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set({**DRIVER, ALLOWED[0]: ALLOWED[1]}))
        logs = stack.enter_context(_folder(beside, system))
        options = job_options(wanted)
        try:
            cluster: Any = stack.enter_context(
                CLUSTERS[system](
                    **options,
                    name="tilegc",
                    security=security,
                    log_directory=str(logs),
                    shared_temp_directory=str(logs),
                    silence_logs=logging.CRITICAL,
                )
            )
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise ConfigError(f"{name}: {one_line(error)}") from None
        stack.callback(cluster.remove_certificates)
        log.info("%s: job script:\n%s", system, cluster.job_script())
        cluster.look_after()
        stack.callback(cluster.leave_off)
        whole = math.ceil(wanted.workers / options["processes"]) * options["processes"]
        cluster.adapt(minimum=whole, maximum=whole)
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        _first_worker(client, cluster, name, logs, tell)
        differences = require_same_software(client, name)
        log.info(
            "%s: scheduler at %s, dashboard at %s", system, cluster.scheduler_address, client.dashboard_link
        )
        yield Workers(
            client,
            name,
            local=False,
            patience=compute.patience or math.inf,
            expected=whole,
            memory=wanted.memory,
            differences=differences,
            shortage=cluster.shortage,
        )


def job_options(wanted: Wanted) -> dict[str, Any]:
    """Return what dask-jobqueue's cluster is made with: the run file's `compute:`, else Dask's `jobqueue` config."""
    system, given = wanted.system, wanted.compute.jobs

    def of_dask(key: str) -> Any:
        return dask.config.get(f"jobqueue.{system}.{key}", None)

    processes = min(given.workers_per_job or of_dask("processes") or 1, max(wanted.workers, 1))
    walltime = given.walltime or _as_seconds(of_dask("walltime"), system)
    arguments = list(of_dask("worker-extra-args") or ())
    lifetime = given.lifetime
    if lifetime is None and walltime is not None:
        lifetime = walltime - min(max(60.0, LEAVE_EARLY * walltime), 0.25 * walltime)
    if lifetime is not None:
        # Not all at the same time: the queue needs a while to start others.
        stagger = max(0.0, min(0.1 * lifetime, 0.4 * ((walltime or 1.2 * lifetime) - lifetime)))
        arguments += ["--lifetime", f"{lifetime:.0f}s", "--lifetime-stagger", f"{stagger:.0f}s"]
    if not any("dashboard" in str(argument) for argument in arguments):
        # Without this every worker serves its pages to the whole network of the cluster.
        arguments += ["--dashboard-address", LOOPBACK]
    exports = [f"export {key}={shlex.quote(value)}" for key, value in environment().items()]
    options: dict[str, Any] = {
        "cores": processes,
        "processes": processes,
        "memory": f"{wanted.memory * processes} B",
        "job_name": of_dask("name") if of_dask("name") not in {None, "dask-worker"} else "tilegc",
        "queue": given.queue or of_dask("queue"),
        "worker_extra_args": arguments,
        "job_extra_directives": [*(of_dask("job-extra-directives") or ()), *given.directives],
        "job_script_prologue": [*(of_dask("job-script-prologue") or ()), *exports, *given.prologue],
        "scheduler_options": {"dashboard_address": LOOPBACK, **(of_dask("scheduler-options") or {})},
        "local_directory": wanted.compute.scratch or of_dask("local-directory"),
        "interface": given.interface or of_dask("interface"),
        "python": given.python or of_dask("python"),
        {"lsf": "project"}.get(system, "account"): given.account or of_dask("account"),
    }
    if given.walltime is not None:
        options["walltime"] = _as_text(given.walltime, system)
    if system == "slurm" and of_dask("job-mem") is None:
        options["job_mem"] = f"{math.ceil((wanted.memory * processes + OVERHEAD) / 2**20)}M"
    return options


def _first_worker(
    client: Client, cluster: Any, name: str, logs: Path, tell: Callable[[str], None] | None
) -> None:
    """Wait until a worker is there, or it is known that none will come."""
    begun = told = time.monotonic()
    while not client.nthreads():
        why = cluster.shortage()
        if why is not None:
            raise InputError(f"{name}: {why} (script and settings: compute.jobs; logs: {logs})")
        if tell is not None and time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            tell(
                f"waiting for {cluster.system}'s jobs since {told - begun:.0f} s: {cluster.sync(_queue, cluster)}"
            )
        time.sleep(0.2)


async def _queue(cluster: Any) -> str:
    """Return in which state how many jobs are, and why."""
    listed = await cluster.states() or {}
    ours = [listed[job.job_id] for job in cluster.workers.values() if job.job_id in listed]
    kinds = sorted({f"{state.lower()} ({reason})" for state, reason in ours})
    return f"{len(ours)} of them {', '.join(kinds)}" if ours else "none is listed yet"


@contextlib.contextmanager
def _folder(beside: Path, system: str) -> Iterator[Path]:
    """Make a folder for the jobs' logs and certificates; where something goes wrong what is in it stays."""
    there = beside.absolute()
    while not there.is_dir():
        there = there.parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"tilegc-{system}-", dir=there))
    except OSError as error:
        raise InputError(f"{there}: the jobs' logs cannot be written there ({error.strerror})") from None
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()  # if it is empty
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _as_text(seconds: float, system: str) -> str:
    """Return a time as the queue wants it: LSF has no seconds."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if system == "lsf":
        whole = hours * 60 + minutes + (rest > 0)
        return f"{whole // 60:02d}:{whole % 60:02d}"
    return f"{hours:02d}:{minutes:02d}:{rest:02d}"


def _as_seconds(text: Any, system: str) -> float | None:
    """Read a wall time of Dask's config, which is written as the queue wants it; None where it is not understood."""
    if text is None:
        return None
    days, _, clock = str(text).rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        whole = int(days or 0) * 86400
    except ValueError:
        return None
    if len(parts) == 3:
        return float(whole + parts[0] * 3600 + parts[1] * 60 + parts[2])
    if len(parts) == 2:
        hours = system == "lsf" or bool(days)
        return float(whole + parts[0] * (3600 if hours else 60) + parts[1] * (60 if hours else 1))
    return float(whole + parts[0] * (3600 if days else 60))
