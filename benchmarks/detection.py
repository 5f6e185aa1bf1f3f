"""Purity, completeness and masked area of both recipes and of three peers: `python -m benchmarks.detection`.

Clusters are simulated (stars with beaded spikes and saturated cores among them), taken to a catalogue by the run's
own stages, and compared with the truth one to one (`benchmarks.matching`); seeds are pooled, fields kept apart.
Peers look at the same pixels, with noise by the weight maps, twice: inside the same edges only, and outside of our
masks as well. Their settings are
those of `peers.CHOSEN`; `--scan` tries all of them and shows the best, which is how they were chosen. Completeness of
all is that of the truth outside of our masks; that of peers is told by the masks of `recipe: diego2026`.
*As many as* a peer with our masks finds: the deepest catalogue of `calibrated`, cut in signal-to-noise until it holds
as many matched sources, so that purities are compared at equal completeness.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from rich.table import Table

from benchmarks.matching import count, of_field
from benchmarks.measure import console, environment
from benchmarks.peers import CHOSEN, DETECTORS, Seen, absent, on_good, scan
from benchmarks.purity import BINS, Counts
from benchmarks.recipes import RECIPES, Found, configured, find
from tilegc.io.tables import read_parquet
from tilegc.schema import Bit
from tilegc.simulation import PRESETS, simulate

__all__ = ["Row", "compare", "main", "relative_noise", "rows", "table"]

EDGES, MASKS = "edges", "our masks"
"""Inside of what is looked at."""

IMAGES = ("filtered", "light")
"""Of `Seen`."""

_CALIBRATED = {"a": (0.99, 0.98, 0.90, 0.10), "b": (0.97, 0.98, 0.98, 0.25)}

BARS: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {
    "diego2026, masks auto": {"a": (0.95, 0.0, 0.0, 1.0), "b": (0.90, 0.0, 0.0, 1.0)},
    "calibrated, threshold auto": _CALIBRATED,
    "calibrated, 5 sigma": _CALIBRATED,
}
"""What is asked of recipe and field: purity, completeness in `BINS` at least; masked share at most."""


@dataclass(frozen=True)
class Row:
    """One detector at one setting in one field, over all seeds."""

    by: str
    where: str
    settings: str
    field: str
    counts: Counts

    @property
    def merit(self) -> float:
        """Purity times mean completeness; 0 where either is undefined."""
        value = self.counts.purity * float(np.mean(self.counts.completeness))
        return value if np.isfinite(value) else 0.0

    @property
    def passes(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        bar = BARS.get(self.by, {}).get(self.field)
        if bar is None:
            return None
        purity, first, second, masked = bar
        found = self.counts
        return (
            found.purity >= purity
            and found.completeness[0] >= first
            and found.completeness[1] >= second
            and found.masked_share <= masked
        )


class _Pool:
    """Counts that add up over seeds, in the order of their first appearance."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str, str], Counts] = {}

    def add(self, by: str, where: str, settings: str, field: str, counts: Counts) -> None:
        key = by, where, settings, field
        self.counts[key] = self.counts[key] + counts if key in self.counts else counts

    @property
    def rows(self) -> list[Row]:
        return [Row(*key, counts) for key, counts in self.counts.items()]


AS_MANY = "calibrated, as many as "
DEEPEST = "calibrated, threshold auto"


def as_many(
    one: Found, wanted: int, truth: Mapping[str, np.ndarray], image: np.ndarray
) -> tuple[Counts, float]:
    """Cut a catalogue in signal-to-noise until it holds a number of matched sources; all of it where it has fewer.

    Parameters
    ----------
    one : Found
        The catalogue.
    wanted : int
        Number of matched sources.
    truth : mapping
        Of `matching.of_field`.
    image : ndarray, shape (ny, nx)
        Double-filtered map, for the magnitudes.

    Returns
    -------
    Counts, float
        Of the cut catalogue, and where it was cut.
    """
    order = np.argsort(-one.snr, kind="stable")
    low, high = 0, order.size
    while low < high:
        middle = (low + high) // 2
        some = count(one.places[order[:middle]], truth, one.mask, image, chance=False)
        low, high = (middle + 1, high) if some.real < wanted else (low, middle)
    kept = order[:low]
    limit = float(one.snr[kept].min()) if low else np.nan
    return count(one.places[kept], truth, one.mask, image), limit


