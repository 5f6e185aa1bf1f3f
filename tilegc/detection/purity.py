"""Purity against noise: how many of the peaks in a slice of signal-to-noise noise alone would make.

Null maps give the peaks per area, zone of noise by zone of noise; a peak of noise within reach of a brighter source is
none, so area near sources does not count. Spikes and galaxies are not noise: null maps do not see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.detection.blocking import Blocking, blocking
from tilegc.detection.noise.local_noise import ZONES, LocalNoise
from tilegc.detection.noise.null_maps import SLICES
from tilegc.geometry import LATTICE
from tilegc.kernels.masks import reach_squared
from tilegc.kernels.monotone import rising
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["ZONES", "Purity", "purity", "purity_of", "tail", "zone_of"]

BY_CHANCE = 3.0
"""Null peaks beyond a Gaussian's tail that are no proof of a heavier one: a residue of a source may be among them."""

# The relative error of a rate is then 18 per cent.
ENOUGH = 30
"""Null peaks without which a zone has no rate of its own."""

SCARCE = 10.0
"""Null peaks in a slice below which they are too few to be a rate."""

LEAST = 0.05
"""Share of a field's good pixels that a zone must have; smaller ones belong to the usual one."""

EDGES = (*SLICES, np.inf)


@dataclass(frozen=True)
class Purity:
    """Purity of one field."""

    zones: np.ndarray
    """Zone of the pixels of each class in each cell, int64 (cell_y, cell_x, class)."""
    table: Table
    """Columns of `schema.PURITY`, zone by zone."""
    curves: dict[int, tuple[np.ndarray, np.ndarray]]
    """By zone: signal-to-noise, rising, and purity there, rising; empty where nothing is known."""


def purity(
    context: Context,
    radius: float,
    found: Table,
    noises: Mapping[str, LocalNoise],
    responses: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Purity]:
    """Measure the purity of every field's peaks.

    Parameters
    ----------
    context : Context
    radius : float
        Exclusion radius, pixels.
    found : table
        field (position), y, x, rank (signal-to-noise against local noise), noise and point of all peaks from
        `null_maps.FLOOR` on. Only points are judged; all of them leave less room for noise.
    noises : mapping
        With the null maps' peaks.
    responses : mapping, optional
        Of `point_response`, by field: then the rings of sources leave less room for noise as well.
    """
    disc = _disc(radius)
    measured = {}
    for index, field in enumerate(context.fields):
        on = found["field"] == index
        peaks = {name: found[name][on] for name in ("y", "x", "rank", "noise", "point")}
        name, area = field.source.name, field.source.pixel_area
        response = None if responses is None else responses[name]
        measured[name] = _of_field(name, peaks, noises[name], disc, area, response)
    return measured


