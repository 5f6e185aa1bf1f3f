"""Peaks: brightest pixel first, blank what is within reach, repeat down to T (algorithm.md, sections 5 and 14.3).

Every tile says which of its pixels are certainly peaks, whatever lies beyond its window, and which it cannot
decide; the few undecided ones of all tiles are settled by one sparse greedy over the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tilegc.config import DetectionConfig
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.noise_map import LocalNoise, NoiseMap
from tilegc.detection.purity import Purity, purity_of
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.kernels.peaks import classify, local_maxima, settle
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, stacked
from tilegc.sky import ClusterFrame, pixel_to_world, separation_arcsec

__all__ = [
    "PEAK_HALO",
    "Candidates",
    "PeakParams",
    "at_least",
    "candidates",
    "find_peaks",
    "peaks_rule",
    "settled",
]

PEAK_HALO = 16
"""Halo, pixels: in noise nothing is left undecided with it; exactness does not depend on it."""

Candidates = dict[str, np.ndarray]
"""Columns of `schema.CANDIDATES`."""


@dataclass(frozen=True)
class PeakParams:
    """What `peaks_rule` needs."""

    field: int
    """Position of the field in the run file."""
    threshold: np.float32
    """nJy per pixel; signal-to-noise where `ranked`."""
    radius: float
    noise: NoiseMap | None = None
    """Local noise."""
    ranked: bool = False
    """Whether peaks are those of the map over the local noise."""
    maxima: bool = False
    """Whether only a pixel that none of its eight neighbours exceeds may be a peak."""


def at_least(limit: float) -> np.float32:
    """Return the smallest float32 that is not below a limit: comparing with it is comparing with the limit."""
    rounded = np.float32(limit)
    # Pixels are float32. Comparing them with a float64 limit would convert every pixel; rounding the limit up
    # once gives exactly the same decisions.
    return rounded if float(rounded) >= limit else np.nextafter(rounded, np.float32(np.inf))


def peaks_rule(window: Window, tile: Tile, params: PeakParams) -> tuple[dict[str, np.ndarray], Table]:
    """Classify the candidates of a core."""
    detection = window["detection"].values
    allowed = (window["mask"].values == 0) & np.isfinite(detection)
    # Ranking by signal-to-noise, so that in a mosaic of two depths a faint but significant peak is not blanked
    # by noise.
    values: np.ndarray = detection
    noise = None if params.noise is None else params.noise.on(window, tile.window)
    if params.ranked and noise is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(noise > 0, detection / noise, np.float32(np.nan))
    if params.maxima:
        # Without this, the shoulder of a bright source just outside its exclusion radius would be recorded as
        # another one.
        allowed &= local_maxima(values, tile.open_sides)
    found = classify(
        values, allowed, float(params.threshold), params.radius, tile.open_sides, tile.core_in_window
    )
    return {}, {
        "field": np.full(found.y.size, params.field, np.int32),
        "y": (found.y + tile.window.y0).astype(np.int32),
        "x": (found.x + tile.window.x0).astype(np.int32),
        "peak": detection[found.y, found.x],
        "rank": found.value,
        "noise": np.full(found.y.size, np.nan, np.float32) if noise is None else noise[found.y, found.x],
        "decided": found.decided,
    }


PEAKS = Pass("peaks", ("detection", "mask"), PEAK_HALO, (), peaks_rule, bytes_per_pixel=48.0)


def find_peaks(
    context: Context,
    config: DetectionConfig,
    limits: Mapping[str, float],
    noises: Mapping[str, LocalNoise] | None = None,
    *,
    ranked: bool = False,
) -> Table:
    """Return field, y, x, peak, rank and noise of every candidate: highest peak first, then field, y, x.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    limits : mapping
        T of each field, nJy per pixel, or signal-to-noise if `ranked`; NaN: the field is not searched.
    noises : mapping, optional
        Local noise of every field; without it the column `noise` is NaN.
    ranked : bool
        Whether peaks are found on the detection map over the local noise.

    Returns
    -------
    table
        field (position in the run file), y, x, peak (nJy per pixel), rank (the peak, or its signal-to-noise) and
        noise (local, nJy per pixel).
    """
    radius = config.detect.exclusion_radius
    maxima = config.recipe == "calibrated"
    params = {
        name: PeakParams(
            index,
            at_least(limits[name]),
            radius,
            None if noises is None else noises[name].map,
            ranked=ranked,
            maxima=maxima,
        )
        for index, name in enumerate(context.names)
    }
    # A field without a good pixel has no threshold, and no candidates.
    searched = [field for field in context.fields if np.isfinite(limits[field.source.name])]
    parts: list[Table] = []
    if searched:
        reads = noises[searched[0].source.name].map.reads if noises is not None else ()
        step = replace(
            PEAKS, reads=(*PEAKS.reads, *reads), bytes_per_pixel=PEAKS.bytes_per_pixel + 8 * len(reads)
        )
        run_pass(context.engine, step, searched, params, gather=parts.append)
    found = stacked(parts)
    parts.clear()
    if found is None:
        found = {
            "field": np.zeros(0, np.int32),
            "y": np.zeros(0, np.int32),
            "x": np.zeros(0, np.int32),
            "peak": np.zeros(0, np.float32),
            "rank": np.zeros(0, np.float32),
            "noise": np.zeros(0, np.float32),
            "decided": np.zeros(0, bool),
        }
    return settled(found, radius)


def settled(found: Table, radius: float) -> Table:
    """Settle the undecided field by field, and sort."""
    keep = np.zeros(found["y"].size, bool)
    for field in np.unique(found["field"]):
        rows = np.flatnonzero(found["field"] == field)
        part = {name: column[rows] for name, column in found.items()}
        # Field by field, since pixels of different fields share coordinates but never blank one another.
        keep[rows] = settle(part["y"], part["x"], part["rank"], part["decided"], radius)
    table = {name: found[name][keep] for name in ("field", "y", "x", "peak", "rank", "noise")}
    # Position breaks ties, so that the numbering of sources does not depend on which worker finished first.
    order = np.lexsort((table["x"], table["y"], table["field"], -table["peak"]))
    return {name: column[order] for name, column in table.items()}


def candidates(
    context: Context,
    peaks: Table,
    noises: Mapping[str, Noise],
    local: Mapping[str, LocalNoise],
    purities: Mapping[str, Purity],
    frame: ClusterFrame | None,
    *,
    ranked: bool,
) -> Candidates:
    """Give the peaks their names, places on the sky and signal-to-noise: the columns of `schema.CANDIDATES`.

    `ranked`: they were found on the map of signal-to-noise, which then is theirs; else it is against the field's
    global noise.
    """
    n = peaks["y"].size
    ra, dec, snr, pure = (np.full(n, np.nan) for _ in range(4))
    names = np.array(context.names, dtype=object)
    for index, name in enumerate(context.names):
        rows = peaks["field"] == index
        if not rows.any():
            continue
        y, x, peak = peaks["y"][rows], peaks["x"][rows], peaks["peak"][rows]
        ra[rows], dec[rows] = pixel_to_world(context.source(name).wcs, y, x)
        level = peaks["noise"][rows]
        here = (peaks["rank"][rows] if ranked else peak / level).astype(np.float64)
        snr[rows] = here if ranked else peak.astype(np.float64) / noises[name].positive
        pure[rows] = purity_of(purities[name], local[name], y, x, here, level)
    radius, scale = np.full(n, np.nan), np.nan
    if frame is not None:
        radius, scale = separation_arcsec(ra, dec, frame.ra, frame.dec), frame.kpc_per_arcsec
    return {
        "id": np.arange(n, dtype=np.int64),
        "field": names[peaks["field"]],
        "y_peak": peaks["y"],
        "x_peak": peaks["x"],
        "y": peaks["y"].astype(np.float64),
        "x": peaks["x"].astype(np.float64),
        "ra": ra,
        "dec": dec,
        "peak": peaks["peak"],
        "snr": snr,
        "radius_arcsec": radius,
        "radius_kpc": radius * scale,
        "purity": pure,
    }
