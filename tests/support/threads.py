"""A Dask cluster whose workers are threads of the tests' own process, so that what a test patches holds there, too."""

from __future__ import annotations

import logging
from typing import Any

from distributed import LocalCluster

from tilegc.cluster.settings import LOOPBACK

__all__ = ["thread_workers"]


def thread_workers(workers: int, *, threads: int = 1, silence_logs: Any = logging.CRITICAL) -> LocalCluster:
    """Return a cluster, to be used as a context manager; its addresses are those of a network.

    Parameters
    ----------
    workers, threads : int
        Number of workers, and of threads in each.
    silence_logs : int or bool
        As of `LocalCluster`.
    """
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=False,
        protocol="tcp://",
        dashboard_address=LOOPBACK,
        silence_logs=silence_logs,
    )
