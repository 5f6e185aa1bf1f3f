"""A star's response near pixels that the filter leaves out, where the smoothing is normalised by those that count.

There the response is no shifted kernel any more: at every pixel the sums of P and Q over the star's light are divided
by the shares of P and Q that fall on pixels that count. The result is still linear in the star's flux.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.window import Placed
from tilegc.filter.band_noise import BandFilter
from tilegc.kernels.compiled import compiled
from tilegc.photometry.spline_psf import stamp

__all__ = ["Kernels", "add_normalised", "kernel_images"]

Floats = NDArray[np.float64]
Bool = NDArray[np.bool_]


class Kernels(NamedTuple):
    """The matched filter as images of unit sum."""

    narrow: Floats
    """P of every band, (band, n, n)."""
    wide: Floats
    """Q of every band, (band, m, m)."""
    weight: Floats
    """Weight of every band, (band,)."""


def kernel_images(filters: Sequence[BandFilter]) -> Kernels:
    """Return P, Q and the weight of every band."""
    pair = []
    for which in ("narrow", "wide"):
        kernels = [getattr(band.kernels, which) for band in filters]
        reach = max(kernel.radius for kernel in kernels)
        images = [np.pad(kernel.image(), reach - kernel.radius) for kernel in kernels]
        pair.append(np.stack([image / image.sum() for image in images]))
    return Kernels(pair[0], pair[1], np.array([band.weight for band in filters]))


@compiled
def add_normalised(
    stars: Placed,
    left_out: Bool,
    pad: int,
    psfs: Floats,
    sides: Floats,
    kernels: Kernels,
    patches: Floats,
) -> None:
    """Add the response of stars to their patches.

    Parameters
    ----------
    stars : Placed
        The stars, n of them.
    left_out : bool
        Pixels of the window that do not count, with a border of `pad` pixels beyond it.
    pad : int
        Radius of the patches and of Q together, or more.
    psfs : (band, s, s, m, m) float64
        Of `Responses.light`.
    sides : (2, band, s, s, m, m) float64
        Of `Responses`: the PSF convolved with P and with Q.
    kernels : Kernels
        From `kernel_images`.
    patches : (n, p, p) float64
        Changed in place; 0 where a kernel finds nothing that counts.
    """
    size = patches.shape[1]
    reach = size // 2
    star_reach = (psfs.shape[-1] - 3) // 2
    light = np.empty((2 * star_reach + 1, 2 * star_reach + 1))
    far = reach + kernels.wide.shape[-1] // 2
    sums, norms = np.empty((2, size, size)), np.empty((2, size, size))
    dy, dx = stars.dy, stars.dx
    for n in range(stars.row.size):
        y0, x0 = stars.row[n] + pad, stars.column[n] + pad
        for b in range(stars.flux.shape[0]):
            # Both sums as if all pixels counted, less the light on those that do not.
            stamp(psfs[b], dy[n], dx[n], light)
            stamp(sides[0, b], dy[n], dx[n], sums[0])
            stamp(sides[1, b], dy[n], dx[n], sums[1])
            # Pixels that do not count are few, even next to a gap. Taking them out of sums over all pixels costs one
            # kernel for each of them, where summing over the others would cost one for each pixel that counts.
            norms[:] = 1.0
            for j in range(-far, far + 1):
                for i in range(-far, far + 1):
                    if not left_out[y0 + j, x0 + i]:
                        continue
                    lit = abs(j) <= star_reach and abs(i) <= star_reach
                    value = light[j + star_reach, i + star_reach] if lit else 0.0
                    _take(norms[0], sums[0], kernels.narrow[b], j + reach, i + reach, value)
                    _take(norms[1], sums[1], kernels.wide[b], j + reach, i + reach, value)
            scale = kernels.weight[b] * stars.flux[b, n]
            for j in range(size):
                for i in range(size):
                    if norms[0, j, i] > 1e-6 and norms[1, j, i] > 1e-6:
                        share = sums[0, j, i] / norms[0, j, i] - sums[1, j, i] / norms[1, j, i]
                        patches[n, j, i] += scale * share


@compiled
def _take(norm: Floats, total: Floats, kernel: Floats, y: int, x: int, value: float) -> None:
    """Take a pixel out of both sums: the kernel about it, and the same times the light on it."""
    size, reach = total.shape[0], kernel.shape[0] // 2
    first, last = max(x - reach, 0), min(x + reach + 1, size)
    if first >= last:
        return
    for j in range(max(y - reach, 0), min(y + reach + 1, size)):
        # Views that begin at 0 make the inner loop one of vector instructions.
        taps = kernel[j - y + reach, first - x + reach : last - x + reach]
        one, other = norm[j, first:last], total[j, first:last]
        for i in range(last - first):
            one[i] -= taps[i]
            other[i] -= value * taps[i]
