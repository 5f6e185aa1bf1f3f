"""Many runs one after the other on one scheduler: what memory, files and threads do over time.

    python -m benchmarks.soak --minutes 60
    python -m benchmarks.soak --runs 300 --run-file run.yaml

Prints, for the driver, the scheduler and every worker, each a process of its own, the slope of resident memory (MB a
run), open files and threads, fitted over the runs after the twentieth: the first ones fill caches.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from tests.faults.results import record
from tilegc import running
from tilegc.cluster.settings import LOOPBACK
from tilegc.simulation import simulate

__all__ = ["SETTLED", "Slope", "soak"]

SETTLED = 20
"""Runs after which memory must not grow any more."""


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
        Of the driver, of the scheduler and of each worker.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tilegc-soak-") as scratch,
        _cluster(Path(scratch), workers) as (
            address,
            others,
        ),
    ):
        pids = {"driver": psutil.Process().pid, **others}
        seen: dict[str, list[tuple[float, int, int]]] = {name: [] for name in pids}
        done = 0
        while not enough(done):
            folder = Path(scratch) / "run"
            running.run(run_file, folder, scheduler=address)
            shutil.rmtree(folder)
            done += 1
            for name, number in pids.items():
                seen[name].append(_measured(number))
    return [_slope(name, np.array(values, float)) for name, values in seen.items()]


@contextlib.contextmanager
def _cluster(scratch: Path, workers: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Start a scheduler and workers as processes; yield its address and their numbers."""
    place = scratch / "scheduler.json"
    pages = ("--dashboard-address", LOOPBACK)
    started = []

    def start(module: str, *words: str) -> int:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words, *pages]
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)
        )
        return started[-1].pid

    try:
        pids = {
            "scheduler": start(
                "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place)
            )
        }
        address = ""
        while not address:
            with contextlib.suppress(OSError, ValueError):
                address = json.loads(place.read_bytes())["address"]
            time.sleep(0.1)
        for number in range(workers):
            words = ("--no-nanny", "--nthreads", "1", "--local-directory", str(scratch))
            pids[f"worker {number}"] = start("dask_worker", address, *words)
        yield address, pids
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def _slope(name: str, values: np.ndarray) -> Slope:
    """Fit a line to what was measured after the twentieth run; if there are fewer than forty, to the second half."""
    later = values[min(SETTLED, len(values) // 2) :]
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
    parser.add_argument("--run-file", type=Path, help="what is run; default: the simulated cluster `tiny`")
    parser.add_argument(
        "--record", action="store_true", help="add the figures to those of tests.faults.figures"
    )
    asked = parser.parse_args()
    begun = time.monotonic()
    end = None if asked.minutes is None else begun + 60 * asked.minutes
    runs = 0

    def enough(done: int) -> bool:
        nonlocal runs
        runs = done
        return done >= asked.runs if end is None else time.monotonic() > end

    with tempfile.TemporaryDirectory(prefix="tilegc-soak-in-") as folder:
        run_file = asked.run_file
        if run_file is None:
            run_file = simulate(folder, preset="tiny", seed=1)
        found = soak(run_file, enough=enough, workers=asked.workers)
    if asked.record:
        values = {
            kind: {one.process: round(getattr(one, kind), 4) for one in found}
            for kind in ("memory", "files", "threads")
        }
        record("soak", runs=runs, minutes=round((time.monotonic() - begun) / 60, 1), **values)
    print(f"{'process':24} {'MB a run':>9} {'files':>7} {'threads':>8} {'MB at the end':>14}")
    for one in found:
        print(f"{one.process:24.24} {one.memory:9.2f} {one.files:7.2f} {one.threads:8.2f} {one.last:14.0f}")


if __name__ == "__main__":
    main()
