"""From the telescope's image of a point to the one on a mosaic: charge diffusion, pixels and drizzling.

A detector's pixel averages the image over its square after charge has diffused; drizzling drops a smaller square,
`pixfrac` of the pixel, onto the mosaic, whose pixels add up what falls into them. Over many dithers all three squares
are convolutions, which are products of the transforms.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["DETECTOR_PIXEL", "DIFFUSION", "PIXFRAC", "drizzled", "halo", "halo_energy"]

DETECTOR_PIXEL = 0.0307
"""Side of NIRCam's short-wavelength pixels, arcsec."""
DIFFUSION = 0.0062
"""Sigma of charge diffusion, arcsec."""
PIXFRAC = 0.75
"""Side of the drops, in detector pixels."""

HALO_SHARE = 0.015
"""Share of the light that mirrors and detectors scatter beyond what diffraction gives, fitted to published energies."""
HALO_RADIUS = 0.6
"""Scale of that halo, arcsec."""

Floats = NDArray[np.float64]


def halo(radius: Floats) -> Floats:
    """Return the halo's surface brightness per arcsec^2 at radii in arcsec, for a total of 1."""
    return np.asarray((1.0 + (radius / HALO_RADIUS) ** 2) ** -1.5 / (2.0 * math.pi * HALO_RADIUS**2))


def halo_energy(radius: float) -> float:
    """Return the share of the halo's light within a radius in arcsec."""
    return 1.0 - 1.0 / math.sqrt(1.0 + (radius / HALO_RADIUS) ** 2)


def drizzled(
    image: Floats,
    step: float,
    scale: float,
    pixfrac: float = PIXFRAC,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Floats:
    """Return an image as pixels of a mosaic see it.

    Parameters
    ----------
    image : ndarray of float64, shape (n, n)
        Light per sample, at spacing `step`; it is taken to repeat beyond its borders.
    step, scale : float
        Spacing of the samples and pixel of the mosaic, arcsec.
    pixfrac : float
        Side of the drops, in detector pixels.
    shift : tuple of float
        By how many samples (y, x) the image is moved.

    Returns
    -------
    ndarray of float64, shape (n, n)
        Light per pixel of the mosaic centred on each sample, per unit of the image's sum, at the same spacing.
    """
    n = len(image)
    one = np.fft.fftfreq(n, step)
    response = np.exp(-2.0 * (math.pi * DIFFUSION * one) ** 2)
    for width in (DETECTOR_PIXEL, pixfrac * DETECTOR_PIXEL, scale):
        response = response * np.sinc(width * one)
    turns = -2.0 * math.pi * np.fft.fftfreq(n)
    along_y, along_x = (response * np.exp(1j * turns * s) for s in shift)
    transform = np.fft.rfft2(image) * along_y[:, None] * along_x[: n // 2 + 1]
    return np.asarray(np.fft.irfft2(transform, s=image.shape) * (scale / step) ** 2)
