"""Workers on this machine: processes of one thread each."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tilegc.cluster.settings import DRIVER, LOOPBACK
from tilegc.cluster.workers import Workers
from tilegc.config import Compute
from tilegc.deferred import Deferred
from tilegc.errors import ResourceError, one_line
from tilegc.memory import machine_memory

if TYPE_CHECKING:
    import dask
    import distributed
    from distributed.security import Security
else:
    dask = Deferred("dask")
    distributed = Deferred("distributed")

__all__ = ["local"]

log = logging.getLogger("tilegc.cluster")

_QUIET_PRELOAD = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
for name in ("distributed", "tornado", "asyncio", "bokeh"):
    logging.getLogger(name).setLevel(logging.CRITICAL)
"""
# Ctrl-C and the end of a terminal reach the whole process group, but they are the driver's to answer.  A worker's
# log would be written over the progress bars; what matters of it (a tile's traceback, a death) comes back to the
# driver, which logs it.

_HERE = {
    "distributed.worker.preload": [_QUIET_PRELOAD],
    # What watches a worker (its nanny) starts it again when it dies. On a busy machine that takes longer than the 15 s
    # after which the cluster would give up both, for good.
    "distributed.deploy.lost-worker-timeout": "1h",
}


@contextlib.contextmanager
def local(workers: int, compute: Compute, security: Security | None = None) -> Iterator[Workers]:
    """Start workers, and end them on leaving.

    Raises
    ------
    ResourceError
        If they cannot be started.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="tilegc-", dir=_scratch(compute), ignore_cleanup_errors=True)
        )
        stack.enter_context(dask.config.set({**DRIVER, **_HERE}))
        stack.enter_context(_hidden_main())
        try:
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    # Dask would listen on every interface, and its pages show paths, code and metrics to
                    # whoever asks: on a shared login node that is everybody.
                    dashboard_address=LOOPBACK,
                    # not a share each: one worker may do a whole-field transform while the others are idle
                    memory_limit=compute.memory or int(0.9 * machine_memory()),
                    local_directory=scratch,
                    silence_logs=logging.CRITICAL,
                    **({} if security is None else {"security": security, "protocol": "tls://"}),
                )
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ResourceError(
                f"--workers {workers}: cannot start the workers ({one_line(error)}); "
                "try fewer, or --workers 0"
            ) from error
        client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        log.info("%d local workers, dashboard at %s", workers, client.dashboard_link)
        yield Workers(client, f"--workers {workers}", patience=compute.patience or 60.0)


def _scratch(compute: Compute) -> str | None:
    if compute.scratch is None:
        return None
    path = os.path.expandvars(os.path.expanduser(compute.scratch))  # noqa: PTH111  (variables too)
    if not os.access(path, os.W_OK):
        raise ResourceError(f"compute.scratch: {path} is not a writable directory; choose another")
    return path


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
