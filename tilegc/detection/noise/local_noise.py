"""The local noise of the detection map, on the lattice, from null maps (fields of one band: from quiet pixels).

Measured on the detection map itself, sources raise the noise, in a cluster's core by 1.4: exactly where the core is
measured. Null maps have no sources, so their noise is right anywhere; only its scale has to be found. It is that of a
null map whose groups are not scaled, times one factor for what all bands have in common (a detector's pattern), which
the emptiest cells of all fields tell.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from tilegc.detection.noise.balance import Balance, balances
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.null_maps import (
    CLOSED,
    FLIPPED_FLOOR,
    FLOOR,
    MASK_GROWTH,
    QUIET,
    QUIET_GROWTH,
    SLICES,
    SOURCE,
    NullParams,
    mad_sigma,
    null_pass,
    spread,
    thinned,
    within_cells,
)
from tilegc.detection.periodicity import BIN
from tilegc.engine import Pass, run_pass
from tilegc.filter.detection_map import FilterParams
from tilegc.geometry import Tile
from tilegc.kernels.lattice import bilinear_at, fill, lattice_shape
from tilegc.kernels.masks import grow
from tilegc.kernels.peaks import classify
from tilegc.phases.context import Context, blocks_of
from tilegc.phases.partials import Table, stacked

__all__ = ["MAPS", "QUIET_PASS", "LocalNoise", "NullCounts", "local_noise", "weighted_quantile"]

MAPS = ("noise",)
"""Arrays that this stage writes."""

log = logging.getLogger("tilegc")

BRIGHTEST = 80.0
"""Signal-to-noise up to which isolated sources tell the balance: brighter ones are stars and galaxies."""

ISOLATION = 8.0
"""Pixels to the next peak above 4 sigma of an isolated source."""

EMPTIEST = 0.25
"""Share of the quiet pixels of all fields, those of the cells with fewest sources, that tell the common factor."""

REACH = 3.0
"""Pixels between peaks that are told apart for this."""

HALO = 16
"""Pixels that the quiet pixels' pass sees round a block."""


@dataclass(frozen=True)
class NullCounts:
    """Peaks of the null maps of one field."""

    good: np.ndarray
    """Good pixels, int64 (cell_y, cell_x)."""
    away: np.ndarray
    """Pixels in which null peaks were counted, int64 (cell_y, cell_x)."""
    peaks: np.ndarray
    """Peaks of all null maps, both signs, int64 (cell_y, cell_x, slice)."""
    draws: int
    """How many maps these are: three patterns of two signs; 1 for the flipped map of one band; 0: none."""
    floor: float
    """Signal-to-noise from which they mean anything."""


