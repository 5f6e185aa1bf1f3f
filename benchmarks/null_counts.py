"""`python -m benchmarks.null_counts`: noise peaks that null maps predict, against those that are there.

Clusters are simulated twice with the same noise, once with sources and once without (the difference of the two
images is what the sources are). Null maps are made from the first alone, with the noise of the recipe: expected pixel
by pixel with `calibrated`. Their prediction is compared with

- the peaks of the map without sources, on the same good pixels: noise alone, nothing else;
- the peaks of the map with sources that no compact object or galaxy lies within 2 px of, as a catalogue has them
  (spikes and the outskirts of galaxies add to these, which null maps cannot see).

Each slice of signal-to-noise passes if the prediction lies within 20 per cent or 2 sigma of Poisson.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.recipes import configured, masked_setup, setup_of
from tilegc import config as run_file
from tilegc.detection import purity, threshold
from tilegc.detection.noise import global_noise as noise
from tilegc.detection.noise import local_noise
from tilegc.filter.detection_map import EXPECTED, band_response
from tilegc.io import store
from tilegc.io.probe import probe_field
from tilegc.io.tables import read_parquet
from tilegc.kernels.lattice import bilinear
from tilegc.kernels.peaks import classify, local_maxima, settle
from tilegc.simulation import scene, simulate

EDGES = np.array([3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0])
NEAR = 2.0
"""Pixels to an object that makes a peak real."""
DIFFUSE = ("icl", "arc")
"""Kinds without a place: nothing is near them."""


def without_sources(folder: Path, preset: str, seed: int) -> None:
    """Simulate a cluster, and leave of its images the noise alone: that of the sources' photons included."""
    ordinary = scene.add_noise

    def only(light, seen, *rest):
        sci, err, wht = ordinary(light, seen, *rest)
        return sci - (light * rest[-1]).astype(np.float32), err, wht

    with patch.object(scene, "add_noise", only):
        simulate(folder, preset=preset, seed=seed)


def counted(
    preset: str, seed: int, recipe: str
) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return name, predicted peaks with and without room for sources, and both true counts, field by field."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        simulate(folder / "sky", preset=preset, seed=seed)
        without_sources(folder / "noise", preset, seed)
        source = configured(folder / "sky" / "run.yaml", {"recipe": recipe})
        context, config = setup_of(source, folder)
        _, filtering = masked_setup(context, config)
        local = local_noise.local_noise(
            context, config.detect.exclusion_radius, noise.noise(context), filtering
        )
        found = threshold.survey(context, config, local)
        pure = purity.purity(context, config.detect.exclusion_radius, found, local)
        truth = read_parquet(folder / "sky" / "truth.parquet")
        empty = run_file.load(folder / "noise" / "run.yaml")
        rows = []
        for index, field in enumerate(context.fields):
            name, here = field.source.name, local[field.source.name]
            counts = here.counts
            slices = [
                (np.array(purity.SLICES) >= a) & (np.array(purity.SLICES) < b)
                for a, b in itertools.pairwise(EDGES)
            ]
            scale = counts.good.sum() / (counts.away.sum() * counts.draws)
            whole = np.array([counts.peaks[..., one].sum() * scale for one in slices])
            table = pure[name].table
            free = np.array(
                [
                    table["n_noise"][(table["snr_lo"] >= a) & (table["snr_lo"] < b)].sum()
                    for a, b in itertools.pairwise(EDGES)
                ]
            )
            alone = noise_alone(config, field, filtering[name], probe_field(empty.fields[index]), here)
            on = found["field"] == index
            kind = np.asarray(truth["kind"]).astype(str)
            places = np.column_stack([np.asarray(truth["y"], float), np.asarray(truth["x"], float)])
            chosen = (np.asarray(truth["field"]).astype(str) == name) & ~np.isin(kind, DIFFUSE)
            chosen &= np.isfinite(places).all(axis=1)
            distance, _ = cKDTree(places[chosen]).query(np.column_stack([found["y"][on], found["x"][on]]))
            unmatched = np.histogram(found["rank"][on][distance > NEAR], EDGES)[0]
            rows.append((name, whole, np.histogram(alone, EDGES)[0], free, unmatched))
        return rows


def noise_alone(config, field, filtering, source, local) -> np.ndarray:
    """Return the signal-to-noise of the peaks that a field without sources has on the same good pixels."""
    box = field.source.box
    sci = store.read_window(source, "", ("sci",), box)["sci"].values
    flags, bits = (store.read(field.store, name, box) for name in ("flags", "mask"))
    total = sum(band_response(filtering, band, sci[band], flags) for band in range(len(sci)))
    level = bilinear(local.map.lattice, box)
    if local.map.expected:
        level *= store.read(field.store, EXPECTED, box)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.ascontiguousarray(total / level, np.float32)
    allowed = (bits == 0) & np.isfinite(ratio)
    closed = (False,) * 4
    if config.recipe == "calibrated":
        allowed &= local_maxima(ratio, closed)
    whole = (slice(0, box.shape[0]), slice(0, box.shape[1]))
    radius = config.detect.exclusion_radius
    found = classify(ratio, allowed, EDGES[0], radius, closed, whole)
    kept = settle(found.y, found.x, found.value, found.decided, radius)
    return found.value[kept]


def judge(predicted: np.ndarray, true: np.ndarray) -> list[str]:
    """Return "predicted/true" and whether that passes."""
    passes = (abs(predicted - true) <= 0.2 * true) | (
        abs(predicted - true) <= 2 * np.sqrt(np.maximum(true, 1))
    )
    return [
        f"{p:7.0f}/{t:<5d}{'  ' if ok else ' !'}" for p, t, ok in zip(predicted, true, passes, strict=True)
    ]


def main() -> None:
    """Print the table, field by field and for all together."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.null_counts", description=main.__doc__)
    options.add_argument("--preset", default="small")
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--recipe", default="calibrated", choices=("calibrated", "diego2026"))
    given = options.parse_args()
    print(
        "predicted/true, ! where it does not pass".ljust(26),
        *(f"{a:g}-{b:g}".center(15) for a, b in itertools.pairwise(EDGES)),
    )
    sums: dict[str, list[np.ndarray]] = {}
    for seed in given.seeds:
        for name, *arrays_ in counted(given.preset, seed, given.recipe):
            for label, predicted, true in (("noise alone", *arrays_[:2]), ("not near objects", *arrays_[2:])):
                print(f"seed {seed} {name} {label}".ljust(26), *judge(predicted, true))
                both = sums.setdefault(f"all {name} {label}", [np.zeros(6), np.zeros(6, int)])
                both[0], both[1] = both[0] + predicted, both[1] + true
    for label, (predicted, true) in sums.items():
        print(label.ljust(26), *judge(predicted, true))


if __name__ == "__main__":
    main()
