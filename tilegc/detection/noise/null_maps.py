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

from tilegc.detection.noise.noise_map import NoiseMap
from tilegc.detection.noise.peak_counts import CLOSED, FLOOR, SLICES, PeakCounts
from tilegc.detection.shape_ratios import ShapeTables
from tilegc.engine import Pass
from tilegc.filter.detection_map import (
    EXPECTED,
    FilterParams,
    band_response,
    band_variances,
    expected_noise,
    response_halo,
)
from tilegc.geometry import LATTICE, Box, Tile
from tilegc.io.window import Window
from tilegc.kernels.masks import grow
from tilegc.kernels.medians import median
from tilegc.kernels.order import MAD_TO_SIGMA
from tilegc.phases.partials import Table, concatenate
from tilegc.schema import Bit

__all__ = [
    "CLOSED",
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

BRIGHT = 25.0
BRIGHT_GROWTH = 12.0
"""Where the noise is expected, null peaks are not counted this near to a pixel this high above it either."""

VERY_BRIGHT_GROWTH = 24.0
"""Nor this near to a very bright pixel (bit 4): the profiles of galaxies and stars are steep there.

The filter turns them negative between 6 and 22 px from that bit on the mocks `small` (seeds 41 to 43), down to -9 times
the noise, which is no noise. One such galaxy in an otherwise empty field is enough to spoil the tail of the counts.
"""

EXPECTED_MARGIN = 26
"""`MARGIN` where the noise is expected: the largest of these growths, and the reach of a peak."""

ENOUGH = 500
"""Pixels from which a cell has a noise of its own; neighbouring pixels are correlated, so its error is 10 per cent."""

SIGNS = ((1, -1, -1, 1), (1, -1, 1, -1), (1, 1, -1, -1))


def sign_patterns(bands: int) -> tuple[tuple[int, ...], ...]:
    """Return the patterns of signs of so many bands: three, one for two bands, none for one.

    Each begins with +1, has both signs, and repeats one of (+, -, -, +), (+, -, +, -), (+, +, -, -).
    """
    made = [tuple(row[number % 4] for number in range(bands)) for row in SIGNS]
    return tuple(dict.fromkeys(signs for signs in made if -1 in signs))


def plus_groups(
    window: Window, patterns: Sequence[Sequence[int]], filtering: FilterParams
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
    # The filter is linear in the bands, so that one filtering of each band serves all patterns of signs.
    # The last band is what is left of their sum.
    last = window["detection"].values.copy()
    for share in shares:
        last -= share
    shares.append(last)
    # Plus groups alone: what the minus group has is the detection map less this, without another sum.
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
    noise: NoiseMap
    """First estimate of the noise, without gaps."""
    patterns: tuple[tuple[int, ...], ...]
    balances: tuple[float, ...]
    """By how much the minus group is scaled, pattern by pattern."""
    main: int
    """The pattern by which null noise and that of the detection map are compared: balance nearest to 1."""
    radius: float
    """Exclusion radius of peaks, pixels."""
    limits: tuple[float, float] | None = None
    """Noise, nJy per pixel, at which the usual and the shallow class of pixels begin; None: one class."""
    shapes: ShapeTables | None = None
    """By which points are told, where shapes decide what is catalogued."""

    @property
    def classes(self) -> int:
        """How many classes of pixels are counted apart."""
        return 1 if self.limits is None else len(self.limits) + 1

    @property
    def floor(self) -> float:
        """Signal-to-noise from which peaks are counted."""
        return FLOOR if self.patterns or self.noise.expected else FLIPPED_FLOOR

    @property
    def draws(self) -> int:
        """How many maps are counted: two signs of each pattern; the flipped map where there is none, or s is known."""
        return 1 if self.noise.expected else max(2 * len(self.patterns), 1)


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
    # Blocks are whole cells, so that every cell is measured in one piece whatever the tiles are.
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


def null_rule(window: Window, tile: Tile, params: NullParams) -> tuple[dict[str, np.ndarray], Table]:
    """Measure the null maps' noise and count their peaks, cell by cell; the tile is a block of cells."""
    mask, detection = window["mask"].values, window["detection"].values
    noise = params.noise.on(window, tile.window)
    counted = np.isfinite(detection)
    if params.noise.expected:
        counted &= noise > 0
    good = (mask == 0) & counted
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = detection / noise
    away, quiet = surroundings(good, mask, ratio)
    cells = within_cells(tile.core, tile.window)
    table = _empty(len(cells), len(params.patterns), params.classes)
    table["field"][:] = params.index
    # Rings of bright sources are negative, and the flipped map would count them as peaks of noise.
    where = quiet & ~_about_bright(ratio, mask) if params.noise.expected else away
    kinds = None if params.limits is None else np.searchsorted(params.limits, noise, side="right")
    for number, (row, column, place) in enumerate(cells):
        table["row"][number], table["column"][number] = row, column
        for kind in range(params.classes):
            these = np.True_ if kinds is None else kinds[place] == kind
            table["good"][number, kind] = (good[place] & these).sum()
            table["away"][number, kind] = (where[place] & these).sum()
        table["quiet"][number] = quiet[place].sum()
    # Nothing to measure, as at the corners of a rotated mosaic: the bands need not be filtered.
    if not any(away[place].any() for _, _, place in cells):
        return {}, table
    margin = EXPECTED_MARGIN if params.noise.expected else MARGIN
    count = PeakCounts(
        tile,
        cells,
        _near(good, tile, margin),
        where,
        kinds,
        table,
        params.radius,
        params.floor,
        maxima=params.noise.expected,
        shapes=params.shapes,
    )
    if not params.patterns:
        _flipped(detection, window, quiet, count)
        return {}, table
    parts = plus_groups(window, params.patterns, params.filtering)
    variances: list[np.ndarray] = []
    if params.noise.expected:
        variances = list(band_variances(params.filtering, window, window["flags"].values, tile.window))
    for pattern, (plus, balance) in enumerate(zip(parts, params.balances, strict=True)):
        minus = detection - plus
        null = plus - np.float32(balance) * minus
        plain, whole = plus - minus, detection
        if variances:
            with np.errstate(invalid="ignore", divide="ignore"):
                null /= _null_noise(variances, params.patterns[pattern], balance)
                one = window[EXPECTED].values
                plain, whole = plain / one, detection / one
        for number, (_, _, place) in enumerate(cells):
            table["sigma"][number, pattern] = mad_sigma(null[place][away[place]])
            if pattern == params.main:
                chosen = quiet[place]
                table["balanced"][number] = mad_sigma(null[place][chosen])
                table["plain"][number] = mad_sigma(plain[place][chosen])
                table["detection"][number] = _centred(whole[place][chosen])
        if not variances:
            # Divided by its own noise, since a null map's noise differs from that of the detection map by the
            # balance.
            null /= spread(table["sigma"][:, pattern], tile)
            # Noise is symmetric, so that the flipped null map is another draw for free.
            for sign in (np.float32(1), np.float32(-1)):
                count.peaks(sign * null)
    if variances:
        _flipped(detection, window, quiet, count)
    return {}, table


def _about_bright(ratio: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the surroundings of bright sources, whose rings reach farther than those of faint ones."""
    with np.errstate(invalid="ignore"):
        near = grow(ratio >= BRIGHT, BRIGHT_GROWTH)
    near |= grow((mask & np.uint8(Bit.BRIGHT)) != 0, VERY_BRIGHT_GROWTH)
    return near


def _null_noise(variances: Sequence[np.ndarray], signs: Sequence[int], balance: float) -> np.ndarray:
    """Return the noise expected of a null map, float32 (y, x), nJy per pixel."""
    factors = (np.float32(1.0 if sign > 0 else balance * balance) for sign in signs)
    return expected_noise(variance * factor for variance, factor in zip(variances, factors, strict=True))


def _flipped(detection: np.ndarray, window: Window, quiet: np.ndarray, count: PeakCounts) -> None:
    """Count the peaks of the flipped detection map.

    It is all that one band can tell. With the noise known pixel by pixel it is also the better null map of several
    bands: it holds the very noise of the detection map, with its texture and what the bands have in common, and away
    from sources nothing else. Null maps weight the bands differently, and where PSFs differ as those of F115W and
    F444W do, noise makes half as many peaks in them. Where only points are catalogued, those of the peaks that look
    like points are counted, too: not all of them do.
    """
    light = None if count.shapes is None else -window["light"].values
    if EXPECTED in window:
        with np.errstate(invalid="ignore", divide="ignore"):
            detection = detection / window[EXPECTED].values
    table = count.table
    for number, (_, _, place) in enumerate(count.cells):
        table["detection"][number] = _centred(detection[place][quiet[place]])
    count.peaks(-detection / spread(table["detection"], count.tile), light)


def _empty(cells: int, patterns: int, classes: int) -> Table:
    return {
        **{name: np.zeros(cells, np.int64) for name in ("field", "row", "column", "quiet")},
        **{name: np.zeros((cells, classes), np.int64) for name in ("good", "away")},
        **{name: np.full(cells, np.nan) for name in ("balanced", "plain", "detection")},
        "sigma": np.full((cells, max(patterns, 1)), np.nan),
        **{name: np.zeros((cells, classes, len(SLICES)), np.int64) for name in ("peaks", "points")},
    }


def _near(good: np.ndarray, tile: Tile, margin: int) -> np.ndarray:
    """Return the good pixels at most a margin outside the core: farther out the filter is not right."""
    core = tile.core.grow(margin).clip(tile.window).within(tile.window)
    near = np.zeros(good.shape, np.bool_)
    # A narrow margin around the core is enough, for peaks outside of it that blank peaks inside.
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
            window.y0 if cell.y0 <= core.y0 else cell.y0,
            window.x0 if cell.x0 <= core.x0 else cell.x0,
            window.y1 if cell.y1 >= core.y1 else cell.y1,
            window.x1 if cell.x1 >= core.x1 else cell.x1,
        )
        spread_out[reach.within(window)] = value if value > 0 else np.nan
    return spread_out


def thinned(place: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return every second pixel of every second row of a place: enough for what many cells tell together."""
    return slice(place[0].start, place[0].stop, 2), slice(place[1].start, place[1].stop, 2)


def null_pass(filtering: Mapping[str, FilterParams]) -> Pass:
    """Return the counting pass over blocks of lattice cells, for fields that are filtered so."""
    expected = any(params.matched for params in filtering.values())
    margin = EXPECTED_MARGIN if expected else MARGIN
    halo = {name: response_halo(params) + margin for name, params in filtering.items()}
    bands = max(params.bands for params in filtering.values())
    reads: tuple[str, ...] = ("sci", "flags", "mask", "detection")
    bytes_per_pixel = 64.0 + 12.0 * bands
    if expected:
        longest = max((params.reads for params in filtering.values()), key=len)
        reads = (*longest, *reads[1:], EXPECTED, "light")
        bytes_per_pixel += 24.0 + 4.0 * bands * len(longest)
    return Pass("null map", reads, halo, (), null_rule, concatenate, bytes_per_pixel, whole_cells=True)