def compare(
    preset: str,
    seeds: Iterable[int],
    *,
    size: int | None = None,
    peers: Iterable[str] = tuple(DETECTORS),
    images: Iterable[str] = IMAGES,
    scanned: bool = False,
    place: Path | None = None,
    after: Callable[[list[int], list[Row]], None] | None = None,
) -> list[Row]:
    """Simulate, find, count.

    Parameters
    ----------
    preset : str
        Of `tilegc simulate`.
    seeds : iterable of int
    size : int, optional
        Side of the fields instead of the preset's.
    peers : iterable of str
        Of `peers.DETECTORS`; those that are absent are left out.
    images : iterable of str
        What the peers look at, of `IMAGES`.
    scanned : bool
        Try all settings of the peers, not only the chosen ones.
    place : Path, optional
        Folder for temporary data, about 2 GB for `as1063`; every seed's is removed before the next one.
    after : callable, optional
        Told after every seed which are done, and the rows so far.
    """
    pool, done = _Pool(), []
    for seed in seeds:
        with tempfile.TemporaryDirectory(dir=place) as temporary:
            tried = {
                (by, where): [
                    one for one in (scan(by) if scanned else CHOSEN[by, where]) if one["image"] in images
                ]
                for by in peers
                for where in (EDGES, MASKS)
            }
            _of_seed(pool, preset, seed, size, tried, Path(temporary))
        done.append(seed)
        if after is not None:
            after(done, pool.rows)
    return pool.rows


def _of_seed(
    pool: _Pool,
    preset: str,
    seed: int,
    size: int | None,
    tried: Mapping[tuple[str, str], list[Any]],
    folder: Path,
) -> None:
    source = simulate(folder / "mock", preset=preset, seed=seed, size=size)
    table_ = read_parquet(folder / "mock" / "truth.parquet")
    paper_run: dict[str, Found] = {}
    deepest: dict[str, Found] = {}
    for by, changes in RECIPES.items():
        begun = time.process_time()
        found = find(configured(source, changes), folder / by.replace(", ", "-"))
        seconds = time.process_time() - begun
        for name, one in found.items():
            # magnitudes of all detectors are those of the paper's map
            image = (paper_run or found)[name].detection
            pool.add(by, MASKS, "", name, count(one.places, of_field(table_, name), one.mask, image))
        print(
            f"seed {seed}, {by}: {seconds:.0f} s of CPU, limits "
            + ", ".join(f"{name} {one.limit:.2f}" for name, one in found.items()),
            flush=True,
        )
        if changes["recipe"] == "diego2026":
            paper_run = found
        if by == DEEPEST:
            deepest = found
    for (by, where), choices in tried.items():
        if absent(by) is not None:
            continue
        for name, one in paper_run.items():
            # the doubly filtered map has no values under bit 4
            mask = one.mask if where == MASKS else one.mask & (Bit.NO_DATA | Bit.EDGE | Bit.BRIGHT)
            seen = Seen(one.light, one.detection, mask, relative_noise(folder / "mock", name))
            for settings in choices:
                places = on_good(DETECTORS[by](seen, settings), mask)
                counts = count(places, of_field(table_, name), one.mask, one.detection)
                pool.add(by, where, _text(settings), name, counts)
                if where == MASKS and deepest and len(choices) <= len(IMAGES):
                    cut, limit = as_many(deepest[name], counts.real, of_field(table_, name), one.detection)
                    pool.add(AS_MANY + by, where, _text(settings), name, cut)
                    print(
                        f"seed {seed}, {name}: as many as {by} ({settings['image']}) above S/N {limit:.2f}",
                        flush=True,
                    )


def relative_noise(mock: Path, field: str) -> np.ndarray:
    """Return the noise of a field's summed bands by its weight maps, in units of its median; 1 without data."""
    variance: np.ndarray | float = 0.0
    for path in sorted(mock.glob(f"{field}_*_i2d.fits")):
        weight = fits.getdata(path, "WHT").astype(float)
        variance = variance + np.divide(1.0, weight, out=np.full(weight.shape, np.inf), where=weight > 0)
    noise = np.sqrt(variance)
    seen = np.isfinite(noise)
    return np.where(seen, noise / np.median(noise[seen]), 1.0)


