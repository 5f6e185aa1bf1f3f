"""How well each source is fitted: chi, usable pixels, photons, and light in apertures without the neighbours.

All of it is measured on the residuals of the last solution, to which the source's own model is added where its light
is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.photometry.local_sky import HALF, Planes
from tilegc.photometry.normal_matrix import Points
from tilegc.photometry.sky_spline import STEP, basis

__all__ = ["CORE2", "Quality", "quality"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

CORE2: Final = 4
"""Squared radius, pixels, of the core about a source's own pixel in which chi is measured."""

FITTED: Final = 1.5
"""Pixels' worth of freedom that the fit of a flux, and of a position shared by the bands, takes from the core."""

WIDEST: Final = 1.5 * HALF
"""Radius, pixels, of the widest aperture that lies within the box of its source's plane, or nearly so."""

PARTS: Final = 5
"""Points along the side of a pixel on an aperture's edge by which its share inside is counted."""


@dataclass(frozen=True)
class Quality:
    """Of the sources that a tile owns, in one band."""

    chi: Floats
    """Root of sum w r^2 over the core's pixels per degree of freedom; NaN without two pixels."""
    good: Floats
    """Share of the PSF's squared stamp that lies on pixels with weight: 1 all of the information, 0 none."""
    photons: Floats
    """sum w^2 P^3 over the stamp, nJy^-4: times flux and gain, the photons' part of the variance of r."""
    excess: Floats
    """Light-like part of ERR^2 in the core, nJy^2 per share of the flux; NaN without errors."""
    sky: Floats
    """Sky under the source, nJy per pixel."""
    apertures: Floats
    """Light in circles, neighbours and sky subtracted, nJy, (n, radii); NaN where the circle lacks a pixel."""


def quality(
    residual: Float32,
    weight: Float32,
    err: Float32 | None,
    points: Points,
    flux: Floats,
    shapes: Floats,
    coefficients: Floats,
    origin: tuple[int, int],
    radii: Floats,
    skies: Planes,
) -> Quality:
    """Measure the sources that a tile owns.

    Parameters
    ----------
    residual, weight : (ny, nx) float32
        nJy per pixel and nJy^-2.
    err : (ny, nx) float32, optional
        Errors that contain the sources' photons, nJy.
    points : Points
    flux : (n,) float64
        nJy.
    shapes : (n, size, size) float64
        Stamps of the points.
    coefficients : (ky, kx) float64
        Of the sky.
    origin : (int, int)
        The window's first row and column in the field.
    radii : (m,) float64
        Of the apertures, pixels, ascending.
    skies : Planes
        Of the owned points. They are no sky beyond their box: wider apertures have that of the splines alone.
    """
    own = np.flatnonzero(points.own)
    row, column, dy, dx = points.arrays()
    n = own.size
    chi, good, photons, sky = (np.empty(n) for _ in range(4))
    excess, apertures = np.full(n, np.nan), np.empty((n, radii.size))
    residual, weight = np.require(residual, np.float32, PLAIN), np.require(weight, np.float32, PLAIN)
    flux, radii = np.require(flux, np.float64, PLAIN), np.require(radii, np.float64, PLAIN)
    peak_row, peak_column, plane = skies.arrays()
    _fit(residual, weight, row, column, own, shapes, peak_row, peak_column, plane, chi, good, photons)
    splines, (y0, x0) = np.require(coefficients, np.float64, PLAIN), origin
    _under(splines, y0, x0, row, column, own, basis(), peak_row, peak_column, plane, sky)
    if err is not None:
        _excess(np.require(err, np.float32, PLAIN), weight, row, column, own, shapes, excess)
    _apertures(
        residual, row, column, dy, dx, own, flux, shapes, radii, peak_row, peak_column, plane, apertures
    )
    return Quality(chi, good, photons, excess, sky, apertures)


@compiled
def _fit(
    residual: Float32,
    weight: Float32,
    row: Int64,
    column: Int64,
    own: Int64,
    shapes: Floats,
    peak_row: Int64,
    peak_column: Int64,
    plane: Floats,
    chi: Floats,
    good: Floats,
    photons: Floats,
) -> None:
    radius = shapes.shape[1] // 2
    height, width = residual.shape
    for n in range(own.size):
        i = own[n]
        top, left = row[i] - radius, column[i] - radius
        seen, all_, third, square, count = 0.0, 0.0, 0.0, 0.0, 0
        for j in range(2 * radius + 1):
            y = top + j
            level = plane[n, 0] + plane[n, 1] * (y - peak_row[n])
            for k in range(2 * radius + 1):
                x = left + k
                p = shapes[i, j, k]
                all_ += p * p
                if y < 0 or y >= height or x < 0 or x >= width:
                    continue
                w = weight[y, x]
                if not w > 0:
                    continue
                seen += p * p
                third += w * w * p * p * p
                if (j - radius) * (j - radius) + (k - radius) * (k - radius) <= CORE2:
                    left_over = residual[y, x] - (level + plane[n, 2] * (x - peak_column[n]))
                    square += w * left_over * left_over
                    count += 1
        chi[n] = np.sqrt(square / (count - FITTED)) if count > FITTED else np.nan
        good[n] = seen / all_ if all_ > 0 else 0.0
        photons[n] = max(third, 0.0)


