"""One field of any size, two bands, science alone: memory of each worker and CPU seconds a pixel, pass by pass.

`python -m benchmarks.size --sides 4096 8192 16384` makes the images by repeating one square of noise and sources, so
that nothing but their size differs, runs the whole chain on each, and removes what it wrote.  CPU seconds, unlike
those of the clock, are much the same beside other work.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml
from astropy.io import fits
from rich.table import Table

from benchmarks.command_line import Parser, at_least, existing_file, existing_folder, said
from benchmarks.measure import console, environment
from tilegc import running
from tilegc.engine import RichProgress

SCALE = 0.03
"""arcsec a pixel."""
RA, DEC = 342.18322, -44.53091
BANDS = {"F115W": 0.8, "F200W": 1.0}
"""Brightness of a source in each, and of its noise."""
SQUARE = 2003
"""Side of what is repeated, pixels: a prime, so that no tile begins where a square does."""
NOISE, SOURCES = 0.25, 0.0015
"""Standard deviation of the noise, nJy, and sources a pixel: AS1063's."""
BLOCK = 1 << 20
ASIDE = ("audit", "statistics", "figures")
"""Passes whose units are no tiles: their number does not grow with the field."""


def square(brightness: float, seed: int) -> np.ndarray:
    """Return the repeated square of one band, nJy: sources as a point's pixels, in noise."""
    where = np.random.default_rng(1)
    n = int(SOURCES * SQUARE**2)
    y, x = where.uniform(3, SQUARE - 4, n), where.uniform(3, SQUARE - 4, n)
    flux = 4.0 * (1 + where.pareto(2.0, n).clip(0, 20))
    out = np.random.default_rng(seed).normal(0, NOISE, (SQUARE, SQUARE))
    j, i = np.round(y).astype(int), np.round(x).astype(int)
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            shape = np.exp(-((j + dy - y) ** 2 + (i + dx - x) ** 2) / (2 * 0.9**2)) / (2 * math.pi * 0.81)
            np.add.at(out, (j + dy, i + dx), brightness * flux * shape)
    return out.astype(">f4")


