"""A model of a sample on a cluster: `python -m benchmarks.sample_model RUN [--clusters 300] [--workers 200]`.

A discrete-event simulation of what `tilegc survey` does. RUN is a run directory of one cluster, run on one worker or
in one process, whose log has the time of every pass and phase: units of a pass are worked off in parallel, the rest of
a phase by the driver alone. Clusters are equal, or measured in several RUNs that are taken in turn. At most D of them
are driven at the same time; a free worker takes a task of the cluster that began first.

With --larger F every pass has F times as many units, as a mosaic of F times the area has in tiles of the same size.
With --measured SAMPLE, the directory of a finished survey, the wall-clock time of that survey is compared with the
model's for as many clusters.
"""

from __future__ import annotations

import datetime as dt
import heapq
import json
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.command_line import Parser, at_least

__all__ = ["Step", "Times", "read_steps", "simulated"]

PASS = re.compile(r"INFO +(.+): (\d+) of \d+ units in ([\d.]+) s$")
PHASE = re.compile(r"INFO +phase (.+): ([\d.]+) s$")

START_SECONDS = 6.0
"""Of a driver before its first phase: imports, checks and digests of the inputs, connection."""

TASKS = 4
"""Tasks of a pass for each worker, at most: neighbouring tiles are grouped (`tilegc.engine.tasks`)."""

TASK_SECONDS = 0.005
"""Cost of a task besides its units: scheduler and driver."""


@dataclass(frozen=True)
class Step:
    """A part of a run: seconds of its driver alone, and then units that workers do."""

    alone: float
    units: int = 0
    seconds: float = 0.0
    """Of one unit."""


@dataclass(frozen=True)
class Times:
    """What a simulation gives."""

    wall: float
    """Seconds."""
    busy: float
    """Share of their time that the workers had a task."""
    shared: float
    """The same while more than one cluster was left."""


def read_steps(log: str) -> list[Step]:
    """Return the steps of a run from its log: passes, and after them what else their phase took."""
    steps = [Step(START_SECONDS)]
    passes: list[tuple[int, float]] = []
    for line in log.splitlines():
        if found := PASS.search(line):
            passes.append((int(found[2]), float(found[3])))
        elif found := PHASE.search(line):
            rest = max(float(found[2]) - sum(seconds for _, seconds in passes), 0.0)
            share = rest / (len(passes) + 1)
            steps += [Step(share, units, seconds / units) for units, seconds in passes if units]
            steps.append(Step(share))
            passes = []
    return steps


def simulated(clusters: Sequence[Sequence[Step]], workers: int, drivers: int) -> Times:
    """Simulate a sample.

    Parameters
    ----------
    clusters : sequence of sequence of Step
        In the order in which they begin.
    workers, drivers : int
        Tasks, and clusters, at the same time.
    """
    waiting = deque(range(len(clusters)))
    at = [0] * len(clusters)
    open_tasks = [0] * len(clusters)
    ready: list[tuple[int, float]] = []  # of tasks: rank of the cluster, seconds
    events: list[tuple[float, int, int, str]] = []  # time, number, cluster, what ended
    free, now, number = workers, 0.0, 0
    busy = shared_busy = shared_time = 0.0
    left = len(clusters)

    def after(seconds: float, cluster: int, what: str) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (now + seconds, number, cluster, what))

    def begin() -> None:
        if waiting:
            cluster = waiting.popleft()
            after(clusters[cluster][0].alone, cluster, "alone")

    def advance(cluster: int) -> None:
        """Go on to the next step, or end the cluster."""
        nonlocal left
        at[cluster] += 1
        if at[cluster] < len(clusters[cluster]):
            after(clusters[cluster][at[cluster]].alone, cluster, "alone")
        else:
            left -= 1
            begin()

    for _ in range(min(drivers, len(clusters))):
        begin()
    while events:
        time, _, cluster, what = heapq.heappop(events)
        working = workers - free
        busy += working * (time - now)
        if left > 1:
            shared_busy += working * (time - now)
            shared_time += time - now
        now = time
        if what == "alone":
            step = clusters[cluster][at[cluster]]
            tasks = min(step.units, TASKS * workers)
            open_tasks[cluster] = tasks
            for k in range(tasks):
                units = step.units // tasks + (k < step.units % tasks)
                heapq.heappush(ready, (cluster, units * step.seconds + TASK_SECONDS))
            if not tasks:
                advance(cluster)
        else:
            free += 1
            open_tasks[cluster] -= 1
            if not open_tasks[cluster]:
                advance(cluster)
        while free and ready:
            rank, seconds = heapq.heappop(ready)
            free -= 1
            after(seconds, rank, "task")
    return Times(
        wall=now,
        busy=busy / (workers * now) if now else 0.0,
        shared=shared_busy / (workers * shared_time) if shared_time else 0.0,
    )


def measured(sample: Path) -> tuple[int, float]:
    """Return how many clusters of a survey are done, and the seconds from the first's begin to the last's end."""
    done = [
        one["name"]
        for one in json.loads((sample / "survey.json").read_text())["clusters"]
        if one["state"] == "done"
    ]
    begun, ended = [], []
    for name in done:
        manifest = json.loads((sample / name / "manifest.json").read_text())
        begun.append(dt.datetime.fromisoformat(manifest["begun"]))
        ended.append(dt.datetime.fromisoformat(manifest["ended"]))
    return len(done), (max(ended) - min(begun)).total_seconds()


def main() -> None:
    """Simulate and print."""
    options = Parser(prog="python -m benchmarks.sample_model", description=__doc__.split("\n\n")[0])
    options.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run directories that were measured alone"
    )
    options.add_argument("--clusters", type=at_least(1), default=300)
    options.add_argument("--workers", type=at_least(1), default=200)
    options.add_argument(
        "--larger", type=float, default=1.0, metavar="F", help="area of a cluster over that of RUN"
    )
    options.add_argument("--measured", type=Path, metavar="SAMPLE", help="directory of a finished survey")
    options.add_argument("--drivers", type=at_least(1), help="of that survey; default: workers + 1")
    given = options.parse_args()
    steps = [
        [
            replace(step, units=round(step.units * given.larger))
            for step in read_steps((run / "log.txt").read_text())
        ]
        for run in given.runs
    ]
    work = sum(sum(step.units * step.seconds for step in one) for one in steps) / len(steps)
    alone = sum(sum(step.alone for step in one) for one in steps) / len(steps)
    print(f"a cluster: {work:.0f} s of workers, {alone:.0f} s of its driver alone")
    if given.measured is not None:
        number, wall = measured(given.measured)
        model = simulated(
            [steps[k % len(steps)] for k in range(number)], given.workers, given.drivers or given.workers + 1
        )
        print(
            f"{number} clusters on {given.workers} workers: measured {wall:.0f} s, model {model.wall:.0f} s "
            f"({model.wall / wall - 1:+.0%}), occupancy {model.shared:.2f}"
        )
        return
    sample = [steps[k % len(steps)] for k in range(given.clusters)]
    print(f"{given.clusters} clusters on {given.workers} workers")
    print(f"{'drivers':>8s}{'hours':>8s}{'occupancy':>11s}{'while shared':>14s}")
    for drivers in (8, 16, 32, 64, 128):
        found = simulated(sample, given.workers, drivers)
        print(f"{drivers:8d}{found.wall / 3600:8.2f}{found.busy:11.2f}{found.shared:14.2f}")


if __name__ == "__main__":
    main()
