"""The law against everything that it assumes: `python -m benchmarks.law_violations KAPPA_DIR OUT.jsonl [--mocks 40]`.

Mock catalogues at the level of counts in cells, drawn with b = 0.7 and a floor of 0.36 per arcsec^2 from the published
map of Abell S1063 (rows of violations), or from either of two published maps of Abell 2744 (rows of families). Every
row violates one assumption, and is fitted as it stands, and with the option of the run file that allows for it. One
process; finished mocks are lines of OUT.jsonl, so that an interrupted benchmark goes on where it was. `--rows` selects
rows by the beginning of their names; `--table` only prints what OUT.jsonl holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.command_line import Parser, at_least
from tilegc.config import Cosmology, LensMap
from tilegc.io.convergence import Kappa, read_convergence
from tilegc.kernels.smoothing import FWHM_PER_SIGMA
from tilegc.relation.assumptions import Frame, assumptions, assumptions_table, parts_of
from tilegc.relation.floors import FLAT, Floor, lensed_floor
from tilegc.relation.lens_families import lens_families
from tilegc.relation.likelihood import CountsRelation
from tilegc.relation.map_changes import displaced, registered, without_stars
from tilegc.relation.sharpening import sharpened
from tilegc.sky import SkyGrid, cosmology, pixel_scale, wcs_from_text
from tilegc.skygrid.cells import SkyCells

Floats = NDArray[np.float64]

B: Final = 0.7
FLOOR: Final = 0.36
AMPLITUDE: Final = 0.4 ** (-1 / B)
PIXEL: Final = 1.5
"""Side of a cell in arcsec."""
REACH: Final = 60.0
CLUSTERS: Final = {
    "as1063": ((342.18322, -44.53091), 0.348, "hff_williams_v4_abells1063_kappa_derived.fits.gz"),
    "grale": ((3.586259, -30.400174), 0.308, "hlsp_frontier_model_abell2744_williams_v4_kappa.fits.gz"),
    "cats": ((3.586259, -30.400174), 0.308, "abell2744_cats_v3.1_kappa_derived.fits.gz"),
}


@dataclass(frozen=True, eq=False)
class Place:
    """A published map on cells of the sky."""

    kappa: Kappa
    grid: SkyGrid
    values: Floats

    @property
    def axis(self) -> Floats:
        side = round(REACH / PIXEL) + 2
        return (np.arange(-side, side) + 0.5) * PIXEL

    @property
    def xi(self) -> Floats:
        return np.meshgrid(self.axis, self.axis)[0]

    @property
    def radius(self) -> Floats:
        return np.hypot(*np.meshgrid(self.axis, self.axis))

    def cells(self, count: NDArray[np.int64], kappa: Floats) -> SkyCells:
        """Return the sky grid of a catalogue, with the map that it is fitted with."""
        side = self.axis.size
        whole, zero = np.full((1, side, side), 9), np.zeros((1, side, side))
        area = np.array([PIXEL**2 / 9])
        return SkyCells(
            self.grid,
            -side // 2,
            -side // 2,
            ("a",),
            area,
            whole,
            whole,
            whole,
            count[None],
            zero,
            zero,
            kappa,
        )


@cache
def place(folder: Path, name: str) -> Place:
    """Read a published map."""
    (ra, dec), redshift, file = CLUSTERS[name]
    kappa = read_convergence(
        LensMap(path=str(folder / file), lens_scaling=1.0), cosmology(Cosmology()), redshift, 3.0
    )
    grid = SkyGrid(ra, dec, PIXEL)
    side = round(REACH / PIXEL) + 2
    axis = (np.arange(-side, side) + 0.5) * PIXEL
    return Place(kappa, grid, kappa.at(*grid.radec(*np.meshgrid(axis, axis))))


@dataclass(frozen=True, eq=False)
class Trial:
    """What is drawn, and what it is fitted with."""

    rate: Floats
    """Sources per arcsec^2 that are seen, (eta, xi)."""
    fitted: Kappa
    """The map of the run."""
    values: Floats
    """The same at the cells."""
    recovery: Floats | None = None
    """What the allowing fit knows of completeness."""
    floor: Floor = FLAT
    """The floor of the allowing fit."""
    change: str = ""
    """Another change of the allowing fit: registered, stars, sharpened, no_centre."""
    central: Floats | None = None
    parameter: float = 0.0


def law(kappa: Floats) -> Floats:
    """Return the sources per arcsec^2 that follow the map."""
    positive: Floats = np.maximum(kappa, 0.0)
    return AMPLITUDE * positive ** (1 / B)


def rows(at: Place) -> dict[str, Callable[[np.random.Generator], Trial]]:
    """Return the violations by name."""
    r, n = at.radius, law(at.values)
    plain = n + FLOOR

    def seen(share: Floats) -> Callable[[np.random.Generator], Trial]:
        return lambda _: Trial(plain * share, at.kappa, at.values, recovery=share)

    def behind(slope: float) -> Callable[[np.random.Generator], Trial]:
        shape = lensed_floor(at.kappa, at.cells(np.zeros(r.shape, np.int64), at.values), slope, REACH)
        return lambda _: Trial(n + FLOOR * shape, at.kappa, at.values, floor=Floor(shape))

    def smoothed(fwhm: float) -> Callable[[np.random.Generator], Trial]:
        sigma = fwhm / FWHM_PER_SIGMA / pixel_scale(wcs_from_text(at.kappa.wcs))
        soft = replace(at.kappa, values=gaussian_filter(at.kappa.values, sigma))
        values = displaced(at.cells(np.zeros(r.shape, np.int64), at.values), soft, 0.0, 0.0, 1.5 * REACH)
        return lambda _: Trial(plain, soft, values, change="sharpened", parameter=fwhm)

    def cusp(height: float, change: str) -> Callable[[np.random.Generator], Trial]:
        shape = (1 + r / 2) ** -2.0
        more = at.values + height * shape
        return lambda _: Trial(plain, at.kappa, more, change=change, central=shape * 2.25)

    def moved(offset: float) -> Callable[[np.random.Generator], Trial]:
        none = at.cells(np.zeros(r.shape, np.int64), at.values)
        there = law(displaced(none, at.kappa, offset, 0.0, 1.5 * REACH)) + FLOOR
        return lambda _: Trial(there, at.kappa, at.values, change="registered")

    def clumped(rms: float, length: float) -> Callable[[np.random.Generator], Trial]:
        return lambda draw: Trial(n * _clumps(r.shape, rms, length, draw) + FLOOR, at.kappa, at.values)

    tilt = Floor(None, 60.0)
    return {
        "exact": lambda _: Trial(plain, at.kappa, at.values),
        "seen 1-0.2exp(-r/5)": seen(1 - 0.2 * np.exp(-r / 5)),
        "seen 1-0.5exp(-r/5)": seen(1 - 0.5 * np.exp(-r / 5)),
        "seen 1-0.3exp(-r/20)": seen(1 - 0.3 * np.exp(-r / 20)),
        "seen 1-0.01n": seen(1 - 0.01 * plain),
        "seen 1-0.02n": seen(1 - 0.02 * plain),
        "seen 1-0.03n": seen(1 - 0.03 * plain),
        "added 0.2exp(-r/10)": seen(1 + 0.2 * np.exp(-r / 10)),
        "added 0.4exp(-r/10)": seen(1 + 0.4 * np.exp(-r / 10)),
        "background mu^-0.25": behind(0.3),
        "background mu^-0.5": behind(0.2),
        "gradient 30%": lambda _: Trial(
            n + FLOOR * (1 + 0.3 * at.xi / REACH), at.kappa, at.values, floor=tilt
        ),
        "kappa smoothed, sigma 2": smoothed(2.0 * FWHM_PER_SIGMA),
        "kappa smoothed, sigma 4": smoothed(4.0 * FWHM_PER_SIGMA),
        "cusp 0.5, stars": cusp(0.5, "stars"),
        "cusp 1.5, stars": cusp(1.5, "stars"),
        "cusp 0.5, no_centre": cusp(0.5, "no_centre"),
        "cusp 1.5, no_centre": cusp(1.5, "no_centre"),
        "moved 1": moved(1.0),
        "moved 2": moved(2.0),
        "clumped 30% 4": clumped(0.3, 4.0),
        "clumped 30% 10": clumped(0.3, 10.0),
    }


def _clumps(shape: tuple[int, ...], rms: float, length: float, draw: np.random.Generator) -> Floats:
    """Return a lognormal field of mean 1."""
    sigma = length / FWHM_PER_SIGMA / PIXEL
    field = gaussian_filter(draw.normal(size=shape), sigma, mode="wrap")
    spread = np.sqrt(np.log1p(rms**2))
    clumps: Floats = np.exp(spread * field / field.std() - spread**2 / 2)
    return clumps


def violation(at: Place, trial: Trial, draw: np.random.Generator) -> dict[str, float]:
    """Draw one catalogue, and fit it as it stands and with what allows for its violation."""
    count = draw.poisson(trial.rate * PIXEL**2)
    cells = at.cells(count, trial.values)
    frame = Frame(
        side=3.0,
        reach=REACH,
        kept=cells.kept,
        recovery=np.ones(count.shape),
        light=None,
        floor=FLAT,
        central=trial.central,
        min_radius=0.0,
    )
    naive = frame.fit(cells)
    error = naive.c_err / naive.law.c**2
    result = {"naive": naive.index, "naive_err": error}
    better = replace(
        frame, floor=trial.floor, recovery=trial.recovery if trial.recovery is not None else frame.recovery
    )
    if trial.change == "no_centre":
        better = replace(better, kept=better.kept & (cells.radius >= 10.0), min_radius=10.0)
    if trial.change == "sharpened":
        sharp = sharpened(trial.fitted, trial.parameter)
        cells = replace(cells, kappa=displaced(cells, sharp, 0.0, 0.0, REACH))
        result |= _told("better", better.fit(cells), cells, sharp, better)
    elif trial.change in ("registered", "stars"):
        found = (
            registered(cells, trial.fitted, frame, naive)
            if trial.change == "registered"
            else without_stars(cells, frame, naive)
        )
        assert found is not None
        index, error = 1 / found.law.c, found.c_err / found.law.c**2
        result |= {
            "better": index,
            "better_err": error,
            "better_total": error,
            "first": float(found.values[0]),
        }
    else:
        result |= _told("better", better.fit(cells), cells, trial.fitted, better)
    return result


def _told(name: str, found: CountsRelation, cells: SkyCells, kappa: Kappa, frame: Frame) -> dict[str, float]:
    """Return b, its statistical error, and the error with the parts that the assumptions give."""
    table = assumptions_table(assumptions(cells, kappa, frame, found, without=("lensed_floor",)))
    parts = np.array(list(parts_of(table).values()))
    error = found.c_err
    total = float(np.sqrt(error**2 + np.nansum(parts**2)))
    c2 = found.law.c**2
    return {name: found.index, f"{name}_err": error / c2, f"{name}_total": total / c2}


def family(folder: Path, name: str, draw: np.random.Generator) -> dict[str, float]:
    """Draw a catalogue from one map of Abell 2744, and fit it with one or the other."""
    reach, truth, used = name.removeprefix("family ").split()
    maps = {one: place(folder, one) for one in ("grale", "cats")}
    other = "cats" if used == "grale" else "grale"
    count = draw.poisson((law(maps[truth].values) + FLOOR) * PIXEL**2)
    cells = maps[used].cells(count, maps[used].values)
    frame = Frame(
        side=3.0,
        reach=float(reach),
        kept=cells.kept,
        recovery=np.ones(count.shape),
        light=None,
        floor=FLAT,
        central=None,
        min_radius=0.0,
    )
    found = frame.fit(cells)
    both = lens_families(
        cells,
        3.0,
        float(reach),
        kept=cells.kept,
        recovery=frame.recovery,
        light=None,
        alternatives={other: maps[other].kappa},
        assumed_rms=0.3,
    )
    told = _told("naive", found, cells, maps[used].kappa, frame)
    between = np.nan if both is None else both.index_err
    total = float(np.hypot(told["naive_total"], between))
    return told | {"better": found.index, "better_err": told["naive_err"], "better_total": total}


def names(folder: Path) -> list[str]:
    """Return the names of all rows."""
    pairs = [(a, b) for a in ("grale", "cats") for b in ("grale", "cats")]
    return [
        *rows(place(folder, "as1063")),
        *(f"family {reach} {a} {b}" for reach in (30, 45, 60) for a, b in pairs),
    ]


def table(lines: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of what was measured."""
    yield f"{'row':22s} {'n':>4s}  naive b - 0.7   pull  allowed b - 0.7   pull total  cover  median/rms"
    for name in dict.fromkeys(line["row"] for line in lines):
        some = [line for line in lines if line["row"] == name]
        text = f"{name:22s} {len(some):4d}"
        for kind in ("naive", "better"):
            b, err = (np.array([line[f"{kind}{end}"] for line in some]) for end in ("", "_err"))
            off = b - B
            text += f"  {off.mean():+.4f} {off.std() / len(some) ** 0.5:.4f} {(off / err).std():5.2f}"
        total = np.array([line["better_total"] for line in some])
        text += f" {(off / total).std():5.2f}"
        covered = (np.abs(off) <= total).mean()
        ratio = np.median(total) / np.sqrt((off**2).mean())
        yield f"{text}  {covered:.2f}  {ratio:.2f}"


