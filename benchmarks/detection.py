"""Purity and completeness of detectors on the same simulated fields, inside the same edges and masks.

Every detector gets what its authors would give it: the summed bands, whose background it takes off itself, and apart
from that the recipe's doubly filtered map, which is half of the recipe; the mask, so that nothing is detected under
it; and a scan over its threshold and its main settings.
Shown is the setting with the largest product of purity and mean completeness over the bins, and the largest
completeness that it reaches at a purity of `PURE` (the truth is used for both: each peer is at its best).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from rich.table import Table

from benchmarks.purity import BINS, Counts, count, of_field
from tilegc import config as run_file
from tilegc import pipeline
from tilegc.errors import TileGCError
from tilegc.io.tables import read_parquet
from tilegc.kernels.order import sigma
from tilegc.run_folder import Run
from tilegc.simulate import simulate

PURE = 0.95
SEXTRACTOR = "source-extractor"

Places = np.ndarray
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """What every detector gets of one field."""

    light: np.ndarray
    """Summed bands, nJy per pixel, 0 without data."""
    filtered: np.ndarray
    """The recipe's double filter of it, 0 where there is none."""
    mask: np.ndarray
    """Bits of `schema.Bit`; not 0: nothing may be detected there."""
    truth: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Result:
    """One detector at one setting, over all fields and seeds."""

    by: str
    settings: str
    counts: Counts

    @property
    def merit(self) -> float:
        """Purity times mean completeness; 0 where either is undefined."""
        value = self.counts.purity * float(np.mean(self.counts.completeness))
        return value if np.isfinite(value) else 0.0


def noise_of(values: np.ndarray, good: np.ndarray) -> float:
    """Return 1.4826 x MAD over the good pixels."""
    inside = values[good]
    return sigma(float(np.median(np.abs(inside - np.median(inside)))))


def on_good(places: Places, mask: np.ndarray) -> Places:
    """Leave out what was found under a mask."""
    if not len(places):
        return np.zeros((0, 2))
    row, column = np.clip(np.rint(places).astype(int), 0, np.array(mask.shape) - 1).T
    return places[mask[row, column] == 0]


# --- the detectors: settings to places (y, x) -----------------------------------------------------------------


def daofind(field: Field, settings: Settings) -> Places:
    """Return what photutils' DAOStarFinder finds."""
    from photutils.detection import DAOStarFinder  # noqa: PLC0415  (an extra)

    values = getattr(field, settings["image"])
    limit = settings["threshold"] * noise_of(values, field.mask == 0)
    every = (-np.inf, np.inf)
    shape = {} if settings["shape"] else {"sharpness_range": every, "roundness_range": every}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # 3 px apart, as the recipe has it.
        found = DAOStarFinder(limit, settings["fwhm"], min_separation=3.0, **shape)(
            values, mask=field.mask != 0
        )
    if found is None:
        return np.zeros((0, 2))
    return np.column_stack([np.asarray(found[name], float) for name in ("y_centroid", "x_centroid")])


def by_sep(field: Field, settings: Settings) -> Places:
    """Return what sep extracts, from the background-subtracted image."""
    import sep  # noqa: PLC0415  (an extra)

    values = np.ascontiguousarray(getattr(field, settings["image"]), np.float32)
    covered = field.mask != 0
    if settings["image"] == "light":
        values = values - sep.Background(values, mask=covered, bw=32, bh=32).back()
    sep.set_extract_pixstack(3_000_000)
    sep.set_sub_object_limit(8192)
    offset = np.arange(-2, 3)
    kernel = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * (settings["fwhm"] / 2.3548) ** 2))
    found = sep.extract(
        values, settings["threshold"], err=noise_of(values, ~covered), mask=covered, minarea=settings["area"],
        filter_kernel=kernel, deblend_nthresh=64, deblend_cont=1e-4,
    )  # fmt: skip
    return np.column_stack([found["y"], found["x"]])


