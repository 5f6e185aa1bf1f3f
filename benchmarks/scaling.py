"""What workers, tasks and tiles cost besides the work: `python -m benchmarks.scaling`.

On two cores a curve of speed over workers says nothing beyond two.  So tiles that do nothing are sent to 1, 2, 4 and 8
workers of one thread, and the CPU seconds of this process are counted, apart for the thread that drives and for the one
that talks to the workers and holds the scheduler: one thread each, so the slower of the two is what bounds larger
clusters.  Seconds of CPU, unlike those of the clock, are much the same beside other work.

`--run RUN.yaml` does the same with a real run, and compares the bytes that come out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.command_line import Parser, at_least, existing_file, said
from benchmarks.size import cpu, workers
from tilegc import running
from tilegc.cluster import connect
from tilegc.engine import DaskEngine, Unit, for_client
from tilegc.engine.tasks import run_length
from tilegc.geometry import TileGrid

WORKERS = (1, 2, 4, 8)
SIDE = 2048
PRODUCTS = ("*.parquet", "*.ecsv", "*.reg", "maps/*.fits")


def nothing(_common: None, number: int) -> int:
    """Do nothing."""
    return 1 + 0 * number


def add(a: int, b: int) -> int:
    return a + b


@dataclass
class Spent:
    """Seconds of CPU of this process's threads, and of the clock; counts while it is entered."""

    drive: float = 0.0
    """The thread that was started: makes tasks, takes their ends, keeps the books."""
    loop: float = 0.0
    """The thread that talks to the workers; with local workers it is the scheduler's as well."""
    rest: float = 0.0
    """All others: pickling of large messages, callbacks."""
    wall: float = 0.0

    def __enter__(self) -> Self:
        drive, loop, whole, wall = _now()
        self.drive, self.loop, self.wall = self.drive - drive, self.loop - loop, self.wall - wall
        self.rest -= whole - drive - loop
        return self

    def __exit__(self, *_: object) -> None:
        drive, loop, whole, wall = _now()
        self.drive, self.loop, self.wall = self.drive + drive, self.loop + loop, self.wall + wall
        self.rest += whole - drive - loop

    @property
    def cpu(self) -> float:
        return self.drive + self.loop + self.rest


def _now() -> tuple[float, float, float, float]:
    loop = 0.0
    for thread in threading.enumerate():
        if thread.name.startswith("IO loop") and thread.ident is not None:
            loop += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return time.thread_time(), loop, time.process_time(), time.perf_counter()


