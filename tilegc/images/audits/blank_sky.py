"""How the noise of a mosaic scatters where no source is: per pixel, in boxes, from pixel to pixel.

Drizzling spreads one detector pixel over several of the mosaic, so that neighbours share noise: boxes scatter more
than their pixels say (Casertano et al. 2000, AJ 120, 2747, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.medians import median

__all__ = [
    "BOXES",
    "LEAST_PIXELS",
    "Scatter",
    "background",
    "blank_sky",
    "box_sum",
    "mad",
    "scatter",
    "shared_light",
]

Floats = NDArray[np.float32]

BOXES: Final = (2, 4, 8)
"""Sides of the boxes, pixels."""

LEAST_PIXELS: Final = 4000
"""Blank pixels below which a window says nothing of the noise."""

LEAST_BOXES: Final = 60

_SMOOTHED = 5
"""Side of the box in which light is looked for, pixels."""
_HIGH = 3.0
"""Sigma of the smoothed map from which there is light."""
_GROWTH = 6
"""Pixels round such light that are not blank either."""
_BLOCK = 32
"""Side of the blocks between which smooth light is interpolated, pixels."""
_MEDIAN_ERROR = 1.65
"""Error of a correlation by medians times the root of the number of values: their efficiency is 0.37."""


@dataclass(frozen=True)
class Scatter:
    """The noise of a window; NaN where too little of it is blank."""

    pixel: float
    """1.4826 x MAD of the blank pixels, in the unit of the image."""
    boxes: tuple[float, ...]
    """Scatter of the means of n x n blank pixels over that of uncorrelated pixels, n in `BOXES`."""
    neighbours: float
    """Correlation of a pixel with the next one, mean of both directions."""
    n_blank: int


def mad(values: NDArray[np.floating]) -> float:
    """Return 1.4826 times the median distance from the median; NaN of nothing."""
    if not values.size:
        return float("nan")
    return 1.4826 * float(median(np.abs(values - median(values))))


def box_sum(image: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Return the sum in the box of `side` x `side` pixels round every pixel, zeros beyond the border.

    Radius: side // 2.
    """
    mean: NDArray[np.float64] = scipy.ndimage.uniform_filter(
        image.astype(np.float64), side, mode="constant", cval=0.0
    )
    return mean * side * side


def background(image: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return the smooth light of a window: medians of blocks of 32 pixels, bilinear between their middles.

    Light of the brightest galaxy and between galaxies is no noise; what is narrower than a block stays.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    valid : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        In a block with data in under a quarter, the median of the window.
    """
    if not valid.any():
        return np.zeros(image.shape, np.float32)
    rows, columns = (max(length // _BLOCK, 1) for length in image.shape)
    edges = [
        np.linspace(0, length, n + 1).astype(int)
        for length, n in zip(image.shape, (rows, columns), strict=True)
    ]
    nodes = np.full((rows, columns), float(median(image[valid])))
    for j in range(rows):
        for i in range(columns):
            part = slice(edges[0][j], edges[0][j + 1]), slice(edges[1][i], edges[1][i + 1])
            inside = image[part][valid[part]]
            if 4 * inside.size >= image[part].size:
                nodes[j, i] = np.median(inside)
    y, x = (
        (np.arange(length) + 0.5) * n / length - 0.5
        for length, n in zip(image.shape, (rows, columns), strict=True)
    )
    place = np.meshgrid(y, x, indexing="ij")
    smooth: Floats = scipy.ndimage.map_coordinates(nodes, place, order=1, mode="nearest").astype(np.float32)
    return smooth


def blank_sky(image: Floats, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels lie well off any light, and off missing data.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Light over its expected noise, or light where that is unknown; 0 where not valid.
    valid : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray of bool, shape (ny, nx)
    """
    if not valid.any():
        return np.zeros(image.shape, bool)
    level = np.where(valid, image - median(image[valid]), 0)
    smoothed = box_sum(level, _SMOOTHED)
    lit = ~valid | (smoothed > _HIGH * mad(smoothed[valid]))
    blank: NDArray[np.bool_] = scipy.ndimage.maximum_filter(lit, 2 * _GROWTH + 1) == 0
    return blank


def scatter(image: Floats, blank: NDArray[np.bool_]) -> Scatter:
    """Measure the noise on the blank pixels of a window.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Any unit.
    blank : ndarray of bool, shape (ny, nx)
        Of `blank_sky`.
    """
    nothing = float("nan")
    values = image[blank]
    if values.size < LEAST_PIXELS:
        return Scatter(nothing, (nothing,) * len(BOXES), nothing, int(values.size))
    middle = median(values)
    pixel = 1.4826 * float(median(np.abs(values - middle)))
    level = np.where(blank, image - middle, 0)
    return Scatter(
        pixel,
        tuple(_boxes(level, blank, side) * side / pixel if pixel > 0 else nothing for side in BOXES),
        _neighbours(level, blank),
        int(values.size),
    )


def _boxes(level: Floats, blank: NDArray[np.bool_], side: int) -> float:
    """Return the scatter of the means of whole boxes of blank pixels."""
    rows, columns = (length // side for length in level.shape)
    shape = (rows, side, columns, side)
    part = (slice(0, rows * side), slice(0, columns * side))
    whole = blank[part].reshape(shape).all(axis=(1, 3))
    if whole.sum() < LEAST_BOXES:
        return float("nan")
    means = level[part].reshape(shape).mean(axis=(1, 3), dtype=np.float64)
    return mad(means[whole])


def _neighbours(level: Floats, blank: NDArray[np.bool_]) -> float:
    """Return the correlation of pixels with the next ones in their row and their column."""
    variance = float((level[blank].astype(np.float64) ** 2).mean())
    found = []
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        both = blank[here] & blank[there]
        found.append(float((level[here][both].astype(np.float64) * level[there][both]).mean()))
    return sum(found) / (2 * variance) if variance > 0 else float("nan")


def shared_light(image: Floats, other: Floats, blank: NDArray[np.bool_]) -> float:
    """Return the covariance of two bands' blank pixels over the variance of the first.

    The noise of two bands is independent, the light between resolved sources is not: where sources are so crowded that
    their wings meet, what scatters on blank pixels is mostly this light. Covariance and variance are those of medians
    (Gnanadesikan & Kettenring 1972, Biometrics 28, 81), so that a source that was overlooked counts as one pixel.

    Parameters
    ----------
    image, other : ndarray of float32, shape (ny, nx)
    blank : ndarray of bool, shape (ny, nx)
        Of both bands.

    Returns
    -------
    float
        0 where it is less than three times its error; NaN where too little is blank or nothing scatters.
    """
    if blank.sum() < LEAST_PIXELS:
        return float("nan")
    first, second = image[blank].astype(np.float64), other[blank].astype(np.float64)
    a, b = mad(first), mad(second)
    if not (a > 0 and b > 0):
        return float("nan")
    first, second = first / a, second / b
    correlation = (mad(first + second) ** 2 - mad(first - second) ** 2) / 4
    # a median's error, and neighbours that share their noise: half of the pixels count
    error = _MEDIAN_ERROR / np.sqrt(first.size / 2)
    return float(correlation * b / a) if correlation > 3 * error else 0.0
