"""Draw the true purity of peaks against the predicted one: `python docs/reliability_figure.py [--data DATA]`.

Mocks `small`: peaks of `recipe: calibrated` from signal-to-noise 3 on, by `reliability`, against the share that takes
an object of the truth one to one (`benchmarks.matching`), less chance. Real sky: PRIMER-UDS cutouts in DATA/images, the
mean `purity` of point sources in slices of signal-to-noise against 1 - N(sign-flipped) / N, away from masks and bright
sources. Both count point sources, of which `purity` speaks: noise has the shape of a point more often than galaxies do.
"""

# ruff: noqa: INP001, T201  (a script, which prints what it draws)

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

import tilegc
from benchmarks.matching import COMPACT, FAINTEST, GALAXY, RESOLVED, magnitudes, matched, of_field
from benchmarks.recipes import configured
from tilegc.in_memory import Detections
from tilegc.io.tables import read_parquet
from tilegc.simulation import simulate

EDGES = (0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97, 0.99, 0.999, 1.0 + 1e-9)
"""Of bins in the predicted purity."""

SLICES = (3.0, 3.25, 3.5, 3.75, 4.0, 4.5, 5.0, np.inf)
"""Of signal-to-noise."""

LEAST = 3.0
"""Signal-to-noise from which peaks are judged."""

BANDS = {"one band": ("f115w",), "two bands": ("f115w", "f444w")}
COLOURS = {"a": "#D55E00", "b": "#0072B2", "one band": "#009E73", "two bands": "#CC79A7"}

Counts = dict[str, np.ndarray]
"""By field: number, sum of the prediction, matched, and matched by chance, in every bin; float64 (4, bin)."""


def of_mocks(seeds: list[int]) -> Counts:
    """Return the counts of the mocks, seeds pooled."""
    pool = {name: np.zeros((4, len(EDGES) - 1)) for name in ("a", "b")}
    settings = {"recipe": "calibrated", "photometry": "off", "detect": {"threshold": {"sigma": 1.5}}}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            source = simulate(Path(folder) / "mock", preset="small", seed=seed)
            run = tilegc.detect(configured(source, settings), Path(folder) / "run", workers=0)
            table = read_parquet(Path(folder) / "mock" / "truth.parquet")
            found = {name: np.asarray(run.candidates[name]) for name in ("field", "y_peak", "x_peak")}
            found |= {name: np.asarray(run.candidates[name]) for name in ("snr", "shape", "reliability")}
            for name in pool:
                rows = (found["field"].astype(str) == name) & (found["snr"] >= LEAST)
                rows &= found["shape"].astype(str) == "point"
                detection = np.nan_to_num(run.field(name).detection.values)
                pool[name] += _of_field(
                    {key: column[rows] for key, column in found.items()}, of_field(table, name), detection
                )
    return pool


def _of_field(
    found: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], detection: np.ndarray
) -> np.ndarray:
    """Return the counts of one field."""
    places = np.column_stack([found["y_peak"], found["x_peak"]]).astype(float)
    position = np.column_stack([truth["y"], truth["x"]])
    real = np.isfinite(position).all(axis=1)
    galaxies = position[real & np.isin(truth["kind"], RESOLVED)]
    clear = cKDTree(galaxies).query(places)[0] > GALAXY
    places, predicted = places[clear], found["reliability"][clear]
    compact = real & np.isin(truth["kind"], COMPACT) & (truth["mag"] < FAINTEST)
    objects, mags = position[compact], truth["all"][compact]
    bright = magnitudes(places, detection, truth)
    which = np.digitize(predicted, EDGES) - 1
    kept = (which >= 0) & (which < len(EDGES) - 1)

    def total(weight: np.ndarray) -> np.ndarray:
        return np.bincount(which[kept], weight[kept].astype(float), minlength=len(EDGES) - 1)

    lucky = np.zeros(len(places))
    for turn in range(8):
        angle = np.pi * turn / 4 + 0.2
        moved = places + 20.0 * np.array([np.sin(angle), np.cos(angle)])
        lucky += (matched(moved, bright, objects, mags) >= 0) / 8
    hit = matched(places, bright, objects, mags) >= 0
    return np.array([total(np.ones(len(places))), total(predicted), total(hit), total(lucky)])


