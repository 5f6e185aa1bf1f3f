"""Peaks by greedy blanking, exact in tiles (algorithm.md, sections 5 and 14.3).

The rule is sequential over the whole image: the brightest pixel is recorded and blanks its surroundings, and so on
down to the threshold. But the fate of a pixel depends only on brighter pixels within reach of it. `classify`
therefore decides nearly all pixels within a window, and marks those it cannot decide; `settle` decides these from the
sparse table of the whole field. Together they give the result of the sequential rule, for any tiling and any halo.

The order is always: value descending, then y, then x ascending. Distances are compared as integers, dy^2 + dx^2 <=
floor(radius^2). Radius: with a halo of `floor(radius)` more pixels are decided near the border of a window, but the
result is correct without any, because uncertain pixels are left undecided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.kernels.order import ordered_keys

__all__ = ["Peaks", "classify", "local_maxima", "reach_of", "settle"]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

# State of a pixel, as bits: first those set before its turn, then those set at its turn. Three outcomes are needed,
# not two: besides selected and suppressed a pixel may be undecided, because unseen pixels beyond the window, or a
# brighter undecided pixel, could still suppress it.
_SUPPRESSED: Final = 1
_DOUBTFUL: Final = 2
"""A brighter undecided pixel lies within reach."""
_SELECTED: Final = 4
_UNDECIDED: Final = 8


@dataclass(frozen=True)
class Peaks:
    """Pixels in the core of a tile that are or may be peaks, sorted by y, then x."""

    y: NDArray[np.int64]
    """Row in the window."""
    x: NDArray[np.int64]
    """Column in the window."""
    value: NDArray[np.float32]
    """Pixel value."""
    decided: NDArray[np.bool_]
    """True: a peak, whatever lies outside the window. False: not yet known."""


def classify(
    values: Float32,
    allowed: NDArray[Any],
    threshold: float,
    radius: float,
    open_sides: tuple[bool, bool, bool, bool],
    core: tuple[slice, slice],
) -> Peaks:
    """Find the peaks of a core as far as its window permits (algorithm.md, section 14.3).

    Brightest first, every allowed pixel of the window with a value of at least `threshold` is *suppressed* (if a
    selected pixel is within `radius`), or *undecided* (if not suppressed, but within `radius` of unseen pixels beyond
    an open side, or of a brighter undecided pixel), or else *selected*. Selected and suppressed are certain.

    Parameters
    ----------
    values : (ny, nx) float32
        Detection map of the window in nJy per pixel; NaN is never a candidate.
    allowed : (ny, nx) bool or uint8
        Where a peak may be recorded; other pixels are not peaks and do not suppress any.
    threshold : float
        T in the unit of `values`, inclusive; compared as float32.
    radius : float
        Radius in pixels that a recorded peak blanks, between pixel centres, inclusive.
    open_sides : 4 bool
        Whether unseen pixels of the field lie beyond the window: low y, low x, high y, high x.
    core : (slice, slice)
        Position of the core in the window; pixels outside it are not returned.

    Returns
    -------
    Peaks
        The selected and the undecided pixels of the core.
    """
    if values.ndim != 2 or values.shape != allowed.shape:
        raise ValueError(
            f"values {values.shape} and allowed {allowed.shape} must be 2-D and have the same shape"
        )
    values = np.require(values, np.float32, PLAIN)
    reach = reach_of(radius)
    candidates = _candidates(values, np.require(allowed, np.bool_, PLAIN), np.float32(threshold))
    # Candidates are a few percent of the pixels: sorting and judging work on these alone, and only the
    # states, one byte a pixel, are kept as an image, because a peak blanks by position.
    bright = values.ravel()[candidates]
    state = np.zeros(values.shape, np.uint8)
    _judge(candidates[_brightest_first(bright)], reach, np.array(open_sides, np.bool_), state)

    y, x = np.divmod(candidates, max(values.shape[1], 1))
    fate = state.ravel()[candidates]
    (y0, y1, _), (x0, x1, _) = core[0].indices(values.shape[0]), core[1].indices(values.shape[1])
    # The window's margin was judged, too, since it decides what happens in the core, but its peaks belong to
    # neighbours. Suppressed pixels (below `_SELECTED`) are final and need not be reported.
    kept = (fate >= _SELECTED) & (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    return Peaks(y[kept], x[kept], bright[kept], (fate[kept] & _SELECTED) != 0)


def local_maxima(values: Float32, open_sides: tuple[bool, bool, bool, bool]) -> Bool:
    """Return the pixels that none of their eight neighbours exceeds: peaks that are not shoulders of others.

    Of equal neighbours the first in y, then x, counts as the maximum. A pixel on an open side of the window counts,
    too: `classify` with a radius of 1 or more leaves it undecided, and with it every pixel that depends on it.

    Parameters
    ----------
    values : (ny, nx) float32
        NaN is not a maximum and does not exceed any value.
    open_sides : 4 bool
        As for `classify`.
    """
    found = np.zeros(values.shape, np.bool_)
    _mark_maxima(np.require(values, np.float32, PLAIN), np.array(open_sides, np.bool_), found)
    return found


@compiled
def _mark_maxima(values: Float32, open_sides: Bool, found: Bool) -> None:
    height, width = values.shape
    for y in range(height):
        for x in range(width):
            value = values[y, x]
            if (
                (y == 0 and open_sides[0])
                or (x == 0 and open_sides[1])
                or (y == height - 1 and open_sides[2])
                or (x == width - 1 and open_sides[3])
            ):
                found[y, x] = True
                continue
            highest = value == value  # noqa: PLR0124  (not NaN)
            for j in range(max(0, y - 1), min(height, y + 2)):
                for i in range(max(0, x - 1), min(width, x + 2)):
                    before = j < y or (j == y and i < x)
                    other = values[j, i]
                    if other > value or (before and other == value):
                        highest = False
            found[y, x] = highest


def settle(y: ArrayLike, x: ArrayLike, value: ArrayLike, decided: ArrayLike, radius: float) -> Bool:
    """Decide the remaining pixels: greedy blanking among the undecided, with the decided peaks in place.

    Parameters
    ----------
    y, x : (n,) int
        Pixels of the whole field, each once, in any order: the rows of `classify` of all its tiles.
    value : (n,) float32
        Pixel values.
    decided : (n,) bool
        Which of them are certain peaks.
    radius : float
        As for `classify`.

    Returns
    -------
    (n,) bool
        Which rows are peaks.

    Raises
    ------
    ValueError
        If a pixel occurs twice, or the arrays are not 1-D and of equal length.
    """
    rows, columns = np.asarray(y, np.int64), np.asarray(x, np.int64)
    values, certain = np.asarray(value, np.float32), np.asarray(decided, np.bool_)
    if rows.ndim != 1 or not rows.shape == columns.shape == values.shape == certain.shape:
        raise ValueError("y, x, value and decided must be 1-D arrays of equal length")
    if not len(rows):
        return np.zeros(0, np.bool_)
    # A flat position sorts and compares as one integer. The field may be far from the origin: subtracting the
    # minimum keeps the product small.
    rows, columns = rows - rows.min(), columns - columns.min()
    position = rows * (columns.max() + 1) + columns
    raster = np.argsort(position)
    if (np.diff(position[raster]) == 0).any():
        raise ValueError("a pixel occurs twice among the candidates")
    rows, columns, certain = rows[raster], columns[raster], certain[raster]
    doubtful = np.flatnonzero(~certain)
    # Certain peaks blank first, in any order: none of them can be suppressed, and no undecided pixel changes that.
    turn = np.concatenate([np.flatnonzero(certain), doubtful[_brightest_first(values[raster][doubtful])]])
    # An index by row replaces the image that `_judge` has: the whole field would not fit in memory.
    starts = np.searchsorted(rows, np.arange(rows[-1] + 2))
    state = np.where(certain, _SELECTED, 0).astype(np.uint8)
    _blank(turn, rows, columns, starts, reach_of(radius), state)
    peaks = np.empty(len(rows), np.bool_)
    peaks[raster] = state == _SELECTED
    return peaks


def _brightest_first(values: Float32) -> Int64:
    """Return the indices that sort values in descending order; equal values keep their order, by y, then x."""
    # Sort distinct integers instead of floats: several times faster than a stable sort of floats.
    # Negated, because the sort is ascending; the row number in the low half breaks ties by position and makes
    # all keys distinct, so that an unstable sort has only one result.
    keys = ordered_keys(-values).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def reach_of(radius: float) -> Int64:
    """Return, for every distance in y from 0, the distance in x up to which a peak blanks."""
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"the exclusion radius must be finite and not negative, got {radius!r}")
    square = math.floor(radius * radius)
    return np.array([math.isqrt(square - dy * dy) for dy in range(math.isqrt(square) + 1)], np.int64)


@compiled
def _candidates(values: Float32, allowed: Bool, threshold: np.float32) -> Int64:
    """Return the flat indices of the allowed pixels at or above the threshold, in ascending order."""
    pixels, good = values.ravel(), allowed.ravel()
    # Counting first and filling then costs a second pass over the pixels but no reallocation, and allocates
    # exactly what is needed: a tile with a bright galaxy can have a thousand times as many candidates as
    # another.
    count = 0
    for i in range(len(pixels)):
        count += 1 if good[i] and pixels[i] >= threshold else 0
    found = np.empty(count, np.int64)
    count = 0
    for i in range(len(pixels)):
        if good[i] and pixels[i] >= threshold:
            found[count] = i
            count += 1
    return found


@compiled
def _judge(ordered: Int64, reach: Int64, open_sides: Bool, state: UInt8) -> None:
    """Determine the state of each candidate, brightest first."""
    height, width = state.shape
    far = len(reach) - 1
    # Where the window ends with the field nothing lies beyond, and a pixel at the very edge can be decided.
    low_y = far if open_sides[0] else 0
    low_x = far if open_sides[1] else 0
    high_y = height - far if open_sides[2] else height
    high_x = width - far if open_sides[3] else width
    for index in ordered:
        y, x = index // width, index % width
        before = state[y, x]
        if before & _SUPPRESSED:
            continue
        # A pixel that is not suppressed by what the window shows is certain only if nothing unseen could suppress it:
        # no brighter undecided pixel within reach, and no unseen pixel either, which might be brighter.
        certain = not before & _DOUBTFUL and low_y <= y < high_y and low_x <= x < high_x
        # What a certain peak blanks is decided for good. What an undecided one might blank becomes doubtful, whatever
        # its own rank: doubt only ever spreads to fainter pixels, since brighter ones had their turn.
        mark = _SUPPRESSED if certain else _DOUBTFUL
        for j in range(max(0, y - far), min(height, y + far + 1)):
            across = reach[abs(j - y)]
            for i in range(max(0, x - across), min(width, x + across + 1)):
                state[j, i] |= mark
        state[y, x] = _SELECTED if certain else _UNDECIDED


@compiled
def _blank(turn: Int64, rows: Int64, columns: Int64, starts: Int64, reach: Int64, state: UInt8) -> None:
    """Select every candidate not yet suppressed, in the order of `turn`, and suppress those within reach of it.

    Candidates selected from the beginning remain selected. Candidates are sorted by row and column; those of row r
    are `starts[r]` to `starts[r + 1]`.
    """
    far = len(reach) - 1
    last = len(starts) - 2
    for index in turn:
        if state[index] == _SUPPRESSED:
            continue
        state[index] = _SELECTED
        y, x = rows[index], columns[index]
        for j in range(max(0, y - far), min(last, y + far) + 1):
            across = reach[abs(j - y)]
            first, end = starts[j], starts[j + 1]
            stop = end
            # Binary search within the row: crowded rows of a large field hold thousands of candidates, of
            # which a few are in reach.
            while first < stop:
                middle = (first + stop) // 2
                if columns[middle] < x - across:
                    first = middle + 1
                else:
                    stop = middle
            while first < end and columns[first] <= x + across:
                # The peak itself lies within its own reach; certain peaks are never taken back either.
                if state[first] != _SELECTED:
                    state[first] = _SUPPRESSED
                first += 1