def by_sextractor(field: Field, settings: Settings) -> Places:
    """Return what SExtractor finds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fits.writeto(folder / "image.fits", np.asarray(getattr(field, settings["image"]), np.float32))
        fits.writeto(folder / "weight.fits", (field.mask == 0).astype(np.float32))
        (folder / "out.param").write_text("X_IMAGE\nY_IMAGE\n")
        offset = np.arange(-2, 3)
        kernel = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * (settings["fwhm"] / 2.3548) ** 2))
        rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in kernel)
        (folder / "point.conv").write_text(f"CONV NORM\n{rows}\n")
        (folder / "none.sex").write_text("")
        options = {
            "CATALOG_NAME": "out.cat", "CATALOG_TYPE": "ASCII", "PARAMETERS_NAME": "out.param",
            "FILTER": "Y", "FILTER_NAME": "point.conv", "WEIGHT_TYPE": "MAP_WEIGHT", "WEIGHT_IMAGE": "weight.fits",
            "WEIGHT_THRESH": "0.5", "DETECT_THRESH": settings["threshold"], "ANALYSIS_THRESH": settings["threshold"],
            "DETECT_MINAREA": settings["area"], "DEBLEND_NTHRESH": 64, "DEBLEND_MINCONT": 1e-4, "CLEAN": "N",
            "BACK_SIZE": 32, "BACK_FILTERSIZE": 3, "BACK_TYPE": "AUTO" if settings["image"] == "light" else "MANUAL",
            "BACK_VALUE": 0.0, "MEMORY_OBJSTACK": 30_000, "MEMORY_PIXSTACK": 3_000_000, "VERBOSE_TYPE": "QUIET",
            "PHOT_APERTURES": 5,
        }  # fmt: skip
        line = [SEXTRACTOR, "image.fits", "-c", "none.sex"]
        line += [text for key, value in options.items() for text in (f"-{key}", str(value))]
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
        found = np.loadtxt(folder / "out.cat", ndmin=2)
    return found[:, ::-1] - 1 if found.size else np.zeros((0, 2))


def settings_of(**choices: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Yield every combination."""
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def peers() -> dict[str, tuple[Callable[[Field, Settings], Places], list[dict[str, Any]]]]:
    """Return the detectors that are installed, with the settings to be tried."""
    found: dict[str, Any] = {}
    images = ("filtered", "light")
    try:
        import photutils  # noqa: F401, PLC0415
    except ImportError:
        pass
    else:
        found["DAOStarFinder"] = daofind, [
            *settings_of(image=("filtered",), threshold=(2, 3, 4, 5, 6, 8), fwhm=(1.5, 2.0, 2.5), shape=(True, False)),
            *settings_of(image=("light",), threshold=(2, 3, 4, 6), fwhm=(2.0,), shape=(True,)),
        ]  # fmt: skip
    try:
        import sep  # noqa: F401, PLC0415
    except ImportError:
        pass
    else:
        found["sep"] = (
            by_sep,
            list(settings_of(image=images, threshold=(1.5, 2, 3, 4, 5), fwhm=(1.5, 2.0), area=(1, 3, 5))),
        )
    if shutil.which(SEXTRACTOR):
        found["SExtractor"] = (
            by_sextractor,
            list(settings_of(image=images, threshold=(1.5, 2, 3, 4, 5), fwhm=(1.5, 2.0), area=(1, 3, 5))),
        )
    return found


# --- ours -----------------------------------------------------------------------------------------------------


def run_of(source: Path, folder: Path, recipe: str) -> Run | None:
    """Run the whole chain with a recipe; None where it does not exist in this version."""
    content = run_file.load(source).model_dump(mode="json", exclude_none=True)
    report, pipeline.write_report = pipeline.write_report, lambda *_: None  # type: ignore[assignment]
    try:
        config = run_file.resolve({**content, "recipe": recipe, "truth": None})
        return pipeline.run(config, folder, workers=0)
    except TileGCError:
        if recipe == "seed":
            raise
        return None
    finally:
        pipeline.write_report = report


def ours(run: Run, name: str, threshold: float) -> Places:
    """Return our peaks above a number of sigma."""
    table = run.candidates
    rows = (np.asarray(table["field"]).astype(str) == name) & (np.asarray(table["snr"]) >= threshold)
    return np.column_stack([np.asarray(table["y"].value, float), np.asarray(table["x"].value, float)])[rows]


