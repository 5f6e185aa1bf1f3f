"""The radial trend of the sources, and the sums over annuli from which it is fitted (algorithm.md, section 7).

A mask on a steep profile is filled wrongly if the mean density around it is taken as the density within. The density
relative to a radial trend is nearly flat, so that filling relative to the trend removes this bias. The trend is a
function of the distance from the cluster centre, linear between the radii of annuli with equal numbers of sources. It
is rounded to an integer at every pixel, so that sums over pixels are exact and do not depend on the tiling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels import exact
from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["Annuli", "Trend", "add_annuli", "annuli_edges", "combine_annuli", "fit_trend", "trend_at"]

Int64 = NDArray[np.int64]

PER_ANNULUS: Final = 50
"""Sources per annulus. The 14 % noise of the trend cancels, because the density around a mask is measured relative to
it."""

MOST_ANNULI: Final = 60

SPACING: Final = 4
"""Spacing of the tabulated trend in pixels."""

TOP: Final = 60_000
"""Maximum of the trend: values fit in 16 bits."""


@dataclass(frozen=True, eq=False)
class Trend:
    """Relative density as a function of the distance from a pixel."""

    y: int
    x: int
    """Pixel of the centre, which may lie outside the field."""
    table: NDArray[np.float64]
    """Trend at the distances 0, 4, 8, ... pixels, from 1 to `TOP`."""


@dataclass(frozen=True, eq=False)
class Annuli:
    """Sums over the annuli of one field; partial sums of tiles are added."""

    n_good: Int64
    """(n,): number of good pixels."""
    n_hidden: Int64
    """(n,): number of inpainted pixels."""
    filled: Int64
    """(n, LIMBS): exact sum of the density over the inpainted pixels."""


def annuli_edges(y: NDArray[np.integer], x: NDArray[np.integer], centre: tuple[int, int]) -> Int64:
    """Return the squared inner radii, increasing from 0, of annuli with about 50 of these pixels each; (n,)."""
    d2 = np.sort((np.asarray(y, np.int64) - centre[0]) ** 2 + (np.asarray(x, np.int64) - centre[1]) ** 2)
    n = min(max(d2.size // PER_ANNULUS, 1), MOST_ANNULI)
    inner = d2[np.arange(1, n) * d2.size // n] if n > 1 else d2[:0]
    return np.unique(np.concatenate([np.zeros(1, np.int64), inner]))


def add_annuli(
    box: Box,
    centre: tuple[int, int],
    edges: Int64,
    good: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    density: NDArray[np.float32],
) -> Annuli:
    """Return the contribution of a box of pixels to the annuli; `density` must be finite where `hidden`."""
    d2 = (np.arange(box.y0, box.y1) - centre[0])[:, None] ** 2 + (np.arange(box.x0, box.x1) - centre[1]) ** 2
    filled = exact.zeros(edges.size)
    inpainted = np.searchsorted(edges, d2[hidden], side="right") - 1
    exact.accumulate(filled, inpainted, density[hidden])
    annulus = np.searchsorted(edges, d2[good], side="right") - 1
    return Annuli(
        np.bincount(annulus, minlength=edges.size), np.bincount(inpainted, minlength=edges.size), filled
    )


def combine_annuli(a: Annuli, b: Annuli) -> Annuli:
    """Return the sum of two partial results."""
    return Annuli(a.n_good + b.n_good, a.n_hidden + b.n_hidden, a.filled + b.filled)


def fit_trend(
    y: NDArray[np.integer],
    x: NDArray[np.integer],
    weight: NDArray[np.float64],
    centre: tuple[int, int],
    edges: Int64,
    annuli: Annuli,
    pixel_area: float,
    farthest: float,
) -> Trend | None:
    """Return the trend of detected and inpainted sources, or None if there is nothing to fit.

    Parameters
    ----------
    y, x : (n,) int
        Pixels of the detected sources.
    weight : (n,) float64
        Weight of each source.
    centre : tuple of int
        Pixel (y, x) of the cluster centre.
    edges : (m,) int64
        Squared inner radii of the annuli, from `annuli_edges`.
    annuli : Annuli
        Sums over the whole field.
    pixel_area : float
        Area of a pixel in arcsec^2.
    farthest : float
        Distance in pixels up to which the trend is tabulated.
    """
    d2 = (np.asarray(y, np.int64) - centre[0]) ** 2 + (np.asarray(x, np.int64) - centre[1]) ** 2
    at = np.searchsorted(edges, d2, side="right") - 1
    order = np.lexsort((d2, at))
    area = (annuli.n_good + annuli.n_hidden) * pixel_area
    filled = exact.total(annuli.filled) * pixel_area
    radii, values = [], []
    for k in range(edges.size):
        members = order[at[order] == k]
        number = math.fsum([*weight[members].tolist(), float(filled[k])])
        if members.size and area[k] > 0 and number > 0:
            radii.append(math.sqrt(float(d2[members[members.size // 2]])))
            values.append(number / float(area[k]))
    if not values:
        return None
    table = np.interp(np.arange(0.0, farthest + 2 * SPACING, SPACING), radii, values)
    return Trend(*centre, np.clip(table * (TOP / table.max()), 1.0, TOP))


def trend_at(trend: Trend, box: Box) -> NDArray[np.uint16]:
    """Return the trend on the pixels of a box, rounded to integers from 1 to `TOP`; (ny, nx)."""
    out = np.empty(box.shape, np.uint16)
    _fill(box.y0 - trend.y, box.x0 - trend.x, np.require(trend.table, np.float64, PLAIN), out)
    return out


@compiled
def _fill(y0: int, x0: int, table: NDArray[np.float64], out: NDArray[np.uint16]) -> None:
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            dy, dx = np.float64(y0 + y), np.float64(x0 + x)
            place = np.sqrt(dy * dy + dx * dx) / SPACING
            k = min(int(place), table.size - 2)
            share = place - k
            out[y, x] = np.uint16(table[k] + share * (table[k + 1] - table[k]) + 0.5)
