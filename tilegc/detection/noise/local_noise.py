"""The local noise of the detection map: expected from ERR or WHT pixel by pixel, and measured on the lattice.

noise(x) = f(x) s(x). With `recipe: calibrated` s is the noise that the pixels' own variance predicts for the filtered
map (`tilegc.filter.noise_response`), which follows every step of depth, and f, their ratio, is measured in cells of
the lattice; it is near 1 and smooth. Otherwise s is 1 and f is the noise itself.

Measured on the detection map itself, sources raise the noise, in a cluster's core by 1.4: exactly where the core is
measured. Null maps have no sources, so their noise is right everywhere; only its scale has to be found. It is that of
a null map whose groups are not scaled, times one factor for what all bands have in common (a detector's pattern),
which the emptiest cells of all fields give. Fields of one band use their quiet pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from tilegc.detection.noise.balance import Balance, balances
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.noise_map import LocalNoise, NoiseMap, NullCounts, weighted_quantile
from tilegc.detection.noise.null_maps import SLICES, NullParams, null_pass
from tilegc.detection.noise.quiet_pixels import QUIET_PASS, Bins, Partial, quiet_pass
from tilegc.detection.periodicity import BIN
from tilegc.detection.shape_ratios import ShapeTables
from tilegc.engine import run_pass
from tilegc.filter.detection_map import FilterParams
from tilegc.kernels.lattice import fill, lattice_shape
from tilegc.phases.context import Context, blocks_of
from tilegc.phases.partials import Table, stacked

__all__ = [
    "MAPS",
    "QUIET_PASS",
    "ZONES",
    "LocalNoise",
    "NullCounts",
    "local_noise",
    "maps_of",
    "weighted_quantile",
]

MAPS = ("noise",)
"""Arrays that this stage measures, and that are written with the products."""

log = logging.getLogger("tilegc")

ZONES = (1 / 1.15, 1.15)
"""Noise over the field's median at which zones of noise begin: deep, usual, shallow."""

EMPTY = 0.25
"""Share of a cell's good pixels that must be quiet for its plain difference to be used."""

EMPTIEST = 0.25
"""Share of the quiet pixels of all fields, those of the cells with fewest sources, that tell the common factor."""


def maps_of(recipe: str) -> tuple[str, ...]:
    """Return the arrays that are measured with a recipe."""
    return (*MAPS, "noise_factor", "confusion") if recipe == "calibrated" else MAPS


