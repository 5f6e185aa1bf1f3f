"""The detection filter of `recipe: calibrated`: a PSF minus itself smoothed, a kernel of zero sum.

D = S_P[I; v] - S_Q[I; v] (algorithm.md, sections 3 and 4.2), where P is the core of the PSF and Q = P * G with a
Gaussian G. It is the matched filter of a point in nearly white noise, and ignores constants and slopes. P is averaged
over the eight symmetries of the square. Such a matrix is a short sum of products u(y) u(x), its eigenvectors: two or
three of them hold all but a thousandth, and each is two passes of symmetric taps. The driver finds them with + - * /
and sqrt alone; all sums over pixels are float32, rows then columns, taps from the centre outwards in symmetric pairs,
so that a pixel's bits depend on its neighbourhood alone.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.psf import Psf
from tilegc.kernels.smoothing import Convolver, Taps, all_good, gaussian_taps, normalised, separable

__all__ = ["Kernel", "Matched", "convolver", "decompose", "matched", "matched_difference"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]

CORE: Final = 6
"""Pixels to which P reaches: 97 % of what the whole PSF would gain (theory, NIRCam at 30 mas)."""

TERMS: Final = (3, 2)
"""Products of which P and Q are made."""


@dataclass(frozen=True)
class Kernel:
    """A symmetric kernel as a sum of products: sum over terms of rows(x) columns(y)."""

    rows: tuple[Taps, ...]
    """Half taps along x of every term, centre outwards, representable in float32."""
    columns: tuple[Taps, ...]
    """The same along y, the term's weight included."""

    @property
    def radius(self) -> int:
        """Pixels along y or x to which it looks."""
        return len(self.rows[0]) - 1

    def image(self) -> Floats:
        """Return it as an image, float64 (n, n)."""
        total = np.zeros((2 * self.radius + 1,) * 2)
        for along, down in zip(self.rows, self.columns, strict=True):
            total += np.outer(_whole(down), _whole(along))
        return total


@dataclass(frozen=True)
class Matched:
    """P and Q of one band."""

    narrow: Kernel
    wide: Kernel

    @property
    def radius(self) -> int:
        """Pixels along y or x to which `matched_difference` looks."""
        return max(self.narrow.radius, self.wide.radius)

    def image(self) -> Floats:
        """Return P / sum(P) - Q / sum(Q) as an image, float64 (n, n), n = 2 radius + 1."""
        image = np.zeros((2 * self.radius + 1,) * 2)
        for kernel, sign in ((self.narrow, 1.0), (self.wide, -1.0)):
            part = kernel.image()
            inside = slice(self.radius - kernel.radius, self.radius + kernel.radius + 1)
            image[inside, inside] += sign * part / part.sum()
        return image


def matched(psf: Psf, smoothing: float, core: int = CORE) -> Matched:
    """Return the filter of a PSF.

    Parameters
    ----------
    psf : Psf
        Of the band; pixels beyond its image count as dark.
    smoothing : float
        FWHM of G, pixels.
    core : int
        Pixels to which P reaches.
    """
    image = np.zeros((2 * core + 1,) * 2)
    reach = min(core, psf.radius)
    inside, taken = slice(core - reach, core + reach + 1), slice(psf.radius - reach, psf.radius + reach + 1)
    image[inside, inside] = psf.image[taken, taken]
    # Negative taps are noise of a PSF that was measured from stars, and would make the normalised sum unstable
    # near masks.
    half = octant_mean(image).clip(0.0)
    taps = _whole(gaussian_taps(smoothing))
    wide = core + len(taps) // 2
    smoothed = np.zeros((2 * wide + 1,) * 2)
    # P * G, tap by tap: a few thousand products, the same bits everywhere
    for row, column in itertools.product(range(taps.size), repeat=2):
        smoothed[row : row + 2 * core + 1, column : column + 2 * core + 1] += taps[row] * taps[column] * half
    # far out Q is next to nothing: cut where the Gaussian of the sum of both widths is at 2.6 sigma
    keep = min(wide, math.ceil(1.1 * math.hypot(smoothing, psf.fwhm if psf.fwhm > 0 else 0.0)) + 2)
    cut = slice(wide - keep, wide + keep + 1)
    return Matched(decompose(half, TERMS[0]), decompose(octant_mean(smoothed[cut, cut]), TERMS[1]))


def octant_mean(image: Floats) -> Floats:
    """Return the mean of an image's eight turned and mirrored copies."""
    turned = (image, image.T, image[::-1], image[:, ::-1], image[::-1, ::-1], image.T[::-1], image.T[:, ::-1])
    total = image.T[::-1, ::-1].copy()
    for one in turned:
        total += one
    return total / 8


