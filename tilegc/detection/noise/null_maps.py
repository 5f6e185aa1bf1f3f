"""Maps of noise alone: bands with alternating signs, in which sources cancel and noise does not.

A null map is the filtered sum of some bands less `balance` times that of the others, the balance being the median
ratio of the two at isolated point sources. Its noise is that of the detection map up to one factor, its peaks of
both signs are what noise alone makes. Three patterns of signs with equal noise in all bands are independent of one
another. What is common to all bands, a pattern of the detector for one, cancels as sources do: see
`tilegc.detection.pattern`.

All of it is measured in blocks of lattice cells that tiles have no part in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tilegc.engine import Pass
from tilegc.filter.detection_map import FilterParams, band_response, response_halo
from tilegc.geometry import LATTICE, Box, Tile
from tilegc.kernels.lattice import bilinear
from tilegc.kernels.masks import grow
from tilegc.kernels.medians import median
from tilegc.kernels.order import MAD_TO_SIGMA
from tilegc.kernels.peaks import classify, settle
from tilegc.phases.partials import Table, concatenate

__all__ = [
    "FLOOR",
    "MARGIN",
    "SLICES",
    "NullParams",
    "mad_sigma",
    "null_pass",
    "plus_groups",
    "sign_patterns",
    "spread",
    "surroundings",
    "thinned",
    "within_cells",
]

FLOOR = 2.5
"""Signal-to-noise from which peaks are counted."""

SLICES = tuple(FLOOR + 0.25 * k for k in range(23))
"""Lower edges of the slices in signal-to-noise; the last one, from 8, is open."""

FLIPPED_FLOOR = 6.0
"""Signal-to-noise from which the flipped map of a field of one band tells noise from the rings of sources."""

SOURCE = 12.0
"""Signal-to-noise of a pixel from which its surroundings are left out: what is left of a source could be a peak."""

SOURCE_GROWTH = 7.0
MASK_GROWTH = 6.0
"""Pixels left out round such a pixel, and round a mask."""

QUIET = 4.0
QUIET_GROWTH = 8.0
"""Quiet pixels are farther than this from any above 4 sigma."""

MARGIN = 8
"""Pixels round a block in which the maps must be right: the growths, and the reach of a peak."""

ENOUGH = 500
"""Pixels from which a cell has a noise of its own; neighbouring pixels are correlated, so its error is 10 per cent."""

SIGNS = ((1, -1, -1, 1), (1, -1, 1, -1), (1, 1, -1, -1))

CLOSED = (False, False, False, False)


def sign_patterns(bands: int) -> tuple[tuple[int, ...], ...]:
    """Return the patterns of signs of so many bands: three, one for two bands, none for one.

    Each begins with +1, has both signs, and repeats one of (+, -, -, +), (+, -, +, -), (+, +, -, -).
    """
    made = [tuple(row[number % 4] for number in range(bands)) for row in SIGNS]
    return tuple(dict.fromkeys(signs for signs in made if -1 in signs))


def plus_groups(
    window: xr.Dataset, patterns: Sequence[Sequence[int]], filtering: FilterParams
) -> Iterator[np.ndarray]:
    """Yield, pattern by pattern, the part of the detection map that the bands with a plus make.

    Parameters
    ----------
    window : Dataset
        sci, flags and detection.
    patterns : sequence of sequence of int
        Of `sign_patterns`.
    filtering : FilterParams
        Of the field.

    Yields
    ------
    float32 (y, x)
        nJy per pixel; right where `response_halo` lies inside of the window.
    """
    sci, flags = window["sci"].values, window["flags"].values
    shares = [band_response(filtering, band, sci[band], flags) for band in range(len(sci) - 1)]
    # The last band is what is left of their sum.
    last = window["detection"].values.copy()
    for share in shares:
        last -= share
    shares.append(last)
    for signs in patterns:
        plus = np.zeros_like(last)
        for sign, share in zip(signs, shares, strict=True):
            if sign > 0:
                plus += share
        yield plus


@dataclass(frozen=True)
class NullParams:
    """What `null_rule` needs to know of a field."""

    index: int
    """Position of the field in the run file."""
    filtering: FilterParams
    noise: np.ndarray
    """First guess of the noise, nJy per pixel (cell_y, cell_x) without gaps."""
    patterns: tuple[tuple[int, ...], ...]
    balances: tuple[float, ...]
    """By how much the minus group is scaled, pattern by pattern."""
    main: int
    """The pattern by which null noise and that of the detection map are compared: balance nearest to 1."""
    radius: float
    """Exclusion radius of peaks, pixels."""


def mad_sigma(values: np.ndarray) -> float:
    """Return 1.4826 x the median of |values|; NaN of fewer than `ENOUGH` values, and where it is 0."""
    if values.size < ENOUGH:
        return np.nan
    return MAD_TO_SIGMA * float(median(np.abs(values))) or np.nan


def _centred(values: np.ndarray) -> float:
    """Return `mad_sigma` about the median."""
    return mad_sigma(values - median(values)) if values.size >= ENOUGH else np.nan


def within_cells(core: Box, window: Box) -> list[tuple[int, int, tuple[slice, slice]]]:
    """Return row, column and place in the window of every lattice cell of a block's core."""
    found = []
    for row in range(core.y0 // LATTICE, -(-core.y1 // LATTICE)):
        for column in range(core.x0 // LATTICE, -(-core.x1 // LATTICE)):
            cell = Box(row * LATTICE, column * LATTICE, (row + 1) * LATTICE, (column + 1) * LATTICE).clip(
                core
            )
            found.append((row, column, cell.within(window)))
    return found


def surroundings(good: np.ndarray, mask: np.ndarray, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a null map counts, and the quiet part of that.

    Parameters
    ----------
    good : bool (y, x)
    mask : uint8 (y, x)
    ratio : float32 (y, x)
        Detection map over noise; NaN where there is none.

    Returns
    -------
    away : bool (y, x)
        Good, 6 px from masks, 7 px from pixels above 12 sigma.
    quiet : bool (y, x)
        The same, 8 px from pixels above 4 sigma.
    """
    with np.errstate(invalid="ignore"):
        away = good & ~grow(mask != 0, MASK_GROWTH) & ~grow(ratio >= SOURCE, SOURCE_GROWTH)
        quiet = away & ~grow(ratio >= QUIET, QUIET_GROWTH)
    return away, quiet


def null_rule(window: xr.Dataset, tile: Tile, params: NullParams) -> tuple[dict[str, np.ndarray], Table]:
    """Measure the null maps' noise and count their peaks, cell by cell; the tile is a block of cells."""
    mask, detection = window["mask"].values, window["detection"].values
    counted = np.isfinite(detection)
    good = (mask == 0) & counted
    ratio = detection / bilinear(params.noise, tile.window)
    away, quiet = surroundings(good, mask, ratio)
    cells = within_cells(tile.core, tile.window)
    table = _empty(len(cells), len(params.patterns))
    table["field"][:] = params.index
    for number, (row, column, place) in enumerate(cells):
        table["row"][number], table["column"][number] = row, column
        table["good"][number] = good[place].sum()
        table["away"][number], table["quiet"][number] = away[place].sum(), quiet[place].sum()
    if not table["away"].any():
        return {}, table
    near = _near(good, tile)
    if not params.patterns:
        _flipped(detection, near, away, quiet, cells, table, tile, params.radius)
        return {}, table
    parts = plus_groups(window, params.patterns, params.filtering)
    for pattern, (plus, balance) in enumerate(zip(parts, params.balances, strict=True)):
        minus = detection - plus
        null = plus - np.float32(balance) * minus
        for number, (_, _, place) in enumerate(cells):
            table["sigma"][number, pattern] = mad_sigma(null[place][away[place]])
            if pattern == params.main:
                chosen = quiet[place]
                table["balanced"][number] = mad_sigma(null[place][chosen])
                table["plain"][number] = mad_sigma(plus[place][chosen] - minus[place][chosen])
                table["detection"][number] = _centred(detection[place][chosen])
        null /= spread(table["sigma"][:, pattern], tile)
        for sign in (np.float32(1), np.float32(-1)):
            _count(sign * null, near, away, cells, table, params.radius, FLOOR)
    return {}, table


def _flipped(
    detection: np.ndarray, near: np.ndarray, away: np.ndarray, quiet: np.ndarray,
    cells: list[tuple[int, int, tuple[slice, slice]]], table: Table, tile: Tile, radius: float,
) -> None:  # fmt: skip
    """Count the peaks of the flipped detection map, from 6 sigma: all that one band can tell."""
    for number, (_, _, place) in enumerate(cells):
        table["detection"][number] = _centred(detection[place][quiet[place]])
    _count(-detection / spread(table["detection"], tile), near, away, cells, table, radius, FLIPPED_FLOOR)


def _empty(cells: int, patterns: int) -> Table:
    whole = {name: np.zeros(cells, np.int64) for name in ("field", "row", "column", "good", "away", "quiet")}
    real = {name: np.full(cells, np.nan) for name in ("balanced", "plain", "detection")}
    return {
        **whole, **real,
        "sigma": np.full((cells, max(patterns, 1)), np.nan),
        "peaks": np.zeros((cells, len(SLICES)), np.int64),
    }  # fmt: skip


def _near(good: np.ndarray, tile: Tile) -> np.ndarray:
    """Return the good pixels at most `MARGIN` outside of the core: farther out the filter is not right."""
    core = tile.core.grow(MARGIN).clip(tile.window).within(tile.window)
    near = np.zeros(good.shape, np.bool_)
    near[core] = good[core]
    return near


def spread(values: np.ndarray, tile: Tile) -> np.ndarray:
    """Return the values of a block's cells at the pixels of its window, float32; outside of the core the nearest.

    Parameters
    ----------
    values : float64 (n,)
        In the order of `within_cells`; what is not above 0 becomes NaN.
    tile : Tile
        A block.
    """
    spread_out = np.empty(tile.window.shape, np.float32)
    core, window = tile.core, tile.window
    for value, (row, column, _) in zip(values, within_cells(core, window), strict=True):
        cell = Box(row * LATTICE, column * LATTICE, (row + 1) * LATTICE, (column + 1) * LATTICE)
        reach = Box(
            window.y0 if cell.y0 <= core.y0 else cell.y0, window.x0 if cell.x0 <= core.x0 else cell.x0,
            window.y1 if cell.y1 >= core.y1 else cell.y1, window.x1 if cell.x1 >= core.x1 else cell.x1,
        )  # fmt: skip
        spread_out[reach.within(window)] = value if value > 0 else np.nan
    return spread_out


def thinned(place: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return every second pixel of every second row of a place: enough for what many cells tell together."""
    return slice(place[0].start, place[0].stop, 2), slice(place[1].start, place[1].stop, 2)


def _count(
    ratio: np.ndarray, near: np.ndarray, away: np.ndarray,
    cells: list[tuple[int, int, tuple[slice, slice]]], table: Table, radius: float, floor: float,
) -> None:  # fmt: skip
    """Add the peaks of a map of signal-to-noise to the slices of their cells."""
    everywhere = (slice(0, ratio.shape[0]), slice(0, ratio.shape[1]))
    found = classify(ratio, near, floor, radius, CLOSED, everywhere)
    kept = settle(found.y, found.x, found.value, found.decided, radius)
    kept &= away[found.y, found.x]
    slices = np.searchsorted(np.array(SLICES, np.float32), found.value, side="right") - 1
    for number, (_, _, (rows, columns)) in enumerate(cells):
        inside = kept & (found.y >= rows.start) & (found.y < rows.stop)
        inside &= (found.x >= columns.start) & (found.x < columns.stop)
        table["peaks"][number] += np.bincount(slices[inside], minlength=len(SLICES))


def null_pass(filtering: Mapping[str, FilterParams]) -> Pass:
    """Return the counting pass over blocks of lattice cells, for fields that are filtered so."""
    halo = {name: response_halo(params) + MARGIN for name, params in filtering.items()}
    bands = max(params.bands for params in filtering.values())
    return Pass(
        "null map", ("sci", "flags", "mask", "detection"), halo, (), null_rule, concatenate,
        bytes_per_pixel=64.0 + 12.0 * bands,
    )  # fmt: skip
