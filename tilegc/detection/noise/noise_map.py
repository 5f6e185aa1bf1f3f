"""The local noise of a field's detection map, and the peaks that noise alone makes in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tilegc.filter.detection_map import EXPECTED
from tilegc.kernels.lattice import bilinear, bilinear_at

if TYPE_CHECKING:
    from tilegc.detection.noise.balance import Balance
    from tilegc.geometry import Box
    from tilegc.io.window import Window

__all__ = ["QUANTILES", "LocalNoise", "NoiseMap", "NullCounts", "Steps", "weighted_quantile"]

QUANTILES: Final = tuple((k + 0.5) / 16 for k in range(16))
"""Quantiles of the expected noise that each cell records, from which a field's median and limits are taken."""


@dataclass(frozen=True)
class Steps:
    """A factor that depends on the zone of noise alone: the limit of each zone over that of the usual one."""

    bounds: tuple[float, float]
    """Noise, nJy per pixel, at which the usual and the shallow zone begin."""
    factors: tuple[float, float, float]
    """Deep, usual, shallow."""

    def of(self, noise: np.ndarray) -> np.ndarray:
        """Return the factor at pixels with this noise (nJy per pixel), float64."""
        factor: np.ndarray = np.array(self.factors)[np.searchsorted(self.bounds, noise, side="right")]
        return factor


@dataclass(frozen=True)
class NoiseMap:
    """Local noise at every pixel of a field.

    Where the bands are filtered with their PSFs, the noise is the one expected from ERR or WHT (`expected_noise` in
    the store) times a factor that varies slowly; otherwise the lattice itself is the noise.
    """

    lattice: np.ndarray
    """Noise, nJy per pixel, or its ratio to the expected noise, float64 (cell_y, cell_x), at the cells' centres."""
    expected: bool = False
    """Whether the lattice is a ratio to the expected noise."""
    steps: Steps | None = None
    """Factors on the noise: where limits differ by zone, one number times the product is the limit everywhere."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Arrays of the store that `on` needs."""
        return (EXPECTED,) if self.expected else ()

    def on(self, window: Window, box: Box) -> np.ndarray:
        """Return the noise on the pixels of a window, float32 (y, x), nJy per pixel.

        Parameters
        ----------
        window : Dataset
            Holds `reads`.
        box : Box
            The window's pixels in the field.
        """
        # The lattice is smooth by construction. What varies from pixel to pixel is in the expected noise.
        values = bilinear(self.lattice, box)
        if self.expected:
            values *= window[EXPECTED].values
        if self.steps is not None:
            values *= self.steps.of(values).astype(np.float32)
        return values

    @property
    def known(self) -> bool:
        """Whether the field has a noise at all."""
        return bool(np.isfinite(self.lattice).all())


@dataclass(frozen=True)
class NullCounts:
    """Peaks of the null maps of one field, by cell and class.

    Pixels fall into classes by their noise: deep, usual and shallow where `limits` is given; otherwise there is one
    class, and each cell belongs to a zone as a whole.
    """

    good: np.ndarray
    """Good pixels, int64 (cell_y, cell_x, class)."""
    away: np.ndarray
    """Pixels in which null peaks were counted, int64 (cell_y, cell_x, class)."""
    peaks: np.ndarray
    """Peaks of all null maps, int64 (cell_y, cell_x, class, slice)."""
    draws: int
    """How many maps were counted; 0: none."""
    floor: float
    """Signal-to-noise from which the counts mean anything."""
    limits: tuple[float, float] | None = None
    """Noise, nJy per pixel, at which the usual and the shallow class begin, of `guess`."""
    guess: np.ndarray | None = None
    """Lattice of the noise that the classes were told by."""
    points: np.ndarray | None = None
    """Those of the peaks that have the shape of a point; None: shapes do not decide, and all of them count."""


@dataclass(frozen=True)
class LocalNoise:
    """Noise of one field's detection map."""

    map: NoiseMap
    values: np.ndarray
    """Typical noise of each cell, nJy per pixel, float64 (cell_y, cell_x), without gaps; NaN where nothing is good."""
    quantiles: np.ndarray
    """Noise of the cell's good pixels at equal steps of area, nJy per pixel, float64 (cell_y, cell_x, step)."""
    common: float
    """Noise of the detection map over that of a null map: above 1 where bands have a pattern in common."""
    over_error: float
    """Noise over what ERR (else WHT) promises for uncorrelated pixels, median of some cells; NaN without them."""
    balance: Balance
    counts: NullCounts
    bins: np.ndarray
    """Good pixels in bins of `periodicity.BIN` pixels, uint8."""
    kinds: tuple[str, ...] = ()
    """By band, what the noise of its pixels follows: err, wht or flat; empty where none is expected."""

    @property
    def good(self) -> np.ndarray:
        """Good pixels of each cell, int64 (cell_y, cell_x)."""
        total: np.ndarray = self.counts.good.sum(axis=-1)
        return total

    @property
    def median(self) -> float:
        """Median noise of the good pixels, nJy per pixel; NaN where nothing is good."""
        return self.quantile(0.5)

    def quantile(self, share: float, factors: Steps | None = None) -> float:
        """Return the noise, or its product with factors, below which a share of the good area lies, nJy per pixel."""
        good = self.good
        has = good > 0
        steps = self.quantiles[has]
        if factors is not None:
            steps = steps * factors.of(steps)
        weights = np.repeat(good[has], steps.shape[-1]) if steps.size else np.zeros(0, np.int64)
        return weighted_quantile(steps.ravel(), weights, share)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the noise at pixels, float32 (n,), where the lattice is all there is to it."""
        if self.map.expected:
            raise ValueError("the noise of this field is known pixel by pixel: read it from a window")
        return bilinear_at(self.map.lattice, y, x)

    def class_of(self, y: np.ndarray, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the class of pixels with this noise (nJy per pixel), int64 (n,)."""
        counts = self.counts
        if counts.limits is None or counts.guess is None:
            return np.zeros(np.shape(y), np.int64)
        # Classes were told by the first estimate of the noise; pixels are judged by the same one, or counts and
        # sources would be sorted into different classes.
        ratio = bilinear_at(counts.guess, y, x) / bilinear_at(self.map.lattice, y, x)
        found: np.ndarray = np.searchsorted(counts.limits, noise * ratio, side="right")
        return found


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float = 0.5) -> float:
    """Return the value at which a share of the weight is reached; NaN of nothing."""
    if not values.size:
        return np.nan
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weights[order])
    # A value that occurs, never one between two, so that no rounding of an interpolation enters.
    return float(values[order][np.searchsorted(ends, share * ends[-1])])