def _text(settings: Mapping[str, Any]) -> str:
    parts = dict(settings)
    image = {"filtered": "double-filtered", "light": "summed"}[parts.pop("image")]
    return ", ".join(
        [image, f"{parts.pop('threshold')} sigma", *(f"{name} {value}" for name, value in parts.items())]
    )


def best(found: list[Row]) -> list[Row]:
    """Return of every detector, place and image the setting of the largest merit, averaged over the fields."""
    kept = []
    groups: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
    for row in found:
        group = groups.setdefault((row.by, row.where, row.settings.split(",")[0]), {})
        group.setdefault(row.settings, []).append(row)
    for group in groups.values():
        kept += max(group.values(), key=lambda those: sum(row.merit for row in those))
    return kept


def table(found: list[Row], title: str) -> Table:
    """Return rows field by field."""
    shown = Table(title=title, title_justify="left", pad_edge=False, box=None)
    for name in ("field", "by", "inside"):
        shown.add_column(name, no_wrap=True)
    for name in (
        "purity",
        "false",
        *(f"{low:g}-{high:g}" for low, high in BINS),
        "masked",
        "found",
        "resolved",
        "chance",
        "bar",
    ):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("settings", style="dim", no_wrap=True)
    for field in dict.fromkeys(row.field for row in found):
        for row in (row for row in found if row.field == field):
            counts = row.counts
            shown.add_row(
                row.field,
                row.by,
                row.where,
                f"{counts.purity:.4f}",
                str(counts.false),
                *(f"{value:.4f}" for value in counts.completeness),
                f"{counts.masked_share:.3f}",
                str(counts.found),
                str(counts.resolved),
                f"{counts.by_chance:.3f}",
                {None: "", True: "met", False: "missed"}[row.passes],
                row.settings,
            )
        shown.add_section()
    return shown


def rows(found: list[Row]) -> list[dict[str, Any]]:
    """Return all that was measured, for a file."""
    return [
        {
            "by": row.by,
            "where": row.where,
            "settings": row.settings,
            "field": row.field,
            "bar_met": row.passes,
            "purity": row.counts.purity,
            "completeness": row.counts.completeness,
            "false": row.counts.false,
            "masked": row.counts.masked_share,
            "by_chance": row.counts.by_chance,
            "counts": asdict(row.counts),
        }
        for row in found
    ]


def main() -> None:
    """Measure purity, completeness and masked area; print a table and write it as JSON."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=main.__doc__)
    options.add_argument("--preset", default="small", choices=sorted(PRESETS))
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--size", type=int, help="side of the fields, pixels; default: the preset's")
    options.add_argument("--peers", nargs="*", default=list(DETECTORS), choices=list(DETECTORS))
    options.add_argument(
        "--images", nargs="*", default=list(IMAGES), choices=IMAGES, help="what peers look at"
    )
    options.add_argument("--scan", action="store_true", help="all settings of the peers; shows the best")
    options.add_argument("--place", type=Path, help="folder for temporary data")
    options.add_argument("--json", type=Path, help="file for the figures; default: benchmarks/results/")
    given = options.parse_args()
    for by in given.peers:
        if (why := absent(by)) is not None:
            print(f"{by} is left out: {why}")
    stamp = time.strftime("%Y-%m-%dT%H%M%S")
    path = given.json or Path(__file__).parent / "results" / f"detection-{given.preset}-{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)

    def keep(seeds: list[int], found: list[Row]) -> None:
        content = {"environment": environment(), "preset": given.preset, "seeds": seeds, "rows": rows(found)}
        path.write_text(json.dumps(content, indent=2) + "\n")
        title = f"{given.preset}, seeds {', '.join(map(str, seeds))}, pooled"
        console().print(table(best(found) if given.scan else found, title))

    compare(
        given.preset,
        given.seeds,
        size=given.size,
        peers=given.peers,
        images=given.images,
        scanned=given.scan,
        place=given.place,
        after=keep,
    )
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"{sum(one.ru_utime + one.ru_stime for one in used):.0f} s of CPU in all")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
