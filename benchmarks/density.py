"""The kernel sum at native resolution: seconds and peak memory against one FFT convolution of the whole field.

The peer pads field and kernel to three times the field's side and takes about 200 bytes a pixel in float32: where
that is more than the machine has free, it is left out and the table says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.command_line import Parser, at_least
from benchmarks.measure import Case, keep, show
from tilegc.density.multilevel import Tables

SCALE, ALPHA, SOFTENING = 0.03, 1.6, 0.9
DETECTED, DRAWN = 0.0015, 0.006
"""Pixels that hold a detected source, or one drawn under the mask in any of 20 realisations: AS1063's."""
TILE = 2048
PEER_BYTES = 200


def sources(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, x and weight of a field's sources, as the stage has them."""
    draw = np.random.default_rng(1)
    n = int((DETECTED + DRAWN) * size * size)
    pixel = np.unique(draw.integers(0, size * size, n))
    weight = np.where(draw.random(pixel.size) < DRAWN / (DETECTED + DRAWN), 0.05, 1.0)
    return pixel // size, pixel % size, weight


def tiled(size: int, folder: Path) -> dict[str, float]:
    """Sum in tiles, as the stage does: the driver's part, then every tile in one worker process."""
    from tilegc.cluster.settings import MALLOC  # noqa: PLC0415  (the peer's process must not pay for it)
    from tilegc.density import multilevel  # noqa: PLC0415
    from tilegc.io import lattices  # noqa: PLC0415

    y, x, weight = sources(size)
    path, shape = str(folder / "f.zarr"), (size, size)
    before = peak()
    begun = time.perf_counter()
    tables = multilevel.kernel_tables(shape, SCALE, ALPHA, SOFTENING)
    order = lattices.put_points(path, "points", shape, y, x, weight=weight)
    nodes, coarse = multilevel.far(y[order], x[order], weight[order], shape, tables)
    lattices.put_lattice(path, "rho_far", nodes, coarse)
    driver = time.perf_counter() - begun
    os.environ.update(MALLOC)  # as workers start: what is freed goes back to the system
    with get_context("spawn").Pool(1) as pool:
        pool.apply(tile, (path, shape, 0, tables))  # compiles or loads the kernels
        begun = time.perf_counter()
        peaks = [pool.apply(tile, (path, shape, index, tables)) for index in range((-(-size // TILE)) ** 2)]
        worker = time.perf_counter() - begun
        pool.close()
        pool.join()
    return {
        "seconds": driver + worker,
        "driver MiB": peak() - before,
        "worker MiB": max(peaks),
        "driver s": driver,
    }


def tile(path: str, shape: tuple[int, int], index: int, tables: Tables) -> float:
    """Sum one tile; return this process's peak memory, MiB."""
    from tilegc.density import multilevel  # noqa: PLC0415
    from tilegc.geometry import TileGrid  # noqa: PLC0415
    from tilegc.io import lattices  # noqa: PLC0415

    core = TileGrid(shape, TILE).tile(index).core
    y, x, weight = lattices.take_points(path, "points", core.grow(tables.reach), "weight")
    nodes = multilevel.coarse_nodes(core)
    coarse = lattices.take_lattice(path, "rho_far", nodes)
    multilevel.rho(y, x, weight, core, tables, coarse, nodes).astype(np.float32)
    return peak()


def convolved(size: int) -> dict[str, float]:
    """Sum by `scipy.signal.fftconvolve` with the kernel out to the field's corners."""
    from scipy.signal import fftconvolve  # noqa: PLC0415

    y, x, weight = sources(size)
    before = peak()
    begun = time.perf_counter()
    counts = np.zeros((size, size), np.float32)
    counts[y, x] = weight
    along = (np.arange(-(size - 1), size) * SCALE).astype(np.float32)
    kernel = np.hypot(along[:, None], along[None, :])
    kernel += np.float32(SOFTENING)
    np.power(kernel, np.float32(-ALPHA), out=kernel)
    fftconvolve(counts, kernel, mode="same")
    return {"seconds": time.perf_counter() - begun, "worker MiB": peak() - before}


def peak() -> float:
    """Return the peak memory of this process, MiB.

    Not `ru_maxrss`: that of a new process begins with its parent's, who holds all points of the field.
    """
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def free_bytes() -> int:
    """Return the memory that is free on this machine."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rho(size: int, runs: int, *, peer: bool = True) -> Case:
    """Measure one size, each contestant in fresh processes, in turns."""
    peer = peer and PEER_BYTES * size * size < free_bytes()
    seconds: dict[str, list[float]] = {"tilegc": []} | ({"fftconvolve": []} if peer else {})
    counted: dict[str, float] = {}
    for _ in range(runs):
        for name, taken in seconds.items():
            found = _fresh(name, size)
            taken.append(found.pop("seconds"))
            for key, value in found.items():
                label = f"{name}: {key}"
                counted[label] = max(counted.get(label, 0.0), value)
    remark = f"tiles of {TILE} px, one worker" + (
        "" if peer else "; one FFT does not fit, or was not asked for"
    )
    return Case(f"rho, {size} px", size * size, seconds, remark, counted)


def _fresh(name: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.density", name, str(size)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {key: float(value) for key, value in (line.split("\t") for line in out.splitlines())}


def main() -> None:
    """Measure the sizes asked for, print the table, keep the numbers."""
    options = Parser(prog="python -m benchmarks.density", description=main.__doc__)
    options.add_argument(
        "--sky", type=at_least(64), nargs="*", default=[4096, 8192], help="sides, with the peer"
    )
    options.add_argument("--flat", type=at_least(64), nargs="*", default=[], help="sides without it")
    options.add_argument("--runs", type=at_least(1), default=1)
    given = options.parse_args()
    cases = [rho(side, given.runs) for side in given.sky]
    cases += [rho(side, given.runs, peer=False) for side in given.flat]
    show(cases)
    print(f"written: {keep(cases, Path(__file__).parent / 'results')}")


def one(name: str, side: int) -> None:
    """Measure one contestant in this process; print what it took."""
    with tempfile.TemporaryDirectory() as place:
        measured = tiled(side, Path(place)) if name == "tilegc" else convolved(side)
    print("\n".join(f"{key}\t{value}" for key, value in measured.items()))


if __name__ == "__main__":
    if sys.argv[1:2] in (["tilegc"], ["fftconvolve"]):
        one(sys.argv[1], int(sys.argv[2]))
    else:
        main()
