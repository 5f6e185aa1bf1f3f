"""An analytic point-spread function for every band, used if there is neither a file nor a star to measure it from.

It is a sum of round Gaussians. The core has the FWHM of stars in NIRCam mosaics with pixels of 30 mas (drizzle and
pixel response included): 0.053, 0.056, 0.060, 0.072 arcsec in F090W, F115W, F150W, F200W. The weights of the wider
Gaussians are a non-negative fit to the encircled energies published by STScI for these bands (JDox, "NIRCam point
spread functions"; the same table as aperpy's ``Encircled_Energy_SW_ETCv2.txt``) from 0.1 to 3.5 arcsec, with the
value at 0.1 arcsec, 0.755, 0.776, 0.750, 0.701, held fixed. Redder bands use the PSF of F200W, scaled with
wavelength; bluer ones use that of the nearest band.
"""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.psf import Psf, quantised

__all__ = ["NIRCAM", "WAVELENGTH", "gaussians", "model", "stretch", "within"]

Floats = NDArray[np.float64]

WAVELENGTH: Final = {"F090W": 0.90, "F115W": 1.15, "F150W": 1.50, "F200W": 2.00}
"""Nominal wavelengths, in micron, of the bands that were fitted."""

_FILTERS = {
    "W": (70, 90, 115, 150, 200, 277, 356, 444),
    "W2": (150, 322),
    "M": (140, 162, 182, 210, 250, 300, 335, 360, 410, 430, 460, 480),
    "N": (164, 187, 212, 323, 405, 466, 470),
}
NIRCAM: Final = frozenset(
    f"F{number:03d}{width}" for width, numbers in _FILTERS.items() for number in numbers
)
"""Filters of NIRCam (JDox, "NIRCam filters"): the model is theirs, and no other camera's."""

NARROWEST: Final = 0.6
"""Minimum sigma in pixels: on coarse pixels a point source is smeared by the pixels themselves."""

_CORE = {"F090W": 0.0223, "F115W": 0.0236, "F150W": 0.0252, "F200W": 0.0300}
_SECOND = {"F090W": 0.0750, "F115W": 0.0750, "F150W": 0.0865, "F200W": 0.1154}
# Spaced by factors of about 2.4, which a sum of Gaussians needs to follow a power law without ripples.
_WINGS = (0.18, 0.42, 1.0, 2.6)  # sigma, arcsec
_WEIGHT = {
    "F090W": (0.6837, 0.0847, 0.1369, 0.0632, 0.0208, 0.0107),
    "F115W": (0.7160, 0.0733, 0.1036, 0.0718, 0.0203, 0.0150),
    "F150W": (0.6742, 0.1289, 0.0771, 0.0763, 0.0240, 0.0195),
    "F200W": (0.6250, 0.2434, 0.0, 0.0771, 0.0307, 0.0238),
}

_NUMBER = re.compile(r"F(\d{3,4})", re.IGNORECASE)


def gaussians(band: str) -> tuple[Floats, Floats]:
    """Return the sigmas (arcsec) of a band's Gaussians and their fractions of the light, which add up to 1.

    The wavelength is read from the name of the band (F277W: 2.77 micron); a name without a number counts as F150W.
    """
    wavelength = _wavelength(band)
    nearest = min(WAVELENGTH, key=lambda name: abs(WAVELENGTH[name] - wavelength))
    # In the infrared all components widen with wavelength, since diffraction sets them; a scaled sum remains
    # normalised.
    sigma = np.array([_CORE[nearest], _SECOND[nearest], *_WINGS]) * stretch(band)
    weight = np.array(_WEIGHT[nearest])
    return sigma, weight / weight.sum()


def within(band: str, half: float) -> float:
    """Return the fraction of a point's light in a square of half side `half`, arcsec."""
    sigma, weight = gaussians(band)
    side = np.array([math.erf(half / (math.sqrt(2.0) * one)) for one in sigma])
    return float((weight * side * side).sum())


def stretch(band: str) -> float:
    """Return the width of a band's PSF relative to 2 micron; 1 below, where diffraction does not set the width."""
    return max(1.0, _wavelength(band) / 2.0)


def _wavelength(band: str) -> float:
    number = _NUMBER.search(band)
    return float(number[1][:3]) / 100 if number else WAVELENGTH["F150W"]


def model(band: str, scale: float, radius: int) -> Psf:
    """Return the analytic PSF of a band on pixels of `scale` arcsec, out to `radius` pixels, normalised to sum 1."""
    offset = np.arange(-radius, radius + 1) * scale
    image = np.zeros((offset.size, offset.size))
    for width, weight in zip(*gaussians(band), strict=True):
        # The Gaussian is sampled at pixel centres, not integrated. Below about 0.6 px the samples miss the
        # light between them.
        sigma = max(width, NARROWEST * scale)
        line = np.exp(-0.5 * (offset / sigma) ** 2)
        image += weight / sigma**2 * np.outer(line, line)
    return quantised(image)
