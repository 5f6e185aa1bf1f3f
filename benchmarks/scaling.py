"""What a worker and a tile cost besides the work: `python -m benchmarks.scaling`.

On two cores a curve of speed over workers says nothing beyond two. So tiles that do nothing are sent to 1, 2, 4 and 8
workers of one thread: the driver's and the scheduler's time a task is what bounds larger clusters, whose speed follows
from it and from the work of a tile.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

from tilegc.cluster import connect
from tilegc.engine import Unit, for_client
from tilegc.engine.futures import run_length

WORKERS = (1, 2, 4, 8)


def nothing(_common: None, number: int) -> int:
    """Do nothing."""
    return number


def add(a: int, b: int) -> int:
    return a + b


def overhead(workers: int, tiles: int, runs: int) -> tuple[float, float, float]:
    """Return the seconds to start so many workers, those a task alone takes, and those a tile takes in its run."""
    units = [Unit(str(number), 2048 * 2048, number) for number in range(tiles)]
    begun = time.perf_counter()
    with connect(workers=workers) as client:
        start = time.perf_counter() - begun
        engine = for_client(client)
        engine.run("warm", nothing, units[:64], combine=add, units_per_task=1)
        single, together = [], []
        for _ in range(runs):
            for length, seconds in ((1, single), (None, together)):
                begun = time.perf_counter()
                engine.run("nothing", nothing, units, combine=add, units_per_task=length)
                seconds.append((time.perf_counter() - begun) / tiles)
    return start, median(single), median(together)


def main() -> None:
    """Measure, print, and say what follows for larger clusters."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=main.__doc__)
    options.add_argument("--tiles", type=int, default=2000)
    options.add_argument(
        "--survey", type=int, default=100_000, help="tiles of which larger clusters are predicted"
    )
    options.add_argument("--runs", type=int, default=3)
    options.add_argument(
        "--tile-seconds", type=float, default=0.15, help="work of a tile in one pass, one core"
    )
    given = options.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {given.tiles} tiles that do nothing")
    print("workers   start, s   ms a task   ms a tile in runs")
    found = []
    for workers in WORKERS:
        start, single, together = overhead(workers, given.tiles, given.runs)
        found.append(single)
        print(f"{workers:7d}   {start:8.2f}   {1e3 * single:9.2f}   {1e3 * together:17.3f}", flush=True)
    task = median(found)
    units = [Unit(str(number), 2048 * 2048, number) for number in range(given.survey)]
    for workers in (64, 512):
        # One process hands out the tasks, one after the other, while the workers work: the slower of the two counts.
        length = run_length(units, workers)
        seconds = max(given.tile_seconds / workers, task / length)
        print(
            f"{workers} workers, {given.survey} tiles of {given.tile_seconds:g} s in tasks of {length}: "
            f"{1 / seconds:.0f} tiles a second, {given.tile_seconds / workers / seconds:.0%} of what they could do"
        )


if __name__ == "__main__":
    main()
