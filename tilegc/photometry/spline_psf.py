"""Effective PSFs that can be evaluated at any sub-pixel position: cubic B-splines on a grid finer than the pixels.

An effective PSF (Anderson & King 2000, PASP 112, 1360) is the share of a point's light that a pixel receives, as a
function of the offset between the pixel's centre and the point. All pixels of a stamp have the same fractional
offset, so the sixteen spline weights are computed once per stamp, and the stamp is a sum of sixteen contiguous
images. The spline coefficients are computed in the driver; workers only multiply and add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.kernels.psf import Psf, centroid

__all__ = ["OVERSAMPLING", "SplinePsf", "from_image", "from_psf", "stamp", "stamp_with_slopes"]

Floats = NDArray[np.float64]

OVERSAMPLING: Final = 4
"""Spline nodes per pixel. An effective PSF contains the pixel, so it has no structure on finer scales."""

PIXEL_POINTS: Final = 8
"""Least number of Gauss-Legendre points along a pixel's side over which an optical PSF is averaged."""

CORE: Final = 4.0
"""Radius, pixels of the mosaic, within which the light's centroid is the centre of the PSF."""

QUANTUM: Final = 2.0**-40
"""Spline coefficients are rounded to whole multiples of this: libraries differ in their last bits."""


@dataclass(frozen=True)
class SplinePsf:
    """The effective PSF of one band as spline coefficients."""

    table: Floats
    """Coefficients by phase and pixel, float64 (s, s, m, m), s = `OVERSAMPLING`, m = 2 radius + 3; C-contiguous."""
    radius: int
    """Pixels from the middle of a stamp to its border."""

    @property
    def size(self) -> int:
        """Side of a stamp, pixels."""
        return 2 * self.radius + 1

    def image(self, dy: float = 0.0, dx: float = 0.0) -> Floats:
        """Return the stamp of a point at (dy, dx), pixels from the middle pixel's centre, each within ±0.5."""
        out = np.empty((self.size, self.size))
        stamp(self.table, dy, dx, out)
        return out

    def share(self, radius: float, points: int = 11) -> float:
        """Return the share of the light within a circle about the point, averaged over pixel phases.

        Parameters
        ----------
        radius : float
            Pixels; the circle should lie within the stamp.
        points : int
            Points along a pixel's side at which the circle's edge is sampled.
        """
        offset = np.arange(-self.radius, self.radius + 1.0)
        part = (np.arange(points) - (points - 1) / 2) / points
        y, x = np.meshgrid(offset, offset, indexing="ij")
        inside = np.zeros_like(y)
        for dy in part:
            for dx in part:
                inside += (y + dy) ** 2 + (x + dx) ** 2 <= radius**2
        return float((self.image() * inside).sum() / points**2)


def from_psf(psf: Psf, radius: int, *, share: float = 1.0) -> SplinePsf:
    """Return the spline of a PSF that is known at whole pixels alone, as one measured on stars or modelled is.

    Parameters
    ----------
    psf : Psf
        Centred on its middle pixel.
    radius : int
        Pixels from the middle of the stamps to their border.
    share : float
        Share of a point's light that the PSF's image holds.
    """
    return from_image(psf.image * share, (psf.radius, psf.radius), 1.0, radius, average=False)


def from_image(
    image: Floats, centre: tuple[float, float] | None, step: float, radius: int, *, average: bool
) -> SplinePsf:
    """Return the spline of a PSF image.

    Parameters
    ----------
    image : (ny, nx) float64
        Share of the light per pixel of the image, finite; its sum is the share of the light that it holds.
    centre : (float, float), optional
        Its centre (y, x), pixels of the image; the centroid of its core by default.
    step : float
        Pixels of the image in one of the mosaic.
    radius : int
        Pixels of the mosaic from the middle of the stamps to their border; dark where the image ends before it.
    average : bool
        Whether to average over the mosaic's pixel: for an optical PSF, which contains no pixel yet.
    """
    if centre is None:
        centre = centroid(image, max(2.5, CORE * step))
    coefficients = scipy.ndimage.spline_filter(image, order=3, mode="mirror")
    nodes = np.arange(OVERSAMPLING * (2 * radius + 3))
    offset = nodes / OVERSAMPLING - (radius + 1)
    points, weights = np.zeros(1), np.ones(1)
    if average:
        points, weights = np.polynomial.legendre.leggauss(max(PIXEL_POINTS, math.ceil(2 * step)))
        points, weights = points / 2, weights / 2
    total = np.zeros((offset.size, offset.size))
    for dy, down in zip(points, weights, strict=True):
        for dx, along in zip(points, weights, strict=True):
            rows, columns = centre[0] + step * (offset + dy), centre[1] + step * (offset + dx)
            places = np.meshgrid(rows, columns, indexing="ij")
            values = scipy.ndimage.map_coordinates(
                coefficients, places, order=3, mode="grid-constant", prefilter=False
            )
            total += down * along * values
    # A pixel of the mosaic holds step^2 pixels of the image.
    return _spline(total * step**2, radius)


