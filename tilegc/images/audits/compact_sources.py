"""Bright compact sources of one band in a window: where they are, and how their light is spread.

For looking at the data, not for the catalogue: isolated peaks with high signal, measured in their own band.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.images.audits.blank_sky import box_sum

__all__ = ["APERTURE", "MARGIN", "RADII", "compact_sources", "empty"]

Table = dict[str, NDArray[np.generic]]

LEAST_SNR: Final = 10.0
"""Signal over noise in 3 x 3 pixels from which a peak is taken."""

MOST: Final = 150
"""Sources of a window that are measured: the brightest."""

APERTURE: Final = 4.0
"""Radius of the aperture that stands for all light, pixels."""

RADII: Final = np.arange(0.125, 3.0, 0.25)
"""Middles of the rings of the radial profile, pixels."""

MARGIN: Final = 9
"""Pixels round a source that are looked at: none is nearer to the window's border."""

_NEAR = 7
"""Side of the square in which a source must be the brightest pixel."""
_ALONE = 13
"""... and of that in which it must be to count as isolated."""
_WINDOW = 2.6
"""Radius of the centroid's weight (1 - r^2/R^2)^2, pixels."""
_STEPS = 8


def empty() -> Table:
    """Return a table without rows."""
    numbers = {name: np.zeros(0) for name in ("y", "x", "flux", "snr", "core", "weight_dip")}
    return {**numbers, "isolated": np.zeros(0, bool), "profile": np.zeros((0, RADII.size))}


def compact_sources(
    image: NDArray[np.float32],
    valid: NDArray[np.bool_],
    noise: float,
    weight: NDArray[np.float32] | None = None,
) -> Table:
    """Find and measure the bright peaks of a window.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        nJy per pixel, background near 0; 0 where not valid.
    valid : ndarray of bool, shape (ny, nx)
    noise : float
        Scatter of the sum of 3 x 3 blank pixels, nJy.
    weight : ndarray of float32, shape (ny, nx), optional
        Inverse variance, 0 without data.

    Returns
    -------
    dict of ndarray
        y, x: centroid, pixels of the window; flux: nJy within `APERTURE` less the local sky; snr: of the sum of
        3 x 3 pixels; core: share of `flux` in these; weight_dip: 1 - weight of these over the weight round them;
        isolated: no brighter peak within 6 pixels; profile: light per pixel over flux in rings of `RADII`.
    """
    if not (noise > 0 and np.isfinite(noise)) or min(image.shape) <= 2 * MARGIN:
        return empty()
    summed = box_sum(image, 3)
    peak = (summed >= LEAST_SNR * noise) & (summed == scipy.ndimage.maximum_filter(summed, _NEAR)) & valid
    peak[:MARGIN] = peak[-MARGIN:] = peak[:, :MARGIN] = peak[:, -MARGIN:] = False
    y, x = np.nonzero(peak)
    order = np.argsort(-summed[y, x], kind="stable")[:MOST]
    y, x = y[order], x[order]
    if not y.size:
        return empty()
    isolated = summed[y, x] == scipy.ndimage.maximum_filter(summed, _ALONE)[y, x]
    reach = np.arange(-MARGIN, MARGIN + 1)
    rows, columns = y[:, None, None] + reach[:, None], x[:, None, None] + reach[None, :]
    light = image[rows, columns].astype(np.float64)
    whole = valid[rows, columns][:, 3:-3, 3:-3].all(axis=(1, 2))
    square = (reach[:, None] ** 2 + reach[None, :] ** 2)[None]
    light -= np.median(light[:, square[0] > (MARGIN - 2) ** 2], axis=1)[:, None, None]
    cy, cx = _centroid(light, reach)
    distance = np.sqrt((reach[None, :, None] - cy[:, None, None]) ** 2 + (reach - cx[:, None, None]) ** 2)
    flux = (light * (distance <= APERTURE)).sum(axis=(1, 2))
    # The 3 x 3 pixels round the centroid's: the brightest such sum may lie a pixel beside it.
    middle = np.stack([np.rint(cy), np.rint(cx)]).astype(np.int64) + MARGIN
    three = np.arange(-1, 2)
    near = (
        np.arange(y.size)[:, None, None],
        middle[0][:, None, None] + three[None, :, None],
        middle[1][:, None, None] + three[None, None, :],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        core = light[near].sum(axis=(1, 2)) / flux
        profile = _profile(light, distance) / flux[:, None]
    dip = np.full(y.size, np.nan)
    if weight is not None:
        given = weight[rows, columns].astype(np.float64)
        round_it = np.median(given[:, (square[0] >= 25) & (square[0] <= 64)], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            dip = 1 - given[near].mean(axis=(1, 2)) / round_it
    good = whole & (flux > 0)
    table: Table = {
        "y": y + cy,
        "x": x + cx,
        "flux": flux,
        "snr": summed[y, x] / noise,
        "core": core,
        "weight_dip": dip,
        "isolated": isolated,
        "profile": profile,
    }
    return {name: column[good] for name, column in table.items()}


def _centroid(
    light: NDArray[np.float64], reach: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted centroids of cutouts, from their middle pixel."""
    cy, cx = np.zeros(len(light)), np.zeros(len(light))
    small = slice(MARGIN - 4, MARGIN + 5)
    part, axis = light[:, small, small], reach[small].astype(np.float64)
    for _ in range(_STEPS):
        dy, dx = axis[None, :, None] - cy[:, None, None], axis - cx[:, None, None]
        weight = np.clip(1 - (dy * dy + dx * dx) / _WINDOW**2, 0, None) ** 2 * part
        total = weight.sum(axis=(1, 2))
        total = np.where(total > 0, total, np.inf)
        # Twice the step: with a weight as narrow as the source each one goes about half of the way.
        cy = np.clip(cy + 2 * (weight * dy).sum(axis=(1, 2)) / total, -1.5, 1.5)
        cx = np.clip(cx + 2 * (weight * dx).sum(axis=(1, 2)) / total, -1.5, 1.5)
    return cy, cx


def _profile(light: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean light per pixel in rings round the centroids; NaN in a ring without a pixel's centre."""
    step = RADII[1] - RADII[0]
    small = slice(MARGIN - 4, MARGIN + 5)
    values = light[:, small, small].reshape(len(light), -1)
    ring = np.floor(distance[:, small, small].reshape(len(light), -1) / step).astype(np.int64)
    source, _ = np.indices(values.shape)
    inside = ring < RADII.size
    place = source[inside] * RADII.size + ring[inside]
    size = len(light) * RADII.size
    total = np.bincount(place, values[inside], size)
    count = np.bincount(place, minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (total / count).reshape(len(light), RADII.size)
