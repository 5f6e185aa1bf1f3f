"""A convergence map of known resolution, sharpened: the sources follow the mass itself, not its smoothed map.

A free-form map, or one on coarse pixels, is the convergence smoothed with some kernel: its peaks are too low and its
surroundings too high. Smoothing the sources likewise is no remedy as soon as c differs from 1, because the smoothed
kappa^c is not the smoothed kappa to the power c. The map is therefore deconvolved with a Gaussian by a few iterations
of Van Cittert (1931, Z. Phys. 69, 298), each of which adds what smoothing the current estimate still misses. They are
few, so that noise does not grow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import scipy

from tilegc.io.convergence import Kappa
from tilegc.kernels.smoothing import FWHM_PER_SIGMA
from tilegc.sky import pixel_scale, wcs_from_text

__all__ = ["sharpened"]

ITERATIONS: Final = 6

LEAST: Final = 0.1
"""Smallest value of the sharpened map, relative to the map itself: a deconvolution can overshoot."""


def sharpened(kappa: Kappa, resolution: float) -> Kappa:
    """Return a map without its smoothing.

    Parameters
    ----------
    kappa : Kappa
    resolution : float
        FWHM in arcsec of the Gaussian with which the map is smoothed.
    """
    sigma = resolution / FWHM_PER_SIGMA / pixel_scale(wcs_from_text(kappa.wcs))
    known = np.isfinite(kappa.values)
    weight = scipy.ndimage.gaussian_filter(known.astype(np.float64), sigma, mode="constant")
    own = np.where(known, kappa.values, 0.0)
    found = own
    for _ in range(ITERATIONS):
        smooth = scipy.ndimage.gaussian_filter(np.where(known, found, 0.0), sigma, mode="constant")
        # Near gaps and edges the mean is over the part of the Gaussian that has data.
        found = found + own - np.divide(smooth, weight, out=np.zeros_like(own), where=weight > 1e-6)
        found = np.where(own > 0, np.maximum(found, LEAST * own), own)
    return replace(kappa, values=np.where(known, found, np.nan))