@compiled
def _under(
    coefficients: Floats,
    y0: int,
    x0: int,
    row: Int64,
    column: Int64,
    own: Int64,
    weights: Floats,
    peak_row: Int64,
    peak_column: Int64,
    plane: Floats,
    sky: Floats,
) -> None:
    # The sky is so smooth that its value at the middle of the source's pixel is its value at the source.
    for n in range(own.size):
        i = own[n]
        y = min(max(y0 + row[i], 0), (coefficients.shape[0] - 3) * STEP - 1)
        x = min(max(x0 + column[i], 0), (coefficients.shape[1] - 3) * STEP - 1)
        total = plane[n, 0]
        total += plane[n, 1] * (row[i] - peak_row[n]) + plane[n, 2] * (column[i] - peak_column[n])
        for j in range(4):
            for k in range(4):
                total += (
                    weights[y % STEP, j] * weights[x % STEP, k] * coefficients[y // STEP + j, x // STEP + k]
                )
        sky[n] = total


@compiled
def _excess(
    err: Float32, weight: Float32, row: Int64, column: Int64, own: Int64, shapes: Floats, excess: Floats
) -> None:
    radius = shapes.shape[1] // 2
    height, width = err.shape
    border = np.empty(8 * radius)
    for n in range(own.size):
        i = own[n]
        top, left = row[i] - radius, column[i] - radius
        if top < 0 or left < 0 or top + 2 * radius >= height or left + 2 * radius >= width:
            continue
        count = 0
        for k in range(2 * radius):
            for y, x in (
                (top, left + k),
                (top + k, left + 2 * radius),
                (top + 2 * radius, left + k + 1),
                (top + k + 1, left),
            ):
                if weight[y, x] > 0:
                    border[count] = err[y, x] * err[y, x]
                    count += 1
        if count < 4 * radius:
            continue
        far = np.median(border[:count])
        variance, share = 0.0, 0.0
        for j in range(radius - 1, radius + 2):
            for k in range(radius - 1, radius + 2):
                if not weight[top + j, left + k] > 0:
                    share = np.nan
                variance += err[top + j, left + k] * err[top + j, left + k] - far
                share += shapes[i, j, k]
        excess[n] = variance / share


@compiled
def _apertures(
    residual: Float32,
    row: Int64,
    column: Int64,
    dy: Floats,
    dx: Floats,
    own: Int64,
    flux: Floats,
    shapes: Floats,
    radii: Floats,
    peak_row: Int64,
    peak_column: Int64,
    plane: Floats,
    out: Floats,
) -> None:
    radius = shapes.shape[1] // 2
    height, width = residual.shape
    half = 0.7072
    for n in range(own.size):
        i = own[n]
        for m in range(radii.size):
            r = radii[m]
            flat = 1.0 if r <= WIDEST else 0.0
            reach = int(np.ceil(r + 0.5))
            total = 0.0
            for j in range(-reach, reach + 1):
                for k in range(-reach, reach + 1):
                    u, v = j - dy[i], k - dx[i]
                    distance = np.sqrt(u * u + v * v)
                    if distance >= r + half:
                        continue
                    share = 1.0
                    if distance > r - half:
                        inside = 0
                        for a in range(PARTS):
                            for b in range(PARTS):
                                s = u + (a - (PARTS - 1) / 2) / PARTS
                                t = v + (b - (PARTS - 1) / 2) / PARTS
                                inside += 1 if s * s + t * t <= r * r else 0
                        share = inside / (PARTS * PARTS)
                        if inside == 0:
                            continue
                    y, x = row[i] + j, column[i] + k
                    if y < 0 or y >= height or x < 0 or x >= width:
                        total = np.nan
                        continue
                    local = plane[n, 0] + plane[n, 1] * (y - peak_row[n]) + plane[n, 2] * (x - peak_column[n])
                    value = float(residual[y, x]) - flat * local
                    if abs(j) <= radius and abs(k) <= radius:
                        value += flux[i] * shapes[i, j + radius, k + radius]
                    total += share * value
            out[n, m] = total