@dataclass(frozen=True)
class LocalNoise:
    """Noise of one field's detection map."""

    values: np.ndarray
    """nJy per pixel at the cells' centres, float64 (cell_y, cell_x), without gaps; NaN where nothing is good."""
    median: float
    """Of the good pixels' cells; NaN where nothing is good."""
    common: float
    """Noise of the detection map over that of a null map: above 1 where bands have a pattern in common."""
    over_error: float
    """Noise over what ERR (else WHT) promises for uncorrelated pixels, median of some cells; NaN without them."""
    balance: Balance
    counts: NullCounts
    bins: np.ndarray
    """Good pixels in bins of `periodicity.BIN` pixels, uint8."""

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the noise at pixels, float32 (n,)."""
        return bilinear_at(self.values, y, x)


def local_noise(
    context: Context, radius: float, noises: Mapping[str, Noise], filtering: Mapping[str, FilterParams]
) -> dict[str, LocalNoise]:
    """Measure local noise and null peaks of every field.

    Three counting passes, over quiet pixels, for the balance, and over null maps; nothing is written.

    Parameters
    ----------
    context : Context
    radius : float
        Exclusion radius of the peaks, pixels.
    noises : mapping
        The fields' global noise, which stands in where a field has too few pixels for a local one.
    filtering : mapping
        What `detection_map` filtered the fields with.
    """
    names = context.names
    blocks = tuple(blocks_of(field) for field in context.fields)
    indices = {name: index for index, name in enumerate(names)}
    parts: list[Partial] = []
    run_pass(context.engine, QUIET_PASS, blocks, indices, gather=parts.append)
    cells = _sorted(_rows([part[0] for part in parts]), "column", "row", "field")
    sources = _sorted(_rows([part[1] for part in parts]), "x", "y", "field")
    bins = {block: good for part in parts for block, good in part[2].items()}
    balanced = balances(context, sources, filtering)
    guesses = {
        field.source.name: fill(_on_lattice(cells, index, "sigma", field.source.shape))
        for index, field in enumerate(context.fields)
    }
    params = {
        name: NullParams(
            indices[name], filtering[name], guesses[name], balanced[name].patterns, balanced[name].scales,
            balanced[name].main, radius,
        )
        for name in names
    }  # fmt: skip
    searched = [block for block in blocks if np.isfinite(guesses[block.source.name]).all()]
    null = None
    if searched:
        null = run_pass(context.engine, null_pass(filtering), searched, params)
        null = _sorted(null, "column", "row", "field")
    common = _common(context, null, cells)
    return {
        field.source.name: _assemble(
            field.source.shape, null, cells, params[field.source.name], balanced[field.source.name],
            common[field.source.name], noises[field.source.name].sigma, _joined(bins, index, field.source.shape),
        )
        for index, field in enumerate(context.fields)
    }  # fmt: skip


Bins = dict[tuple[int, int, int], np.ndarray]
"""Good pixels in bins, by field and first row and column of the block."""

Partial = tuple[Table, Table, Bins]


def quiet_rule(window: xr.Dataset, tile: Tile, params: int) -> tuple[dict[str, np.ndarray], Partial]:
    """Guess the noise of every cell from its quiet pixels, list the isolated sources, count good pixels in bins.

    A tile is a block.
    """
    mask, detection = window["mask"].values, window["detection"].values
    good = (mask == 0) & np.isfinite(detection)
    places = within_cells(tile.core, tile.window)
    sigma = np.full(len(places), np.nan)
    apart = good & ~grow(mask != 0, MASK_GROWTH)
    chosen, ratio = apart, detection
    # Peaks cannot be told without a noise, nor noise without leaving out the peaks: three rounds are enough.
    for last in (False, False, True):
        for number, (_, _, place) in enumerate(places):
            some = place if last else thinned(place)
            sigma[number] = mad_sigma(detection[some][chosen[some]])
        ratio = detection / spread(sigma, tile)
        if not last:
            with np.errstate(invalid="ignore"):
                chosen = apart & ~grow(ratio >= QUIET, QUIET_GROWTH)
    everywhere = (slice(0, ratio.shape[0]), slice(0, ratio.shape[1]))
    peaks = classify(ratio, good, QUIET, REACH, CLOSED, everywhere)
    sure = peaks.decided
    y, x, value = peaks.y[sure], peaks.x[sure], peaks.value[sure]
    rows, columns = tile.core_in_window
    inside = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
    bright = np.array(
        [((y >= r.start) & (y < r.stop) & (x >= c.start) & (x < c.stop)).sum() for _, _, (r, c) in places],
        np.int64,
    )
    candidates = np.flatnonzero(inside & (value >= SOURCE) & (value <= BRIGHTEST))
    isolated = candidates
    if candidates.size:
        at = np.stack([y, x], axis=1).astype(np.float64)
        near = cKDTree(at).query_ball_point(at[candidates], ISOLATION, return_length=True)
        isolated = candidates[near == 1]
    cells = {
        "field": np.full(len(places), params), "row": np.array([row for row, _, _ in places]),
        "column": np.array([column for _, column, _ in places]),
        "good": np.array([good[place].sum() for _, _, place in places]), "bright": bright, "sigma": sigma,
    }  # fmt: skip
    sources = {
        "field": np.full(isolated.size, params),
        "y": y[isolated] + tile.window.y0,
        "x": x[isolated] + tile.window.x0,
    }
    core = tile.core_in_window
    bins = {(params, tile.core.y0, tile.core.x0): _binned((mask[core] == 0) & np.isfinite(detection[core]))}
    return {}, (cells, sources, bins)


def _binned(good: np.ndarray) -> np.ndarray:
    """Return how many pixels are good in each bin of `BIN` x `BIN`, uint8; the last bins may be cut."""
    rows = np.add.reduceat(good.astype(np.uint8), np.arange(0, good.shape[0], BIN), axis=0)
    return np.add.reduceat(rows, np.arange(0, good.shape[1], BIN), axis=1)


QUIET_PASS = Pass("quiet pixels", ("detection", "mask"), HALO, (), quiet_rule, bytes_per_pixel=48.0)


def _rows(tables: Sequence[Table]) -> Table:
    found = stacked(tables)
    assert found is not None  # a field has a block
    return found


def _sorted(table: Table, *keys: str) -> Table:
    """Return a table sorted by its last key first, as `numpy.lexsort` takes them."""
    order = np.lexsort([table[key] for key in keys])
    return {name: column[order] for name, column in table.items()}


def _on_lattice(table: Table, index: int, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Return a column of one field's cells as a map."""
    on = table["field"] == index
    column = table[name][on]
    kind = np.int64 if column.dtype.kind == "i" else np.float64
    values = np.full((*lattice_shape(shape), *column.shape[1:]), 0 if kind is np.int64 else np.nan, kind)
    values[table["row"][on], table["column"][on]] = column
    return values


