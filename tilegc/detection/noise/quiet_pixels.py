"""A first estimate of the local noise, from pixels far from any peak, and the isolated sources of a field."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy

from tilegc.detection.noise.noise_map import QUANTILES
from tilegc.detection.noise.null_maps import (
    CLOSED,
    MASK_GROWTH,
    QUIET,
    QUIET_GROWTH,
    SOURCE,
    mad_sigma,
    spread,
    thinned,
    within_cells,
)
from tilegc.detection.periodicity import BIN
from tilegc.engine import Pass
from tilegc.filter.detection_map import EXPECTED
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.kernels.masks import grow
from tilegc.kernels.peaks import classify
from tilegc.phases.partials import Table

__all__ = ["QUIET_PASS", "Bins", "Partial", "quiet_pass"]

BRIGHTEST: Final = 80.0
"""Signal-to-noise up to which isolated sources tell the balance: brighter ones are stars and galaxies."""

ISOLATION: Final = 8.0
"""Pixels to the next peak above 4 sigma of an isolated source."""

REACH: Final = 3.0
"""Pixels between peaks that are told apart for this."""

HALO: Final = 16
"""Pixels that the pass sees around a block."""

Bins = dict[tuple[int, int, int], np.ndarray]
"""Good pixels in bins, by field and first row and column of the block."""

Partial = tuple[Table, Table, Bins]


def quiet_rule(window: Window, tile: Tile, params: int) -> tuple[dict[str, np.ndarray], Partial]:
    """Estimate the noise of every cell from its quiet pixels, list isolated sources, count good pixels in bins.

    The tile is a block of lattice cells. Where the window holds the expected noise, everything is measured on the
    detection map divided by it.
    """
    mask, detection = window["mask"].values, window["detection"].values
    good = (mask == 0) & np.isfinite(detection)
    expected = window[EXPECTED].values if EXPECTED in window else None
    if expected is not None:
        good &= expected > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            detection = np.where(expected > 0, detection / expected, np.float32(np.nan))
    places = within_cells(tile.core, tile.window)
    sigma = np.full(len(places), np.nan)
    apart = good & ~grow(mask != 0, MASK_GROWTH)
    chosen, ratio = apart, detection
    # Peaks cannot be told without a noise, nor noise without leaving out the peaks: three rounds are enough.
    for last in (False, False, True):
        for number, (_, _, place) in enumerate(places):
            some = place if last else thinned(place)
            # The first two rounds only find out which pixels are quiet: a quarter of them is enough for that.
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
        # Counting itself, an isolated source has exactly one peak within the radius.
        near = scipy.spatial.cKDTree(at).query_ball_point(at[candidates], ISOLATION, return_length=True)
        isolated = candidates[near == 1]
    cells = {
        "field": np.full(len(places), params),
        "row": np.array([row for row, _, _ in places]),
        "column": np.array([column for _, column, _ in places]),
        "good": np.array([good[place].sum() for _, _, place in places]),
        "bright": bright,
        "sigma": sigma,
        "expected": np.stack([_quantiles(expected, good, place) for _, _, place in places]),
    }
    sources = {
        "field": np.full(isolated.size, params),
        "y": y[isolated] + tile.window.y0,
        "x": x[isolated] + tile.window.x0,
    }
    core = tile.core_in_window
    return {}, (cells, sources, {(params, tile.core.y0, tile.core.x0): _binned(good[core])})


def _quantiles(expected: np.ndarray | None, good: np.ndarray, place: tuple[slice, slice]) -> np.ndarray:
    """Return the expected noise at equal steps of a cell's good area; 1 where none is expected, NaN where no pixel."""
    if expected is None:
        return np.ones(1)
    values = np.sort(expected[place][good[place]])
    if not values.size:
        return np.full(len(QUANTILES), np.nan)
    return values[(np.array(QUANTILES) * values.size).astype(np.int64)].astype(np.float64)


def _binned(good: np.ndarray) -> np.ndarray:
    """Return how many pixels are good in each bin of `BIN` x `BIN`, uint8; the last bins may be cut."""
    # At most 4 per row and bin, 16 in all: uint8 cannot overflow.
    rows = np.add.reduceat(good.astype(np.uint8), np.arange(0, good.shape[0], BIN), axis=0)
    return np.add.reduceat(rows, np.arange(0, good.shape[1], BIN), axis=1)


QUIET_PASS: Final = Pass(
    "quiet pixels", ("detection", "mask"), HALO, (), quiet_rule, bytes_per_pixel=48.0, whole_cells=True
)


def quiet_pass(*, expected: bool) -> Pass:
    """Return the pass over blocks of lattice cells; `expected`: the fields have a noise expected from ERR or WHT."""
    if not expected:
        return QUIET_PASS
    reads = (*QUIET_PASS.reads, EXPECTED)
    return Pass(QUIET_PASS.name, reads, HALO, (), quiet_rule, bytes_per_pixel=56.0, whole_cells=True)
