"""Normalised Gaussian smoothing and differences of two smoothings (algorithm.md, sections 3 and 4).

S_w[I; v] = sum(g v I) / sum(g v) with a separable Gaussian g of FWHM w. All sums are float32, rows then columns, taps
from the centre outwards in symmetric pairs, so that a pixel has the same bits in every window that contains its
neighbourhood. Radius: `len(taps) - 1`, or `difference_radius`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = [
    "FWHM_PER_SIGMA",
    "Convolver",
    "Taps",
    "all_good",
    "difference",
    "difference_radius",
    "gather",
    "gaussian_taps",
    "normalised",
    "separable",
    "smooth",
]

Taps = tuple[float, ...]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Convolve = Callable[[Float32, int, int, int, Float32, Float32], None]

FWHM_PER_SIGMA: Final = 2.3548200450309493
"""2 sqrt(2 ln 2)."""

# Rows of a block are long because the inner loops run along them and are vectorised: 256 float32 fill 16
# vectors of 512 bits.
ROWS: Final = 128
COLUMNS: Final = 256
"""Width in pixels of the blocks in which an image is processed: a block stays in the cache, and a bad pixel slows
down only its own."""

UNROLLED: Final = 12
"""Maximum radius of a kernel that is compiled for its number of taps; beyond it the unrolled code becomes slow."""

_NAN: Final = np.float32(np.nan)


def gaussian_taps(fwhm: float, discretisation: str = "integrated") -> Taps:
    """Return the half kernel of a Gaussian, from the centre outwards.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum in pixels.
    discretisation : {"integrated", "sampled"}
        The Gaussian integrated over each pixel, or its value at the centre of the pixel.

    Returns
    -------
    tuple of float
        `ceil(4 sigma) + 1` values, each representable in float32; the full kernel (the centre once, the others twice)
        has unit sum in float64 before rounding.

    Raises
    ------
    ValueError
        If `fwhm` is not positive and finite, or `discretisation` is neither of the two.
    """
    if not (math.isfinite(fwhm) and fwhm > 0):
        raise ValueError(f"the FWHM of a Gaussian must be positive and finite, got {fwhm!r}")
    sigma = fwhm / FWHM_PER_SIGMA
    # Beyond 4 sigma a Gaussian holds 6e-5 of its sum; the normalisation below restores the sum to 1.
    offsets = range(math.ceil(4 * sigma) + 1)
    if discretisation == "integrated":
        # erfc keeps the digits of the faint outer taps, where erf is nearly 1.
        edge = 0.5 / (math.sqrt(2) * sigma)
        half = [2 * math.erf(edge)]
        half += [math.erfc((2 * k - 1) * edge) - math.erfc((2 * k + 1) * edge) for k in offsets[1:]]
    elif discretisation == "sampled":
        half = [math.exp(-0.5 * (k / sigma) ** 2) for k in offsets]
    else:
        raise ValueError(f"discretisation must be 'integrated' or 'sampled', got {discretisation!r}")
    # Taps are rounded to float32 once, here: whatever computes with them, in float32 or in float64 as the oracle of
    # the tests, has the same kernel.
    total = math.fsum([half[0], *half[1:], *half[1:]])
    return tuple(float(np.float32(value / total)) for value in half)


def difference_radius(narrow: Taps, wide: Taps) -> int:
    """Return the radius of `difference` in pixels, along y or x."""
    return max(len(narrow), len(wide)) - 1


def smooth(image: Float32, valid: NDArray[Any], taps: Taps) -> Float32:
    """Return the normalised smoothing S_w[image; valid] (algorithm.md, section 3).

    Parameters
    ----------
    image : (ny, nx) float32
        Finite where `valid`; other values, including NaN, are ignored.
    valid : (ny, nx) bool or uint8
        Which pixels count. Outside the image no pixel counts.
    taps : tuple of float
        From `gaussian_taps`.

    Returns
    -------
    (ny, nx) float32
        In the unit of `image`; NaN where no pixel counts within the radius `len(taps) - 1`.
    """
    return normalised(image, valid, (_convolver(tuple(taps)),))


def difference(image: Float32, valid: NDArray[Any], narrow: Taps, wide: Taps) -> Float32:
    """Return S_narrow - S_wide of an image: one stage of the double filter (algorithm.md, section 4).

    Parameters
    ----------
    image : (ny, nx) float32
        Finite where `valid`; other values, including NaN, are ignored.
    valid : (ny, nx) bool or uint8
        Which pixels count. Outside the image no pixel counts.
    narrow, wide : tuple of float
        From `gaussian_taps`.

    Returns
    -------
    (ny, nx) float32
        In the unit of `image`; NaN where no pixel counts within the radius of either kernel. A pixel has the same
        bits in any window that includes `difference_radius` pixels around it, or ends there with the field.
    """
    return normalised(image, valid, (_convolver(tuple(narrow)), _convolver(tuple(wide))))


@dataclass(frozen=True)
class Convolver:
    """A convolution in float32, and its response to an image of ones."""

    radius: int
    """Radius in pixels, along y or x."""
    convolve: Convolve
    """Called with a block and its margin, the margin, rows and columns of the result, scratch arrays, and the
    result."""
    constant: np.float32
    """Sum of its taps, added in the order of `convolve`: the divisor where all pixels count."""


def normalised(image: Float32, valid: NDArray[Any], sides: tuple[Convolver, ...]) -> Float32:
    """Return sum(k v I) / sum(k v) for one kernel, or the difference for two (algorithm.md, section 3).

    Parameters
    ----------
    image : (ny, nx) float32
        Finite where `valid`; other values, including NaN, are ignored.
    valid : (ny, nx) bool or uint8
        Which pixels count. Outside the image no pixel counts.
    sides : one or two Convolver
        The kernel, or the minuend and the subtrahend.

    Returns
    -------
    (ny, nx) float32
        NaN where a divisor is not positive. The bits of a pixel depend neither on the window nor on the blocks in
        which an image is processed.
    """
    if image.ndim != 2 or image.shape != valid.shape:
        raise ValueError(f"image {image.shape} and valid {valid.shape} must be 2-D and have the same shape")
    image = np.require(image, np.float32, PLAIN)
    valid = np.require(valid, np.bool_, PLAIN)
    convolvers = [side.convolve for side in sides]
    constants = [side.constant for side in sides]
    finish = _divide if len(sides) == 1 else _divide_and_subtract
    # Both kernels read the same gathered block. The wider margin costs the narrow one nothing: it starts
    # further inside.
    margin = max(side.radius for side in sides)
    # Blocks are small enough that their scratch arrays stay in the cache, and tall enough that margins, which are
    # smoothed twice, remain a small part of the work.
    rows = max(ROWS, 4 * margin)

    out = np.empty(image.shape, np.float32)
    # Allocated once for all blocks: fresh arrays would be cleared by the kernel and would leave the cache
    # each time.
    values, weights, scratch = np.empty((3, rows + 2 * margin, COLUMNS + 2 * margin), np.float32)
    sums, norms = np.empty((2, len(sides), rows, COLUMNS), np.float32)
    # Where all pixels are good the divisor is a constant: fill it in once, and again after a masked block.
    norms_hold_constants = False
    for y0 in range(0, image.shape[0], rows):
        for x0 in range(0, image.shape[1], COLUMNS):
            ny, nx = min(rows, image.shape[0] - y0), min(COLUMNS, image.shape[1] - x0)
            counting = gather(image, valid, y0, x0, ny, nx, margin, values, weights)
            if counting == 0:
                out[y0 : y0 + ny, x0 : x0 + nx] = _NAN
                continue
            for convolve, total in zip(convolvers, sums, strict=True):
                convolve(values, margin, ny, nx, scratch, total)
            # Most blocks of a mosaic have no masked pixel, and need no second convolution for the divisor.
            if counting < (ny + 2 * margin) * (nx + 2 * margin):
                for convolve, norm in zip(convolvers, norms, strict=True):
                    convolve(weights, margin, ny, nx, scratch, norm)
                norms_hold_constants = False
            elif not norms_hold_constants:
                for norm, constant in zip(norms, constants, strict=True):
                    norm[...] = constant
                norms_hold_constants = True
            finish(sums, norms, out, y0, x0, ny, nx)
    return out


@lru_cache(maxsize=64)
def _convolver(taps: Taps) -> Convolver:
    """Return the compiled separable convolution with these taps."""
    half = tuple(np.float32(value) for value in taps)
    radius = len(half) - 1
    # Unrolled taps live in registers. There are 16 to 32 of them: with more taps the compiler spills them to
    # memory, and a loop over the taps outside, which streams whole rows, becomes the faster form.
    convolve = (
        partial(_convolve_wide, np.array(half)) if radius > UNROLLED else partial(separable, half, half, True)  # noqa: FBT003
    )
    return Convolver(radius, convolve, all_good(convolve, radius))


@compiled
def separable(
    along: tuple[np.float32, ...],
    down: tuple[np.float32, ...],
    first: bool,
    block: Float32,
    margin: int,
    ny: int,
    nx: int,
    scratch: Float32,
    out: Float32,
) -> None:
    """Convolve a block with one product, and store it in or add it to `out`.

    The number of taps is part of the compiled type, so that the compiler unrolls the loops over them and keeps the
    partial sums in registers. The values of the taps are not: a PSF measured a minute ago needs no new compilation.
    """
    radius = len(along) - 1
    top = margin - radius
    # Along rows first, on `radius` more rows at the top and bottom, then down the columns of the result: two
    # passes of 2 radius + 1 products, where the full kernel would take the square of that.
    for y in range(ny + 2 * radius):
        source, row = block[top + y, top:], scratch[y]
        for x in range(nx):
            total = along[0] * source[x + radius]
            for k in range(1, radius + 1):
                # The two sides of the kernel are equal: adding the pixels first saves half of the
                # multiplications. The order of the additions is fixed by this line; each pixel sums the same
                # values in the same order wherever its block begins.
                total += along[k] * (source[x + radius - k] + source[x + radius + k])
            row[x] = total
    for y in range(ny):
        row = out[y]
        for x in range(nx):
            total = down[0] * scratch[y + radius, x]
            for k in range(1, radius + 1):
                total += down[k] * (scratch[y + radius - k, x] + scratch[y + radius + k, x])
            # A kernel that is a sum of separable products, such as a measured PSF, is applied term by term
            # into the same result.
            row[x] = total if first else row[x] + total


@compiled
def _convolve_wide(
    half: Float32, block: Float32, margin: int, ny: int, nx: int, scratch: Float32, out: Float32
) -> None:
    """Do the same as `separable` with one product, bit for bit, with the loops over taps outside, faster for many.

    Four taps are processed at a time, so that a row is loaded and stored a quarter as often; each is still added
    separately, in the same order.
    """
    radius = len(half) - 1
    # The remainder comes first, next to the centre, so that the groups of four end exactly at the outermost
    # tap and the order of the additions is still from the centre outwards.
    single = radius % 4
    for y in range(ny + 2 * radius):
        source, row = block[margin - radius + y], scratch[y]
        centre = source[margin:]
        for x in range(nx):
            row[x] = half[0] * centre[x]
        for k in range(1, single + 1):
            low, high, tap = source[margin - k :], source[margin + k :], half[k]
            for x in range(nx):
                row[x] += tap * (low[x] + high[x])
        for k in range(single + 1, radius + 1, 4):
            low0, high0, tap0 = source[margin - k :], source[margin + k :], half[k]
            low1, high1, tap1 = source[margin - k - 1 :], source[margin + k + 1 :], half[k + 1]
            low2, high2, tap2 = source[margin - k - 2 :], source[margin + k + 2 :], half[k + 2]
            low3, high3, tap3 = source[margin - k - 3 :], source[margin + k + 3 :], half[k + 3]
            for x in range(nx):
                # Four statements, not one sum: a + (b + c) rounds differently from (a + b) + c, and this form and
                # the unrolled one must agree to the bit.
                total = row[x] + tap0 * (low0[x] + high0[x])
                total += tap1 * (low1[x] + high1[x])
                total += tap2 * (low2[x] + high2[x])
                row[x] = total + tap3 * (low3[x] + high3[x])
    for y in range(ny):
        middle, row = y + radius, out[y]
        centre = scratch[middle]
        for x in range(nx):
            row[x] = half[0] * centre[x]
        for k in range(1, single + 1):
            low, high, tap = scratch[middle - k], scratch[middle + k], half[k]
            for x in range(nx):
                row[x] += tap * (low[x] + high[x])
        for k in range(single + 1, radius + 1, 4):
            low0, high0, tap0 = scratch[middle - k], scratch[middle + k], half[k]
            low1, high1, tap1 = scratch[middle - k - 1], scratch[middle + k + 1], half[k + 1]
            low2, high2, tap2 = scratch[middle - k - 2], scratch[middle + k + 2], half[k + 2]
            low3, high3, tap3 = scratch[middle - k - 3], scratch[middle + k + 3], half[k + 3]
            for x in range(nx):
                total = row[x] + tap0 * (low0[x] + high0[x])
                total += tap1 * (low1[x] + high1[x])
                total += tap2 * (low2[x] + high2[x])
                row[x] = total + tap3 * (low3[x] + high3[x])


def all_good(convolve: Convolve, radius: int) -> np.float32:
    """Return sum(k v) where all pixels count, computed as on the masked path, so that both round alike."""
    # The smallest block that has a full neighbourhood around one pixel: the convolution itself is asked,
    # since float32 taps need not sum to 1, and any other way of adding them would differ in the last bit from
    # a masked block that happens to be all good.
    side = 2 * radius + 1
    ones = np.ones((side, side), np.float32)
    out = np.empty((1, 1), np.float32)
    convolve(ones, radius, 1, 1, np.empty_like(ones), out)
    return np.float32(out[0, 0])


@compiled
def gather(
    image: Float32,
    valid: Bool,
    y0: int,
    x0: int,
    ny: int,
    nx: int,
    margin: int,
    values: Float32,
    weights: Float32,
) -> int:
    """Copy a block with its margin, 0 where no pixel counts; return the number of pixels that count."""
    height, width = image.shape
    # Columns that exist in the image; to the left and right of them the block is filled with zeros of weight
    # zero, which is how the edge of the field drops out of the sums without a case in the convolution.
    first = max(0, margin - x0)
    last = min(nx + 2 * margin, width - x0 + margin)
    counting = 0
    for j in range(ny + 2 * margin):
        y = y0 - margin + j
        target, weight = values[j], weights[j]
        if y < 0 or y >= height:
            target[: nx + 2 * margin] = 0
            weight[: nx + 2 * margin] = 0
            continue
        target[:first] = 0
        weight[:first] = 0
        target[last : nx + 2 * margin] = 0
        weight[last : nx + 2 * margin] = 0
        pixels, counts = image[y, x0 - margin + first :], valid[y, x0 - margin + first :]
        inside, inside_weight = target[first:], weight[first:]
        for i in range(last - first):
            good = counts[i]
            counting += 1 if good else 0
            # A bad pixel must become 0 here: its NaN times a weight of 0 would still be NaN.
            inside[i] = pixels[i] if good else np.float32(0)
            inside_weight[i] = np.float32(1) if good else np.float32(0)
    return counting


@compiled
def _divide(sums: Float32, norms: Float32, out: Float32, y0: int, x0: int, ny: int, nx: int) -> None:
    """Finish a block of `smooth`. NaN is written explicitly, because the sign of 0 / 0 differs between CPUs."""
    for y in range(ny):
        source, norm, target = sums[0, y], norms[0, y], out[y0 + y, x0:]
        for x in range(nx):
            target[x] = source[x] / norm[x] if norm[x] > 0 else _NAN


@compiled
def _divide_and_subtract(
    sums: Float32, norms: Float32, out: Float32, y0: int, x0: int, ny: int, nx: int
) -> None:
    """Finish a block of `difference`."""
    for y in range(ny):
        first, second, target = sums[0, y], sums[1, y], out[y0 + y, x0:]
        narrow, wide = norms[0, y], norms[1, y]
        for x in range(nx):
            target[x] = first[x] / narrow[x] - second[x] / wide[x] if narrow[x] > 0 and wide[x] > 0 else _NAN
