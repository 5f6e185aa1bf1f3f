"""Noise of a matched filter's output, pixel by pixel, from the variance of the input pixels.

A filtered pixel is D(x) = sum_p K(p) I(x + p). If the pixels of I have independent noise of variance V, the variance
of D is sum_p K(p)^2 V(x + p): one more convolution, with the squared kernel. Where pixels are missing, the smoothing
is normalised, so the effective kernel is P v / N_P - Q v / N_Q, with N the share of each kernel that falls on pixels
that count, and its square has three parts: P^2, P Q and Q^2.

Every product of kernels keeps the eight symmetries of the square, so it is again a short sum of separable
convolutions (`tilegc.filter.matched.decompose`). All sums are float32 in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.filter.matched import Kernel, Matched, convolver, decompose
from tilegc.kernels.compiled import PLAIN
from tilegc.kernels.smoothing import COLUMNS, ROWS, Convolver, gather

__all__ = ["response_variance"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

TERMS: Final = 4
"""Separable products per squared kernel: the variance is then within 0.1 per cent of the full sum."""


@dataclass(frozen=True)
class _Squares:
    """Compiled convolutions that the variance of one filter needs."""

    full: Convolver
    """(P - Q)^2 of the normalised kernels: used where every pixel within reach counts."""
    narrow_squared: Convolver
    product: Convolver
    wide_squared: Convolver
    narrow: Convolver
    """P as the filter itself uses it: gives the share of P on pixels that count."""
    wide: Convolver


@lru_cache(maxsize=64)
def _squares(kernels: Matched) -> _Squares:
    radius = kernels.radius
    narrow, wide = (_padded(kernel, radius) for kernel in (kernels.narrow, kernels.wide))
    core = slice(radius - kernels.narrow.radius, radius + kernels.narrow.radius + 1)
    outer = slice(radius - kernels.wide.radius, radius + kernels.wide.radius + 1)

    def compiled(image: Float64) -> Convolver:
        return convolver(decompose(image, TERMS))

    return _Squares(
        full=compiled((narrow - wide) ** 2),
        narrow_squared=compiled(narrow[core, core] ** 2),
        product=compiled((narrow * wide)[core, core]),
        wide_squared=compiled(wide[outer, outer] ** 2),
        narrow=convolver(kernels.narrow),
        wide=convolver(kernels.wide),
    )


def _padded(kernel: Kernel, radius: int) -> Float64:
    """Return a kernel of unit sum as an image of 2 radius + 1 pixels a side."""
    image = np.zeros((2 * radius + 1,) * 2)
    inside = slice(radius - kernel.radius, radius + kernel.radius + 1)
    part = kernel.image()
    image[inside, inside] = part / part.sum()
    return image


def response_variance(variance: Float32, valid: NDArray[Any], kernels: Matched) -> Float32:
    """Return the variance of `matched_difference` for an image whose pixels have independent noise.

    Parameters
    ----------
    variance : (ny, nx) float32
        Variance of each pixel, nJy^2; finite where `valid`, other values are ignored.
    valid : (ny, nx) bool or uint8
        Pixels that count, as given to `matched_difference`. Nothing outside the image counts.
    kernels : Matched
        The filter of the band.

    Returns
    -------
    (ny, nx) float32
        nJy^2; NaN where either kernel finds nothing that counts. A pixel has the same bits in every window that
        holds `kernels.radius` pixels around it, or that ends with the field.
    """
    if variance.ndim != 2 or variance.shape != valid.shape:
        raise ValueError(f"variance {variance.shape} and valid {valid.shape} must be 2-D and of one shape")
    variance = np.require(variance, np.float32, PLAIN)
    valid = np.require(valid, np.bool_, PLAIN)
    squares = _squares(kernels)
    margin = kernels.radius
    # Blocks as in `smoothing.normalised`, and the same `gather`, so that the two see identical values at every
    # pixel.
    rows = max(ROWS, 4 * margin)
    out = np.empty(variance.shape, np.float32)
    values, weights, scratch = np.empty((3, rows + 2 * margin, COLUMNS + 2 * margin), np.float32)

    def convolved(step: Convolver, block: Float32, ny: int, nx: int) -> Float32:
        total = np.empty((ny, nx), np.float32)
        step.convolve(block, margin, ny, nx, scratch, total)
        return total

    for y0 in range(0, variance.shape[0], rows):
        for x0 in range(0, variance.shape[1], COLUMNS):
            ny, nx = min(rows, variance.shape[0] - y0), min(COLUMNS, variance.shape[1] - x0)
            place = slice(y0, y0 + ny), slice(x0, x0 + nx)
            counting = gather(variance, valid, y0, x0, ny, nx, margin, values, weights)
            if counting == 0:
                out[place] = np.float32(np.nan)
                continue
            # One convolution where all pixels count, which is nearly everywhere; five more only in blocks with
            # masked pixels.
            result = convolved(squares.full, values, ny, nx)
            if counting < (ny + 2 * margin) * (nx + 2 * margin):
                first = convolved(squares.narrow, weights, ny, nx)
                second = convolved(squares.wide, weights, ny, nx)
                # A pixel whose whole neighbourhood counts has exactly the constants as its norms, and keeps the
                # value that a block without any missing pixel would have given it.
                cut = (first != squares.narrow.constant) | (second != squares.wide.constant)
                first /= squares.narrow.constant
                second /= squares.wide.constant
                # Where a kernel finds nothing that counts the response is NaN, and so is its variance; 1 avoids
                # dividing by zero.
                known = (first > 0) & (second > 0)
                first[~known] = second[~known] = 1
                masked = convolved(squares.narrow_squared, values, ny, nx) / (first * first)
                masked -= np.float32(2) * convolved(squares.product, values, ny, nx) / (first * second)
                masked += convolved(squares.wide_squared, values, ny, nx) / (second * second)
                result = np.where(cut, masked, result)
                result[~known] = np.float32(np.nan)
            # A truncated sum of products may be slightly negative where the true variance is next to zero.
            out[place] = np.where(result < 0, np.float32(0), result)
    return out
