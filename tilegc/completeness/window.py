"""A window of a field, the stars put into it, and what becomes of them, as compiled code takes them.

These are named tuples and not dataclasses, because Numba compiles functions of named tuples: the loops over stars take
a handful of them in place of thirty arrays by position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fates", "Limits", "Placed", "Points", "Sky", "Tables", "some"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


class Sky(NamedTuple):
    """A window of a field as it is without the star."""

    detection: Float32
    """nJy per pixel, (ny, nx); NaN where nothing was filtered."""
    noise: Float32
    """What values of the detection map are divided by to be compared with the limit; 1 where they are not."""
    allowed: Bool
    """Where a peak may be recorded."""
    light: Float32
    """Summed bands, nJy per pixel."""
    source: Int32
    """At the pixel of every peak above the limit its place in `flux` and `listed`; -1 elsewhere."""
    flux: Floats
    """Of these peaks, nJy, in the unit of the detection map."""
    listed: Bool
    """Whether they are in the catalogue."""


class Limits(NamedTuple):
    """When a peak is a source of the catalogue."""

    limit: np.float32
    """Least value of a catalogued peak, in signal-to-noise or in nJy per pixel."""
    floor: np.float32
    """Least value of a peak that may be lifted above it."""
    reach: Int64
    """By distance in y, the distance in x to which a peak blanks, pixels."""
    maxima: bool
    """Whether only local maxima may be peaks."""


class Points(NamedTuple):
    """What is a point."""

    weights: tuple[Floats, Floats, float, float, Floats, float]
    """As `tilegc.detection.shape_ratios.shapes_at` takes them."""
    line_noise: float
    decide: bool
    """Whether only points are catalogued."""


class Tables(NamedTuple):
    """Responses of the maps to a star."""

    detection: Floats
    """Of the detection map by band and place in a pixel, (band, s, s, m, m)."""
    light: Floats
    """The PSFs, (band, s, s, k, k)."""
    which: Int64
    """Which of the patches is a star's response, (n,); -1: that of the tables."""
    patches: Floats
    """Responses that were computed pixel by pixel."""


class Fates(NamedTuple):
    """What becomes of each star, (n,)."""

    verdict: Int32
    """FOUND or another of `tilegc.completeness.star_by_star`."""
    displaced: Int32
    """Sources of the catalogue that are lost by the star."""
    y: Int64
    """Pixel of the window where its peak is recorded; -1: nowhere."""
    x: Int64
    value: Floats
    """Of the detection map there, nJy."""


class Placed(NamedTuple):
    """Pixels and fluxes of n stars."""

    row: Int64
    """Pixel of the window in which each star lies, (n,)."""
    column: Int64
    dy: Floats
    """Offset from the centre of that pixel, within ±0.5, (n,)."""
    dx: Floats
    flux: Floats
    """Flux in each band in nJy, (band, n)."""


def some(stars: Placed, rows: Int64) -> Placed:
    """Return some of the stars, contiguous in memory as compiled code takes them."""
    flux = np.ascontiguousarray(stars.flux[:, rows])
    return Placed(stars.row[rows], stars.column[rows], stars.dy[rows], stars.dx[rows], flux)
