"""The kernel W of rho, and the smooth parts into which it is split by distance (algorithm.md, section 7).

W_l equals W beyond a distance a_l, and continues it smoothly within: `tilegc.density.multilevel` says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.density.splines import touched
from tilegc.geometry import Box

__all__ = ["DEGREE", "STEP", "TAIL", "Kernel", "lattice_kernel", "smooth_part"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

STEP: Final = 8
"""Spacing of the nodes of the finest lattice in pixels."""

DEGREE: Final = 5
"""Degree of the splines."""

ORDER: Final = 5
"""Degree of the polynomial in d^2 that continues W within a_l."""

TAIL: Final = 4
"""The kernel of a lattice, sharpened to compensate for the splines, is truncated this many steps beyond 2 a_l."""


@dataclass(frozen=True)
class Kernel:
    """W(d) = (softening + sqrt(d^2 + core^2))^-alpha, and the pixel scale on which it is summed."""

    scale: float
    """Arcsec per pixel."""
    alpha: float
    softening: float
    """Softening length in arcsec."""
    core: float = 0.0
    """Core radius in arcsec."""

    def at(self, d2: NDArray[np.floating] | Int64) -> Float64:
        """Return W at the squared distances d2 in pixels^2."""
        distance = self.scale * np.sqrt(np.asarray(d2, np.float64) + (self.core / self.scale) ** 2)
        values: Float64 = (self.softening + distance) ** -self.alpha
        return values


def smooth_part(d2: NDArray[np.floating] | Int64, kernel: Kernel, cut: float) -> Float64:
    """Return W_l at squared distances d2 (pixels^2): W beyond d = cut, and its Taylor series in d^2 within."""
    n = ORDER + 1
    soft, core = kernel.softening / kernel.scale, kernel.core / kernel.scale
    edge = math.hypot(cut, core)
    # The Taylor series is built in exact steps: first that of the distance as a function of d^2, then the power
    # law of it as a binomial series, multiplied out term by term. A fit would leave a step in the derivatives
    # at the edge.
    root, factor = np.empty(n), 1.0
    for k in range(n):  # sqrt(1 + v) = sum of root u^k, with v = u (cut / edge)^2
        root[k] = factor * (cut / edge) ** (2 * k)
        factor *= (0.5 - k) / (k + 1)
    inner = root * (edge / (soft + edge))
    inner[0] = 0.0
    series, power, factor = np.zeros(n), np.eye(1, n)[0], 1.0
    for k in range(n):  # (1 + inner(u))^-alpha
        series += factor * power
        power = np.convolve(power, inner)[:n]
        factor *= (-kernel.alpha - k) / (k + 1)
    u = np.asarray(d2, np.float64) / (cut * cut) - 1.0
    within = np.polyval(series[::-1], np.minimum(u, 0.0)) * kernel.at(np.array([cut * cut]))[0]
    return np.where(u < 0, within, kernel.at(d2))


def lattice_kernel(level: int, last: bool, shape: tuple[int, int], kernel: Kernel, ratio: int) -> Float64:
    """Return the part of the kernel that belongs to a lattice, sharpened to compensate for the two splines."""
    step = STEP * 2**level
    nodes = touched(Box(0, 0, *shape), step, DEGREE)
    radius = max(nodes.shape) - 1 if last else 2 * ratio + TAIL
    cut = float(ratio * step)
    # The transform is periodic: make it wide enough that the sharpened rim does not wrap around into the kernel.
    side = 2 ** math.ceil(math.log2(2 * (radius + 2 * ratio + 16)))
    along = np.minimum(np.arange(side), side - np.arange(side)) * float(step)
    d2 = along[:, None] ** 2 + along[None, :] ** 2
    values = smooth_part(d2, kernel, cut)
    if not last:
        values = values - smooth_part(d2, kernel, 2 * cut)
    angle = 2 * np.pi * np.arange(side) / side
    spline = (
        66 + 52 * np.cos(angle) + 2 * np.cos(2 * angle)
    ) / 120  # transform of the degree-5 spline at the nodes
    # Spreading and interpolating smooth the kernel once each, per axis: dividing their transforms out in
    # advance leaves exactly W at the nodes.
    sharp = np.fft.fft2(values) / (spline[:, None] * spline[None, :]) ** 2
    values = np.fft.ifft2(sharp).real
    index = np.arange(-radius, radius + 1)
    taps = values[np.ix_(index % side, index % side)]
    if not last:
        taps[index[:, None] ** 2 + index[None, :] ** 2 > radius * radius] = 0.0
    return np.ascontiguousarray(taps)