def _joined(bins: Bins, index: int, shape: tuple[int, int]) -> np.ndarray:
    """Return the bins of a whole field."""
    joined = np.zeros((-(-shape[0] // BIN), -(-shape[1] // BIN)), np.uint8)
    for (field, y0, x0), part in bins.items():
        if field == index:
            joined[y0 // BIN : y0 // BIN + part.shape[0], x0 // BIN : x0 // BIN + part.shape[1]] = part
    return joined


def _common(context: Context, null: Table | None, cells: Table) -> dict[str, float]:
    """Return, by field, the noise of the detection map over that of an unscaled null map.

    Faint sources make the noise of quiet pixels larger, so the cells with fewest sources tell it, those of all
    fields with the same bands together.
    """
    factors = dict.fromkeys(context.names, 1.0)
    if null is None:
        return factors
    place = {
        (int(f), int(r), int(c)): n
        for n, (f, r, c) in enumerate(zip(cells["field"], cells["row"], cells["column"], strict=True))
    }
    same = [
        place[int(f), int(r), int(c)]
        for f, r, c in zip(null["field"], null["row"], null["column"], strict=True)
    ]
    density = cells["bright"][same] / np.maximum(cells["good"][same], 1)
    usable = np.isfinite(null["plain"]) & np.isfinite(null["detection"]) & (null["plain"] > 0)
    of_field = [field.source.band_names for field in context.fields]
    for names in dict.fromkeys(of_field):
        members = [index for index, other in enumerate(of_field) if other == names]
        rows = np.flatnonzero(usable & np.isin(null["field"], members))
        rows = rows[np.argsort(density[rows], kind="stable")]
        if not rows.size:
            continue
        quiet = null["quiet"][rows]
        rows = rows[: int(np.searchsorted(np.cumsum(quiet), EMPTIEST * quiet.sum())) + 1]
        weight = null["quiet"][rows].astype(np.float64)
        factor = float((weight * null["detection"][rows] / null["plain"][rows]).sum() / weight.sum())
        factors.update({context.names[index]: factor for index in members})
    return factors


def _assemble(
    shape: tuple[int, int], null: Table | None, cells: Table, params: NullParams, balance: Balance,
    common: float, sigma: float, bins: np.ndarray,
) -> LocalNoise:  # fmt: skip
    """Put the noise map of one field together."""
    here = lattice_shape(shape)
    good = _on_lattice(cells, params.index, "good", shape)
    away, peaks = np.zeros(here, np.int64), np.zeros((*here, len(SLICES)), np.int64)
    values = params.noise
    known = null is not None and bool((null["field"] == params.index).any())
    if null is not None and known:
        peaks = _on_lattice(null, params.index, "peaks", shape)
        scales = _on_lattice(null, params.index, "sigma", shape)
        measured = _on_lattice(null, params.index, "detection", shape)
        # A cell in which some map has no noise has counted no peaks, or not all.
        has = np.isfinite(scales).all(axis=-1) if params.patterns else np.isfinite(measured)
        away = np.where(has, _on_lattice(null, params.index, "away", shape), 0)
        peaks = np.where(has[..., None], peaks, 0)
        if params.patterns:
            measured = _unscaled(null, params, scales, away) * common
        if np.isfinite(measured).any():
            values = fill(measured)
    if not np.isfinite(values).all():
        values = np.full(here, sigma if sigma > 0 else np.nan)
        common = np.nan
    draws = 2 * len(params.patterns) if params.patterns else 1
    counts = NullCounts(
        good, away, peaks, draws if away.any() else 0, FLOOR if params.patterns else FLIPPED_FLOOR
    )
    middle = weighted_quantile(values[good > 0], good[good > 0])
    promised = balance.promised
    ratio = values[promised["row"], promised["column"]] / promised["noise"]
    over = float(np.median(ratio)) if ratio.size else np.nan
    return LocalNoise(values, middle, common if params.patterns else np.nan, over, balance, counts, bins)


def _unscaled(null: Table, params: NullParams, scales: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Return the noise of a null map with balance 1, nJy per pixel (cell_y, cell_x): the mean of the patterns."""
    weight = away.astype(np.float64)
    if not weight.any():
        return np.full(weight.shape, np.nan)
    sums = np.nansum(np.where(weight[..., None] > 0, scales, 0.0) * weight[..., None], axis=(0, 1))
    mean: np.ndarray = (scales * (sums[params.main] / sums)).mean(axis=-1)
    on = (null["field"] == params.index) & np.isfinite(null["balanced"]) & np.isfinite(null["plain"])
    if not on.any():
        return mean
    quiet = null["quiet"][on]
    factor = float((quiet * null["plain"][on]).sum() / (quiet * null["balanced"][on]).sum())
    unscaled: np.ndarray = mean * factor
    return unscaled


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float = 0.5) -> float:
    """Return the value at which a share of the weight is reached; NaN of nothing."""
    if not values.size:
        return np.nan
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(ends, share * ends[-1])])
