"""The effective PSF between the pixels: what the median of centred stars lacks.

On pixels of 30 mas the PSF of F090W has structure finer than the pixels can hold. A stamp of a star that is moved to
the middle of its pixel by interpolation has lost that structure, and so has the median of all stars: its core is too
low by up to a tenth, and all fluxes come out too large by several per cent. But the stars lie at different places in
their pixels, and together they sample the PSF finely (Anderson & King 2000, PASP 112, 1360). The difference between
the effective PSF and the spline through the median is a spline on nodes half a pixel apart; it is fitted to the pixels
of all stars as they are, in turns with the stars' fluxes, positions and backgrounds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.kernels.psf import NativePsf, centroid

__all__ = ["SAMPLES", "correction"]

Floats = NDArray[np.float64]

NODES: Final = 2
"""Nodes per pixel."""

CORE: Final = 5
"""Pixels about the middle, along y or x, in which the PSF is corrected; the wings have no fine structure."""

SAMPLES: Final = 4
"""Samples per pixel of the result: those of the splines that photometry uses."""

ROUNDS: Final = 4
"""Turns of fitting stars and PSF."""

PRIOR: Final = 0.02
"""Typical size of a coefficient, share of the light per pixel: few stars leave the median as it is."""

VARIED: Final = 0.003
"""Standard deviation of a star's pixels because the PSF changes over the field, share of the light per pixel."""

SIGMAS: Final = 4.0
"""Standard deviations beyond which a pixel is a neighbour's."""

UNUSUAL: Final = 0.15
"""Share of the PSF at a pixel by which it may be off besides."""

QUANTUM: Final = 2.0**-36
"""The result is rounded to multiples of this: libraries differ in the last bits."""


def correction(stamps: Floats, median: Floats) -> NativePsf:
    """Return what is to be added to the cubic spline through a median of stars.

    Parameters
    ----------
    stamps : (n, m, m) float64
        Stars as they are, each with its brightest pixel in the middle, less their backgrounds; finite.
    median : (k, k) float64
        Share of the light per pixel, centred on the middle pixel.

    Returns
    -------
    NativePsf
        `SAMPLES` samples per pixel, share of the light per sample; 0 beyond `CORE` pixels. Its sum is 0 but for
        rounding, and it has no first moment: total and place are those of the median.
    """
    half, reach = stamps.shape[-1] // 2, CORE + 1
    data = stamps[:, half - reach : half + reach + 1, half - reach : half + reach + 1]
    noise = np.median(np.abs(stamps - np.median(stamps, axis=(1, 2), keepdims=True)), axis=(1, 2)) * 1.4826
    spline = scipy.ndimage.spline_filter(median, order=3, mode="mirror")
    wide = np.zeros((NODES * 2 * CORE + 1,) * 2)
    total = stamps[:, half - 4 : half + 5, half - 4 : half + 5].sum(axis=(1, 2))
    total /= median[_about(median, 4)].sum()
    place = np.array([centroid(one, 2.5) for one in data]) - reach
    sky = np.zeros(total.size)
    for _ in range(ROUNDS):
        matrix, right = np.zeros((wide.size,) * 2), np.zeros(wide.size)
        for _ in range(2):
            _fit_stars(data, spline, wide, total, place, sky)
        _equations(data, spline, wide, total, place, sky, noise / np.abs(total), matrix, right)
        wide = wide + _solved(matrix, right, wide)
        wide = _centred(wide, spline)
    offset = np.arange(-SAMPLES * CORE, SAMPLES * CORE + 1) / SAMPLES
    image, one, other = np.zeros((3, offset.size, offset.size))
    _add_terms(wide, CORE, NODES, offset, offset, image, one, other)
    image /= SAMPLES**2
    image = np.round(image / QUANTUM) * QUANTUM + 0.0
    return NativePsf(image, (SAMPLES * CORE, SAMPLES * CORE), float(SAMPLES), optical=False)


