"""Purity against noise: how many of the peaks in a slice of signal-to-noise noise alone would make.

Null maps give the peaks per area, zone of noise by zone of noise; a peak of noise within reach of a brighter source is
none, so area near sources does not count. Spikes and galaxies are not noise: null maps do not see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.detection.noise.local_noise import LocalNoise
from tilegc.detection.noise.null_maps import SLICES
from tilegc.geometry import LATTICE
from tilegc.kernels.masks import reach_squared
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["ZONES", "Purity", "purity", "purity_of", "rising"]

ZONES = (1 / 1.15, 1.15)
"""Noise over the field's median at which zones of noise begin: deep, usual, shallow."""

LEAST = 0.05
"""Share of a field's good pixels that a zone must have; smaller ones belong to the usual one."""

EDGES = (*SLICES, np.inf)


@dataclass(frozen=True)
class Purity:
    """Purity of one field."""

    zones: np.ndarray
    """Number of each cell's zone, int64 (cell_y, cell_x)."""
    table: Table
    """Columns of `schema.PURITY`, zone by zone."""
    curves: dict[int, tuple[np.ndarray, np.ndarray]]
    """By zone: signal-to-noise, rising, and purity there, rising; empty where nothing is known."""


def purity(
    context: Context, radius: float, found: Table, noises: Mapping[str, LocalNoise]
) -> dict[str, Purity]:
    """Measure the purity of every field's peaks.

    Parameters
    ----------
    context : Context
    radius : float
        Exclusion radius, pixels.
    found : table
        field (position), y, x and rank (signal-to-noise against local noise) of all peaks from `null_map.FLOOR` on.
    noises : mapping
        With the null maps' peaks.
    """
    disc = _disc(radius)
    measured = {}
    for index, field in enumerate(context.fields):
        on = found["field"] == index
        peaks = {name: found[name][on] for name in ("y", "x", "rank")}
        name, area = field.source.name, field.source.pixel_area
        measured[name] = _of_field(name, peaks, noises[name], disc, area)
    return measured


