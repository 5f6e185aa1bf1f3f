"""Draw purity against completeness along the recipes' own limits, peers beside: `python docs/purity_figures.py`.

Seeds 11 to 13 of a preset pooled; masks, map and measures are those of `benchmarks.detection`. The recipes'
catalogues are taken down to 3.4 sigma and cut at one limit after another.
"""

# ruff: noqa: INP001, T201  (a script, which prints what it draws)

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.detection import relative_noise
from benchmarks.peers import CHOSEN, DETECTORS, Seen, on_good
from benchmarks.purity import Counts, count, of_field
from benchmarks.recipes import configured, find
from tilegc.io.tables import read_parquet
from tilegc.schema import Bit
from tilegc.simulation import simulate

LIMITS = (3.5, 3.75, 4.0, 4.25, 4.5, 4.75, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0)
COLOURS = {"diego2026": "#0072B2", "calibrated": "#D55E00"}
LEAST = 1e-5
"""Where none is false, drawn there."""
PEERS = {"DAOStarFinder": "^", "sep": "s", "SExtractor": "D"}


def counted(preset: str, seeds: list[int]) -> dict[tuple[str, str, float], Counts]:
    """Return the counts by field, detector and limit (0: a peer's chosen setting), seeds pooled."""
    pool: dict[tuple[str, str, float], Counts] = {}

    def add(key: tuple[str, str, float], one: Counts) -> None:
        pool[key] = pool[key] + one if key in pool else one

    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            source = simulate(Path(folder) / "mock", preset=preset, seed=seed, psf="round")
            truth = read_parquet(Path(folder) / "mock" / "truth.parquet")
            masks = {}
            for recipe in COLOURS:
                low = {"recipe": recipe, "detect": {"threshold": {"sigma": 1.7}, "keep": 2.0}}
                for name, one in find(configured(source, low), Path(folder) / recipe).items():
                    here = of_field(truth, name)
                    for limit in LIMITS:
                        add((name, recipe, limit), count(one.places[one.snr >= limit], here, one.mask))
                    if recipe == "diego2026":
                        masks[name] = one
            for name, one in masks.items():
                inside = one.mask & (Bit.NO_DATA | Bit.EDGE | Bit.BRIGHT)
                seen = Seen(one.light, one.detection, inside, relative_noise(Path(folder) / "mock", name))
                for by in PEERS:
                    for chosen in CHOSEN[by, "edges"]:
                        if chosen["image"] == "filtered":
                            places = on_good(DETECTORS[by](seen, chosen), inside)
                            add((name, by, 0.0), count(places, of_field(truth, name), one.mask))
    return pool


def main() -> None:
    """Print the curves and draw them."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--preset", default="small")
    options.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    given = options.parse_args()
    pool = counted(given.preset, given.seeds)
    figure = Figure(figsize=(10.0, 4.4), dpi=150, facecolor="white", layout="constrained")
    for axes, field in zip(figure.subplots(1, 2), ("a", "b"), strict=True):
        for recipe, colour in COLOURS.items():
            rows = [pool[field, recipe, limit] for limit in LIMITS]
            x, y = [one.completeness[0] for one in rows], [1 - one.purity for one in rows]
            axes.plot(x, np.maximum(y, LEAST), "o-", ms=4, lw=1.2, color=colour, label=recipe)
            for limit, at, height, one in zip(LIMITS, x, y, rows, strict=True):
                print(
                    field,
                    recipe,
                    limit,
                    f"{one.purity:.4f}",
                    *(f"{v:.4f}" for v in one.completeness),
                    one.false,
                )
                if limit in {3.5, 4.0, 5.0, 6.0}:
                    axes.annotate(
                        f"{limit:g}",
                        (at, max(height, LEAST)),
                        xytext=(5, -3) if recipe == "diego2026" else (-19, -3),
                        textcoords="offset points",
                        fontsize=8,
                        color=colour,
                    )
        axes.set_xlim(0.969, 1.003)
        for by, marker in PEERS.items():
            one = pool[field, by, 0.0]
            print(field, by, f"{one.purity:.4f}", *(f"{v:.4f}" for v in one.completeness), one.false)
            axes.plot(
                one.completeness[0],
                max(1 - one.purity, LEAST),
                marker,
                ms=7,
                mfc="none",
                color="#1f2328",
                ls="",
                label=f"{by}, inside the edges",
            )
        axes.set_yscale("log")
        axes.set_xlabel("completeness at 29-30 mag")
        axes.set_ylabel("share of false sources (bottom: none)")
        axes.set_title(f"{given.preset}, field {field}", loc="left", fontweight="bold", fontsize=11)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.savefig(
        Path(__file__).parent / "figures" / f"purity-{given.preset}.png", metadata={"Software": None}
    )


if __name__ == "__main__":
    main()
