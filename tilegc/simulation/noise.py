"""Noise of a drizzled mosaic, from hashes of pixel coordinates.

White deviates are convolved with a fixed 3 x 3 kernel so that sums over large apertures scatter 1.45
times as much as uncorrelated pixels would (drizzling with pixfrac 1 on pixels of nearly the
detector's size; Casertano et al. 2000 give the general formula). The level follows from the depth:
30.9 AB is 5 times the rms of empty apertures of 0.2 arcsec diameter, the total magnitude of a point
source, in every band. Photons of the sources add: variance x (1 + I / 3.6 nJy per pixel). On top lies
a faint pattern of the detector, the same in all bands.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.simulation.deviates import hash2, normal
from tilegc.simulation.psf import BandPSF

__all__ = ["DEPTH", "PATTERN_RMS", "PHOTON_SCALE", "add_noise", "aperture_noise", "pixel_rms"]

DEPTH = 30.9
"""AB magnitude, 5 sigma, total, of a point source."""
PHOTON_SCALE = 3.6
"""nJy per pixel at which the photons of a source double the variance."""
_APERTURE = 0.1  # radius, arcsec
_SIDE = 0.10922  # (1 + 2 s)^2 / (1 + 2 s^2) = 1.45 for the separable kernel (s, 1, s)
_NORM = 1.0 / math.sqrt(1.0 + 2.0 * _SIDE**2)
_TAP0, _TAP1 = _NORM, _SIDE * _NORM
_PATTERN = 0.12  # fixed pattern, of the pixel rms (an estimate)
_STRIPE = 0.05  # rows of an amplifier, of the pixel rms (an estimate: 1/f noise after destriping)
_AMPLIFIER = 512  # px
PATTERN_RMS = math.hypot(_PATTERN, _STRIPE)
"""Rms of the pattern that all bands share, in units of the noise of an empty pixel."""


def aperture_noise(radius: float) -> float:
    """Return the rms of an empty aperture over that of a pixel, correlation included.

    Parameters
    ----------
    radius : float
        Pixels; the aperture is centred on a pixel and covers border pixels in part.
    """
    reach = math.ceil(radius + 0.5)
    fine = (np.arange((2 * reach + 1) * 25) - (reach * 25 + 12)) / 25.0
    inside = (fine[:, None] ** 2 + fine**2) <= radius**2
    cover = inside.reshape(2 * reach + 1, 25, 2 * reach + 1, 25).mean(axis=(1, 3))
    taps = np.array([_TAP1, _TAP0, _TAP1])
    padded: NDArray[np.float64] = np.pad(cover, 2)
    # the variance of a weighted sum: the weights smoothed by the noise's own kernel, squared
    for axis in (0, 1):
        low, high = np.roll(padded, -1, axis), np.roll(padded, 1, axis)
        padded = taps[0] * low + taps[1] * padded + taps[2] * high
    return math.sqrt(float((padded**2).sum()))


def pixel_rms(psf: BandPSF, scale: float, depth: float = DEPTH) -> float:
    """Return the noise of an empty pixel, nJy, that gives a depth (AB, 5 sigma) in that band."""
    radius = _APERTURE / scale
    faintest: float = 10.0 ** (-0.4 * (depth - 31.4))  # nJy, total
    return psf.encircled_energy(radius) * faintest / 5.0 / aperture_noise(radius)


@compiled
def white(out: NDArray[np.float64], key: np.uint64, x_start: int, y_start: int) -> None:
    """Fill with normal deviates that depend on the key and the pixel alone."""
    ny, nx = out.shape
    for j in range(ny):
        for i in range(nx):
            out[j, i] = normal(hash2(key, y_start + j, x_start + i))


@compiled
def correlate(noise: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Convolve with the 3 x 3 kernel; `noise` has one more pixel on every side than `out`."""
    ny, nx = out.shape
    row = np.empty(nx + 2)
    for j in range(ny):
        for i in range(nx + 2):
            row[i] = _TAP0 * noise[j + 1, i] + _TAP1 * (noise[j, i] + noise[j + 2, i])
        for i in range(nx):
            out[j, i] = _TAP0 * row[i + 1] + _TAP1 * (row[i] + row[i + 2])


@compiled
def pattern(out: NDArray[np.float64], key: np.uint64, x_start: int, y_start: int) -> None:
    """Add the detector's pattern, in units of the pixel rms, to correlated deviates in `out`."""
    ny, nx = out.shape
    for j in range(ny):
        y = y_start + j
        block = -1
        stripe = 0.0
        for i in range(nx):
            x = x_start + i
            if x // _AMPLIFIER != block:
                block = x // _AMPLIFIER
                stripe = _STRIPE * normal(hash2(key, -1 - y, block))
            out[j, i] = _PATTERN * out[j, i] + stripe


@compiled
def combine(
    light: NDArray[np.float64],
    deviate: NDArray[np.float64],
    fixed: NDArray[np.float64],
    seen: NDArray[np.float64],
    rms: float,
    unit: float,
    sci: NDArray[np.float32],
    err: NDArray[np.float32],
    wht: NDArray[np.float32],
) -> None:
    """Make science, error and weight of one band out of light and deviates, in the file's unit."""
    ny, nx = light.shape
    for j in range(ny):
        for i in range(nx):
            if seen[j, i] <= 0.0:
                sci[j, i] = np.nan
                err[j, i] = np.nan
                wht[j, i] = 0.0
                continue
            empty = rms * rms / seen[j, i]
            sigma = math.sqrt(empty * (1.0 + max(light[j, i], 0.0) / PHOTON_SCALE))
            sci[j, i] = unit * (light[j, i] + sigma * deviate[j, i] + rms * fixed[j, i])
            err[j, i] = unit * sigma
            wht[j, i] = 1.0 / (unit * unit * empty)


def detector_pattern(
    key: np.uint64, y_start: int, x_start: int, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the pattern common to all bands on a window, in units of the pixel rms."""
    padded = np.empty((shape[0] + 2, shape[1] + 2))
    fixed = np.empty(shape)
    white(padded, key, x_start - 1, y_start - 1)
    correlate(padded, fixed)
    pattern(fixed, key, x_start, y_start)
    return fixed


def add_noise(
    light: NDArray[np.float64],
    seen: NDArray[np.float64],
    fixed: NDArray[np.float64],
    key: np.uint64,
    y_start: int,
    x_start: int,
    rms: float,
    unit: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return science, error and weight of one band on a window.

    Parameters
    ----------
    light : ndarray of float64
        nJy per pixel, without noise.
    seen : ndarray of float64
        Share of the exposures, 0 where there is no data: NaN, NaN and weight 0 there.
    fixed : ndarray of float64
        The detector's pattern, from `detector_pattern`.
    key : uint64
        Stream of this field and band.
    y_start, x_start : int
        The window's first pixel.
    rms : float
        Noise of an empty pixel at full exposure, nJy.
    unit : float
        File units per nJy.

    Returns
    -------
    sci, err, wht : ndarray of float32
        The error is that of the pixel, photons of the sources included; the weight is the inverse
        variance without them, as drizzled mosaics have it.
    """
    shape = light.shape
    padded = np.empty((shape[0] + 2, shape[1] + 2))
    deviate = np.empty(shape)
    white(padded, key, x_start - 1, y_start - 1)
    correlate(padded, deviate)
    sci, err, wht = (np.empty(shape, np.float32) for _ in range(3))
    combine(light, deviate, fixed, seen, rms, unit, sci, err, wht)
    return sci, err, wht
