"""Local density of counts and its error: normalised convolution with wide Gaussians (algorithm.md, section 7).

density = (G_s * N) / (pixel area x G_s * good), where G_s is a Gaussian of standard deviation s, which is doubled up
to three times where G_s * good < 0.2. A wide Gaussian is smooth, so it is convolved on a lattice with a node every s
/ 8 to s / 4 pixels, and at least every 32 pixels; cubic B-splines transfer values from pixels to nodes and back
(`tilegc.density.splines`). Below a width of 8 pixels the lattice is the pixel grid itself. Nodes are counted from
pixel (0, 0) of the field and every sum is evaluated in a fixed order, so the result is the same to the bit in any
window.
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
"""`read(index of the width, nodes)` returns the values on these nodes, 0 outside the field."""


@dataclass(frozen=True)
class Sources:
    """Values on the lattices of a field."""

    good: Read
    """Reads the sums over good pixels."""
    counts: Read
    """Reads the sums of the weights of the sources."""
    squares: Read
    """Reads the sums of the squared weights."""


SCALES: Final = (1, 2, 4, 8)
"""Factors of sigma, tried in this order (2, 4, 8, 16 arcsec)."""

LEAST_COVERAGE: Final = 0.2
"""Where the smoothed good fraction is below this value, the next wider Gaussian is used."""

NO_COVERAGE: Final = 1e-8
"""At the largest scale, a smoothed good fraction below this counts as zero: any good pixel is at least 5.7 sigma
away."""

TAIL: Final = 6.5
"""Truncation radius of a Gaussian in sigmas."""

COARSEST: Final = 32
"""Maximum spacing of the nodes in pixels."""


@dataclass(frozen=True, eq=False)
class Width:
    """A Gaussian and its lattice. The driver makes it, because exp may differ between CPUs in the last bit."""

    sigma: float
    """Standard deviation in pixels."""
    step: int
    """Spacing of the nodes in pixels."""
    degree: int
    """Degree of the splines; 0 if the nodes are the pixels."""
    taps: Float64
    """(r + 1,): taps of the convolution along one axis, from the centre outwards; together a Gaussian of unit sum."""
    squared: Float64
    """The same for the squared Gaussian, which gives the variance of a Poisson field."""

    @property
    def radius(self) -> int:
        """Radius of the convolution in nodes."""
        return max(len(self.taps), len(self.squared)) - 1

    def nodes(self, box: Box) -> Box:
        """Return the nodes needed for a box of pixels."""
        return touched(box, self.step, self.degree).grow(self.radius)


def widths(sigma_px: float) -> tuple[Width, ...]:
    """Return the Gaussians of `SCALES` for a standard deviation in pixels, above 0 (2 arcsec in the recipe)."""
    return tuple(_width(factor * sigma_px) for factor in SCALES)


def one_width(sigma_px: float) -> tuple[Width, ...]:
    """Return a single Gaussian, for a density map of fixed width."""
    return (_width(sigma_px),)


def _width(sigma: float) -> Width:
    # A power of two, which divides the shards of the store, and at least four nodes per sigma.
    step = min(1 << max(int(sigma / 4).bit_length() - 1, 0), COARSEST)
    # Narrow Gaussians are convolved on the pixels themselves: a lattice would not save anything.
    if sigma < 8:
        reach = np.arange(math.ceil(TAIL * sigma) + 1)
        taps = np.exp(-0.5 * (reach / sigma) ** 2)
        taps /= math.fsum([*taps, *taps[1:]])
        return Width(sigma, 1, 0, taps, taps * taps)
    narrow = sigma / math.sqrt(2.0)
    squared = _lattice_taps(narrow, step) / (2.0 * math.sqrt(math.pi) * sigma)
    return Width(sigma, step, 3, _lattice_taps(sigma, step), squared)


def _lattice_taps(sigma: float, step: int) -> Float64:
    """Return the taps that, between cubic splines on both sides, give a Gaussian of unit sum over pixels.

    These are the optimal taps for given splines (Hockney & Eastwood 1988, section 8.3.3): the transform of the
    Gaussian times that of the squared spline, divided by the square of the spline's sum over aliases.
    """
    wide = sigma / step
    radius = math.ceil(TAIL * wide)
    # Wide enough that the periodic transform does not wrap the tails into the taps.
    side = 2 ** math.ceil(math.log2(4 * radius + 32))
    frequency = np.fft.fftfreq(side)
    aliases = frequency[:, None] + np.arange(-4, 5)
    spline = np.sinc(aliases) ** 8  # transform of the squared spline
    gaussian = np.exp(-2.0 * (np.pi * wide * aliases) ** 2) / step
    taps = np.fft.ifft((gaussian * spline).sum(axis=1) / spline.sum(axis=1) ** 2).real
    return np.ascontiguousarray(taps[: radius + 1])


@dataclass(frozen=True, eq=False)
class Estimate:
    """Density at every pixel of a box, float64."""

    density: Float64
    """Sources per arcsec^2 of good area; 0 where no good area is within reach of even the widest Gaussian."""
    error: Float64
    """Standard deviation of the density if the sources are a Poisson process."""
    coverage: Float64
    """Smoothed good fraction by which the counts were divided."""


def density_window(
    box: Box,
    lattices: tuple[Width, ...],
    sources: Sources,
    pixel_area: float,
    trend: tuple[NDArray[np.integer], Read] | None = None,
) -> Estimate:
    """Return the density, its Poisson error and the smoothed good fraction at every pixel of a box.

    Parameters
    ----------
    box : Box
        Pixels of the field.
    lattices : tuple of Width
        Gaussians, in the order in which they are tried.
    sources : Sources
        Values on the lattices.
    pixel_area : float
        Area of a pixel in arcsec^2.
    trend : tuple, optional
        A trend t > 0 on the pixels of the box, and a function that reads the lattice sums of `t x good`. The density
        is then t (G * N) / (pixel area x G * (t good)), which is unbiased if the true density is proportional to t.

    Returns
    -------
    Estimate
        Density, error and coverage.
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
            # Splines of sharpened taps may undershoot next to nothing by rounding; densities are not negative.
            return np.maximum(interpolate(values, nodes, box, width.step, width.degree), 0.0)

        coverage = smooth(sources.good, width.taps)
        # The widest Gaussian is taken wherever there is anything within its reach: there is no wider one to
        # try.
        least = NO_COVERAGE if number == len(lattices) - 1 else LEAST_COVERAGE
        resolved = missing & (coverage >= least)
        if resolved.any():
            used[resolved] = coverage[resolved]
            area = pixel_area * coverage[resolved]
            if trend is not None:
                area = pixel_area * smooth(trend[1], width.taps)[resolved] / trend[0][resolved]
            density[resolved] = smooth(sources.counts, width.taps)[resolved] / area
            error[resolved] = np.sqrt(smooth(sources.squares, width.squared)[resolved]) / area
            missing &= ~resolved
        if not missing.any():
            break
    return Estimate(density, error, used)


