"""Kernels that add light to a window of pixels.

Each takes the window's float64 array and its first pixel, and adds one object after another in the
order given. What an object adds to a pixel is a function of the object and of the pixel's absolute
coordinates alone, and every object has its own fixed extent, so a pixel's sum does not depend on the
window it was computed in. Positions and lengths are in pixels, light is in nJy per pixel, angles run
from the x axis towards y.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = [
    "BLOB_WEIGHT",
    "BLOB_WIDTH",
    "add_arcs",
    "add_blobs",
    "add_images",
    "add_points",
    "add_sersics",
    "add_spikes",
    "blank_cores",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# An exponential disk of unit half-light radius as Gaussians (a least-squares fit, good to 0.1 %)
BLOB_WIDTH = np.array([0.18373753, 0.42910786, 0.81406218, 1.41415175])
BLOB_WEIGHT = np.array([0.02355, 0.16515, 0.46953, 0.34177])


@compiled
def add_points(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    sigma: Floats,
    weight: Floats,
    floor: float,
) -> None:
    """Add point sources whose PSF is a sum of round Gaussians; each ends where it falls to `floor`."""
    ny, nx = light.shape
    row = np.empty(nx)
    for n in index:
        for c in range(len(sigma)):
            s = sigma[c]
            peak = flux[n] * weight[c] / (2.0 * math.pi * s * s)
            if peak <= floor:
                continue
            reach = s * math.sqrt(2.0 * math.log(peak / floor))
            i0 = max(0, math.ceil(x[n] - reach) - x_start)
            i1 = min(nx, math.floor(x[n] + reach) - x_start + 1)
            j0 = max(0, math.ceil(y[n] - reach) - y_start)
            j1 = min(ny, math.floor(y[n] + reach) - y_start + 1)
            if i0 >= i1 or j0 >= j1:
                continue
            scale = -0.5 / (s * s)
            for i in range(i0, i1):
                d = float(x_start + i) - x[n]
                row[i] = math.exp(scale * d * d)
            for j in range(j0, j1):
                d = float(y_start + j) - y[n]
                a = peak * math.exp(scale * d * d)
                for i in range(i0, i1):
                    light[j, i] += a * row[i]


@compiled
def cubic(t: float) -> float:
    """Return Keys' cubic convolution kernel."""
    t = abs(t)
    if t < 1.0:
        return (1.5 * t - 2.5) * t * t + 1.0
    if t < 2.0:
        return ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return 0.0


@compiled
def add_images(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    reach: Floats,
    image: Floats,
    centre_y: float,
    centre_x: float,
    step: float,
) -> None:
    """Add point sources whose PSF is an image with `step` of its pixels to one of the mosaic."""
    ny, nx = light.shape
    my, mx = image.shape
    for n in index:
        i0 = max(0, math.ceil(x[n] - reach[n]) - x_start)
        i1 = min(nx, math.floor(x[n] + reach[n]) - x_start + 1)
        j0 = max(0, math.ceil(y[n] - reach[n]) - y_start)
        j1 = min(ny, math.floor(y[n] + reach[n]) - y_start + 1)
        for j in range(j0, j1):
            v = (float(y_start + j) - y[n]) * step + centre_y
            jv = math.floor(v)
            for i in range(i0, i1):
                u = (float(x_start + i) - x[n]) * step + centre_x
                iu = math.floor(u)
                total = 0.0
                for q in range(jv - 1, jv + 3):
                    if q < 0 or q >= my:
                        continue
                    part = 0.0
                    for p in range(iu - 1, iu + 3):
                        if 0 <= p < mx:
                            part += cubic(u - p) * image[q, p]
                    total += cubic(v - q) * part
                light[j, i] += flux[n] * step * step * total


@compiled
def add_blobs(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    radius: Floats,
    axis_ratio: Floats,
    angle: Floats,
    sigma: Floats,
    weight: Floats,
    floor: float,
) -> None:
    """Add small exponential disks, convolved with a PSF that is a sum of round Gaussians."""
    ny, nx = light.shape
    for n in index:
        cos, sin = math.cos(angle[n]), math.sin(angle[n])
        for c in range(len(sigma)):
            for g in range(len(BLOB_WIDTH)):
                along = (BLOB_WIDTH[g] * radius[n]) ** 2 + sigma[c] ** 2
                across = (BLOB_WIDTH[g] * radius[n] * axis_ratio[n]) ** 2 + sigma[c] ** 2
                peak = flux[n] * weight[c] * BLOB_WEIGHT[g] / (2.0 * math.pi * math.sqrt(along * across))
                if peak <= floor:
                    continue
                reach = math.sqrt(2.0 * along * math.log(peak / floor))
                i0 = max(0, math.ceil(x[n] - reach) - x_start)
                i1 = min(nx, math.floor(x[n] + reach) - x_start + 1)
                j0 = max(0, math.ceil(y[n] - reach) - y_start)
                j1 = min(ny, math.floor(y[n] + reach) - y_start + 1)
                for j in range(j0, j1):
                    dy = float(y_start + j) - y[n]
                    for i in range(i0, i1):
                        dx = float(x_start + i) - x[n]
                        u, v = dx * cos + dy * sin, dy * cos - dx * sin
                        light[j, i] += peak * math.exp(-0.5 * (u * u / along + v * v / across))