def of_sky(data: Path) -> Counts:
    """Return number, sum of the purities, and number in the sign-flipped image by slices of signal-to-noise."""
    pool = {}
    for name, bands in BANDS.items():
        runs: list[Detections] = []
        for sign in (1.0, -1.0):
            sci, wht = {}, {}
            for band in bands:
                path = data / "images" / f"uds_jwst_nircam_{band}_40mas"
                image, weight = (fits.getdata(f"{path}_{kind}.fits.gz") for kind in ("sci", "wht"))
                sci[band.upper()] = np.where(weight > 0, sign * 10 * image, np.nan).astype(np.float32)
                wht[band.upper()] = (weight / 100).astype(np.float32)
            limit = {"threshold": {"sigma": 1.5}}
            runs.append(
                tilegc.detect_in(sci, wht, scale=0.04, recipe="calibrated", detect=limit, mask={"edge": 1.0})
            )
        one = runs[0].candidates
        bright = one["snr"] > 25
        rings = cKDTree(np.column_stack([one["y_peak"], one["x_peak"]])[bright])
        counts = np.zeros((3, len(SLICES) - 1))
        for row, run in zip((0, 2), runs, strict=True):
            table = run.candidates
            y, x = table["y_peak"], table["x_peak"]
            apart = rings.query(np.column_stack([y, x]))[0] > 12
            rows = (
                (runs[0].mask[y, x] == 0)
                & (table["snr"] >= SLICES[0])
                & (table["shape"] == "point")
                & (apart | (bright if row == 0 else False))
            )
            counts[row] = np.histogram(table["snr"][rows], SLICES)[0]
            if row == 0:
                counts[1] = np.histogram(table["snr"][rows], SLICES, weights=table["purity"][rows])[0]
        pool[name] = counts
    return pool


def main() -> None:
    """Print predicted and true purity, and draw them."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=[37, 38])
    options.add_argument("--data", type=Path, help="folder with images/; without it only mocks are drawn")
    given = options.parse_args()
    figure = Figure(figsize=(9.6, 4.4), dpi=150, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, counts in of_mocks(given.seeds).items():
        n, predicted, hit, lucky = counts[:, counts[0] > 0]
        x, raw, chance = predicted / n, hit / n, lucky / n
        y = 1 - (1 - raw) / (1 - chance)
        error = np.sqrt(np.maximum(raw * (1 - raw), 1 / n) / n) / (1 - chance)
        left.errorbar(x, y, error, fmt="o", ms=4, lw=1, color=COLOURS[name], label=f"field {name}")
        for row in zip(n, x, y, error, strict=True):
            print("mock", name, "{:.0f} predicted {:.4f} true {:.4f} +- {:.4f}".format(*row))
    left.set_title("mocks small", loc="left", fontweight="bold", fontsize=11)
    left.set_xlabel("reliability")
    if given.data is not None:
        for name, (n, predicted, flipped) in of_sky(given.data).items():
            x, y = predicted / n, 1 - flipped / n
            error = np.sqrt(flipped + (flipped / n) ** 2 * n + 1) / n
            right.errorbar(x, y, error, fmt="o", ms=4, lw=1, color=COLOURS[name], label=name)
            for row in zip(SLICES, n, x, y, error, strict=False):
                print("real", name, "{:g}- {:.0f} predicted {:.4f} flipped {:.4f} +- {:.4f}".format(*row))
    right.set_title("PRIMER-UDS, sign-flipped", loc="left", fontweight="bold", fontsize=11)
    right.set_xlabel("purity (against noise)")
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], color="#8c959f", lw=0.8)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.05)
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    left.set_ylabel("true purity")
    figure.savefig(Path(__file__).parent / "figures" / "reliability.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
