"""Counts into densities: the two convolutions that see a whole field at once (DESIGN 3.7).

Both run in one task a field, in float64, through `scipy.fft` (whose result has the same bits with any number
of threads, but not for any cut into tiles: hence one task).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["LEAST_COVERAGE", "SCALES", "fft_bytes", "kernel_sum", "local_density", "steepness"]

SCALES: Final = (1, 2, 4, 8)
"""Factors of sigma that `local_density` tries in turn (2, 4, 8, 16 arcsec)."""

LEAST_COVERAGE: Final = 0.2
"""Below this smoothed good fraction a pixel takes the next scale."""

STEEPEST: Final = 1e9
"""Largest ratio of a kernel's values in a field: beyond it the FFT's noise, 1e-16 of the largest value times
the growth of its sums, nears 1e-4 of the smallest."""

NO_COVERAGE: Final = 1e-10
"""Smoothed good fraction, at the largest scale, that is none: 6.4 sigma and more from any good pixel."""

NOISE: Final = 1e-12
"""Part of a convolution's maximum below which there is only the FFT's noise."""

TAIL: Final = 9.0
"""Sigmas at which a Gaussian, and its transform, are nothing in float64 (exp(-40.5) = 3e-18)."""

ROWS: Final = 256
"""Rows that are transformed at a time, to bound memory."""


def steepness(shape: tuple[int, int], scale: float, alpha: float, softening: float) -> float:
    """Return the ratio of the kernel's largest to its smallest value in a field.

    `kernel_sum` holds its accuracy up to 1e9 (the recipe on a field of 4400 px: 5e3) and refuses more.
    """
    return math.exp(min(alpha * math.log1p(math.hypot(*shape) * scale / softening), 700.0))


def kernel_sum(
    counts: NDArray[np.float64], scale: float, alpha: float, softening: float
) -> NDArray[np.float64]:
    """Return rho = W * N with W(d) = (softening + d)^-alpha: the seed's equation 2 (DESIGN 3.7).

    Every source adds to every pixel of the field, d being the distance between pixel centres in arcsec.

    Parameters
    ----------
    counts : (ny, nx) float64
        Sources per pixel, finite and not negative.
    scale : float
        Arcsec per pixel.
    alpha, softening : float
        Steepness and softening length in arcsec, both above 0 (the recipe: 1.6, 0.9).

    Returns
    -------
    (ny, nx) float64
        arcsec^-alpha; within 1e-4 of the direct sum at every pixel, 0 everywhere without sources.

    Raises
    ------
    ValueError
        If the kernel falls by more than 1e9 within the field, where an FFT would lose the faint part.
    """
    height, width = counts.shape
    if not counts.any():
        return np.zeros(counts.shape)
    ratio = steepness(counts.shape, scale, alpha, softening)
    if not ratio <= STEEPEST:
        raise ValueError(
            f"density: (softening + d)^-alpha falls by {ratio:.0e} within the field, {STEEPEST:.0e} is the "
            "most that can be computed: take a smaller alpha or a larger softening"
        )
    rows, columns = _even_length(2 * height - 1), _even_length(2 * width - 1)
    # Along x, row by row without the padding rows; along y in place of the result.
    spectrum = np.zeros((rows, columns // 2 + 1), np.complex128)
    for y in range(0, height, ROWS):
        spectrum[y : min(y + ROWS, height)] = fft.rfft(counts[y : y + ROWS], columns, axis=1)
    spectrum = fft.fft(spectrum, axis=0, overwrite_x=True)
    # W, wrapped round, is even along both axes: its transform is real, and a DCT-I of one quadrant gives it.
    half = rows // 2
    kernel = _kernel_transform(half + 1, columns // 2 + 1, scale, alpha, softening)
    spectrum[: half + 1] *= kernel
    spectrum[half + 1 :] *= kernel[half - 1 : 0 : -1]
    del kernel
    spectrum = fft.ifft(spectrum, axis=0, overwrite_x=True)
    result = np.empty(counts.shape)
    for y in range(0, height, ROWS):
        end = min(y + ROWS, height)
        result[y:end] = fft.irfft(spectrum[y:end], columns, axis=1)[:, :width]
    return np.maximum(result, 0.0, out=result)


def _kernel_transform(
    height: int, width: int, scale: float, alpha: float, softening: float
) -> NDArray[np.float64]:
    """Return the transform of W wrapped round 2 (height - 1) x 2 (width - 1) pixels: its first quadrant."""
    kernel = np.empty((height, width))
    along = np.arange(width, dtype=np.float64)
    for y in range(height):
        kernel[y] = (softening + scale * np.sqrt(along * along + float(y * y))) ** -alpha
    transform: NDArray[np.float64] = fft.dctn(kernel, type=1, overwrite_x=True)
    return transform


def local_density(
    counts: NDArray[np.float64], good: NDArray[np.bool_], pixel_area: float, sigma_px: float
) -> NDArray[np.float64]:
    """Return the surface density of sources near every pixel, unbiased by holes in the mask (DESIGN 3.7).

    density = (G * N) / (area of a pixel x G * good), G a Gaussian of `sigma_px`, twice, four and eight times
    as wide at pixels where G * good < 0.2.  Outside of the field nothing is good.

    Parameters
    ----------
    counts : (ny, nx) float64
        Detected sources per pixel, only on good pixels.
    good : (ny, nx) bool
        Where a source could be recorded.
    pixel_area : float
        arcsec^2 per pixel.
    sigma_px : float
        Standard deviation in pixels, above 0 (the recipe: 2 arcsec).

    Returns
    -------
    (ny, nx) float64
        Sources per arcsec^2 of good area; finite and not negative everywhere, 0 where no good area is
        within reach of even the widest Gaussian.
    """
    result = np.zeros(counts.shape)
    if not counts.any() or not good.any():
        return result
    missing = np.ones(counts.shape, np.bool_)
    for factor in SCALES:
        coverage = _gaussian(good, factor * sigma_px)
        here = missing & (coverage >= (NO_COVERAGE if factor == SCALES[-1] else LEAST_COVERAGE))
        if here.any():
            smooth = _gaussian(counts, factor * sigma_px)
            smooth[smooth < NOISE * smooth.max()] = 0.0
            result[here] = smooth[here] / (pixel_area * coverage[here])
            missing &= ~here
        if not missing.any():
            break
    return result


def _gaussian(image: NDArray[np.float64] | NDArray[np.bool_], sigma: float) -> NDArray[np.float64]:
    """Return the image convolved with a point-sampled Gaussian of unit sum, zero outside of the field.

    A Gaussian is one in frequency too, so only the low frequencies are kept along x: all that are not lost
    in rounding anyway.  The first pass leaves a few columns, on which the second one is cheap.
    """
    height, width = image.shape
    rows, columns = (_even_length(size + math.ceil(TAIL * sigma)) for size in (height, width))
    transform = _gaussian_transform(columns, sigma)
    kept = min(columns // 2 + 1, math.ceil(TAIL * columns / (2.0 * math.pi * sigma)) + 1)
    spectrum = np.zeros((rows, kept), np.complex128)
    for y in range(0, height, ROWS):
        block = np.asarray(image[y : y + ROWS], dtype=np.float64)
        spectrum[y : y + len(block)] = fft.rfft(block, columns, axis=1)[:, :kept]
    spectrum = fft.fft(spectrum, axis=0, overwrite_x=True)
    spectrum *= transform[:kept]
    along_y = _gaussian_transform(rows, sigma)
    spectrum *= np.concatenate([along_y, along_y[-2:0:-1]])[:, np.newaxis]
    spectrum = fft.ifft(spectrum, axis=0, overwrite_x=True)
    result = np.empty((height, width))
    for y in range(0, height, ROWS):
        end = min(y + ROWS, height)
        result[y:end] = fft.irfft(spectrum[y:end], columns, axis=1)[:, :width]
    return result


def _gaussian_transform(length: int, sigma: float) -> NDArray[np.float64]:
    """Return the real transform, length // 2 + 1 values, of a wrapped unit-sum Gaussian of even length."""
    distance = np.arange(length // 2 + 1, dtype=np.float64)
    transform: NDArray[np.float64] = fft.dct(np.exp(-0.5 * (distance / sigma) ** 2), type=1)
    transform /= transform[0]
    return transform


def _even_length(least: int) -> int:
    """Return an even length, at least `least` and 2, that transforms fast."""
    return 2 * int(fft.next_fast_len(max((least + 1) // 2, 1), real=True))


def fft_bytes(shape: tuple[int, int]) -> int:
    """Return an upper estimate of the memory, in bytes, that either function takes beyond its arguments.

    `kernel_sum` holds the padded spectrum and the kernel's quadrant while that is transformed: 1.0 GB for a
    field of 4400 x 4400 pixels.  `local_density` needs less at the recipe's sigma.
    """
    rows, columns = (_even_length(2 * size - 1) for size in shape)
    spectrum = 16 * rows * (columns // 2 + 1)
    quadrant = 8 * (rows // 2 + 1) * (columns // 2 + 1)
    blocks = ROWS * columns * 24
    return spectrum + max(2 * quadrant, 8 * shape[0] * shape[1]) + blocks + (1 << 20)
