"""Counts into a local density with its error: wide normalised Gaussians at every pixel (algorithm.md, section 7).

density = (G_s * N) / (area of a pixel x G_s * good), G_s a Gaussian of sigma s, doubled up to three times where
G_s * good < 0.2. A Gaussian of many pixels is smooth, so it is convolved on a lattice with a node at every s / 8 to
s / 4 pixels, and at least every 32nd, to and from which cubic B-splines lead (`tilegc.density.splines`); below 8
pixels the lattice is that of the pixels. The lattice belongs to absolute pixels and every sum has one order: the same
bits in any window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.density.splines import interpolate, norm, spread, spread_image, touched
from tilegc.geometry import Box
from tilegc.kernels.compiled import compiled

__all__ = [
    "LEAST_COVERAGE",
    "SCALES",
    "Estimate",
    "Read",
    "Sources",
    "Width",
    "density_window",
    "local_density",
    "one_width",
    "widths",
]

Float64 = NDArray[np.float64]
Read = Callable[[int, Box], Float64]
"""`read(number of the width, nodes) -> what lies on these nodes`, 0 outside of the field."""


@dataclass(frozen=True)
class Sources:
    """What lies on the lattices of a field."""

    good: Read
    """Of the good pixels."""
    counts: Read
    """Of the sources' weights."""
    squares: Read
    """Of the squares of these."""


SCALES: Final = (1, 2, 4, 8)
"""Factors of sigma that are tried in turn (2, 4, 8, 16 arcsec)."""

LEAST_COVERAGE: Final = 0.2
"""Below this smoothed good fraction a pixel takes the next scale."""

NO_COVERAGE: Final = 1e-8
"""Smoothed good fraction, at the largest scale, that is none: 5.7 sigma and more from any good pixel."""

TAIL: Final = 6.5
"""Sigmas at which a Gaussian is cut off."""

COARSEST: Final = 32
"""Largest step, pixels."""


@dataclass(frozen=True, eq=False)
class Width:
    """One Gaussian and its lattice; made by the driver, since it needs exp."""

    sigma: float
    """Pixels."""
    step: int
    """Pixels between nodes."""
    degree: int
    """Of the splines; 0 where the nodes are the pixels."""
    taps: Float64
    """(r + 1,): the convolution along one axis, from the centre outwards; the image of a Gaussian of unit sum."""
    squared: Float64
    """The same for the square of the Gaussian: what the variance of a Poisson field is weighted with."""

    @property
    def radius(self) -> int:
        """Nodes to which the convolution looks."""
        return max(len(self.taps), len(self.squared)) - 1

    def nodes(self, box: Box) -> Box:
        """Return the nodes that a box of pixels needs."""
        return touched(box, self.step, self.degree).grow(self.radius)


def widths(sigma_px: float) -> tuple[Width, ...]:
    """Return the Gaussians of `SCALES` for a standard deviation in pixels, above 0 (the recipe: 2 arcsec)."""
    return tuple(_width(factor * sigma_px) for factor in SCALES)


def one_width(sigma_px: float) -> tuple[Width, ...]:
    """Return a single Gaussian: the estimator of one stated width."""
    return (_width(sigma_px),)


def _width(sigma: float) -> Width:
    step = min(1 << max(int(sigma / 4).bit_length() - 1, 0), COARSEST)
    if sigma < 8:
        reach = np.arange(math.ceil(TAIL * sigma) + 1)
        taps = np.exp(-0.5 * (reach / sigma) ** 2)
        taps /= math.fsum([*taps, *taps[1:]])
        return Width(sigma, 1, 0, taps, taps * taps)
    narrow = sigma / math.sqrt(2.0)
    squared = _lattice_taps(narrow, step) / (2.0 * math.sqrt(math.pi) * sigma)
    return Width(sigma, step, 3, _lattice_taps(sigma, step), squared)


def _lattice_taps(sigma: float, step: int) -> Float64:
    """Return the taps that, between cubic splines on both sides, make a Gaussian of unit sum over pixels.

    The best ones for these splines (Hockney & Eastwood 1988, section 8.3.3): transform of the Gaussian times
    that of the spline squared, over the square of the spline's sum over aliases.
    """
    wide = sigma / step
    radius = math.ceil(TAIL * wide)
    side = 2 ** math.ceil(math.log2(4 * radius + 32))
    frequency = np.fft.fftfreq(side)
    aliases = frequency[:, None] + np.arange(-4, 5)
    spline = np.sinc(aliases) ** 8  # of the spline, squared
    gaussian = np.exp(-2.0 * (np.pi * wide * aliases) ** 2) / step
    taps = np.fft.ifft((gaussian * spline).sum(axis=1) / spline.sum(axis=1) ** 2).real
    return np.ascontiguousarray(taps[: radius + 1])


