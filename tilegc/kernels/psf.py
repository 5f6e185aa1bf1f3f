"""Point-spread functions as images: centred, of unit sum, on a mosaic's pixels.

A file may hold one that is off its middle pixel, of any sum and of another scale: `on_pixels` makes of it what
filters and masks use. All of this is the driver's work, in float64, on a few thousand pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

__all__ = ["NativePsf", "Psf", "centroid", "on_pixels", "quantised", "resampled"]

Floats = NDArray[np.float64]

SUBPIXELS: Final = 5
"""Points along a pixel's side over which a PSF that knows no pixel yet is averaged."""

QUANTUM: Final = 2.0**-30
"""To whole multiples of this a PSF is rounded: far below what is measured, far above a library's last bits."""


@dataclass(frozen=True)
class NativePsf:
    """A PSF as its file has it, on its own pixels, scaled to a point's total flux."""

    image: Floats
    """Share of the light per pixel of the image, float64 (ny, nx); its sum is the share that the image holds."""
    centre: tuple[float, float]
    """Centre (y, x), pixels of the image."""
    step: float
    """Pixels of the image in one of the mosaic."""
    optical: bool
    """Whether no pixel has smeared it yet, so that it must be averaged over the mosaic's."""


@dataclass(frozen=True)
class Psf:
    """The point-spread function of one band on a mosaic's pixels."""

    image: Floats
    """Share of the light per pixel, float64 (n, n), n odd, the centre on the middle pixel; sum 1 to 1e-6."""
    native: NativePsf | None = None
    """The file it was read from, if it was; photometry evaluates this one at sub-pixel positions."""

    @property
    def radius(self) -> int:
        """Pixels from the middle to the border."""
        return int(self.image.shape[0]) // 2

    @cached_property
    def fwhm(self) -> float:
        """Full width at half maximum of the azimuthal mean, pixels."""
        distance, value = self.profile
        below = int(np.argmax(value < 0.5 * value[0]))
        if not below:
            return math.nan
        high, low = value[below - 1], value[below]
        part = (high - 0.5 * value[0]) / (high - low)
        return float(2 * (distance[below - 1] + part * (distance[below] - distance[below - 1])))

    @cached_property
    def profile(self) -> tuple[Floats, Floats]:
        """Distances from the centre, pixels, ascending, and the mean of the pixels at each of them."""
        offset = np.arange(-self.radius, self.radius + 1)
        square = (offset[:, None] ** 2 + offset**2).ravel()
        distances, place = np.unique(square, return_inverse=True)
        total = np.bincount(place.ravel(), self.image.ravel())
        return np.sqrt(distances), total / np.bincount(place.ravel())

    def within(self, radius: float) -> float:
        """Return the share of the light in pixels whose centres lie within a radius, pixels."""
        offset = np.arange(-self.radius, self.radius + 1)
        return float(self.image[offset[:, None] ** 2 + offset**2 <= radius**2].sum())


def centroid(image: Floats, reach: float) -> tuple[float, float]:
    """Return the centroid (y, x) of the light within `reach` pixels of the peak, iterated."""
    y, x = np.indices(image.shape, dtype=np.float64)
    row, column = (float(index) for index in np.unravel_index(int(np.argmax(image)), image.shape))
    light = image.clip(0.0)
    for _ in range(30):
        near = np.where((y - row) ** 2 + (x - column) ** 2 <= reach**2, light, 0.0)
        before = row, column
        row, column = float((near * y).sum() / near.sum()), float((near * x).sum() / near.sum())
        if math.hypot(row - before[0], column - before[1]) < 1e-6:
            break
    return row, column


def on_pixels(
    image: Floats,
    centre: tuple[float, float],
    step: float,
    radius: int | None = None,
    *,
    integrate: bool = False,
) -> Psf:
    """Return a PSF image on a mosaic's pixels.

    Parameters
    ----------
    image : (ny, nx) float64
        Finite; any sum above 0.
    centre : (float, float)
        Its centre (y, x), pixels of the image.
    step : float
        Pixels of the image in one of the mosaic.
    radius : int, optional
        Pixels of the mosaic from the middle to the border; as far as the image reaches by default.
    integrate : bool
        Average over the mosaic's pixel: for a PSF that no detector's pixel has smeared yet. Others are sampled.

    Returns
    -------
    Psf
        Interpolated by cubic splines, 0 beyond the image.

    Raises
    ------
    ValueError
        If no light is left within the radius.
    """
    if radius is None:
        edge = min(*centre, image.shape[0] - 1 - centre[0], image.shape[1] - 1 - centre[1])
        radius = max(1, math.floor(edge / step + 1e-4))
    return quantised(resampled(image, centre, step, radius, integrate=integrate))


def resampled(
    image: Floats, centre: tuple[float, float], step: float, radius: int, *, integrate: bool = False
) -> Floats:
    """Return an image on other pixels, its centre on the middle one: float64 (n, n), n = 2 radius + 1.

    Parameters are those of `on_pixels`; the values are the image's, not scaled.
    """
    offset = np.arange(-radius, radius + 1, dtype=np.float64)
    count = SUBPIXELS if integrate else 1
    parts = (np.arange(count) - (count - 1) / 2) / count
    coefficients = spline_filter(image, order=3, mode="mirror")
    total = np.zeros((offset.size, offset.size))
    for dy in parts:
        for dx in parts:
            rows, columns = centre[0] + step * (offset + dy), centre[1] + step * (offset + dx)
            places = np.meshgrid(rows, columns, indexing="ij")
            total += map_coordinates(coefficients, places, order=3, mode="grid-constant", prefilter=False)
    return total / count**2


def quantised(image: Floats) -> Psf:
    """Return an image of unit sum as a PSF, rounded so that the last bits of what made it do not show."""
    total = math.fsum(image.ravel().tolist())
    if not total > 0:
        raise ValueError(f"a PSF holds light, this one sums to {total:g}")
    return Psf(np.round(image / total / QUANTUM) * QUANTUM + 0.0)  # no -0.0
