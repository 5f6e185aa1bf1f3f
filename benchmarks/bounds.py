"""What is held to a number of seconds and has no peer: start-up, tiles that do nothing, candidates to settle."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import scaling, settling
from benchmarks.measure import Case, clock, on_processor
from tilegc.cluster import connect
from tilegc.detection.peaks import settled
from tilegc.engine import for_client
from tilegc.kernels.peaks import settle

__all__ = ["empty_tiles", "help_text", "settle_many"]


def help_text(runs: int) -> Case:
    """`tilegc --help`: what a user waits for before anything is done."""
    seconds = []
    for _ in range(runs):
        begun = clock()
        subprocess.run([sys.executable, "-m", "tilegc", "--help"], check=True, capture_output=True)
        seconds.append(clock() - begun)
    return Case("tilegc --help", 0, {"tilegc": seconds}, "asked: 0.4 s of CPU")


def empty_tiles(tiles: int) -> Case:
    """Tiles that do nothing: planned, sent to two workers, done and merged; of the clock."""
    begun = time.perf_counter()
    units, _ = scaling.survey(tiles)
    with connect(workers=2) as client:
        taken = time.perf_counter()
        started = taken - begun
        for_client(client).run("nothing", scaling.nothing, units, combine=scaling.add)
        seconds = time.perf_counter() - taken
    remark = f"by the clock, after {started:.1f} s to plan them and to start two workers; asked: 20 s"
    return Case(f"{tiles:,} tiles that do nothing", 0, {"tilegc": [seconds]}, remark)


def settle_many(candidates: int) -> Case:
    """Candidates of which a thirteenth is undecided: the sparse greedy, then the order of the catalogue."""
    settle([0], [0], [1.0], [False], settling.RADIUS)  # compiles or loads the kernels
    table = settling.candidates(candidates, 0.0)
    begun = clock()
    settled(table, settling.RADIUS)
    how = "of the processor" if on_processor() else "of the clock"
    return Case(
        f"{candidates:,} candidates settled",
        0,
        {"tilegc": [clock() - begun]},
        f"{how}; asked: 30 s and 4 GiB",
        {"peak of this process, GiB": round(settling.peak(), 2)},
    )