def image(path: Path, side: int, brightness: float, seed: int) -> None:
    """Write one band, row band by row band: never more than a square's height of it in memory."""
    header = fits.Header()
    header["SIMPLE"], header["BITPIX"], header["NAXIS"] = True, -32, 2
    header["NAXIS1"], header["NAXIS2"] = side, side
    header.update(
        {
            "BUNIT": "10.0*nanoJansky",
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "RADESYS": "ICRS",
            "CRVAL1": RA,
            "CRVAL2": DEC,
            "CRPIX1": side / 2,
            "CRPIX2": side / 2,
            "CD1_1": -SCALE / 3600,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
            "CD2_2": SCALE / 3600,
        }
    )
    text = header.tostring().encode()
    tile = square(brightness, seed) / np.float32(10)
    rows = np.tile(tile, (1, -(-side // SQUARE)))[:, :side].astype(">f4")
    with path.open("wb") as stream:
        stream.write(text.ljust(-(-len(text) // 2880) * 2880))
        for first in range(0, side, SQUARE):
            stream.write(rows[: side - first].tobytes())
        stream.write(b"\0" * (-stream.tell() % 2880))


def run_file(folder: Path, side: int, tile: int, images: list[Path]) -> Path:
    """Write the images and a run file with every default but the maps written as FITS: none."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        band: (images[number % len(images)] / f"{band}.fits").resolve() for number, band in enumerate(BANDS)
    }
    for number, (band, brightness) in enumerate(BANDS.items()):
        image(paths[band], side, brightness, seed=number + 2)
    content = {
        "recipe": "diego2026",
        "cluster": {"name": f"{side} px", "redshift": 0.348, "ra": RA, "dec": DEC},
        "fields": [{"name": "a", "bands": {band: {"sci": str(path)} for band, path in paths.items()}}],
        "tiles": {"size": tile},
        "outputs": [],
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@dataclass
class Taken:
    """What one pass took."""

    name: str
    units: int
    worker_mib: list[float] = field(default_factory=list)
    """Peak of each worker in this pass."""
    worker_cpu: float = 0.0
    driver_mib: float = 0.0
    driver_cpu: float = 0.0
    """Of this process from this pass's begin to the next one's: its own work between passes is in it."""
    seconds: float = 0.0
    """Of the clock, from its begin to its end."""
    after: float = 0.0
    """Of the clock, from its end to the next one's begin: the workers wait."""


class Watch(RichProgress):
    """Looks at the workers of this process where a pass begins and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[Taken] = []
        self._at = self._cpu = self._clock = 0.0

    def start(self, name: str, total_pixels: int, total_units: int) -> None:
        """Forget the peaks so far."""
        self._close()
        self.passes.append(Taken(name, total_units))
        for process in (psutil.Process(), *workers()):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # peak = present
        self._cpu, self._at = cpu(workers()), cpu([psutil.Process()])
        self._clock = time.perf_counter()
        super().start(name, total_pixels, total_units)

    def finish(self, name: str) -> None:
        """Read them."""
        super().finish(name)
        taken = self.passes[-1]
        taken.worker_mib = [peak(process.pid) for process in workers()]
        taken.worker_cpu = cpu(workers()) - self._cpu
        now = time.perf_counter()
        taken.seconds, self._clock = now - self._clock, now

    def close(self) -> None:
        """Enter what the driver took after the last pass."""
        self._close()

    def _close(self) -> None:
        if self.passes:
            self.passes[-1].driver_cpu = cpu([psutil.Process()]) - self._at
            self.passes[-1].driver_mib = peak(os.getpid())
            self.passes[-1].after = time.perf_counter() - self._clock


def workers() -> list[psutil.Process]:
    """Return the worker processes (not Python's resource tracker)."""
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes so far."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def peak(pid: int) -> float:
    """Return the peak memory of a process since it was last forgotten, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return math.nan


def watched(run_file: Path, folder: Path, count: int) -> list[Taken]:
    """Run the chain; return its passes."""
    watch = Watch()
    running.run(run_file, folder, workers=count, progress=watch)
    watch.close()
    return watch.passes


def shares(passes: list[Taken]) -> Table:
    """Return a row a pass: CPU of the workers, which more of them share, and of the driver, which they wait for."""
    title = "Seconds of the clock, in a pass and after it; of the processors; MiB"
    shown = Table(title=title, title_justify="left", box=None)
    for name in ("pass", "clock, s", "after, s", "workers, s", "driver, s", "worker, MiB", "driver, MiB"):
        shown.add_column(name, justify="left" if name == "pass" else "right")
    for one in passes:
        shown.add_row(
            one.name,
            *(f"{x:.2f}" for x in (one.seconds, one.after, one.worker_cpu, one.driver_cpu)),
            f"{max(one.worker_mib, default=0):.0f}",
            f"{one.driver_mib:.0f}",
        )
    theirs, mine = sum(one.worker_cpu for one in passes), sum(one.driver_cpu for one in passes)
    most = [max(max(one.worker_mib, default=0) for one in passes), max(one.driver_mib for one in passes)]
    clock = [sum(one.seconds for one in passes), sum(one.after for one in passes)]
    shown.add_row("all", *(f"{x:.1f}" for x in (*clock, theirs, mine)), *(f"{x:.0f}" for x in most))
    bound = (theirs + mine) / (theirs / 2 + mine)
    shown.caption = (
        f"if the driver only worked while workers wait, two would be {bound:.2f} times as fast as one"
    )
    return shown


def measure(side: int, tile: int, count: int, place: Path, elsewhere: list[Path]) -> list[Taken]:
    """Run the chain on one size; return its passes."""
    with ExitStack() as stack:
        folder, *images = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"size-{side}-", dir=where)))
            for where in (place, *elsewhere)
        )
        path = run_file(folder, side, tile, images or [folder])
        return watched(path, folder / "run", count)


def table(found: dict[int, list[Taken]]) -> Table:
    """Return a row a pass: each size's peak of a worker, and CPU nanoseconds a pixel."""
    shown = Table(
        title="Peak of a worker, MiB; CPU of the workers, ns a pixel", title_justify="left", box=None
    )
    shown.add_column("pass")
    for side in found:
        shown.add_column(f"{side} MiB", justify="right")
    for side in found:
        shown.add_column(f"{side} ns", justify="right")
    names = list(dict.fromkeys(taken.name for passes in found.values() for taken in passes))
    for name in names:
        rows = {side: [taken for taken in passes if taken.name == name] for side, passes in found.items()}
        shown.add_row(
            name,
            *(
                f"{max((max(t.worker_mib, default=0) for t in rows[side]), default=math.nan):.0f}"
                for side in found
            ),
            *(f"{1e9 * sum(t.worker_cpu for t in rows[side]) / side**2:.1f}" for side in found),
        )
    totals = {side: (sum(t.worker_cpu for t in p), sum(t.driver_cpu for t in p)) for side, p in found.items()}
    peaks = {side: max(max(t.worker_mib, default=0) for t in p) for side, p in found.items()}
    tiled = {side: [one for one in p if one.name not in ASIDE] for side, p in found.items()}
    shown.add_row(
        "over tiles, workers",
        *(f"{max((max(t.worker_mib, default=0) for t in p), default=math.nan):.0f}" for p in tiled.values()),
        *(f"{1e9 * sum(t.worker_cpu for t in p) / side**2:.1f}" for side, p in tiled.items()),
    )
    shown.add_row(
        "all, workers",
        *(f"{peaks[side]:.0f}" for side in found),
        *(f"{1e9 * totals[side][0] / side**2:.1f}" for side in found),
    )
    shown.add_row(
        "driver",
        *(f"{max(t.driver_mib for t in p):.0f}" for p in found.values()),
        *(f"{1e9 * totals[side][1] / side**2:.1f}" for side in found),
    )
    return shown


@said
def main() -> None:
    """Measure every size asked for, print, write."""
    options = Parser(prog="python -m benchmarks.size", description=main.__doc__)
    options.add_argument(
        "--run", type=existing_file, metavar="RUN.yaml", help="a run file in place of images of some size"
    )
    options.add_argument("--sides", type=at_least(64), nargs="+", default=[4096, 8192])
    options.add_argument("--tile", type=at_least(1), default=2048)
    options.add_argument("--workers", type=at_least(0), default=2)
    options.add_argument("--place", type=existing_folder, default=Path(tempfile.gettempdir()))
    options.add_argument(
        "--images",
        type=existing_folder,
        nargs="+",
        default=[],
        help="folders for the images, one for each band in turn, where the place has no room for all",
    )
    options.add_argument(
        "--json", type=Path, help="file to which each size is added as soon as it is measured"
    )
    given = options.parse_args()
    if given.run:
        with tempfile.TemporaryDirectory(prefix="size-", dir=given.place) as folder:
            console().print(shares(watched(given.run, Path(folder) / "run", given.workers)))
        return
    found = {}
    for side in given.sides:
        found[side] = measure(side, given.tile, given.workers, given.place, given.images)
        if given.json:
            row = {"side": side, "environment": environment(), "passes": [asdict(t) for t in found[side]]}
            with given.json.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        console().print(table(found))


if __name__ == "__main__":
    main()