def survey(tiles: int) -> tuple[list[Unit], float]:
    """Plan so many tiles; return them and the seconds of CPU that took."""
    begun = time.process_time()
    across = round(tiles**0.5)
    grid = TileGrid((SIDE * across, SIDE * -(-tiles // across)), SIDE)
    units = [Unit(f"a/{tile.index}", tile.core.size, tile.index) for tile in grid.tiles()]
    return units[:tiles], time.process_time() - begun


def overhead(count: int, tiles: int) -> tuple[float, Spent, Spent, int]:
    """Return the seconds to start so many workers, what tiles cost alone and in runs, and the tasks of the latter."""
    units, _ = survey(tiles)
    begun = time.perf_counter()
    with connect(workers=count) as client:
        start = time.perf_counter() - begun
        engine = for_client(client)
        engine.run("warm", nothing, units[:64], combine=add, units_per_task=1)
        spent = []
        for length in (1, None):
            with Spent() as taken:
                assert engine.run("nothing", nothing, units, combine=add, units_per_task=length) == len(units)
            spent.append(taken)
    length = run_length(units, count)
    return start, spent[0], spent[1], -(-tiles // length)


def predict(task: float, tile_seconds: float, tiles: int) -> None:
    """Say how busy larger clusters are kept."""
    units, _ = survey(tiles)
    for count in (64, 512, 1000):
        # one thread hands out the tasks, one after the other, while the workers work: the slower of the two counts
        length = run_length(units, count)
        seconds = max(tile_seconds / count, task / length)
        print(
            f"{count} workers, {tiles} tiles of {tile_seconds:g} s in tasks of {length}: "
            f"{1 / seconds:.0f} tiles a second, {tile_seconds / count / seconds:.0%} of what they could do"
        )


def real(run_file: Path, counts: list[int]) -> None:
    """Run the chain with each number of workers: CPU of all sides, and whether the bytes are the same."""
    first, spent = "", Spent()
    print(
        "workers   wall, s   workers' CPU, s   driver's CPU, s   of it in passes: drive   loop   rest   bytes"
    )
    for count in counts:
        folder = Path(tempfile.mkdtemp(prefix="scaling-"))
        spent, before, theirs = Spent(), cpu([psutil.Process()]), []
        begun = time.perf_counter()
        with watched(spent, theirs):
            running.run(run_file, folder / "run", workers=count)
        wall, mine = time.perf_counter() - begun, cpu([psutil.Process()]) - before
        found = digest(folder / "run")
        first = first or found
        print(
            f"{count:7d} {wall:9.1f} {sum(theirs):17.1f} {mine:17.1f} {spent.drive:24.2f} {spent.loop:6.2f} "
            f"{spent.rest:6.2f}   {'same' if found == first else 'OTHERS'}",
            flush=True,
        )
        shutil.rmtree(folder)


class watched:  # noqa: N801  (reads as what it does)
    """Count what this process and its workers take inside of passes."""

    def __init__(self, spent: Spent, theirs: list[float]) -> None:
        self.spent, self.theirs, self.run = spent, theirs, DaskEngine.run

    def __enter__(self) -> None:
        run: Callable[..., Any] = self.run

        def counted(*args: Any, **settings: Any) -> Any:
            before = cpu(workers())
            try:
                with self.spent:
                    return run(*args, **settings)
            finally:
                self.theirs.append(cpu(workers()) - before)

        DaskEngine.run = counted  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        DaskEngine.run = self.run  # type: ignore[method-assign]


def digest(folder: Path) -> str:
    """Return one digest of all products whose bytes are promised."""
    whole = hashlib.sha256()
    for path in sorted(path for pattern in PRODUCTS for path in folder.glob(pattern)):
        whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()


@said
def main() -> None:
    """Measure, print, and say what follows for larger clusters."""
    options = Parser(prog="python -m benchmarks.scaling", description=main.__doc__)
    options.add_argument("--tiles", type=at_least(1), default=2000)
    options.add_argument(
        "--survey", type=at_least(1), default=100_000, help="tiles of which larger clusters are predicted"
    )
    options.add_argument("--workers", type=at_least(1), nargs="+", default=WORKERS)
    options.add_argument("--all", action="store_true", help="do all tiles of the survey, once, on 2 workers")
    options.add_argument(
        "--tile-seconds", type=float, default=0.15, help="work of a tile in one pass, one core"
    )
    options.add_argument(
        "--run", type=existing_file, metavar="RUN.yaml", help="a real run in place of empty tiles"
    )
    given = options.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if given.run:
        real(given.run, list(given.workers))
        return
    if given.all:
        units, planned = survey(given.survey)
        with connect(workers=2) as client, Spent() as taken:
            for_client(client).run("nothing", nothing, units, combine=add)
        drive, loop, rest = taken.drive, taken.loop, taken.rest
        print(
            f"{given.survey} tiles: planned in {planned:.1f} s of CPU; submitted, done and merged in "
            f"{taken.wall:.1f} s: CPU of the driving thread {drive:.1f}, of the loop with the scheduler {loop:.1f}, "
            f"others {rest:.1f} s"
        )
        return
    print(f"{given.tiles} tiles that do nothing; ms of CPU a task (drive, loop, rest) and, in runs, a tile")
    print("workers   start, s    drive    loop    rest     all    in runs   tasks   wall, ms a task")
    found = []
    for count in given.workers:
        start, single, together, tasks = overhead(count, given.tiles)
        found.append(max(single.drive, single.loop) / given.tiles)
        each = [1e3 * part / given.tiles for part in (single.drive, single.loop, single.rest, single.cpu)]
        print(
            f"{count:7d}   {start:8.2f} "
            + " ".join(f"{part:7.2f}" for part in each)
            + f"   {1e3 * together.cpu / given.tiles:8.3f}   {tasks:5d}   {1e3 * single.wall / given.tiles:15.2f}",
            flush=True,
        )
    predict(max(found), given.tile_seconds, given.survey)


if __name__ == "__main__":
    main()
