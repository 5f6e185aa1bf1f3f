"""Kappa from counts by the law of another cluster, with errors.

The law holds for numbers per kpc^2 and masses per kpc^2, so both scale between two redshifts. A floor of
contaminating sources is per arcsec^2 of sky and does not scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["KappaLaw", "Smoothed", "predict_kappa", "smooth_counts"]

Floats = NDArray[np.float64]

FILLED = 0.2
"""Minimum fraction of good area under the smoothing kernel, as for the local density."""


@dataclass(frozen=True, eq=False)
class KappaLaw:
    """n = a kappa^c + f at the redshift, depth and source redshift of the calibration."""

    ln_a: float
    c: float
    floor: float
    """f per arcsec^2."""
    covariance: Floats
    """(3, 3): covariance of ln a, c and f."""


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Counts per arcsec^2, smoothed with a Gaussian; (eta, xi)."""

    n: Floats
    """NaN where too little of the kernel is good area."""
    variance: Floats
    """Poisson variance; with fewer than one source under the kernel, that of one."""


def smooth_counts(count: NDArray[np.int64] | Floats, area: Floats, sigma: float) -> Smoothed:
    """Smooth counts and area in the same way, and divide: masked sky then neither adds nor removes sources.

    Parameters
    ----------
    count : ndarray of int64 or float64 (eta, xi)
        Sources, or their expected numbers.
    area : ndarray of float64 (eta, xi)
        Good area in arcsec^2.
    sigma : float
        Standard deviation of the Gaussian in cells.
    """
    whole = float(area.max(initial=0.0))
    if not area.size or not whole:
        return Smoothed(np.full(area.shape, np.nan), np.full(area.shape, np.nan))

    def smooth(values: Floats, width: float) -> Floats:
        return np.asarray(scipy.ndimage.gaussian_filter(values, width, mode="constant", truncate=5.0))

    weight = smooth(area, sigma)
    there = weight > FILLED * whole
    with np.errstate(invalid="ignore", divide="ignore"):
        n = np.where(there, smooth(count.astype(np.float64), sigma) / weight, np.nan)
        # The square of a Gaussian is a Gaussian with sigma / sqrt 2, divided by 4 pi sigma^2.
        effective = weight**2 / (smooth(area, sigma / math.sqrt(2)) / (4 * math.pi * sigma**2))
        variance = np.where(there, np.maximum(n, 1 / effective) / effective, np.nan)
    return Smoothed(np.maximum(n, 0.0), variance)


def predict_kappa(
    counts: Smoothed, law: KappaLaw, stretch: float, rescale: float
) -> tuple[Floats, Floats, Floats]:
    """Return kappa, its error, and the part of this error that is due to the law.

    kappa = rescale x (stretch (n - f) / a)^(1 / c), with errors to first order. Where n - f is below its own error,
    the error is the kappa of that error plus f: to first order, a root has no finite slope at zero.

    Parameters
    ----------
    counts : Smoothed
        Smoothed counts.
    law : KappaLaw
        Law of the calibration.
    stretch : float
        Ratio of the (kpc per arcsec)^2 of the calibration to that of the cluster.
    rescale : float
        Ratio of the Sigma_cr of the calibration to that of the cluster, at their source redshifts.
    """
    sigma = np.sqrt(counts.variance)
    excess = np.maximum(counts.n - law.floor, 0.0)

    def kappa_of(net: Floats) -> Floats:
        return np.asarray((stretch * net / math.exp(law.ln_a)) ** (1.0 / law.c))

    kappa = kappa_of(excess)
    least = np.where(np.isfinite(excess), np.maximum(excess, 1e-9), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.stack(
            [
                -kappa / law.c,
                np.where(kappa > 0, -kappa * np.log(np.maximum(kappa, 1e-300)) / law.c, 0.0),
                -kappa / (law.c * least),
            ]
        )
        from_counts = np.where(excess > sigma, kappa * sigma / (law.c * least), kappa_of(excess + sigma))
    floor_err = math.sqrt(max(float(law.covariance[2, 2]), 0.0))
    slopes[2] = np.where(excess > floor_err, slopes[2], 0.0)
    from_law = np.sqrt(np.maximum(np.einsum("i...,ij,j...->...", slopes, law.covariance, slopes), 0.0))
    return rescale * kappa, rescale * np.hypot(from_counts, from_law), rescale * from_law
