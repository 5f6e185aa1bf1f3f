"""Effect of a lens on background counts: N(> flux) changes by mu^(2.5 s - 1), where s = d log10 N / d mag.

Magnification brings faint sources above the limit but dilutes the sky. Near 30 mag s is 0.25, so fewer background
sources are seen behind the core of a cluster than next to it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["SLOPE", "SLOPE_ERR", "count_factor", "magnification", "shear"]

Floats = NDArray[np.float64]

SLOPE: Final = 0.25
"""d log10 N / d mag of the background near 30 mag."""

SLOPE_ERR: Final = 0.1


def shear(kappa: Floats) -> tuple[Floats, Floats]:
    """Return the shear of a convergence map by the inversion of Kaiser & Squires (1993), with no mass outside it.

    Parameters
    ----------
    kappa : ndarray of float64 (y, x)
        NaN counts as 0. Square pixels.

    Returns
    -------
    gamma1, gamma2 : ndarray of float64 (y, x)
        Components along the axes of the pixels.
    """
    height, width = kappa.shape
    shape = tuple(scipy.fft.next_fast_len(2 * side, real=True) for side in kappa.shape)
    # Pad with zeros to twice the width: the transform would otherwise treat the map as periodic.
    wave = scipy.fft.rfft2(
        np.nan_to_num(kappa), shape, workers=-1
    )  # every row is one transform: bits do not depend on workers
    ky, kx = scipy.fft.fftfreq(shape[0])[:, None], scipy.fft.rfftfreq(shape[1])[None, :]
    k2 = kx**2 + ky**2
    k2[0, 0] = 1.0
    part = wave * (kx**2 - ky**2)
    part /= k2
    first = scipy.fft.irfft2(part, shape, workers=-1)[:height, :width].copy()
    np.multiply(wave, 2, out=part)
    for factor in (kx, ky):
        part *= factor
    part /= k2
    second = scipy.fft.irfft2(part, shape, workers=-1, overwrite_x=True)[:height, :width].copy()
    return first, second


def magnification(kappa: Floats) -> Floats:
    """Return |mu| = 1 / |(1 - kappa)^2 - gamma^2| for the source redshift of kappa; NaN is preserved."""
    gamma1, gamma2 = shear(kappa)
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.abs((1.0 - kappa) ** 2 - gamma1**2 - gamma2**2))


def count_factor(mu: Floats | float, slope: float = SLOPE, error: float = SLOPE_ERR) -> tuple[float, float]:
    """Return the factor by which counts behind pixels of equal size change, and its error due to that of the slope.

    Parameters
    ----------
    mu : array_like
        Magnifications; NaN is ignored. In the image plane every pixel has the same weight.
    slope, error : float
        s = d log10 N / d mag and its error.

    Returns
    -------
    factor, err : float
        The mean of mu^(2.5 s - 1), 0.55 for mu = 5 and s = 0.25, and half the difference of its values at s + err and
        s - err.
    """
    values = np.atleast_1d(np.asarray(mu, np.float64))
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, middle, high = (
        float(np.mean(values ** (2.5 * s - 1.0))) for s in (slope - error, slope, slope + error)
    )
    return middle, abs(high - low) / 2
