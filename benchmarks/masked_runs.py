"""Purity, completeness and masks of simulated runs, field by field: `python -m benchmarks.masked_runs DIR ...`.

Purity: detections within 2 px of any compact object of the truth, masked or not; those on resolved galaxies, within
the larger of 2 px and twice their half-light radius, at most 20 px, are counted apart. In a crowded field faint
objects lie under anything by chance, so purity is given for the truth brighter than 31.5 as well. Completeness: point
sources of the truth on good pixels with any detection within 2 px, by magnitude. The masked fraction is that of the
pixels with data inside the edges. Several runs of one preset are pooled.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml
import zarr
from scipy.spatial import cKDTree

from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.tables import read_parquet
from tilegc.run_folder import RunFolder
from tilegc.schema import FILES, Bit

POINTS = ("gc", "member_gc", "background_point")
COMPACT = (*POINTS, "background_extended")
RESOLVED = ("bcg", "member", "field_galaxy", "background_extended", "arc_clump")
REACH = 2.0
FARTHEST = 20.0
BINS = ((28.0, 29.0), (29.0, 30.0), (30.0, 30.5))
BITS = (Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE, Bit.REGION)

Table = dict[str, np.ndarray]


def near(places: np.ndarray, objects: np.ndarray, reach: float = REACH) -> np.ndarray:
    """Return which places have an object within reach, bool."""
    if not len(places) or not len(objects):
        return np.zeros(len(places), bool)
    return np.isfinite(cKDTree(objects).query(places, distance_upper_bound=reach + 1e-9)[0])


def count(detections: np.ndarray, truth: Table, mask: np.ndarray) -> dict[str, float]:
    """Count what the figures are made of, in one field.

    Parameters
    ----------
    detections : (n, 2) float
        y, x of the catalogue.
    truth : table
        kind, y, x, mag, radius (px) of the objects of this field.
    mask : (ny, nx) uint8
        Bits of `tilegc.schema.Bit`.
    """
    kind, mag = truth["kind"], truth["mag"]
    places = np.column_stack([truth["y"], truth["x"]])
    compact = near(detections, places[np.isin(kind, COMPACT)])
    deep = near(detections, places[np.isin(kind, COMPACT) & (mag < 31.5)])
    resolved = np.zeros(len(detections), bool)
    for row in np.flatnonzero(np.isin(kind, RESOLVED)):
        reach = max(REACH, min(2.0 * truth["radius"][row], FARTHEST))
        resolved |= ((detections - places[row]) ** 2).sum(axis=1) <= reach**2
    found = {
        "detections": len(detections),
        "compact": compact.sum(),
        "deep": deep.sum(),
        "resolved": (resolved & ~compact).sum(),
        "resolved, deep": (resolved & ~deep).sum(),
    }
    pixel = np.floor(places + 0.5).astype(int)
    inside = ((pixel >= 0) & (pixel < mask.shape)).all(axis=1)
    good = inside.copy()
    good[inside] = mask[tuple(pixel[inside].T)] == 0
    for low, high in BINS:
        sought = np.isin(kind, POINTS) & good & (mag >= low) & (mag < high)
        found[f"sought {low}"] = sought.sum()
        found[f"found {low}"] = near(places[sought], detections).sum()
    within = (mask & (Bit.NO_DATA | Bit.EDGE)) == 0
    found["pixels"], found["masked"] = within.sum(), (within & (mask != 0)).sum()
    for bit in BITS:
        found[bit.name] = (within & ((mask & bit) != 0)).sum()
    return {name: float(value) for name, value in found.items()}


def of_run(path: Path) -> dict[str, dict[str, float]]:
    """Return the counts of a run's fields."""
    folder = RunFolder(path)
    content = yaml.safe_load((path / FILES.run).read_text())
    truth_path = Path(content["truth"])
    table = read_parquet(str(truth_path if truth_path.is_absolute() else path.parent / truth_path))
    catalogue = read_parquet(str(path / FILES.catalogue))
    whole = {
        "kind": np.asarray(table["kind"]).astype(str), "y": np.asarray(table["y"], float),
        "x": np.asarray(table["x"], float), "mag": np.asarray(table["mag_f150w"], float),
        "radius": np.asarray(table["r_e"], float),
    }  # fmt: skip
    field = np.asarray(table["field"]).astype(str)
    counts = {}
    for item in content["fields"]:
        name = item["name"]
        mask = store.read(str(folder.store(name)), "mask", Box(0, 0, *_shape(str(folder.store(name)))))
        rows = np.asarray(catalogue["field"]).astype(str) == name
        detections = np.column_stack(
            [np.asarray(catalogue["y"], float)[rows], np.asarray(catalogue["x"], float)[rows]]
        )
        counts[name] = count(detections, {key: column[field == name] for key, column in whole.items()}, mask)
    return counts


def _shape(path: str) -> tuple[int, int]:
    height, width = zarr.open_group(path, mode="r")["mask"].shape
    return height, width


def line(label: str, found: dict[str, float]) -> str:
    """Return one row of the table."""

    def share(above: float, below: float) -> str:
        return f"{above / below:.4f}" if below else "  -   "

    apart = found["detections"] - found["resolved"]
    parts = [
        f"{label:24s} n {found['detections']:7.0f}  purity {share(found['compact'], apart)}",
        f"(31.5: {share(found['deep'], found['detections'] - found['resolved, deep'])})",
        f"false {apart - found['compact']:5.0f}  resolved {found['resolved']:4.0f}  complete",
        *(f"{share(found[f'found {low}'], found[f'sought {low}'])}" for low, _ in BINS),
        f" masked {share(found['masked'], found['pixels'])} =",
        *(f"{bit.name.lower()} {share(found[bit.name], found['pixels'])}" for bit in BITS),
    ]
    return " ".join(parts)


def main() -> None:
    """Print a row a run and field, and the fields of all runs pooled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    pooled: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for path in parser.parse_args().runs:
        for name, found in of_run(path).items():
            print(line(f"{path.parent.name}/{name}", found))
            for key, value in found.items():
                pooled[name][key] += value
    for name, found in pooled.items():
        print(line(f"all/{name}", found))


if __name__ == "__main__":
    main()
