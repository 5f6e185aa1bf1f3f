"""Many runs one after the other on one scheduler: what memory, files and threads do over time.

    python -m benchmarks.soak --minutes 60
    python -m benchmarks.soak --runs 8

Prints, for the driver and for every worker, the slope of resident memory (MB a run), open files and threads, fitted
over the second half of the runs: the first ones fill caches.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from distributed import Client, LocalCluster

from tilegc import running
from tilegc.cluster.settings import LOOPBACK
from tilegc.simulation import simulate

__all__ = ["Slope", "soak"]


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How one process changed over the runs."""

    process: str
    memory: float
    """MB a run."""
    files: float
    """Open files a run, sockets included."""
    threads: float
    """Threads a run."""
    last: float
    """MB at the end."""


def _measured(number: int) -> tuple[float, int, int]:
    process = psutil.Process(number)
    return process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()


def soak(run_file: Path, *, enough: Callable[[int], bool], workers: int = 1) -> list[Slope]:
    """Run the same run file again and again on one scheduler.

    Parameters
    ----------
    run_file : Path
        A small one.
    enough : callable
        Given the number of runs done, whether to stop.
    workers : int
        Processes of one thread each.

    Returns
    -------
    list of Slope
        Of the driver, which here also holds the scheduler, and of each worker.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tilegc-soak-") as scratch,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=LOOPBACK,
            silence_logs=50,
            local_directory=scratch,
        ) as cluster,
        Client(cluster) as client,
    ):
        pids = {"driver": psutil.Process().pid}
        pids |= {f"worker {name}": pid for name, pid in client.run(lambda: psutil.Process().pid).items()}
        seen: dict[str, list[tuple[float, int, int]]] = {name: [] for name in pids}
        done = 0
        while not enough(done):
            folder = Path(scratch) / "run"
            running.run(run_file, folder, scheduler=cluster.scheduler_address)
            shutil.rmtree(folder)
            done += 1
            for name, number in pids.items():
                seen[name].append(_measured(number))
    return [_slope(name, np.array(values, float)) for name, values in seen.items()]


def _slope(name: str, values: np.ndarray) -> Slope:
    """Fit a line to the second half of what was measured after every run."""
    later = values[len(values) // 2 :]
    number = np.arange(len(later))
    slopes = np.polyfit(number, later, 1)[0] if len(later) > 1 else np.full(3, np.nan)
    return Slope(process=name, memory=slopes[0], files=slopes[1], threads=slopes[2], last=values[-1, 0])


def main() -> None:
    """Print the slopes."""
    parser = argparse.ArgumentParser(
        description="Slopes of memory, files and threads over runs on one scheduler."
    )
    parser.add_argument("--minutes", type=float, help="go on for so long")
    parser.add_argument("--runs", type=int, default=40, help="if no time is given")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    end = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="tilegc-soak-") as folder:
        simulate(folder, preset="tiny", seed=1)
        found = soak(
            Path(folder) / "run.yaml",
            enough=lambda done: done >= asked.runs if end is None else time.monotonic() > end,
            workers=asked.workers,
        )
    print(f"{'process':24} {'MB a run':>9} {'files':>7} {'threads':>8} {'MB at the end':>14}")
    for one in found:
        print(f"{one.process:24.24} {one.memory:9.2f} {one.files:7.2f} {one.threads:8.2f} {one.last:14.0f}")


if __name__ == "__main__":
    main()
