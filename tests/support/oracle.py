"""The detection chain in its slow, obvious form: whole images, no tiles, no tricks.

Only the order of float32 operations is that of the design (rows, then columns; taps from the centre outwards in
symmetric pairs), so that results can be compared bit by bit.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.special import erf

FWHM = 2.3548200450309493


def half_taps(fwhm: float) -> list[np.float32]:
    """Gaussian integrated over pixels, unit sum, centre outwards."""
    sigma = fwhm / FWHM
    radius = math.ceil(4 * sigma)
    edges = (np.arange(-radius, radius + 2) - 0.5) / (sigma * math.sqrt(2))
    g = np.diff(erf(edges))
    g /= g.sum()
    return [np.float32(value) for value in g[radius:]]


def convolve(image: np.ndarray, taps: list[np.float32]) -> np.ndarray:
    """Separable convolution in float32; outside of the image is 0."""
    for axis in (1, 0):
        n = len(taps) - 1
        pad = [(0, 0), (0, 0)]
        pad[axis] = (n, n)
        wide = np.pad(image, pad)
        length = image.shape[axis]

        def part(shift: int, wide=wide, axis=axis, n=n, length=length) -> np.ndarray:
            return np.take(wide, np.arange(n + shift, n + shift + length), axis=axis)

        out = taps[0] * part(0)
        for k in range(1, n + 1):
            out = out + taps[k] * (part(-k) + part(k))
        image = out.astype(np.float32)
    return image


def smooth(image: np.ndarray, valid: np.ndarray, fwhm: float) -> np.ndarray:
    taps = half_taps(fwhm)
    above = convolve(np.where(valid, image, np.float32(0)).astype(np.float32), taps)
    below = convolve(valid.astype(np.float32), taps)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.float32(np.nan)).astype(np.float32)


def difference(image: np.ndarray, valid: np.ndarray, narrow: float, wide: float) -> np.ndarray:
    return smooth(image, valid, narrow) - smooth(image, valid, wide)


def disc(mask: np.ndarray, radius2: int) -> np.ndarray:
    """Pixels whose squared distance from a set pixel is at most radius2."""
    if not mask.any():
        return np.zeros_like(mask)
    indices = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    y, x = np.indices(mask.shape)
    return (indices[0] - y) ** 2 + (indices[1] - x) ** 2 <= radius2


def edge(no_data: np.ndarray, square: int, reach2: int) -> np.ndarray:
    """Bit 2: near the outside, or near missing data that hold a full square."""
    reach = math.isqrt(reach2) + square + 1
    wide = np.pad(no_data, reach, constant_values=True)
    opened = np.zeros_like(wide)
    count = np.pad(wide.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    full = (
        count[square:, square:]
        - count[:-square, square:]
        - count[square:, :-square]
        + count[:-square, :-square]
    ) == square**2
    for y, x in zip(*np.nonzero(full), strict=True):
        opened[y : y + square, x : x + square] = True
    return disc(opened, reach2)[reach:-reach, reach:-reach]


def detection(light: np.ndarray, valid: np.ndarray, bright: float = 40.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the detection map and bit 4 with the recipe's widths."""
    d1 = difference(light, valid, 0.5, 5.0)
    with np.errstate(invalid="ignore"):
        near = disc(valid & (d1 >= np.float32(bright)), 36)
    counted = valid & ~near
    d2 = difference(d1, counted, 1.0, 3.0)
    return np.where(counted, d2, np.float32(np.nan)), near


def greedy(values: np.ndarray, allowed: np.ndarray, threshold: float, radius: float) -> list[tuple[int, int]]:
    """Brightest pixel first, record it, blank all within the radius, repeat."""
    y, x = np.nonzero(allowed & (values >= threshold))
    order = np.lexsort((x, y, -values[y, x]))
    free = allowed.copy()
    rows, columns = np.indices(values.shape)
    limit = math.floor(radius**2)
    found = []
    for k in order:
        if free[y[k], x[k]]:
            found.append((int(y[k]), int(x[k])))
            free &= (rows - y[k]) ** 2 + (columns - x[k]) ** 2 > limit
    return found


def sigma(values: np.ndarray) -> float:
    middle = np.median(values)
    return 1.4826 * float(np.median(np.abs(values - middle)))
