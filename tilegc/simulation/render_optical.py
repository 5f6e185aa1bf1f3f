"""Kernels that add sources with optical PSFs to a window of pixels; for their contract see `tilegc.simulation.render`.

A PSF is tabulated at a whole number of samples a pixel. The pixels of a mosaic then fall on samples of one and the same
phase for a given source, so that its shifted PSF is a sum of 4 x 4 tables (cubic convolution) with weights that are
the same for all its pixels: no weight is computed per pixel, and inner loops run over contiguous rows.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.simulation.render import BLOB_WEIGHT, BLOB_WIDTH, cubic

__all__ = ["DiskStamps", "add_far_spikes", "add_halos", "add_stamp", "add_tables"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@compiled
def add_tables(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    reach: Floats,
    core: Floats,
    field_x: Floats,
    field_y: Floats,
    tables: Floats,
) -> None:
    """Add point sources.

    Within `core` pixels of a source its PSF is shifted exactly and is that of its place in the field, `field_x` and
    `field_y` from -1 to 1. Beyond, where there is little light, the nearest phase of the tables must do, in the middle
    of the field: these pixels are many and would take most of the time.
    """
    ny, nx = light.shape
    samples, side = tables.shape[1], tables.shape[3]
    middle = side // 2
    row = np.empty(nx)
    weight = np.empty((3, 4, 4))
    for n in index:
        i0 = max(0, math.ceil(x[n] - reach[n]) - x_start)
        i1 = min(nx, math.floor(x[n] + reach[n]) - x_start + 1)
        j0 = max(0, math.ceil(y[n] - reach[n]) - y_start)
        j1 = min(ny, math.floor(y[n] + reach[n]) - y_start + 1)
        if i0 >= i1 or j0 >= j1:
            continue
        # the source's pixel, and the sample of the tables on which that pixel's centre falls
        px, py = math.floor(x[n] + 0.5), math.floor(y[n] + 0.5)
        u, v = (px - x[n]) * samples, (py - y[n]) * samples
        ku, kv = math.floor(u), math.floor(v)
        for a in range(4):
            for b in range(4):
                w = flux[n] * cubic(v - (kv + a - 1)) * cubic(u - (ku + b - 1))
                weight[0, a, b] = w
                weight[1, a, b] = w * field_x[n]
                weight[2, a, b] = w * field_y[n]
        nu, nv = math.floor(u + 0.5), math.floor(v + 0.5)
        turn_u, turn_v = nu % samples, nv % samples
        near_u = x_start - px + middle + (nu - turn_u) // samples
        near_v = y_start - py + middle + (nv - turn_v) // samples
        inner = math.floor(core[n])
        c0, c1 = max(i0, px - inner - x_start), min(i1, px + inner + 1 - x_start)
        for j in range(j0, j1):
            exact = abs(y_start + j - py) <= inner and c0 < c1
            jj = j + near_v
            if 0 <= jj < side:
                table = tables[0, turn_v, turn_u, jj]
                lo, hi = max(i0, -near_u), min(i1, side - near_u)
                if not exact:
                    for i in range(lo, hi):
                        light[j, i] += flux[n] * table[i + near_u]
                else:
                    for i in range(lo, min(hi, c0)):
                        light[j, i] += flux[n] * table[i + near_u]
                    for i in range(max(lo, c1), hi):
                        light[j, i] += flux[n] * table[i + near_u]
            if not exact:
                continue
            _exact_row(row, c0, c1, y_start + j - py + middle, x_start - px + middle, ku, kv, weight, tables)
            for i in range(c0, c1):
                light[j, i] += row[i]


@compiled
def _exact_row(
    row: Floats, c0: int, c1: int, down: int, right: int, ku: int, kv: int, weight: Floats, tables: Floats
) -> None:
    """Set pixels c0 to c1 of a row of a source's core: 4 x 4 samples of its PSF, shifted by cubic convolution.

    `down` and `right` are the row and the column of the tables on which the first pixel of the row falls.
    """
    samples, side = tables.shape[1], tables.shape[3]
    for i in range(c0, c1):
        row[i] = 0.0
    for a in range(4):
        sample = kv + a - 1
        phase = sample % samples
        jj = down + (sample - phase) // samples
        if jj < 0 or jj >= side:
            continue
        for b in range(4):
            sample = ku + b - 1
            turn = sample % samples
            shift = right + (sample - turn) // samples
            lo, hi = max(c0, -shift), min(c1, side - shift)
            for f in range(3):
                w = weight[f, a, b]
                table = tables[f, phase, turn, jj]
                for i in range(lo, hi):
                    row[i] += w * table[i + shift]


@compiled
def add_halos(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    start: float,
    full: float,
    level: float,
    floor: float,
) -> None:
    """Add the halos of bright stars beyond the tables: they set in between `start` and `full` and fall as r^-3."""
    ny, nx = light.shape
    for n in index:
        peak = flux[n] * level
        reach = full * max(peak / floor, 0.0) ** (1.0 / 3.0)
        if reach <= start:
            continue
        i0 = max(0, math.ceil(x[n] - reach) - x_start)
        i1 = min(nx, math.floor(x[n] + reach) - x_start + 1)
        j0 = max(0, math.ceil(y[n] - reach) - y_start)
        j1 = min(ny, math.floor(y[n] + reach) - y_start + 1)
        for j in range(j0, j1):
            dy = float(y_start + j) - y[n]
            for i in range(i0, i1):
                dx = float(x_start + i) - x[n]
                r2 = dx * dx + dy * dy
                if r2 <= start * start or r2 > reach * reach:
                    continue
                r = math.sqrt(r2)
                q = full / r
                t = min((r - start) / (full - start), 1.0)
                light[j, i] += peak * q * q * q * t * t * (3.0 - 2.0 * t)


@compiled
def add_far_spikes(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    start: float,
    full: float,
    ridge: float,
    width: float,
    direction: Floats,
    bead: float,
    floor: float,
) -> None:
    """Add the beaded spikes of bright stars beyond the tables: they set in with the halo and fall as r^-2."""
    ny, nx = light.shape
    half = 4.0 * width
    for n in index:
        peak = flux[n] * ridge
        reach = full * math.sqrt(max(peak / floor, 0.0))
        if reach <= start:
            continue
        for k in range(len(direction)):
            cos, sin = math.cos(direction[k]), math.sin(direction[k])
            for j in range(ny):
                dy = float(y_start + j) - y[n]
                if abs(dy) > reach + half:
                    continue
                # where this row crosses the strip of pixels within `half` of the ridge
                lo, hi = -reach - half, reach + half
                if abs(sin) > 1e-3:
                    a, b = (cos * dy - half) / sin, (cos * dy + half) / sin
                    lo, hi = max(lo, min(a, b) - 1.0), min(hi, max(a, b) + 1.0)
                elif abs(dy) > half + 1.0 + 1e-3 * reach:
                    continue
                i0 = max(0, math.floor(x[n] + lo) - x_start)
                i1 = min(nx, math.ceil(x[n] + hi) - x_start + 1)
                for i in range(i0, i1):
                    dx = float(x_start + i) - x[n]
                    r, p = dx * cos + dy * sin, dy * cos - dx * sin
                    if r <= start or r > reach or abs(p) > half:
                        continue
                    t = min((r - start) / (full - start), 1.0)
                    q = full / r
                    value = peak * q * q * (1.0 + 0.5 * math.cos(2.0 * math.pi * r / bead))
                    light[j, i] += value * math.exp(-0.5 * (p / width) ** 2) * t * t * (3.0 - 2.0 * t)


@compiled
def add_stamp(light: Floats, x_start: int, y_start: int, x: int, y: int, stamp: Floats) -> None:
    """Add an image whose first pixel is (x, y)."""
    ny, nx = light.shape
    i0, i1 = max(0, x - x_start), min(nx, x + stamp.shape[1] - x_start)
    j0, j1 = max(0, y - y_start), min(ny, y + stamp.shape[0] - y_start)
    for j in range(j0, j1):
        for i in range(i0, i1):
            light[j, i] += stamp[y_start + j - y, x_start + i - x]


@compiled
def disk_spectrum(out: Floats, radius: float, axis_ratio: float, angle: float, step: float) -> None:
    """Fill with the transform of an exponential disk of flux 1 (real: it is symmetric), at half a plane of frequencies.

    `step` is the spacing of the frequencies, cycles per pixel; rows wrap as those of `rfft2` do.
    """
    ny, nx = out.shape
    cos, sin = math.cos(angle), math.sin(angle)
    for j in range(ny):
        fy = step * (j if j < ny - j else j - ny)
        for i in range(nx):
            fx = step * i
            along, across = fx * cos + fy * sin, (fy * cos - fx * sin) * axis_ratio
            k2 = 2.0 * math.pi**2 * radius * radius * (along * along + across * across)
            total = 0.0
            for g in range(len(BLOB_WIDTH)):
                total += BLOB_WEIGHT[g] * math.exp(-(BLOB_WIDTH[g] ** 2) * k2)
            out[j, i] = total


class DiskStamps:
    """Small exponential disks convolved with the PSF, each as an image of its own.

    A disk's transform is known in closed form; times that of the PSF and a shift it gives the convolved image exactly.
    The image hangs on the disk alone, not on the window that it is added to.

    Parameters
    ----------
    image : ndarray of float64, shape (n, n)
        PSF in the middle of the field at 4 samples a pixel.
    """

    SIDES = (48, 128)
    """Sides of the images, px."""

    def __init__(self, image: Floats) -> None:
        self._transfer = {}
        for side in self.SIDES:
            half = 2 * side
            middle = len(image) // 2
            cut = image[middle - half : middle + half : 2, middle - half : middle + half : 2]
            axis = np.abs(np.arange(2 * side) - side) / side
            taper = np.clip((1.0 - axis) / 0.2, 0.0, 1.0)
            cut = cut * taper[:, None] * taper
            # what a small image leaves out is spread over it: the flux stays
            cut *= (image.sum() / 16.0) / (cut.sum() / 4.0)
            self._transfer[side] = scipy.fft.rfft2(np.fft.ifftshift(cut))

    @classmethod
    def spectrum(cls, side: int, radius: float, axis_ratio: float, angle: float) -> Floats:
        """Return the transform of a disk of flux 1, the same for all bands; `radius` along its major axis, px."""
        out = np.empty((2 * side, side + 1))
        disk_spectrum(out, radius, axis_ratio, angle, 1.0 / side)
        return out

    def stamp(self, side: int, spectrum: Floats, x: float, y: float) -> tuple[int, int, Floats]:
        """Return the first pixel (x, y) and the image of a disk of flux 1 centred at (x, y)."""
        px, py = math.floor(x + 0.5), math.floor(y + 0.5)
        n = 2 * side
        fy, fx = np.fft.fftfreq(n, 0.5), np.fft.rfftfreq(n, 0.5)
        shift = np.exp(-2j * math.pi * fy * (y - py))[:, None] * np.exp(-2j * math.pi * fx * (x - px))
        whole = scipy.fft.irfft2(spectrum * self._transfer[side] * shift, s=(n, n))
        stamp = np.fft.fftshift(whole[::2, ::2])
        return px - side // 2, py - side // 2, np.ascontiguousarray(stamp)