def local_noise(
    context: Context,
    radius: float,
    noises: Mapping[str, Noise],
    filtering: Mapping[str, FilterParams],
    shapes: Mapping[str, ShapeTables] | None = None,
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
    shapes : mapping, optional
        Tables of every field, if only points are catalogued: then points are counted among the peaks of noise.
    """
    names = context.names
    blocks = tuple(blocks_of(field) for field in context.fields)
    indices = {name: index for index, name in enumerate(names)}
    expected = any(params.matched for params in filtering.values())
    parts: list[Partial] = []
    run_pass(context.engine, quiet_pass(expected=expected), blocks, indices, gather=parts.append)
    cells = _sorted(_rows([part[0] for part in parts]), "column", "row", "field")
    sources = _sorted(_rows([part[1] for part in parts]), "x", "y", "field")
    bins = {block: good for part in parts for block, good in part[2].items()}
    balanced = balances(context, sources, filtering)
    params = {}
    for field in context.fields:
        name, shape = field.source.name, field.source.shape
        index, balance = indices[name], balanced[name]
        # A first estimate from quiet pixels, only to know which pixels are near a source when the null maps are
        # measured.
        guess = NoiseMap(fill(_on_lattice(cells, index, "sigma", shape)), expected)
        limits = _limits(cells, index, guess, shape) if expected and guess.known else None
        params[name] = NullParams(
            index,
            filtering[name],
            guess,
            balance.patterns,
            balance.scales,
            balance.main,
            radius,
            limits,
            shapes[name] if shapes is not None and expected else None,
        )
    searched = [block for block in blocks if params[block.source.name].noise.known]
    null = None
    if searched:
        null = run_pass(context.engine, null_pass(filtering), searched, params)
        # Sums below run over rows in this order, and float sums must not depend on the order of tiles.
        null = _sorted(null, "column", "row", "field")
    # Over all fields with the same bands together: the factor is a property of the detector and the pipeline,
    # and one field alone may have too little empty sky.
    common = _common(context, null, cells)
    return {
        field.source.name: _assemble(
            field.source.shape,
            null,
            cells,
            params[field.source.name],
            balanced[field.source.name],
            common[field.source.name],
            noises[field.source.name].sigma,
            _joined(bins, index, field.source.shape),
        )
        for index, field in enumerate(context.fields)
    }


def _limits(cells: Table, index: int, guess: NoiseMap, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the noise at which the usual and the shallow pixels of a field begin, nJy per pixel."""
    steps = guess.lattice[..., None] * _on_lattice(cells, index, "expected", shape)
    good = _on_lattice(cells, index, "good", shape)
    known = (good > 0) & np.isfinite(steps).all(axis=-1)
    weights = np.repeat(good[known], steps.shape[-1])
    middle = weighted_quantile(steps[known].ravel(), weights)
    return ZONES[0] * middle, ZONES[1] * middle


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
        # By the density of sources, the emptiest cells first, until they hold enough quiet pixels.
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
    shape: tuple[int, int],
    null: Table | None,
    cells: Table,
    params: NullParams,
    balance: Balance,
    common: float,
    sigma: float,
    bins: np.ndarray,
) -> LocalNoise:
    """Put the noise map of one field together."""
    lattice = lattice_shape(shape)
    good = _on_lattice(cells, params.index, "good", shape)[..., None]
    away = np.zeros((*lattice, params.classes), np.int64)
    peaks = points = np.zeros((*away.shape, len(SLICES)), np.int64)
    factors = params.noise.lattice
    if null is not None and bool((null["field"] == params.index).any()):
        good = _on_lattice(null, params.index, "good", shape)
        peaks, points = (_on_lattice(null, params.index, name, shape) for name in ("peaks", "points"))
        scales = _on_lattice(null, params.index, "sigma", shape)
        measured = _on_lattice(null, params.index, "detection", shape)
        # A cell in which some map has no noise has counted no peaks, or not all.
        has = np.isfinite(scales).all(axis=-1) if params.patterns else np.isfinite(measured)
        away = np.where(has[..., None], _on_lattice(null, params.index, "away", shape), 0)
        peaks, points = (np.where(has[..., None, None], counted, 0) for counted in (peaks, points))
        if params.patterns:
            measured = _unscaled(null, params, scales, away.sum(axis=-1)) * common
            if params.noise.expected:
                # The plain difference of the groups mixes the bands as the detection map does. Its sources do not
                # cancel, so it is only used in cells that are mostly empty.
                plain = _on_lattice(null, params.index, "plain", shape)
                empty = _on_lattice(null, params.index, "quiet", shape) >= EMPTY * good.sum(axis=-1)
                measured = np.where(empty & np.isfinite(plain), plain * common, measured)
        if np.isfinite(measured).any():
            # Cells without enough pixels, under masks and at the edges, take the value of their neighbours.
            factors = fill(measured)
    steps = _on_lattice(cells, params.index, "expected", shape)
    if not np.isfinite(factors).all():
        # Too few pixels for a noise of their own: the field's global one, nJy per pixel.
        typical = weighted_quantile(steps[..., steps.shape[-1] // 2].ravel(), good.sum(axis=-1).ravel())
        level = sigma / typical if params.noise.expected else sigma
        factors = np.full(lattice, level if level > 0 else np.nan)
        common = np.nan
    counts = NullCounts(
        good,
        away,
        peaks,
        params.draws if away.any() else 0,
        params.floor,
        params.limits,
        params.noise.lattice,
        points if params.shapes is not None else None,
    )
    quantiles = factors[..., None] * steps
    values = quantiles[..., quantiles.shape[-1] // 2]
    if params.noise.expected and np.isfinite(values).any():
        values = fill(values)
    promised = balance.promised
    ratio = values[promised["row"], promised["column"]] / promised["noise"]
    ratio = ratio[np.isfinite(ratio)]
    over = float(np.median(ratio)) if ratio.size else np.nan
    return LocalNoise(
        NoiseMap(factors, params.noise.expected),
        values,
        quantiles,
        common if params.patterns else np.nan,
        over,
        balance,
        counts,
        bins,
        tuple(band.kind for band in params.filtering.pixels),
    )


def _unscaled(null: Table, params: NullParams, scales: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Return the noise of a null map with balance 1, nJy per pixel (cell_y, cell_x): the mean of the patterns."""
    weight = away.astype(np.float64)
    if not weight.any():
        return np.full(weight.shape, np.nan)
    # Each pattern of signs has its own scale, because the balance differs; brought to that of the main pattern
    # they are independent estimates of one noise, and their mean is less uncertain than any of them.
    sums = np.nansum(np.where(weight[..., None] > 0, scales, 0.0) * weight[..., None], axis=(0, 1))
    mean: np.ndarray = (scales * (sums[params.main] / sums)).mean(axis=-1)
    on = (null["field"] == params.index) & np.isfinite(null["balanced"]) & np.isfinite(null["plain"])
    if not on.any():
        return mean
    quiet = null["quiet"][on]
    factor = float((quiet * null["plain"][on]).sum() / (quiet * null["balanced"][on]).sum())
    unscaled: np.ndarray = mean * factor
    return unscaled