def field_of(run: Run, name: str, truth: Any) -> Field:
    """Return a field with this run's mask."""
    data = run.field(name)
    light, filtered = (np.nan_to_num(data[key].values, nan=0.0) for key in ("light", "detection"))
    return Field(light, filtered, data["mask"].values, of_field(truth, name))


def compare(preset: str, seeds: tuple[int, ...], size: int | None = None) -> list[Result]:
    """Return every detector at every setting, pooled over fields and seeds."""
    pooled: dict[tuple[str, str], Counts] = {}

    def add(by: str, settings: Settings, counts: Counts) -> None:
        key = by, ", ".join(f"{name} {value:g}" if isinstance(value, float | int) and not isinstance(value, bool)
                            else f"{name} {value}" for name, value in settings.items())  # fmt: skip
        pooled[key] = pooled[key] + counts if key in pooled else counts

    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            source = simulate(folder / "mock", preset=preset, seed=seed, size=size)
            truth = read_parquet(folder / "mock" / "truth.parquet")
            for recipe in ("seed", "calibrated"):
                run = run_of(source, folder / recipe, recipe)
                if run is None:
                    continue
                for name, threshold in product(run.fields, np.arange(2.5, 9.1, 0.5)):
                    mask = run.field(name)["mask"].values
                    found = ours(run, name, float(threshold))
                    counts = count(found, of_field(truth, name), mask, seed=seed)
                    add(f"tilegc, {recipe}", {"threshold": float(threshold)}, counts)
                if recipe != "seed":
                    continue
                fields = [field_of(run, name, truth) for name in run.fields]
                for (by, (detect, choices)), field in product(peers().items(), fields):
                    for settings in choices:
                        found = on_good(detect(field, settings), field.mask)
                        image = "doubly filtered map" if settings["image"] == "filtered" else "summed bands"
                        add(f"{by}, {image}", settings, count(found, field.truth, field.mask, seed=seed))
    return [Result(by, settings, counts) for (by, settings), counts in pooled.items()]


def best(results: list[Result]) -> list[tuple[str, Result | None, Result | None]]:
    """Return for every detector its best setting, and its most complete one of purity `PURE` or more."""
    chosen = []
    for by in dict.fromkeys(result.by for result in results):
        own = [result for result in results if result.by == by]
        pure = [result for result in own if result.counts.purity >= PURE]
        deepest = max(pure, key=lambda result: float(np.mean(result.counts.completeness)), default=None)
        chosen.append((by, max(own, key=lambda result: result.merit), deepest))
    return chosen


def table(results: list[Result], title: str) -> Table:
    """Return the best of every detector as a table."""
    shown = Table(title=title, title_justify="left", pad_edge=False, box=None)
    for name in ("by", "chosen for"):
        shown.add_column(name)
    for name in (
        "purity",
        *(f"complete {low:g}-{high:g}" for low, high in BINS),
        "found",
        "masked",
        "by chance",
    ):
        shown.add_column(name, justify="right")
    shown.add_column("settings", style="dim")
    for by, merit, deepest in best(results):
        for what, result in (("purity x completeness", merit), (f"completeness at purity {PURE:g}", deepest)):
            if result is None:
                shown.add_row(by, what, "not reached")
                continue
            counts = result.counts
            shown.add_row(
                by, what, f"{counts.purity:.3f}", *(f"{value:.3f}" for value in counts.completeness), str(counts.found),
                f"{counts.masked_share:.3f}", f"{counts.by_chance:.3f}", result.settings,
            )  # fmt: skip
    return shown


def rows(results: list[Result]) -> list[dict[str, Any]]:
    """Return all that was measured, for the file."""
    return [
        {
            "by": result.by, "settings": result.settings, "purity": result.counts.purity,
            "completeness": result.counts.completeness, "found": result.counts.found,
            "resolved": result.counts.resolved, "masked": result.counts.masked_share,
            "by_chance": result.counts.by_chance,
        }
        for result in results
    ]  # fmt: skip
