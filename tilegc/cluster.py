"""Where the work is done: a Dask client from a number of workers, an address, or a name."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import logging
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from tilegc.errors import ConfigError, InputError, ResourceError

__all__ = ["ONE_THREAD", "connect"]

log = logging.getLogger("tilegc.cluster")

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
"""Environment of the workers: parallelism is Dask's alone, and sums on one thread have one order."""

CONNECT_SECONDS = 5.0
"""How long a scheduler may take to answer."""
WORKER_SECONDS = 60.0
"""How long the first worker of a scheduler may take to come."""

_QUIET_PRELOAD = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
for name in ("distributed", "tornado", "asyncio", "bokeh"):
    logging.getLogger(name).setLevel(logging.CRITICAL)
"""
# Ctrl-C reaches the whole process group, but it is the driver's to answer.  A worker's log would be written
# over the progress bars; what matters of it (a tile's traceback, a death) comes back to the driver, which
# logs it.


@contextlib.contextmanager
def connect(
    *, workers: int | None = None, scheduler: str | None = None, cluster: str | None = None
) -> Iterator[Any]:
    """Yield a Dask client, or None for work in this process; on leaving close what was started.

    Give the result to `tilegc.engine.for_client`.

    Parameters
    ----------
    workers : int, optional
        That many local processes of one thread each (default: one per core); 0: none, work in this process.
    scheduler : str, optional
        Address of a scheduler that runs already, e.g. "tcp://10.0.0.1:8786".
    cluster : str, optional
        Name of a kind of cluster; only "local" is there.

    Yields
    ------
    distributed.Client or None

    Raises
    ------
    ConfigError
        For options that contradict each other or do not exist.
    InputError
        If no scheduler answers, or it has no workers, or they have another tilegc.
    ResourceError
        If no local workers can be started.
    """
    if scheduler is not None and cluster is not None:
        raise ConfigError("--scheduler and --cluster: give one of them")
    if scheduler is not None and workers is not None:
        raise ConfigError(
            "--workers is for local workers; those of a --scheduler are started there: leave one out"
        )
    if cluster not in {None, "local"}:
        raise ConfigError(f"--cluster {cluster}: not there yet; give local, or the address of a --scheduler")
    if workers is not None and workers < 0:
        raise ConfigError(f"--workers {workers}: give 0 (in this process) or more")
    with _dask_logs_to_ours():
        if scheduler is not None:
            with _remote(scheduler) as client:
                yield client
        elif workers == 0:
            yield None
        else:
            with _local(workers or CPU_COUNT) as client:
                yield client


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Client]:
    settings = {
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.allowed-failures": 2,
        "distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": "65536", **ONE_THREAD},
        "distributed.worker.preload": [_QUIET_PRELOAD],
        # Windows are bounded by `plan`, partials are small: there is nothing to spill, and a paused worker
        # would only stall the run.  A worker that takes (nearly) the whole machine is stopped.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
    }
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="tilegc-", ignore_cleanup_errors=True)
        )
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(_hidden_main())
        try:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    # not a share each: one worker may do a whole-field transform while the others are idle
                    memory_limit=int(0.9 * MEMORY_LIMIT),
                    local_directory=scratch,
                    silence_logs=logging.CRITICAL,
                )
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ResourceError(
                f"--workers {workers}: cannot start the workers ({_one_line(error)}); "
                "try fewer, or --workers 0"
            ) from error
        client = stack.enter_context(Client(cluster, set_as_default=False))
        log.info("%d local workers, dashboard at %s", workers, client.dashboard_link)
        yield client


@contextlib.contextmanager
def _remote(address: str) -> Iterator[Client]:
    client, reason = None, ""
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        reason = _one_line(error)
    if client is None:
        # The unfinished client sits in a cycle. Collected later, perhaps while distributed holds the lock of its
        # event loops, its __del__ would wait for that lock in the thread that holds it: for ever.
        gc.collect()
        raise InputError(
            f"--scheduler {address}: no scheduler answers there ({reason}); "
            "start one with `dask scheduler` and give the address that it prints"
        )
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise InputError(
                f"--scheduler {address}: it has no workers; "
                f"start some with `dask worker {address} --nthreads 1`"
            ) from None
        _same_version(client, address)
        log.info("scheduler at %s, dashboard at %s", address, client.dashboard_link)
        yield client


def _same_version(client: Client, address: str) -> None:
    """Check that the workers have this tilegc: another one could give other bytes."""
    mine = _version()
    try:
        others = client.run(_version)
    except Exception as error:  # noqa: BLE001  (whatever the import there raises)
        raise InputError(
            f"--scheduler {address}: its workers cannot import tilegc ({_one_line(error)}); install it there"
        ) from None
    odd = sorted({version for version in others.values() if version != mine})
    if odd:
        raise InputError(
            f"--scheduler {address}: its workers have tilegc {', '.join(odd)}, this process has {mine}"
        )


def _version() -> str:
    try:
        return importlib.metadata.version("tilegc")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep worker processes from running the user's script again.

    Python's `spawn` imports `__main__` in every child: a plain script that calls `tilegc.run` without the
    `if __name__ == "__main__"` idiom would start itself anew in each worker, and the command line would be
    imported for nothing.  In a notebook `__main__` has no file either: its functions are sent by value.
    """
    main: Any = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    main.__spec__ = None
    if "__file__" in kept:
        del main.__file__
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


class _Forward(logging.Handler):
    """Hands Dask's records to our own log, wherever that goes; nothing reaches the terminal by itself."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = logging.getLogger("tilegc.dask")
        if ours.hasHandlers():
            ours.handle(record)


@contextlib.contextmanager
def _dask_logs_to_ours() -> Iterator[None]:
    """Send what `distributed` logs in this process, from WARNING up, to the logger "tilegc.dask"."""
    forward = _Forward(logging.WARNING)
    kept = []
    for name in ("distributed", "tornado", "bokeh", "asyncio"):
        logger = logging.getLogger(name)
        kept.append((logger, logger.handlers[:], logger.propagate))
        logger.handlers, logger.propagate = [forward], False
    try:
        yield
    finally:
        for logger, handlers, propagate in kept:
            logger.handlers, logger.propagate = handlers, propagate
