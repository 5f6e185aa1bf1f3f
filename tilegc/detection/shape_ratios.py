"""Is a peak a point, or a piece of something larger? Three numbers from the pixels round it.

Radius: `REACH` pixels. All are ratios of linear sums over the summed bands, less the mean of these pixels; they are
1 (sharpness, concentration) or 0 (roundness) for an isolated point, whatever its flux:

- *sharpness*: height of the pixel over the mean of its eight neighbours, as a point's of this flux would have it;
- *concentration*: 1 less the share of a component twice as wide as the PSF: 0 for a source of that width;
- *roundness*: light along the best of eight lines through the peak, on that side of it which has less: 1 for a piece
  of an even line (a spike, an arc), next to 0 for a point, also for one with a neighbour.

Tables come from the driver; on pixels there is only + - * /, in float64, in one fixed order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.kernels.psf import Psf, resampled
from tilegc.kernels.smoothing import FWHM_PER_SIGMA

__all__ = ["REACH", "ShapeTables", "measure", "shape_tables", "shapes_at"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

REACH: Final = 5
"""Pixels round a peak that are looked at: with more, neighbours in a crowded core spoil the numbers of points."""

DIRECTIONS: Final = 8
"""Lines through a peak, spread over half a turn."""

PHASES: Final = 5
"""Places along a pixel's side over which the PSF is averaged: a peak's centre may lie anywhere in it."""


@dataclass(frozen=True)
class ShapeTables:
    """Weights of the sums over the pixels round a peak, all of zero sum over the disc and zero beyond it."""

    flux: Floats
    """1 for a point of unit flux, (n, n)."""
    wide: Floats
    """0 for a point, 1 for a source twice as wide as the PSF, of unit flux."""
    ratio: float
    """What `flux` makes of such a source."""
    height: float
    """Of a point of unit flux over its eight neighbours."""
    strips: Floats
    """Mean over a strip on one side of the peak less that over the ring: (directions, 2, n, n)."""
    line: float
    """`flux` of a straight line over the light that a strip finds on it."""
    line_noise: float
    """Standard deviation of roundness, of one strip, times the signal-to-noise of `flux`, in white noise."""


def shape_tables(psf: Psf) -> ShapeTables:
    """Return the tables for points of this PSF."""
    offset = np.arange(-REACH, REACH + 1)
    y, x = np.meshgrid(offset, offset, indexing="ij")
    distance = np.hypot(y, x)
    disc = distance <= REACH - 0.5
    phases = (np.arange(PHASES) - (PHASES - 1) / 2) / PHASES
    point = np.mean(
        [
            resampled(psf.image, (psf.radius + dy, psf.radius + dx), 1.0, REACH)
            for dy in phases
            for dx in phases
        ],
        axis=0,
    )
    sigma = 2 * (psf.fwhm if psf.fwhm > 0 else 2.0) / FWHM_PER_SIGMA
    broad = np.exp(-0.5 * (distance / sigma) ** 2)
    broad /= broad.sum()
    inside = [np.where(disc, image, 0.0) for image in (point, broad, np.ones_like(point))]
    # Weights that see a point and are blind to a constant: the unknown level of the sky drops out exactly.
    # `wide` is blind to a point as well, so that a bright point does not look extended by its flux alone.
    flux = _dual(inside[0], [inside[2]])
    wide = _dual(inside[1], [inside[0], inside[2]])
    strips, ring = np.zeros((DIRECTIONS, 2, *point.shape)), disc & (distance > 2.5)
    for number in range(DIRECTIONS):
        angle = math.pi * number / DIRECTIONS
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        for side, sign in enumerate((1, -1)):
            strip = ring & (sign * along > 0) & (np.abs(across) <= 1.3)
            strips[number, side] = strip / strip.sum() - ring / ring.sum()
    # a line of the PSF's width along x, of unit light per pixel of its length
    profile = point.sum(axis=1)
    even = np.where(disc, np.repeat((profile / profile.sum())[:, None], offset.size, axis=1), 0.0)
    line = float((flux * even).sum() / (strips[0, 0] * even).sum())
    eight = (np.abs(y) <= 1) & (np.abs(x) <= 1) & (distance > 0)
    height = float(point[REACH, REACH] - point[eight].mean())
    ratio = float((flux * broad).sum())
    size = math.sqrt(float((flux**2).sum()))
    return ShapeTables(
        flux,
        wide,
        ratio,
        height,
        strips,
        line,
        line * math.sqrt(float((strips[0, 0] ** 2).sum())) / size,
    )


def _dual(wanted: Floats, others: list[Floats]) -> Floats:
    """Return weights that give 1 on one image and 0 on others: the component of it that they lack, scaled."""
    basis: list[Floats] = []
    for image in [*others[::-1], wanted]:
        rest = image.copy()
        # Gram-Schmidt twice: images of similar width are nearly parallel, and one round leaves a residue of
        # rounding.
        for _ in range(2):
            for one in basis:
                rest -= (rest * one).sum() / (one * one).sum() * one
        basis.append(rest)
    dual: Floats = basis[-1] / (basis[-1] * wanted).sum()
    return dual


def measure(light: Float32, y: Int64, x: Int64, tables: ShapeTables) -> tuple[Float32, Float32, Float32]:
    """Return sharpness, roundness and concentration of peaks.

    Parameters
    ----------
    light : (ny, nx) float32
        Summed bands of a window that holds `REACH` pixels round every peak, or ends there because the field does;
        NaN: no data, which counts as the mean of the others.
    y, x : (n,) int64
        Peaks, pixels of the window.
    tables : ShapeTables

    Returns
    -------
    three (n,) float32
        NaN where the sum that stands for the flux is not above 0.
    """
    found = np.empty((3, y.size), np.float32)
    shapes_at(
        np.require(light, np.float32, PLAIN),
        np.asarray(y, np.int64),
        np.asarray(x, np.int64),
        tables.flux,
        tables.wide,
        tables.ratio,
        tables.height,
        tables.strips,
        tables.line,
        found,
    )
    return found[0], found[1], found[2]


@compiled
def shapes_at(
    light: Float32,
    rows: Int64,
    columns: Int64,
    flux: Floats,
    wide: Floats,
    ratio: float,
    height: float,
    strips: Floats,
    line: float,
    found: Float32,
) -> None:
    """Do the work of `measure` in compiled code; `found`, (3, n) float32, is changed in place."""
    ny, nx = light.shape
    side = flux.shape[0]
    reach = side // 2
    pixels = np.empty((side, side))
    for n in range(len(rows)):
        y, x = rows[n], columns[n]
        total, count = 0.0, 0
        for j in range(side):
            for i in range(side):
                q, p = y + j - reach, x + i - reach
                # Beyond the image, and where there are no data, a pixel takes the mean of the others and so
                # contributes nothing.
                value = np.nan
                if 0 <= q < ny and 0 <= p < nx:
                    value = float(light[q, p])
                pixels[j, i] = value
                if value == value:  # noqa: PLR0124  (not NaN)
                    total += value
                    count += 1
        mean = total / count if count else 0.0
        bright, broad = 0.0, 0.0
        for j in range(side):
            for i in range(side):
                value = pixels[j, i] - mean
                if value != value:  # noqa: PLR0124
                    value = 0.0
                pixels[j, i] = value
                bright += flux[j, i] * value
                broad += wide[j, i] * value
        if not bright > 0:
            found[:, n] = np.nan
            continue
        around = 0.0
        for j in range(reach - 1, reach + 2):
            for i in range(reach - 1, reach + 2):
                around += pixels[j, i]
        centre = pixels[reach, reach]
        around = (around - centre) / 8
        best = -np.inf
        for d in range(strips.shape[0]):
            least = np.inf
            for s in range(2):
                sum_ = 0.0
                for j in range(side):
                    for i in range(side):
                        sum_ += strips[d, s, j, i] * pixels[j, i]
                # A neighbour brightens one side of a line only; a spike or an arc brightens both.
                least = min(least, sum_)
            best = max(best, least)
        found[0, n] = (centre - around) / (bright * height)
        found[1, n] = line * best / bright
        found[2, n] = 1 - ratio * broad / bright
