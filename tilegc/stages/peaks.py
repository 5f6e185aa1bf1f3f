"""Peaks: brightest pixel first, blank what is within reach, repeat down to T (DESIGN 3.5 and 4).

Every tile says which of its pixels are certainly peaks, whatever lies beyond its window, and which it cannot
decide; the few undecided ones of all tiles are settled by one sparse greedy over the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tilegc.config import RunConfig, ValueThreshold
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.kernels.peaks import classify, local_maxima, settle
from tilegc.kernels.shapes import ShapeTables, measure
from tilegc.sky import cosmology, kpc_per_arcsec, pixel_to_world, separation_arcsec
from tilegc.stages.noise import Noise
from tilegc.stages.partials import Table, concatenate
from tilegc.stages.setup import Setup
from tilegc.stages.shapes import POINT, judge

__all__ = [
    "PEAK_HALO",
    "Candidates",
    "PeakParams",
    "at_least",
    "candidates",
    "find_peaks",
    "keep",
    "peaks_rule",
    "threshold",
]

PEAK_HALO = 16
"""Halo, pixels: in noise nothing is left undecided with it; exactness does not depend on it."""

SHAPES = ("sharpness", "roundness", "concentration")
"""Columns of `tilegc.kernels.shapes`."""

Candidates = dict[str, np.ndarray]
"""Columns of `schema.CANDIDATES`."""


@dataclass(frozen=True)
class PeakParams:
    """What `peaks_rule` needs."""

    field: int
    """Position of the field in the run file."""
    threshold: np.float32
    radius: float
    shapes: ShapeTables | None = None
    """None: shapes are not measured."""
    maxima: bool = False
    """Whether only a pixel that none of its eight neighbours exceeds may be a peak."""


def threshold(config: RunConfig, noise: Noise) -> float:
    """Return T of a field, nJy per pixel; NaN where it has no noise to be a multiple of."""
    asked = config.detect.threshold
    return asked.value if isinstance(asked, ValueThreshold) else asked.sigma * _positive(noise)


def _positive(noise: Noise) -> float:
    """Return sigma; NaN where it is 0: half of the map or more is one value, and every pixel of it is a peak."""
    return noise.sigma if noise.sigma > 0 else math.nan


def at_least(limit: float) -> np.float32:
    """Return the smallest float32 that is not below a limit: comparing with it is comparing with the limit."""
    rounded = np.float32(limit)
    return rounded if float(rounded) >= limit else np.nextafter(rounded, np.float32(np.inf))


def peaks_rule(window: xr.Dataset, tile: Tile, params: PeakParams) -> tuple[dict[str, np.ndarray], Table]:
    """Classify the candidates of a core."""
    values = window["detection"].values
    allowed = (window["mask"].values == 0) & np.isfinite(values)
    if params.maxima:
        allowed &= local_maxima(values, tile.open_sides)
    found = classify(
        values, allowed, float(params.threshold), params.radius, tile.open_sides, tile.core_in_window
    )
    shapes = [np.full(found.y.size, np.nan, np.float32)] * len(SHAPES)
    if params.shapes is not None:
        shapes = list(measure(window["light"].values, found.y, found.x, params.shapes))
    return {}, {
        **dict(zip(SHAPES, shapes, strict=True)),
        "field": np.full(found.y.size, params.field, np.int32),
        "y": (found.y + tile.window.y0).astype(np.int32),
        "x": (found.x + tile.window.x0).astype(np.int32),
        "peak": found.value,
        "decided": found.decided,
    }


PEAKS = Pass(
    "peaks", ("detection", "mask", "light"), PEAK_HALO, (), peaks_rule, concatenate, bytes_per_pixel=44.0
)


def find_peaks(
    setup: Setup, thresholds: dict[str, float], shapes: Mapping[str, ShapeTables] | None = None
) -> Table:
    """Return field, y, x, peak and shape of every candidate: brightest first, then field, y, x.

    Parameters
    ----------
    setup : Setup
    thresholds : dict
        T of every field.
    shapes : mapping, optional
        Tables of every field; without them shapes are NaN.
    """
    radius = setup.config.detect.exclusion_radius
    maxima = setup.config.recipe == "calibrated"
    params = {
        name: PeakParams(index, at_least(thresholds[name]), radius, (shapes or {}).get(name), maxima)
        for index, name in enumerate(setup.names)
    }
    # A field without a good pixel has no threshold, and no candidates.
    searched = [field for field in setup.fields if np.isfinite(thresholds[field.source.name])]
    found = run_pass(setup.engine, PEAKS, searched, params) if searched else None
    if found is None:
        found = {
            "field": np.zeros(0, np.int32), "y": np.zeros(0, np.int32), "x": np.zeros(0, np.int32),
            "peak": np.zeros(0, np.float32), "decided": np.zeros(0, bool),
            **{name: np.zeros(0, np.float32) for name in SHAPES},
        }  # fmt: skip
    return _settled(found, radius)


def _settled(found: Table, radius: float) -> Table:
    """Settle the undecided field by field, and sort."""
    keep = np.zeros(found["y"].size, bool)
    for field in np.unique(found["field"]):
        rows = np.flatnonzero(found["field"] == field)
        part = {name: column[rows] for name, column in found.items()}
        keep[rows] = settle(part["y"], part["x"], part["peak"], part["decided"], radius)
    table = {name: found[name][keep] for name in ("field", "y", "x", "peak", *SHAPES)}
    order = np.lexsort((table["x"], table["y"], table["field"], -table["peak"]))
    return {name: column[order] for name, column in table.items()}


def candidates(
    setup: Setup, peaks: Table, noise: dict[str, Noise], shapes: Mapping[str, ShapeTables] | None = None
) -> Candidates:
    """Give the peaks their names, places on the sky and signal-to-noise: the columns of `schema.CANDIDATES`."""
    n = peaks["y"].size
    ra, dec, snr = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    names = np.array(setup.names, dtype=object)
    for index, name in enumerate(setup.names):
        rows = peaks["field"] == index
        if rows.any():
            ra[rows], dec[rows] = pixel_to_world(setup.source(name).wcs, peaks["y"][rows], peaks["x"][rows])
            snr[rows] = peaks["peak"][rows].astype(np.float64) / _positive(noise[name])
    cluster = setup.config.cluster
    radius = separation_arcsec(ra, dec, cluster.ra, cluster.dec)
    scale = kpc_per_arcsec(cosmology(setup.config.cosmology), cluster.redshift)
    table = {
        "id": np.arange(n, dtype=np.int64),
        "field": names[peaks["field"]],
        "y": peaks["y"],
        "x": peaks["x"],
        "ra": ra,
        "dec": dec,
        "peak": peaks["peak"],
        "snr": snr,
        "radius_arcsec": radius,
        "radius_kpc": radius * scale,
        **{name: peaks[name] for name in SHAPES},
    }
    return {**table, "shape": judge(table, shapes or {})}


def keep(
    found: Candidates, thresholds: Mapping[str, float], factor: float, *, points: bool = False
) -> Candidates:
    """Return the rows of candidates whose peak is at least `factor` x T of their field: the catalogue.

    With `points`, only those whose shape is a point's.
    """
    limits = {name: at_least(factor * value) for name, value in thresholds.items()}
    limit = np.array([limits[name] for name in found["field"]], np.float32)
    rows = found["peak"] >= limit
    if points:
        rows &= found["shape"] == POINT
    return {name: column[rows] for name, column in found.items()}