def purity_of(measured: Purity, y: np.ndarray, x: np.ndarray, snr: np.ndarray) -> np.ndarray:
    """Return the purity of single peaks, float64 (n,); NaN below the lowest known signal-to-noise.

    Parameters
    ----------
    measured : Purity
    y, x : (n,) int
        Pixels.
    snr : (n,) float
        Against local noise.
    """
    zone = measured.zones[np.asarray(y) // LATTICE, np.asarray(x) // LATTICE]
    values = np.full(zone.shape, np.nan)
    for number, (at, curve) in measured.curves.items():
        rows = zone == number
        if at.size and rows.any():
            values[rows] = np.interp(snr[rows], at, curve)
            values[rows & (snr < SLICES[_first(measured, number)])] = np.nan
    return values


def _first(measured: Purity, zone: int) -> int:
    """Return the number of the lowest slice in which a zone's purity is known."""
    rows = (measured.table["zone"] == zone) & np.isfinite(measured.table["n_noise"])
    return int(np.searchsorted(SLICES, measured.table["snr_lo"][rows].min()))


def _disc(radius: float) -> int:
    """Return how many pixels a recorded peak blanks."""
    reach = int(radius)
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    return int((y * y + x * x <= reach_squared(radius)).sum())


def _zones(noise: LocalNoise) -> np.ndarray:
    """Return the zone of every cell: 0 deep, 1 usual, 2 shallow."""
    good = noise.counts.good
    with np.errstate(invalid="ignore"):
        zones: np.ndarray = np.searchsorted(ZONES, noise.values / noise.median, side="right")
    zones[~np.isfinite(noise.values)] = 1
    for zone in (0, 2):
        if good[zones == zone].sum() < LEAST * good.sum():
            zones[zones == zone] = 1
    return zones


def _of_field(name: str, peaks: Table, noise: LocalNoise, disc: int, pixel_area: float) -> Purity:
    zones = _zones(noise)
    counts = noise.counts
    n = len(SLICES)
    here = np.zeros((*zones.shape, n), np.int64)
    which = np.searchsorted(np.array(SLICES), peaks["rank"], side="right") - 1
    known = which >= 0
    np.add.at(here, (peaks["y"][known] // LATTICE, peaks["x"][known] // LATTICE, which[known]), 1)
    rows: list[Table] = []
    curves = {}
    for zone in np.unique(zones[counts.good > 0]).tolist():
        inside = zones == zone
        noisy, error = _expected(
            here[inside], counts.good[inside], counts.away[inside], counts.peaks[inside], counts.draws, disc
        )
        noisy[np.array(SLICES) < counts.floor] = np.nan
        table = _table(name, zone, noise, inside, here[inside].sum(axis=0), noisy, error, pixel_area)
        rows.append(table)
        curves[zone] = _curve(table)
    whole = {key: np.concatenate([part[key] for part in rows]) for key in rows[0]} if rows else _no_rows()
    return Purity(zones, whole, curves)


def _expected(
    found: np.ndarray, good: np.ndarray, away: np.ndarray, null: np.ndarray, draws: int, disc: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks of noise that a zone must have, slice by slice, and their error.

    Parameters
    ----------
    found : int64 (cell, slice)
        Detected peaks.
    good, away : int64 (cell,)
        Good pixels, and those in which null peaks were counted.
    null : int64 (cell, slice)
    draws, disc : int
        Null maps, and pixels that a peak blanks.
    """
    area = float(away.sum()) * draws
    if not area:
        return np.full(found.shape[1], np.nan), np.full(found.shape[1], np.nan)
    count = null.sum(axis=0).astype(np.float64)
    rate, spread = count / area, np.sqrt(np.maximum(count, 1.0)) / area
    expected, error = np.zeros(found.shape[1]), np.zeros(found.shape[1])
    pixels = good.astype(np.float64)
    noisy = np.zeros(len(good))
    above = np.zeros(len(good))
    for k in range(found.shape[1] - 1, -1, -1):
        # What is brighter and no noise blanks the area round it; discs overlap, so the free share is a power.
        real = np.maximum(above - noisy, 0.0)
        free = np.exp(-disc * np.divide(real, pixels, out=np.zeros(len(good)), where=pixels > 0)) * pixels
        expected[k], error[k] = rate[k] * free.sum(), spread[k] * free.sum()
        noisy += rate[k] * free
        above += found[:, k]
    return expected, error


def _table(
    name: str, zone: int, noise: LocalNoise, inside: np.ndarray, found: np.ndarray, noisy: np.ndarray,
    error: np.ndarray, pixel_area: float,
) -> Table:  # fmt: skip
    n = found.size
    values = noise.values[inside & (noise.counts.good > 0)]
    above = np.cumsum(found[::-1])[::-1].astype(np.float64)
    noisy_above = np.cumsum(noisy[::-1])[::-1]
    counted = found.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(counted > 0, 1 - noisy / counted, np.nan)
        share_error = np.sqrt(error**2 + noisy**2 / counted) / counted
        share_above = np.where(above > 0, 1 - noisy_above / above, np.nan)
    return {
        "field": np.full(n, name, dtype=object), "zone": np.full(n, zone, np.int64),
        "noise_lo": np.full(n, values.min()), "noise_hi": np.full(n, values.max()),
        "area_arcsec2": np.full(n, noise.counts.good[inside].sum() * pixel_area),
        "snr_lo": np.array(EDGES[:-1]), "snr_hi": np.array(EDGES[1:]), "n_found": found, "n_noise": noisy,
        "n_noise_err": np.where(np.isfinite(noisy), error, np.nan), "purity": np.clip(share, 0.0, 1.0),
        "purity_err": np.where(np.isfinite(share), share_error, np.nan), "purity_above": np.clip(share_above, 0.0, 1.0),
    }  # fmt: skip


def _no_rows() -> Table:
    floats = (
        "noise_lo", "noise_hi", "area_arcsec2", "snr_lo", "snr_hi", "n_noise", "n_noise_err", "purity",
        "purity_err", "purity_above",
    )  # fmt: skip
    whole = {name: np.zeros(0, np.int64) for name in ("zone", "n_found")}
    return {"field": np.zeros(0, object), **whole, **{name: np.zeros(0) for name in floats}}


def _curve(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return purity against signal-to-noise: that of the slices, made to rise."""
    rows = np.isfinite(table["purity"]) & (table["n_found"] > 0)
    if not rows.any():
        return np.zeros(0), np.zeros(0)
    low, high = table["snr_lo"][rows], table["snr_hi"][rows]
    middle = np.where(np.isfinite(high), (low + high) / 2, low)
    return middle, rising(table["purity"][rows], table["n_found"][rows].astype(np.float64))


def rising(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the non-decreasing sequence nearest to some values in weighted least squares.

    Pools adjacent violators: Barlow et al. 1972, Statistical Inference under Order Restrictions.
    """
    level: list[float] = []
    weight: list[float] = []
    length: list[int] = []
    for value, mass in zip(values.tolist(), weights.tolist(), strict=True):
        level.append(value)
        weight.append(mass)
        length.append(1)
        while len(level) > 1 and level[-2] > level[-1]:
            total = weight[-2] + weight[-1]
            level[-2] = (level[-2] * weight[-2] + level[-1] * weight[-1]) / total
            weight[-2] = total
            length[-2] += length[-1]
            del level[-1], weight[-1], length[-1]
    return np.repeat(np.array(level), length)
