"""What is left of a band when the sky and all sources are subtracted, and what its weights are.

The model of a pixel is summed over the sources in the order of their numbers, in float64, so that it is the same
float in every window that holds the sources whose stamps reach the pixel.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled
from tilegc.photometry.normal_matrix import Points, stamps
from tilegc.photometry.sky_spline import evaluate
from tilegc.photometry.spline_psf import SplinePsf
from tilegc.schema import Bit

__all__ = ["BLOCK", "UNMODELLED", "light", "residual", "weights"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

UNMODELLED: Final = Bit.NO_DATA | Bit.BRIGHT | Bit.EXTENDED | Bit.SPIKE | Bit.ARC
"""Bits of the mask whose pixels hold light that no point source of the list explains; they get no weight."""

BLOCK: Final = 16
"""Side, pixels, of the blocks in which the sky's variance is read off the errors; aligned to pixel (0, 0)."""

QUARTER: Final = 0.25
"""Quantile of the squared errors in a block that is the sky's: pixels with sources have larger ones."""


def weights(
    sci: Float32, wht: Float32 | None, err: Float32 | None, mask: NDArray[np.uint8], origin: tuple[int, int]
) -> Float32:
    """Return the weight of every pixel of one band: the inverse variance of the sky, never that of the sources.

    Parameters
    ----------
    sci : (ny, nx) float32
        nJy per pixel.
    wht : (ny, nx) float32, optional
        Inverse variances, nJy^-2. They do not contain the sources' own photons, and are taken as they are.
    err : (ny, nx) float32, optional
        Standard deviations, nJy, which do contain them. Without `wht` the lower quartile of their squares in blocks of
        `BLOCK` pixels is the sky's variance.
    mask : (ny, nx) uint8
        Bits of `schema.Bit`.
    origin : (int, int)
        The window's first row and column in the field.

    Returns
    -------
    (ny, nx) float32
        nJy^-2; 0 where there are no data, or light of anything but point sources. 1 where neither weights nor errors
        are known. Blocks that the window cuts may differ from those of a larger window.
    """
    valid = np.isfinite(sci) & ((mask & np.uint8(UNMODELLED)) == 0)
    if wht is not None:
        with np.errstate(invalid="ignore"):
            valid &= np.isfinite(wht) & (wht > 0)
        given = np.zeros(sci.shape, np.float32)
        given[valid] = wht[valid]
        return given
    if err is None:
        return np.asarray(valid, np.float32)
    with np.errstate(invalid="ignore"):
        valid &= np.isfinite(err) & (err > 0)
    out = np.zeros(sci.shape, np.float32)
    y0, x0 = origin
    for y in range(-(y0 % BLOCK), sci.shape[0], BLOCK):
        for x in range(-(x0 % BLOCK), sci.shape[1], BLOCK):
            place = slice(max(y, 0), y + BLOCK), slice(max(x, 0), x + BLOCK)
            some = err[place][valid[place]]
            if some.size:
                sigma = np.partition(some, int(QUARTER * (some.size - 1)))[int(QUARTER * (some.size - 1))]
                out[place] = np.float32(1) / (sigma * sigma)
    out[~valid] = 0
    return out


def residual(
    data: Float32, points: Points, flux: Floats, shapes: Floats, coefficients: Floats, origin: tuple[int, int]
) -> Float32:
    """Return the data of a window without sky and sources, nJy per pixel, float32 (ny, nx).

    Parameters
    ----------
    data : (ny, nx) float32
        nJy per pixel; NaN stays NaN.
    points : Points
        All sources whose stamps reach a pixel that matters.
    flux : (n,) float64
        Of each point, nJy.
    shapes : (n, size, size) float64
        Stamps of the points.
    coefficients : (ky, kx) float64
        Of the sky of the whole field.
    origin : (int, int)
        The window's first row and column in the field.
    """
    model = np.zeros(data.shape)
    row, column, _, _ = points.arrays()
    _model(shapes, row, column, np.require(flux, np.float64, PLAIN), model)
    left = evaluate(coefficients, origin, data.shape)
    _subtract(np.require(data, np.float32, PLAIN), model, left)
    return left


def light(shape: tuple[int, int], y: Floats, x: Floats, flux: Floats, psf: SplinePsf) -> Floats:
    """Return the light of point sources in a window, nJy per pixel, float64 (ny, nx).

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the window.
    y, x : (n,) float64
        Positions, pixels of the window; sources outside of it whose stamps reach into it count.
    flux : (n,) float64
        Total fluxes, nJy.
    psf : SplinePsf
    """
    row, column = (np.floor(axis + 0.5).astype(np.int64) for axis in (y, x))
    number, own = np.arange(row.size), np.ones(row.size, np.bool_)
    points = Points(number, row, column, (y - row).clip(-0.5, 0.5), (x - column).clip(-0.5, 0.5), own)
    model = np.zeros(shape)
    _model(stamps(points, psf), row, column, np.require(flux, np.float64, PLAIN), model)
    return model


@compiled
def _subtract(data: Float32, model: Floats, sky: Float32) -> None:
    """Set the sky to the data less sky and model: in one go, where NumPy would write two more images."""
    for y in range(sky.shape[0]):
        for x in range(sky.shape[1]):
            sky[y, x] = np.float32((data[y, x] - sky[y, x]) - model[y, x])


@compiled
def _model(shapes: Floats, row: Int64, column: Int64, flux: Floats, out: Floats) -> None:
    height, width = out.shape
    radius = shapes.shape[1] // 2
    for i in range(row.size):
        top, left = row[i] - radius, column[i] - radius
        if flux[i] == 0 or top >= height or left >= width or row[i] + radius < 0 or column[i] + radius < 0:
            continue
        begin, end = max(left, 0), min(column[i] + radius + 1, width)
        for y in range(max(top, 0), min(row[i] + radius + 1, height)):
            # Views that begin at 0 make the inner loop one of vector instructions.
            line, shape = out[y, begin:end], shapes[i, y - top, begin - left : end - left]
            for x in range(end - begin):
                line[x] += flux[i] * shape[x]