def decompose(image: Floats, terms: int) -> Kernel:
    """Return the products u(y) u(x), strongest first, whose sum comes closest to a symmetric image.

    Parameters
    ----------
    image : (n, n) float64
        Equal to all its turned and mirrored copies; n odd.
    terms : int
        How many; fewer where fewer are not zero.
    """
    radius = image.shape[0] // 2
    # in the basis of what is even in x and y: the quarter of the image, its off-axis pixels doubled
    scale = [1.0] + [math.sqrt(2.0)] * radius
    quarter = [
        [float(image[radius + j, radius + i]) * scale[j] * scale[i] for i in range(radius + 1)]
        for j in range(radius + 1)
    ]
    # An even, symmetric matrix acts on vectors that are even in y and x, which one quarter of it determines.
    # The factor sqrt(2) keeps the basis orthonormal, so that the eigenvalues are those of the whole.
    values, vectors = _eigen(quarter)
    order = sorted(range(radius + 1), key=lambda k: -abs(values[k]))[:terms]
    rows, columns = [], []
    for k in order:
        # Below the precision of float32: such a term would cost a convolution and change nothing.
        if abs(values[k]) <= 1e-7 * abs(values[order[0]]):
            continue
        # The sign of an eigenvector is arbitrary; fixed here, because products of rounded taps depend on it.
        sign = -1.0 if vectors[0][k] < 0 else 1.0
        half = [sign * vectors[j][k] / scale[j] for j in range(radius + 1)]
        rows.append(tuple(float(np.float32(value)) for value in half))
        columns.append(tuple(float(np.float32(values[k] * value)) for value in half))
    return Kernel(tuple(rows), tuple(columns))


def _eigen(matrix: list[list[float]]) -> tuple[list[float], list[list[float]]]:
    """Return eigenvalues and eigenvectors (as columns) of a symmetric matrix, by Jacobi's rotations.

    A library's would differ in its last bits, or in the sign of a vector, from one CPU to another.
    """
    a = [list(row) for row in matrix]
    n = len(a)
    v = [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]
    for _ in range(60):
        # Jacobi's method converges quadratically: a handful of sweeps, each over all pairs.
        rest = math.fsum(a[i][j] ** 2 for i in range(n) for j in range(n) if i != j)
        if rest <= 1e-30 * math.fsum(a[i][i] ** 2 for i in range(n)):
            break
        for p, q in itertools.combinations(range(n), 2):
            if a[p][q] == 0.0:
                continue
            theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q])
            # The smaller of the two possible rotations, in the form that does not cancel (Golub & Van Loan,
            # Matrix Computations, on Jacobi's method).
            t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + math.sqrt(theta * theta + 1.0))
            c = 1.0 / math.sqrt(t * t + 1.0)
            s = t * c
            for k in range(n):
                a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
            for k in range(n):
                a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
            for k in range(n):
                v[k][p], v[k][q] = c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]
    return [a[i][i] for i in range(n)], v


def matched_difference(image: Float32, valid: NDArray[Any], kernels: Matched) -> Float32:
    """Return S_P - S_Q of an image: the response of one band.

    Parameters
    ----------
    image : (ny, nx) float32
        nJy per pixel, finite where `valid`; other values are ignored, NaN too.
    valid : (ny, nx) bool or uint8
        Where a pixel counts. Outside of the image nothing counts.
    kernels : Matched
        Of the band.

    Returns
    -------
    (ny, nx) float32
        In the unit of `image`; NaN where a kernel finds next to nothing that counts.
    """
    return normalised(image, valid, (convolver(kernels.narrow), convolver(kernels.wide)))


@lru_cache(maxsize=64)
def convolver(kernel: Kernel) -> Convolver:
    """Return the compiled sum of separable convolutions."""
    # Cached by the kernel: the taps of a band are converted once for all tiles of a worker.
    rows = [tuple(np.float32(tap) for tap in half) for half in kernel.rows]
    columns = [tuple(np.float32(tap) for tap in half) for half in kernel.columns]

    def convolve(block: Float32, margin: int, ny: int, nx: int, scratch: Float32, out: Float32) -> None:
        for number, (along, down) in enumerate(zip(rows, columns, strict=True)):
            separable(along, down, number == 0, block, margin, ny, nx, scratch, out)

    return Convolver(kernel.radius, convolve, all_good(convolve, kernel.radius))


def _whole(half: Taps) -> Floats:
    """Return all taps of a half kernel, float64."""
    return np.array([*half[:0:-1], *half])
