"""Settling candidates that no tile could decide: `python -m benchmarks.settling [--candidates 10000000]`.

Random pixels, 4 per arcsec^2 at 30 mas, in tiles of 2048 px; what lies within 16 px of a tile's border is undecided,
and so may be any share of the others (`--undecided`). CPU seconds and peak memory of what the driver does with the
table: the sparse greedy, then the order of the catalogue.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from benchmarks.command_line import Parser, at_least
from tilegc.detection.peaks import settled
from tilegc.kernels.peaks import settle
from tilegc.phases.partials import Table

SCALE, PER_ARCSEC2, RADIUS, TILE, RIM = 0.03, 4.0, 3.0, 2048, 16


def candidates(n: int, undecided: float) -> Table:
    """Return the rows of all tiles: certain peaks are 3 px and more apart, as tiles leave them."""
    draw = np.random.default_rng(1)
    side = int(np.sqrt(n / PER_ARCSEC2) / SCALE)
    pixel = np.unique(draw.integers(0, side * side, int(n * 1.02)))
    pixel = draw.permutation(pixel)[:n]
    y, x = np.divmod(pixel, side)
    value = draw.exponential(size=y.size).astype(np.float32) + np.float32(1)
    rim = (np.minimum(y % TILE, x % TILE) < RIM) | (np.maximum(y % TILE, x % TILE) >= TILE - RIM)
    open_ = rim | (draw.random(y.size) < undecided)
    # what is certain was selected by greedy blanking among itself
    certain = np.flatnonzero(~open_)
    open_[certain[~settle(y[certain], x[certain], value[certain], np.zeros(certain.size, bool), RADIUS)]] = (
        True
    )
    return {
        "field": np.zeros(y.size, np.int32),
        "y": y.astype(np.int32),
        "x": x.astype(np.int32),
        "peak": value,
        "rank": value,
        "decided": ~open_,
    }


def peak() -> float:
    """Return the peak memory of this process, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure and print."""
    options = Parser(prog="python -m benchmarks.settling", description=main.__doc__)
    options.add_argument("--candidates", type=at_least(1), default=10_000_000)
    options.add_argument("--undecided", type=float, default=0.0, help="share undecided away from borders")
    given = options.parse_args()
    if not 0 <= given.undecided <= 1:
        options.error(f"argument --undecided: {given.undecided:g}: give a share, from 0 to 1")
    settle([0], [0], [1.0], [False], RADIUS)  # compiles or loads the kernels
    table = candidates(given.candidates, given.undecided)
    print(f"{table['y'].size} candidates, {np.count_nonzero(~table['decided'])} of them undecided")
    before = peak()
    begun = time.process_time()
    found = settled(table, RADIUS)
    seconds = time.process_time() - begun
    print(f"{found['y'].size} peaks: {seconds:.1f} s of CPU; peak {peak():.2f} GiB, {before:.2f} before")


if __name__ == "__main__":
    main()
