"""What a worker must know when it starts: config that is set later does not reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tilegc.deferred import Deferred

if TYPE_CHECKING:
    import dask
else:
    dask = Deferred("dask")


__all__ = ["DRIVER", "LOOPBACK", "ONE_THREAD", "WORKER", "environment"]

LOOPBACK: Final = "127.0.0.1:0"
"""Address of every dashboard and metrics page that tilegc starts: any free port of this machine alone.  Neither
TLS nor a password protects these pages, so other machines reach them through a tunnel (`ssh -L`)."""

ONE_THREAD: Final = dict.fromkeys(
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

MALLOC: Final = {"MALLOC_TRIM_THRESHOLD_": "134217728", "MALLOC_MMAP_THRESHOLD_": "134217728"}
"""A worker keeps up to 128 MiB of what it freed for its next window: to hand back every window and take it again costs
a third of a run in page faults.  What is more goes back to the system."""

WORKER: Final[dict[str, Any]] = {
    # Windows are bounded by `plan`, partials are small: there is nothing to spill, and a paused worker
    # would only stall the run.  A worker that takes (nearly) all that it may have is stopped.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}
"""Dask's config of the workers."""

DRIVER: Final[dict[str, Any]] = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 2,
    # Every 20 ms, as Dask has it, each event loop looks whether it still answers: half of what a driver's thread takes
    # that talks to the workers, and nobody needs to know it so soon.
    "distributed.admin.tick.interval": "200ms",
    "distributed.nanny.pre-spawn-environ": {**MALLOC, **ONE_THREAD},
    **WORKER,
}
"""Dask's config of a driver that starts scheduler and workers itself."""

_HANDED_ON: Final = (
    *WORKER,
    "distributed.comm.timeouts.connect",
    "distributed.comm.timeouts.tcp",
    "distributed.comm.retry.count",
)
"""Keys of which workers elsewhere get the driver's values."""


def environment() -> dict[str, str]:
    """Return the environment in which workers elsewhere start: threads, and Dask's config as the driver has it.

    To be called inside of `dask.config.set(DRIVER)`.
    """
    config = {}
    for key in _HANDED_ON:
        name = key.upper().replace(".", "__").replace("-", "_")
        config[f"DASK_{name}"] = str(dask.config.get(key))
    return {**ONE_THREAD, **MALLOC, **config, "DASK_LOGGING__TILEGC": "info"}