def _about(image: Floats, reach: int) -> tuple[slice, slice]:
    """Return the middle of an image as slices."""
    part = slice(image.shape[0] // 2 - reach, image.shape[0] // 2 + reach + 1)
    return part, part


@compiled
def _splines(offset: float, reach: int, nodes: int, value: Floats, slope: Floats) -> int:
    """Set the four cubic B-splines that are not zero at an offset, pixels, and their slopes; return the first node."""
    t = nodes * (offset + reach)
    first = int(np.floor(t)) - 1
    for k in range(4):
        d = t - (first + k)
        a, sign = abs(d), 1.0 if d > 0 else -1.0
        if a < 1:
            value[k] = 2.0 / 3.0 - a * a * (1.0 - a / 2.0)
            slope[k] = nodes * sign * a * (1.5 * a - 2.0)
        else:
            value[k] = (2.0 - a) ** 3 / 6.0
            slope[k] = -nodes * sign * (2.0 - a) ** 2 / 2.0
    return first


@compiled
def _add_terms(
    table: Floats, reach: int, nodes: int, y: Floats, x: Floats, psf: Floats, along_y: Floats, along_x: Floats
) -> None:
    """Add a spline and its slopes at all pairs of offsets, pixels."""
    size = table.shape[0]
    down, down_slope, first_row = np.empty((y.size, 4)), np.empty((y.size, 4)), np.empty(y.size, np.int64)
    across, slope, first = np.empty((x.size, 4)), np.empty((x.size, 4)), np.empty(x.size, np.int64)
    for j in range(y.size):
        first_row[j] = _splines(y[j], reach, nodes, down[j], down_slope[j])
    for i in range(x.size):
        first[i] = _splines(x[i], reach, nodes, across[i], slope[i])
    for j in range(y.size):
        for i in range(x.size):
            for a in range(4):
                row = first_row[j] + a
                if row < 0 or row >= size:
                    continue
                plain, sloped = 0.0, 0.0
                for b in range(4):
                    column = first[i] + b
                    if 0 <= column < size:
                        plain += across[i, b] * table[row, column]
                        sloped += slope[i, b] * table[row, column]
                psf[j, i] += down[j, a] * plain
                along_y[j, i] += down_slope[j, a] * plain
                along_x[j, i] += down[j, a] * sloped


@compiled
def _terms(
    spline: Floats, wide: Floats, y: Floats, x: Floats, psf: Floats, along_y: Floats, along_x: Floats
) -> None:
    """Set the PSF at all pairs of offsets from its centre, and its slopes along y and x, per pixel."""
    psf[:], along_y[:], along_x[:] = 0.0, 0.0, 0.0
    _add_terms(spline, spline.shape[0] // 2, 1, y, x, psf, along_y, along_x)
    _add_terms(wide, CORE, NODES, y, x, psf, along_y, along_x)


@compiled
def _fit_stars(data: Floats, spline: Floats, wide: Floats, total: Floats, place: Floats, sky: Floats) -> None:
    """Improve fluxes, positions and backgrounds of all stars in place: one step of least squares each."""
    side = data.shape[-1]
    offset = np.arange(side) - (side // 2)
    psf, down, across = np.empty((side, side)), np.empty((side, side)), np.empty((side, side))
    matrix, right, term = np.empty((4, 4)), np.empty(4), np.empty(4)
    for n in range(total.size):
        _terms(spline, wide, offset - place[n, 0], offset - place[n, 1], psf, down, across)
        matrix[:], right[:] = 0.0, 0.0
        for j in range(side):
            for i in range(side):
                # The core tells; far pixels may be a neighbour's.
                weight = 1.0 / (0.05 + max(psf[j, i], 0.0))
                term[0], term[1], term[2] = psf[j, i], -total[n] * down[j, i], -total[n] * across[j, i]
                term[3] = 1.0
                left = data[n, j, i] - total[n] * psf[j, i] - sky[n]
                for a in range(4):
                    right[a] += weight * term[a] * left
                    for b in range(4):
                        matrix[a, b] += weight * term[a] * term[b]
        for a in range(4):
            matrix[a, a] += 1e-12 * matrix[a, a] + 1e-300
        for a in range(4):  # elimination
            for b in range(a + 1, 4):
                factor = matrix[b, a] / matrix[a, a]
                right[b] -= factor * right[a]
                for c in range(a, 4):
                    matrix[b, c] -= factor * matrix[a, c]
        for a in range(3, -1, -1):
            for b in range(a + 1, 4):
                right[a] -= matrix[a, b] * right[b]
            right[a] /= matrix[a, a]
        total[n] += right[0]
        place[n, 0] += min(max(right[1], -0.3), 0.3)
        place[n, 1] += min(max(right[2], -0.3), 0.3)
        sky[n] += right[3]


@compiled
def _equations(
    data: Floats,
    spline: Floats,
    wide: Floats,
    total: Floats,
    place: Floats,
    sky: Floats,
    noise: Floats,
    matrix: Floats,
    right: Floats,
) -> None:
    """Add all stars to the equations of the change of the fitted part, of which the lower half is used."""
    side, nodes = data.shape[-1], wide.shape[0]
    offset = np.arange(side) - (side // 2)
    psf, one, other = np.empty((side, side)), np.empty((side, side)), np.empty((side, side))
    down, across, unused = np.empty((side, 4)), np.empty((side, 4)), np.empty(4)
    top, first = np.empty(side, np.int64), np.empty(side, np.int64)
    for n in range(total.size):
        if not total[n] > 0:
            continue
        _terms(spline, wide, offset - place[n, 0], offset - place[n, 1], psf, one, other)
        for j in range(side):
            top[j] = _splines(offset[j] - place[n, 0], CORE, NODES, down[j], unused)
            first[j] = _splines(offset[j] - place[n, 1], CORE, NODES, across[j], unused)
        variance = noise[n] * noise[n] + VARIED * VARIED
        for j in range(side):
            for i in range(side):
                left = (data[n, j, i] - sky[n]) / total[n] - psf[j, i]
                if not abs(left) < SIGMAS * np.sqrt(variance) + UNUSUAL * max(psf[j, i], 0.0):
                    continue
                # A pixel meets four splines along an axis: sums over these alone are a thousandth of those over all.
                for a in range(16):
                    y, x = top[j] + a // 4, first[i] + a % 4
                    if y < 0 or y >= nodes or x < 0 or x >= nodes:
                        continue
                    value = down[j, a // 4] * across[i, a % 4] / variance
                    right[y * nodes + x] += value * left
                    for b in range(16):
                        v, u = top[j] + b // 4, first[i] + b % 4
                        if 0 <= v < nodes and 0 <= u < nodes:
                            matrix[y * nodes + x, v * nodes + u] += value * down[j, b // 4] * across[i, b % 4]


def _solved(matrix: Floats, right: Floats, wide: Floats) -> Floats:
    """Return the change of the fitted part, whose coefficients are drawn to zero."""
    right = right - wide.ravel() / PRIOR**2
    matrix = matrix + np.eye(wide.size) / PRIOR**2
    change: Floats = scipy.linalg.cho_solve(scipy.linalg.cho_factor(matrix, lower=True), right).reshape(
        wide.shape
    )
    return change


def _centred(wide: Floats, spline: Floats) -> Floats:
    """Return the fitted part without flux and without a shift, which are the stars' own to choose."""
    nodes = np.arange(-NODES * CORE, NODES * CORE + 1) / NODES
    # Three fields that change flux and place alone, and the three numbers that they change.
    fields = np.zeros((3, *wide.shape))
    _terms(spline, np.zeros_like(wide), nodes, nodes, *fields)
    y, x = np.meshgrid(nodes, nodes, indexing="ij")
    sums = np.stack([np.ones_like(y), y, x])
    matrix = np.einsum("aij,bij->ab", sums, fields)
    amount = np.linalg.solve(matrix, np.einsum("aij,ij->a", sums, wide))
    centred: Floats = wide - np.einsum("a,aij->ij", amount, fields)
    return centred
