"""From FITS files of four bands to one table of candidates, against SExtractor and dask-image, one thread each.

Two pieces of work: *bare*, the science images alone, no masks and a threshold given as a number; and *defaults*, with
ERR and WHT, the recipe's masks and exact noise. SExtractor detects on each band by itself with its own defaults. Beside
the totals stands what every pass takes and reads, and what it takes to read and add the planes.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import numpy as np
from astropy.io import fits
from numba.core.runtime import _nrt_python, rtsys
from rich.table import Table

from benchmarks import chain
from benchmarks.kernels import sky
from benchmarks.measure import Case, clock, in_turns
from tilegc.config import RunConfig, resolve
from tilegc.engine import SerialEngine
from tilegc.filter.bands import add_bands
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.probe import probe_field
from tilegc.io.tally import Tally, tallies

EXTRACTOR = "source-extractor"
"""Its name on Debian."""

_nrt_python.memsys_enable_stats()  # Numba counts what kernels allocate where it is told to

PARAMETERS = "NUMBER\nX_IMAGE\nY_IMAGE\nFLUX_ISO\n"

OFF = dict.fromkeys(("edge", "bright", "extended", "spikes", "arcs"), "off")


@dataclass(frozen=True)
class Planes:
    """Files of one band."""

    sci: str
    err: str
    wht: str


@dataclass
class PassCost:
    """One pass of a run in this process."""

    name: str
    seconds: float
    read: dict[str, Tally] = field(default_factory=dict)
    allocated: int = 0
    """Bytes of arrays and objects that it held at once at the most, beyond those that were there; 0: not counted."""
    compiled_allocations: int = 0
    """Arrays that compiled kernels made."""


class Accountant(SerialEngine):
    """The serial driver, which notes what every pass takes and reads."""

    def __init__(self, *, allocations: bool = False) -> None:
        super().__init__()
        self.passes: list[PassCost] = []
        self.allocations = allocations

    def run(self, name: str, *args: Any, **options: Any) -> Any:
        """See `tilegc.engine.Engine.run`."""
        before, begun = tallies(), clock()
        made = rtsys.get_allocation_stats().alloc
        if self.allocations:
            tracemalloc.start()
        try:
            return super().run(name, *args, **options)
        finally:
            allocated = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            made = rtsys.get_allocation_stats().alloc - made
            now = {key: one - before.get(key, Tally()) for key, one in tallies().items()}
            read = {key: one for key, one in now.items() if one.windows}
            self.passes.append(PassCost(name, clock() - begun, read, allocated, made))


def allocated(config: RunConfig, passes: Sequence[PassCost], folder: Path) -> None:
    """Do a run once more and enter what its passes allocate: counting makes it slow, so its seconds do not count."""
    counting = Accountant(allocations=True)
    chain.ours(config, counting, folder)
    for cost, counted in zip(passes, counting.passes, strict=True):
        cost.allocated, cost.compiled_allocations = counted.allocated, counted.compiled_allocations


def write_planes(folder: Path, size: int) -> list[Planes]:
    """Write science, error and weight of four bands as plain FITS images, in nJy."""
    rng = np.random.default_rng(2)
    header = chain.header(size)
    written = []
    for band, values in zip(chain.BANDS, sky(size, len(chain.BANDS)), strict=True):
        sigma = (0.4 * (1 + 0.02 * rng.random((size, size)))).astype(np.float32)
        images = {"sci": values, "err": sigma, "wht": 1 / (sigma * sigma)}
        paths = {name: str(folder / f"{band}_{name}.fits") for name in images}
        for name, image in images.items():
            fits.writeto(paths[name], image, header)
        written.append(Planes(**paths))
    return written


def configuration(planes: Sequence[Planes], tile: int, *, bare: bool, limit: float) -> RunConfig:
    """Return the run file of one of the two pieces of work."""
    bands = {
        band: {"sci": one.sci} if bare else {"sci": one.sci, "err": one.err, "wht": one.wht}
        for band, one in zip(chain.BANDS, planes, strict=True)
    }
    content: dict[str, Any] = {
        "recipe": "diego2026",
        "cluster": {"name": "bench", "redshift": 0.3, "ra": 10.0, "dec": -30.0},
        "fields": [{"name": "f", "bands": bands}],
        "tiles": {"size": tile},
    }
    if bare:
        content |= {"mask": OFF, "detect": {"threshold": {"value": limit}}}
    return resolve(content)


def extractor(folder: Path, planes: Sequence[Planes], *, weights: bool) -> Callable[[], int]:
    """Return a function that runs SExtractor on every band, and gives the number of its rows."""
    (folder / "bench.param").write_text(PARAMETERS)
    shared = Path("/usr/share/source-extractor")
    command = [
        EXTRACTOR,
        "-c",
        str(shared / "default.sex"),
        "-PARAMETERS_NAME",
        str(folder / "bench.param"),
        "-FILTER_NAME",
        str(shared / "default.conv"),
        "-STARNNW_NAME",
        str(shared / "default.nnw"),
        "-CATALOG_TYPE",
        "ASCII",
        "-DETECT_THRESH",
        "2.5",
        "-VERBOSE_TYPE",
        "QUIET",
        "-NTHREADS",
        "1",
    ]

    def run() -> int:
        rows = 0
        for number, one in enumerate(planes):
            table = folder / f"{number}.cat"
            weighted = ["-WEIGHT_TYPE", "MAP_WEIGHT", "-WEIGHT_IMAGE", one.wht] if weights else []
            subprocess.run([*command, one.sci, "-CATALOG_NAME", str(table), *weighted], check=True)
            rows += len(table.read_text().splitlines())
        return rows

    return run


def reading(config: RunConfig, tile: int) -> Callable[[], None]:
    """Return a function that reads the planes which detection needs, in tiles, and adds the bands."""
    source = probe_field(config.fields[0])
    height, width = source.shape
    boxes = [Box(y, x, y + tile, x + tile) for y in range(0, height, tile) for x in range(0, width, tile)]

    def run() -> None:
        for box in boxes:
            window = store.read_window(source, "", ("sci", "wht"), box.clip(source.box))
            add_bands(window["sci"].values, window["wht"].values if "wht" in window else None)

    return run


def compare(size: int, tile: int, runs: int) -> tuple[list[Case], list[Table]]:
    """Measure both pieces of work; return the cases, and a table of the passes of each."""
    cases, tables = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(dask.config.set(scheduler="synchronous"))
        planes = write_planes(folder, size)
        limit = 1.0
        for bare in (True, False):
            config = configuration(planes, tile, bare=bare, limit=limit)
            accountant = Accountant()
            chain.ours(config, accountant, folder)  # everything is compiled now
            accountant.passes.clear()
            candidates = chain.ours(config, accountant, folder)
            allocated(config, accountant.passes, folder)
            contestants: dict[str, Callable[[], Any]] = {
                "tilegc": lambda config=config: chain.ours(config, SerialEngine(), folder),
                "read and add": reading(config, tile),
            }
            counted: dict[str, Any] = {"candidates (tilegc)": candidates, **totals(accountant.passes)}
            remark = "one thread"
            if shutil.which(EXTRACTOR):
                theirs = extractor(folder, planes, weights=not bare)
                contestants["SExtractor, four bands"] = theirs
                counted["rows, four bands (SExtractor)"] = theirs()
            else:
                remark += f"; {EXTRACTOR} is not installed"
            if bare:
                for name, each in (("dask-image", False), ("dask-image, band by band", True)):
                    values, maxima = chain.graph(
                        [one.sci for one in planes], size, min(tile, 1024), each_band=each
                    )
                    contestants[name] = lambda values=values, maxima=maxima: chain.theirs(values, maxima)
            name = "bare: FITS to candidates" if bare else "defaults with ERR and WHT: FITS to candidates"
            cases.append(Case(name, len(planes) * size * size, in_turns(contestants, runs), remark, counted))
            tables.append(passes_table(name, accountant.passes))
    return cases, tables


def totals(passes: Sequence[PassCost]) -> dict[str, Any]:
    """Return the counts of a run that do not depend on the machine."""
    counts = [one for cost in passes for one in cost.read.values()]
    return {
        "passes": len(passes),
        "windows read": sum(one.windows for one in counts),
        "chunks decoded": sum(one.chunks for one in counts),
        "MB read": round(sum(one.bytes for one in counts) / 1e6, 1),
        "MB held at once": round(max((cost.allocated for cost in passes), default=0) / 1e6, 1),
        "arrays made by compiled kernels": sum(cost.compiled_allocations for cost in passes),
    }


def passes_table(title: str, passes: Sequence[PassCost]) -> Table:
    """Return what every pass took and read."""
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("pass", "seconds", "windows", "chunks", "MB", "held, MB", "arrays made", "of"):
        shown.add_column(name, justify="left" if name in {"pass", "of"} else "right")
    for cost in passes:
        counts = cost.read.values()
        shown.add_row(
            cost.name,
            f"{cost.seconds:.3f}",
            str(sum(one.windows for one in counts)),
            str(sum(one.chunks for one in counts)),
            f"{sum(one.bytes for one in counts) / 1e6:.1f}",
            f"{cost.allocated / 1e6:.1f}",
            str(cost.compiled_allocations),
            ", ".join(cost.read),
        )
    return shown