@compiled
def add_sersics(
    light: NDArray[np.float64],
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    peak: Floats,
    radius: Floats,
    axis_ratio: Floats,
    angle: Floats,
    sersic: Floats,
    soft: float,
    reach: Floats,
) -> None:
    """Add softened Sersic profiles to all bands, less their value at `reach`, where they end.

    ``light`` has the shape (bands, ny, nx), ``peak`` (objects, bands): the factor that gives an
    object its flux. The softening `soft` stands for the PSF: these objects are larger than it.
    """
    nb, ny, nx = light.shape
    for n in index:
        cos, sin = math.cos(angle[n]), math.sin(angle[n])
        b = 2.0 * sersic[n] - 1.0 / 3.0 + 0.009876 / sersic[n]  # Prugniel & Simien 1997
        power = 0.5 / sersic[n]
        last = math.exp(-b * ((reach[n] ** 2 + soft * soft) / radius[n] ** 2) ** power)
        i0 = max(0, math.ceil(x[n] - reach[n]) - x_start)
        i1 = min(nx, math.floor(x[n] + reach[n]) - x_start + 1)
        j0 = max(0, math.ceil(y[n] - reach[n]) - y_start)
        j1 = min(ny, math.floor(y[n] + reach[n]) - y_start + 1)
        for j in range(j0, j1):
            dy = float(y_start + j) - y[n]
            for i in range(i0, i1):
                dx = float(x_start + i) - x[n]
                u, v = dx * cos + dy * sin, (dy * cos - dx * sin) / axis_ratio[n]
                r2 = u * u + v * v
                if r2 >= reach[n] ** 2:
                    continue
                value = math.exp(-b * ((r2 + soft * soft) / radius[n] ** 2) ** power) - last
                for k in range(nb):
                    light[k, j, i] += peak[n, k] * value


@compiled
def arc_shape(t: float) -> float:
    """Return the peak of an arc along its length, t from -1 to 1: knotty, and gone at both ends."""
    return (1.0 - t * t) * (1.0 + 0.45 * math.cos(9.0 * t + 1.0) + 0.30 * math.cos(23.0 * t))


@compiled
def add_arcs(
    light: NDArray[np.float64],
    x_start: int,
    y_start: int,
    index: Ints,
    centre_x: float,
    centre_y: float,
    peak: Floats,
    radius: Floats,
    angle: Floats,
    half_length: Floats,
    width: Floats,
) -> None:
    """Add arcs on circles round the cluster centre to all bands; they fade at both ends."""
    nb, ny, nx = light.shape
    for n in index:
        outer = radius[n] + 5.0 * width[n]
        i0 = max(0, math.ceil(centre_x - outer) - x_start)
        i1 = min(nx, math.floor(centre_x + outer) - x_start + 1)
        j0 = max(0, math.ceil(centre_y - outer) - y_start)
        j1 = min(ny, math.floor(centre_y + outer) - y_start + 1)
        for j in range(j0, j1):
            dy = float(y_start + j) - centre_y
            for i in range(i0, i1):
                dx = float(x_start + i) - centre_x
                across = math.sqrt(dx * dx + dy * dy) - radius[n]
                if abs(across) > 5.0 * width[n]:
                    continue
                along = math.atan2(dy, dx) - angle[n]
                along -= 2.0 * math.pi * math.floor(along / (2.0 * math.pi) + 0.5)
                t = along / half_length[n]
                if abs(t) >= 1.0:
                    continue
                value = arc_shape(t) * math.exp(-0.5 * (across / (width[n] * (1.0 - 0.5 * t * t))) ** 2)
                for k in range(nb):
                    light[k, j, i] += peak[n, k] * value


@compiled
def add_spikes(
    light: Floats,
    x_start: int,
    y_start: int,
    index: Ints,
    x: Floats,
    y: Floats,
    flux: Floats,
    direction: Floats,
    share: Floats,
    fade: Floats,
    width: float,
    core: float,
    bead: float,
    depth: float,
    floor: float,
) -> None:
    """Add the beaded diffraction spikes of stars.

    Along a spike light falls as 1 / (r^2 + core^2) times exp(-r / fade), modulated by
    1 + depth cos(2 pi r / bead); across it is a Gaussian of sigma `width`. `share` of the flux goes
    into each direction.
    """
    ny, nx = light.shape
    half = 4.0 * width
    for n in index:
        for k in range(len(direction)):
            cos, sin = math.cos(direction[k]), math.sin(direction[k])
            line = flux[n] * share[k] * (2.0 * core / math.pi) / (width * math.sqrt(2.0 * math.pi))
            reach = math.sqrt(max(line / floor - core * core, 0.0))
            reach = min(reach, 12.0 * fade[k])
            for j in range(ny):
                dy = float(y_start + j) - y[n]
                if abs(dy) > reach + half:
                    continue
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
                    if r < 0.0 or r > reach or abs(p) > half:
                        continue
                    value = line / (r * r + core * core) * math.exp(-r / fade[k])
                    value *= 1.0 + depth * math.cos(2.0 * math.pi * r / bead)
                    light[j, i] += value * math.exp(-0.5 * (p / width) ** 2)


@compiled
def blank_cores(
    seen: Floats, x_start: int, y_start: int, index: Ints, x: Floats, y: Floats, radius: Floats
) -> None:
    """Set the exposure to zero within `radius` of saturated stars."""
    ny, nx = seen.shape
    for n in index:
        for j in range(ny):
            dy = float(y_start + j) - y[n]
            if abs(dy) > radius[n]:
                continue
            for i in range(nx):
                dx = float(x_start + i) - x[n]
                if dx * dx + dy * dy <= radius[n] ** 2:
                    seen[j, i] = 0.0