def main() -> None:
    """Measure, append to the file, and print."""
    options = Parser(prog="python -m benchmarks.law_violations", description=main.__doc__)
    options.add_argument("folder", type=Path, help="directory with the published maps")
    options.add_argument("out", type=Path, help="file of finished mocks")
    options.add_argument("--mocks", type=at_least(1), default=40, help="mocks of each row")
    options.add_argument("--rows", default="", help="beginnings of names of rows, separated by commas")
    options.add_argument("--table", action="store_true", help="only print what is there")
    given = options.parse_args()
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    if not given.table:
        done = {(line["row"], line["seed"]) for line in lines}
        wanted = [name for name in names(given.folder) if name.startswith(tuple(given.rows.split(",")))]
        base = place(given.folder, "as1063")
        trials = rows(base)
        begun = time.process_time()
        with given.out.open("a") as file:
            for seed in range(given.mocks):
                for number, name in enumerate(wanted):
                    if (name, seed) in done:
                        continue
                    draw = np.random.default_rng([seed, number])
                    if name.startswith("family"):
                        found = family(given.folder, name, draw)
                    else:
                        found = violation(base, trials[name](draw), draw)
                    lines.append({"row": name, "seed": seed, **found})
                    file.write(json.dumps(lines[-1]) + "\n")
                    file.flush()
        print(f"{time.process_time() - begun:.0f} s of CPU")
    print("\n".join(table(lines)))


if __name__ == "__main__":
    main()