def purity_of(
    measured: Purity, noise: LocalNoise, y: np.ndarray, x: np.ndarray, snr: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Return the purity of single peaks, float64 (n,); NaN below the lowest known signal-to-noise.

    Parameters
    ----------
    measured : Purity
    noise : LocalNoise
        Of the same field.
    y, x : (n,) int
        Pixels.
    snr : (n,) float
        Against local noise.
    level : (n,) float
        Local noise there, nJy per pixel.
    """
    zone = zone_of(measured, noise, np.asarray(y), np.asarray(x), level)
    values = np.full(zone.shape, np.nan)
    for number, (at, curve) in measured.curves.items():
        rows = zone == number
        if at.size and rows.any():
            values[rows] = np.interp(snr[rows], at, curve)
            values[rows & (snr < SLICES[_first(measured, number)])] = np.nan
    return values


def zone_of(
    measured: Purity, noise: LocalNoise, y: np.ndarray, x: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Return the zone of pixels with this local noise (nJy per pixel), int64 (n,): 0 deep, 1 usual, 2 shallow."""
    kind = noise.class_of(y, x, level)
    found: np.ndarray = measured.zones[y // LATTICE, x // LATTICE, kind]
    return found


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
    """Return the zone of the pixels of each class in each cell: 0 deep, 1 usual, 2 shallow."""
    good = noise.counts.good
    if noise.counts.limits is not None:
        zones = np.broadcast_to(np.arange(good.shape[-1]), good.shape).copy()
    else:
        with np.errstate(invalid="ignore"):
            zones = np.searchsorted(ZONES, noise.values / noise.median, side="right")
        zones[~np.isfinite(noise.values)] = 1
        zones = np.broadcast_to(zones[..., None], good.shape).copy()
    for zone in (0, 2):
        # A sliver of deep or shallow sky has too few null peaks to have a rate, and too few sources to matter.
        if good[zones == zone].sum() < LEAST * good.sum():
            zones[zones == zone] = 1
    return zones


def _of_field(
    name: str,
    peaks: Table,
    noise: LocalNoise,
    disc: int,
    pixel_area: float,
    response: np.ndarray | None = None,
) -> Purity:
    zones = _zones(noise)
    taken = None if response is None else blocking(response, disc, peaks["rank"])
    counts = noise.counts
    n = len(SLICES)
    here = np.zeros((*zones.shape, n), np.int64)
    which = np.searchsorted(np.array(SLICES), peaks["rank"], side="right") - 1
    known = which >= 0
    y, x, which = peaks["y"][known], peaks["x"][known], which[known]
    kind = noise.class_of(y, x, peaks["noise"][known])
    # Unbuffered: many peaks fall into the same cell, class and slice.
    np.add.at(here, (y // LATTICE, x // LATTICE, kind, which), 1)
    judged = np.zeros_like(here)
    point = peaks["point"][known]
    np.add.at(judged, tuple(axis[point] for axis in (y // LATTICE, x // LATTICE, kind, which)), 1)
    rows: list[Table] = []
    curves = {}
    for zone in np.unique(zones[counts.good > 0]).tolist():
        inside = zones == zone
        # In units of the noise, peaks are about as frequent everywhere: a zone with next to no empty sky of its
        # own, as the light of galaxies is, takes the rate of the field.
        pooled = counts.limits is not None and counts.peaks[inside].sum() < ENOUGH
        telling = np.ones_like(inside) if pooled else inside
        noisy, error = _expected(
            here[inside],
            counts.good[inside],
            counts.away[telling],
            counts.peaks[telling],
            None if counts.points is None else counts.points[telling],
            counts.draws,
            disc,
            taken,
            smooth=counts.limits is not None,
        )
        noisy[np.array(SLICES) < counts.floor] = np.nan
        table = _table(name, zone, noise, inside, judged[inside].sum(axis=0), noisy, error, pixel_area)
        rows.append(table)
        curves[zone] = _curve(table)
    whole = {key: np.concatenate([part[key] for part in rows]) for key in rows[0]} if rows else _no_rows()
    return Purity(zones, whole, curves)


def _expected(
    found: np.ndarray,
    good: np.ndarray,
    away: np.ndarray,
    null: np.ndarray,
    points: np.ndarray | None,
    draws: int,
    disc: int,
    taken: Blocking | None = None,
    *,
    smooth: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks of noise that a zone must have among those that are judged, slice by slice, and their error.

    Parameters
    ----------
    found : int64 (cell, slice)
        Detected peaks.
    good, away : int64 (cell,)
        Good pixels, and those in which null peaks were counted.
    null : int64 (cell, slice)
    points : int64 (cell, slice) or None
        Those of the null peaks that are judged as the detected ones are; None: all of them.
    draws, disc : int
        Null maps, and pixels that a peak blanks.
    taken : Blocking, optional
        In place of `disc`.
    smooth : bool
        Whether counts too few to be a rate follow the tail of Gaussian noise.
    """
    area = float(away.sum()) * draws
    if not area:
        return np.full(found.shape[1], np.nan), np.full(found.shape[1], np.nan)
    rate, _ = _rate(null, area, smooth=smooth)
    judged, spread = _rate(null if points is None else points, area, smooth=smooth)
    expected, error = np.zeros(found.shape[1]), np.zeros(found.shape[1])
    pixels = good.astype(np.float64)
    noisy = np.zeros(len(good))
    above = np.zeros(len(good))
    real_in = np.zeros(found.shape)
    # From the highest slice down, because what blanks a peak is always brighter than itself.
    for k in range(found.shape[1] - 1, -1, -1):
        # What is brighter and no noise blanks the area round it; discs overlap, so the free share is a power.
        lost = disc * np.maximum(above - noisy, 0.0) if taken is None else real_in @ taken.taken[k]
        free = np.exp(-np.divide(lost, pixels, out=np.zeros(len(good)), where=pixels > 0)) * pixels
        expected[k], error[k] = judged[k] * free.sum(), spread[k] * free.sum()
        noisy += rate[k] * free
        real_in[:, k] = found[:, k] - rate[k] * free
        above += found[:, k]
    if taken is not None:
        share = _left_by_fainter(real_in.sum(axis=0) / max(pixels.sum(), 1.0), taken)
        expected, error = expected * share, error * share
    return expected, error


def _left_by_fainter(density: np.ndarray, taken: Blocking) -> np.ndarray:
    """Return by how much sources fainter than the noise peaks of each slice reduce these, float64 (slice,).

    Their rings are shallow, but they are many, and they make the null peaks too frequent besides.

    Parameters
    ----------
    density : (slice,) float64
        Sources per pixel.
    taken : Blocking
    """
    fainter = np.tril(np.ones_like(taken.taken), -1) * np.maximum(density, 0.0)
    unseen = np.maximum(density, 0.0) * taken.added
    share: np.ndarray = np.exp(-(fainter * taken.taken).sum(axis=1)) / np.maximum(
        1.0 + unseen.sum(axis=1), 1.0
    )
    return share


def _rate(null: np.ndarray, area: float, *, smooth: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return null peaks per pixel in each slice, and their error."""
    count = null.sum(axis=0).astype(np.float64)
    rate, spread = count / area, np.sqrt(np.maximum(count, 1.0)) / area
    if smooth:
        # A rate of noise peaks cannot rise with signal-to-noise; where counts make it do so, the higher slice
        # is believed.
        rate = np.maximum.accumulate(tail(count)[::-1])[::-1] / area
    return rate, spread


def tail(count: np.ndarray) -> np.ndarray:
    """Return the peaks of noise expected in each slice of signal-to-noise, float64 (slice,), from those counted.

    High slices hold few peaks, or none, which is no proof that noise never gets there. From the first slice with
    fewer than `SCARCE` peaks on, the expected number follows the tail of a Gaussian field, whose peaks above a height
    v fall as exp(-v^2 / 2), from the last three slices with enough; where more are counted than that, by more than
    chance allows, all that were counted are spread over the tail in its place.

    Parameters
    ----------
    count : (slice,) float64
        Peaks counted in the slices of `null_maps.SLICES`.
    """
    few = np.flatnonzero(count < SCARCE)
    first = int(few[0]) if few.size else count.size
    if first in (0, count.size):
        return count
    integral = np.exp(-0.5 * np.array(EDGES[:-1]) ** 2)
    # The number within a slice is the difference of the numbers above its two edges.
    shape = integral - np.append(integral[1:], 0.0)
    used = slice(max(first - 3, 0), first)
    expected = shape * (count[used].sum() / shape[used].sum())
    rest = expected[first:]
    above, counted = (np.cumsum(values[::-1])[::-1] for values in (rest, count[first:]))
    if (counted > above + 3 * np.sqrt(above) + BY_CHANCE).any():
        # Noise with a heavier tail: what is counted from each slice on, without its gaps.
        rest = np.array([count[k:].sum() for k in range(first, count.size)])
        rest -= np.append(rest[1:], 0.0)
        rest = -rising(-rest, np.ones(rest.size))
    smoothed = count.copy()
    smoothed[first:] = rest
    return smoothed


def _table(
    name: str,
    zone: int,
    noise: LocalNoise,
    inside: np.ndarray,
    found: np.ndarray,
    noisy: np.ndarray,
    error: np.ndarray,
    pixel_area: float,
) -> Table:
    n = found.size
    values = _levels(noise, inside)
    above = np.cumsum(found[::-1])[::-1].astype(np.float64)
    noisy_above = np.cumsum(noisy[::-1])[::-1]
    counted = found.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(counted > 0, 1 - noisy / counted, np.nan)
        share_error = np.sqrt(error**2 + noisy**2 / counted) / counted
        share_above = np.where(above > 0, 1 - noisy_above / above, np.nan)
    return {
        "field": np.full(n, name, dtype=object),
        "zone": np.full(n, zone, np.int64),
        "noise_lo": np.full(n, values.min()),
        "noise_hi": np.full(n, values.max()),
        "area_arcsec2": np.full(n, noise.counts.good[inside].sum() * pixel_area),
        "snr_lo": np.array(EDGES[:-1]),
        "snr_hi": np.array(EDGES[1:]),
        "n_found": found,
        "n_noise": noisy,
        "n_noise_err": np.where(np.isfinite(noisy), error, np.nan),
        "purity": np.clip(share, 0.0, 1.0),
        "purity_err": np.where(np.isfinite(share), share_error, np.nan),
        "purity_above": np.clip(share_above, 0.0, 1.0),
    }


def _levels(noise: LocalNoise, inside: np.ndarray) -> np.ndarray:
    """Return the noise of a zone, at least the lowest and the highest."""
    some = inside & (noise.counts.good > 0)
    if noise.counts.limits is None:
        return noise.values[some[..., 0]]
    steps = noise.quantiles[some.any(axis=-1)].ravel()
    # Cells may hold several zones: keep the noise within those that are meant.
    low, high = noise.counts.limits
    bounds = [(-np.inf, low), (low, high), (high, np.inf)]
    chosen = np.zeros(steps.size, bool)
    for kind in np.unique(np.nonzero(some)[-1]).tolist():
        chosen |= (steps >= bounds[kind][0]) & (steps < bounds[kind][1])
    return steps[chosen] if chosen.any() else steps


def _no_rows() -> Table:
    floats = (
        "noise_lo",
        "noise_hi",
        "area_arcsec2",
        "snr_lo",
        "snr_hi",
        "n_noise",
        "n_noise_err",
        "purity",
        "purity_err",
        "purity_above",
    )
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
