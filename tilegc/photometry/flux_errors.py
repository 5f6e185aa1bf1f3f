"""What the error of a flux is made of: the noise of the sky, and the photons of the source."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["photon_gain", "sky_variance"]

Floats = NDArray[np.float64]

BRIGHT: Final = 50.0
"""Signal-to-noise from which sources tell how errors grow with flux."""

FEWEST: Final = 20
"""Bright sources from which the photons' share is known."""

SKY_SHARE: Final = 3.5e-4
"""Variance of the fitted sky, over that of one pixel, for the splines' spacing and penalty (white noise)."""


def sky_variance(diagonal: Floats, white: Floats, weight: Floats, growth: Floats) -> Floats:
    """Return the variance of fluxes by the sky's noise, nJy^2, for white noise of the weights.

    Parameters
    ----------
    diagonal, weight : float64
        sum w P^2 and sum w P over the stamps, nJy^-2.
    white : float64
        Variance with a known sky, nJy^2.
    growth : float64
        Variance with the free plane over that with a known sky; 1 where no plane was fitted.

    Returns
    -------
    float64
        NaN where a stamp has no pixel of weight.
    """
    # A plane of its own makes a flux less certain. The splines' sky, which alone is under a source without one, is
    # fitted over so many pixels that its error matters for the faintest sources only.
    # sum w P / sum w P^2 is what a flux changes by when the sky changes by one unit per pixel.
    some = diagonal > 0
    ratio = np.where(some, weight / np.where(some, diagonal, 1.0), np.nan)
    of_sky = ratio * ratio * SKY_SHARE / np.where(weight > 0, weight, np.nan)
    return np.where(growth > 1, white * growth, white + of_sky)


def photon_gain(excess: Floats, flux: Floats, error: Floats) -> float:
    """Return the variance per flux of the sources' photons, from what errors have in bright sources beyond the sky."""
    with np.errstate(invalid="ignore"):
        bright = np.isfinite(excess) & (flux > BRIGHT * error)
    # A handful of bright stars with imperfect PSFs would pass for photon noise.
    if bright.sum() < FEWEST:
        return 0.0
    return max(float(np.median(excess[bright] / flux[bright])), 0.0)