def _spline(values: Floats, radius: int) -> SplinePsf:
    """Return the spline through values at the nodes, float64 (s m, s m)."""
    nodes = scipy.ndimage.spline_filter(values, order=3, mode="mirror")
    nodes = np.round(nodes / QUANTUM) * QUANTUM + 0.0
    s, m = OVERSAMPLING, 2 * radius + 3
    table = nodes.reshape(m, s, m, s).transpose(1, 3, 0, 2)
    return SplinePsf(np.ascontiguousarray(table), radius)


@compiled
def _weights(f: float, weight: Floats, slope: Floats) -> int:
    """Set the spline's four weights, and their derivatives by the point's position; return the first node.

    `f` is the point's offset from the centre of its pixel. The first node counts from that pixel's own.
    """
    g = -OVERSAMPLING * f
    k = int(np.floor(g))
    t = g - k
    u = 1.0 - t
    weight[0] = u * u * u / 6.0
    weight[1] = (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0
    weight[2] = (3.0 * u * u * u - 6.0 * u * u + 4.0) / 6.0
    weight[3] = t * t * t / 6.0
    slope[0] = OVERSAMPLING * u * u / 2.0
    slope[1] = -OVERSAMPLING * (9.0 * t * t - 12.0 * t) / 6.0
    slope[2] = OVERSAMPLING * (9.0 * u * u - 12.0 * u) / 6.0
    slope[3] = -OVERSAMPLING * t * t / 2.0
    return k - 1


@compiled
def _mix(table: Floats, cut: int, ky: int, kx: int, wy: Floats, wx: Floats, out: Floats) -> None:
    """Add up the sixteen images of a stamp, whose border lies `cut` pixels inside the table's."""
    size, m = out.shape[0], table.shape[2]
    flat = table.ravel()
    a, b, c, d = wx[0], wx[1], wx[2], wx[3]
    out[:] = 0.0
    # Views that begin at 0: Numba then need not look for negative indices in the inner loop, and LLVM turns it into
    # vector instructions. With indices into the table the same sums take almost three times as long.
    for j in range(4):
        q = ky + j
        w = wy[j]
        phase = (q % OVERSAMPLING) * OVERSAMPLING * m * m + (cut + 1 + q // OVERSAMPLING) * m + cut + 1
        for iy in range(size):
            start = phase + iy * m
            at = start + (kx % OVERSAMPLING) * m * m + kx // OVERSAMPLING
            bt = start + ((kx + 1) % OVERSAMPLING) * m * m + (kx + 1) // OVERSAMPLING
            ct = start + ((kx + 2) % OVERSAMPLING) * m * m + (kx + 2) // OVERSAMPLING
            dt = start + ((kx + 3) % OVERSAMPLING) * m * m + (kx + 3) // OVERSAMPLING
            line = out[iy]
            one, two, three, four = (
                flat[at : at + size],
                flat[bt : bt + size],
                flat[ct : ct + size],
                flat[dt : dt + size],
            )
            for ix in range(size):
                line[ix] += w * (a * one[ix] + b * two[ix] + c * three[ix] + d * four[ix])


@compiled
def stamp(table: Floats, dy: float, dx: float, out: Floats) -> None:
    """Set a stamp: the share of a point's light in every pixel.

    Parameters
    ----------
    table : (s, s, m, m) float64
        Of a `SplinePsf`.
    dy, dx : float
        The point's offset from the centre of the middle pixel, each within ±0.5.
    out : (n, n) float64
        Changed in place; n odd, at most m - 2.
    """
    cut = (table.shape[2] - 2 - out.shape[0]) // 2
    wy, wx, slope = np.empty(4), np.empty(4), np.empty(4)
    ky, kx = _weights(dy, wy, slope), _weights(dx, wx, slope)
    _mix(table, cut, ky, kx, wy, wx, out)


@compiled
def stamp_with_slopes(
    table: Floats, dy: float, dx: float, out: Floats, along_y: Floats, along_x: Floats
) -> None:
    """Set a stamp and its derivatives by the point's position, per pixel; parameters as of `stamp`."""
    cut = (table.shape[2] - 2 - out.shape[0]) // 2
    wy, wx, sy, sx = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    ky, kx = _weights(dy, wy, sy), _weights(dx, wx, sx)
    _mix(table, cut, ky, kx, wy, wx, out)
    _mix(table, cut, ky, kx, sy, wx, along_y)
    _mix(table, cut, ky, kx, wy, sx, along_x)
