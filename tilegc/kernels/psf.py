"""Point-spread functions as images: centred, of unit sum, on the pixels of a mosaic.

A file may hold a PSF that is off its central pixel, of any sum and on another scale; `on_pixels` converts it into the
form that filters and masks require. The driver does all of this, in float64, on a few thousand pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["NativePsf", "Psf", "centroid", "on_pixels", "quantised", "resampled"]

Floats = NDArray[np.float64]

SUBPIXELS: Final = 5
"""Points along the side of a pixel over which a PSF without pixel response is averaged."""

QUANTUM: Final = 2.0**-30
"""A PSF is rounded to multiples of this: far below its measured accuracy, far above the last bits of a library."""


@dataclass(frozen=True)
class NativePsf:
    """A PSF on the pixels of its file, normalised to the total flux of a point source."""

    image: Floats
    """Fraction of the light per pixel of the image, float64 (ny, nx); its sum is the fraction within the image."""
    centre: tuple[float, float]
    """Centre (y, x) in pixels of the image."""
    step: float
    """Pixels of the image per pixel of the mosaic."""
    optical: bool
    """Whether the PSF is optical, without pixel response, so that it must be averaged over the pixels of the mosaic."""


@dataclass(frozen=True)
class Psf:
    """Point-spread function of a band on the pixels of a mosaic."""

    image: Floats
    """Fraction of the light per pixel, float64 (n, n), n odd, centred on the central pixel; sum 1 to 1e-6."""
    native: NativePsf | None = None
    """The file it was read from, if any; photometry evaluates it at sub-pixel positions."""

    @property
    def radius(self) -> int:
        """Distance in pixels from the central pixel to the border."""
        return int(self.image.shape[0]) // 2

    @cached_property
    def fwhm(self) -> float:
        """Full width at half maximum of the azimuthal mean in pixels."""
        distance, value = self.profile
        below = int(np.argmax(value < 0.5 * value[0]))
        if not below:
            return math.nan
        # Linear between the two radii: the profile is sampled at every distance that occurs between pixel
        # centres, so that they are close together.
        high, low = value[below - 1], value[below]
        part = (high - 0.5 * value[0]) / (high - low)
        return float(2 * (distance[below - 1] + part * (distance[below] - distance[below - 1])))

    @cached_property
    def profile(self) -> tuple[Floats, Floats]:
        """Distances from the centre in pixels, ascending, and the mean of the pixels at each distance."""
        offset = np.arange(-self.radius, self.radius + 1)
        # Integers, so that pixels at equal distances are grouped exactly; square roots of equal integers
        # would be equal, too, but the average over rounded radii of an off-centre image would not.
        square = (offset[:, None] ** 2 + offset**2).ravel()
        distances, place = np.unique(square, return_inverse=True)
        total = np.bincount(place.ravel(), self.image.ravel())
        return np.sqrt(distances), total / np.bincount(place.ravel())

    def within(self, radius: float) -> float:
        """Return the fraction of the light in pixels whose centres are within `radius` pixels."""
        offset = np.arange(-self.radius, self.radius + 1)
        return float(self.image[offset[:, None] ** 2 + offset**2 <= radius**2].sum())


def centroid(image: Floats, reach: float) -> tuple[float, float]:
    """Return the centroid (y, x) of the light within `reach` pixels of the peak, found iteratively."""
    y, x = np.indices(image.shape, dtype=np.float64)
    row, column = (float(index) for index in np.unravel_index(int(np.argmax(image)), image.shape))
    # Negative pixels of a noisy wing would pull the centroid away from the light, and their sum could be 0.
    light = image.clip(0.0)
    # The aperture follows the centroid: with one fixed on the brightest pixel the result is biased towards
    # that pixel.
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
    """Return a PSF image on the pixels of a mosaic.

    Parameters
    ----------
    image : (ny, nx) float64
        Finite; any sum above 0.
    centre : (float, float)
        Its centre (y, x) in pixels of the image.
    step : float
        Pixels of the image per pixel of the mosaic.
    radius : int, optional
        Distance from the central pixel to the border in pixels of the mosaic; by default as far as the image extends.
    integrate : bool
        Average over the pixel of the mosaic, for a PSF without pixel response; otherwise the image is sampled.

    Returns
    -------
    Psf
        Interpolated with cubic splines, 0 beyond the image.

    Raises
    ------
    ValueError
        If there is no light within the radius.
    """
    if radius is None:
        edge = min(*centre, image.shape[0] - 1 - centre[0], image.shape[1] - 1 - centre[1])
        # The tolerance admits images whose size is an exact multiple of the step but for the rounding of the
        # pixel scale.
        radius = max(1, math.floor(edge / step + 1e-4))
    return quantised(resampled(image, centre, step, radius, integrate=integrate))


def resampled(
    image: Floats, centre: tuple[float, float], step: float, radius: int, *, integrate: bool = False
) -> Floats:
    """Return an image on other pixels, centred on the central one: float64 (n, n), n = 2 radius + 1.

    The parameters are those of `on_pixels`; the values are those of the image, not rescaled.
    """
    offset = np.arange(-radius, radius + 1, dtype=np.float64)
    count = SUBPIXELS if integrate else 1
    parts = (np.arange(count) - (count - 1) / 2) / count
    # The spline is fitted once, here. `map_coordinates` would otherwise repeat it for each of the sub-pixels.
    coefficients = scipy.ndimage.spline_filter(image, order=3, mode="mirror")
    total = np.zeros((offset.size, offset.size))
    for dy in parts:
        for dx in parts:
            rows, columns = centre[0] + step * (offset + dy), centre[1] + step * (offset + dx)
            places = np.meshgrid(rows, columns, indexing="ij")
            # "grid-constant" is 0 beyond the image also between its last pixel and the next: other modes
            # extrapolate the edge.
            total += scipy.ndimage.map_coordinates(
                coefficients, places, order=3, mode="grid-constant", prefilter=False
            )
    return total / count**2


def quantised(image: Floats) -> Psf:
    """Return an image of unit sum as a PSF, rounded so that the last bits of the library that made it do not matter."""
    # `fsum`, because the last bits of a NumPy sum depend on how it splits the array between vector registers.
    total = math.fsum(image.ravel().tolist())
    if not total > 0:
        raise ValueError(f"a PSF must have a positive sum, got {total:g}")
    return Psf(np.round(image / total / QUANTUM) * QUANTUM + 0.0)  # no -0.0