@dataclass(frozen=True, eq=False)
class Estimate:
    """A density at every pixel of a box, float64."""

    density: Float64
    """Sources per arcsec^2 of good area; 0 where no good area is within reach of even the widest Gaussian."""
    error: Float64
    """Its standard deviation in Poisson fields of which these sources are one."""
    coverage: Float64
    """Smoothed good fraction by which it was divided."""


def density_window(
    box: Box,
    lattices: tuple[Width, ...],
    sources: Sources,
    pixel_area: float,
    trend: tuple[NDArray[np.integer], Read] | None = None,
) -> Estimate:
    """Return density, its Poisson error and its divisor at every pixel of a box.

    Parameters
    ----------
    box : Box
        Pixels of the field.
    lattices : tuple of Width
        Tried in turn.
    sources : Sources
        What lies on the lattices.
    pixel_area : float
        arcsec^2.
    trend : tuple, optional
        A trend t > 0 on the pixels of the box, and what `t x good` leaves on the lattices: the density is then
        t (G * N) / (area of a pixel x G * (t good)), without bias where the truth is t times a constant.

    Returns
    -------
    Estimate
    """
    density, error, used = np.zeros(box.shape), np.zeros(box.shape), np.zeros(box.shape)
    missing = np.ones(box.shape, np.bool_)
    for number, width in enumerate(lattices):
        need = width.nodes(box)

        def smooth(
            read: Read, taps: Float64, number: int = number, width: Width = width, need: Box = need
        ) -> Float64:
            nodes = touched(box, width.step, width.degree)
            values = _separable(read(number, need), taps, width.radius)
            return np.maximum(interpolate(values, nodes, box, width.step, width.degree), 0.0)

        coverage = smooth(sources.good, width.taps)
        least = NO_COVERAGE if number == len(lattices) - 1 else LEAST_COVERAGE
        here = missing & (coverage >= least)
        if here.any():
            used[here] = coverage[here]
            area = pixel_area * coverage[here]
            if trend is not None:
                area = pixel_area * smooth(trend[1], width.taps)[here] / trend[0][here]
            density[here] = smooth(sources.counts, width.taps)[here] / area
            error[here] = np.sqrt(smooth(sources.squares, width.squared)[here]) / area
            missing &= ~here
        if not missing.any():
            break
    return Estimate(density, error, used)


def local_density(
    counts: NDArray[np.floating], good: NDArray[np.bool_], pixel_area: float, sigma_px: float
) -> Float64:
    """Return the surface density of sources near every pixel of an image in memory.

    Parameters
    ----------
    counts : (ny, nx) float
        Detected sources per pixel, only on good pixels.
    good : (ny, nx) bool
        Where a source could be recorded; outside of the image nothing is good.
    pixel_area : float
        arcsec^2 per pixel.
    sigma_px : float
        Standard deviation in pixels, above 0 (the recipe: 2 arcsec).

    Returns
    -------
    (ny, nx) float64
        Sources per arcsec^2 of good area; finite and not negative everywhere.
    """
    box, lattices = Box(0, 0, *counts.shape), widths(sigma_px)
    y, x = np.nonzero(counts)
    weight = counts[y, x].astype(np.float64)

    def of_good(number: int, nodes: Box) -> Float64:
        width = lattices[number]
        whole, sums = spread_image(good, box, width.step, width.degree)
        part = nodes.clip(whole)
        out = np.zeros(nodes.shape)
        out[part.within(nodes)] = sums[part.within(whole)] / norm(width.step, width.degree) ** 2
        return out

    def of_counts(number: int, nodes: Box) -> Float64:
        return spread(y, x, weight, lattices[number].step, lattices[number].degree, nodes)

    return density_window(box, lattices, Sources(of_good, of_counts, of_counts), pixel_area).density


def _separable(values: Float64, half: Float64, margin: int) -> Float64:
    """Convolve along both axes with symmetric taps; the result lacks `margin` nodes on every side."""
    first = np.empty((values.shape[0], values.shape[1] - 2 * margin))
    _along_x(values, half, margin, first)
    out = np.empty((values.shape[0] - 2 * margin, first.shape[1]))
    _along_y(first, half, margin, out)
    return out


@compiled
def _along_x(values: Float64, half: Float64, margin: int, out: Float64) -> None:
    for y in range(out.shape[0]):
        source, row = values[y], out[y]
        for x in range(row.size):
            row[x] = half[0] * source[x + margin]
        for k in range(1, half.size):
            for x in range(row.size):
                row[x] += half[k] * (source[x + margin - k] + source[x + margin + k])


@compiled
def _along_y(values: Float64, half: Float64, margin: int, out: Float64) -> None:
    for y in range(out.shape[0]):
        row = out[y]
        for x in range(row.size):
            row[x] = half[0] * values[y + margin, x]
        for k in range(1, half.size):
            below, above = values[y + margin - k], values[y + margin + k]
            for x in range(row.size):
                row[x] += half[k] * (below[x] + above[x])