def local_density(
    counts: NDArray[np.floating], good: NDArray[np.bool_], pixel_area: float, sigma_px: float
) -> Float64:
    """Return the local surface density of sources at every pixel of an image in memory.

    Parameters
    ----------
    counts : (ny, nx) float
        Detected sources per pixel; 0 outside good pixels.
    good : (ny, nx) bool
        Pixels where a source could be recorded; nothing outside the image is good.
    pixel_area : float
        Area of a pixel in arcsec^2.
    sigma_px : float
        Standard deviation of the Gaussian in pixels, above 0 (2 arcsec in the recipe).

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
        all_nodes, sums = spread_image(good, box, width.step, width.degree)
        part = nodes.clip(all_nodes)
        out = np.zeros(nodes.shape)
        out[part.within(nodes)] = sums[part.within(all_nodes)] / norm(width.step, width.degree) ** 2
        return out

    def of_counts(number: int, nodes: Box) -> Float64:
        return spread(y, x, weight, lattices[number].step, lattices[number].degree, nodes)

    return density_window(box, lattices, Sources(of_good, of_counts, of_counts), pixel_area).density


def _separable(values: Float64, half: Float64, margin: int) -> Float64:
    """Convolve along both axes with symmetric taps; the result is smaller by `margin` nodes on every side."""
    first = np.empty((values.shape[0], values.shape[1] - 2 * margin))
    _along_x(values, half, margin, first)
    out = np.empty((values.shape[0] - 2 * margin, first.shape[1]))
    _along_y(first, half, margin, out)
    return out


# Taps are applied from the centre outwards in symmetric pairs, one tap at a time over the whole row: the inner loop
# has no dependence between its iterations, so that the compiler vectorises it, and the order of the sum at each node
# is the same in every window.
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
