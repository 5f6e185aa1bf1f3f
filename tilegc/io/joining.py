"""Several mosaics a band, such as the tiles of a survey, as one field: its grid, and where each mosaic lies on it.

The grid is that of the first mosaic of the first band, extended to hold all mosaics.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from tilegc import sky
from tilegc.errors import AstrometryError, GridError, InputError
from tilegc.geometry import Box
from tilegc.io.fits import BandSource, Placed, Plane, read_window

__all__ = ["Grid", "Piece", "joined"]

ON_GRID = 0.05
"""Pixels by which a mosaic may be off the field's grid and still be copied without resampling."""

STEP_RANGE = (0.8, 1.25)
"""Pixel scales, relative to the field's, of mosaics that can be resampled by interpolation: coarser ones would give
correlated noise on all scales of the filter, and finer ones would lose light between the samples."""

LEAST_FILLED = 0.05
"""Fraction of the common grid that the mosaics must fill."""

SAMPLES, SIDE = 5, 64
"""The depth of a mosaic is measured in SAMPLES x SAMPLES windows of SIDE pixels."""


@dataclass(frozen=True)
class Piece:
    """One mosaic as it was found."""

    band: BandSource
    """Its planes."""
    where: str
    """What it is called in messages."""
    shape: tuple[int, int]
    cards: Sequence[str]
    """Header of the science image, a card a line."""
    wcs: str
    """The cards that make the WCS."""
    area: float
    """Area of a pixel, arcsec^2."""


@dataclass(frozen=True)
class Grid:
    """The common grid."""

    shape: tuple[int, int]
    header: str
    wcs: str


def joined(pieces: Mapping[str, Sequence[Piece]]) -> tuple[Grid, tuple[BandSource, ...]]:
    """Lay mosaics on a common grid.

    Parameters
    ----------
    pieces : mapping of str to sequence of Piece
        The mosaics of every band, in the order of the run file.

    Returns
    -------
    grid : Grid
    bands : tuple of BandSource
        With their mosaics in the order in which pixels belong to them: the deepest first, by the median weight (or
        1 / error^2), then in the order of the run file.

    Raises
    ------
    InputError
        If a file is gzip, which has no windows, or only some mosaics of a band have errors or weights.
    GridError
        If a mosaic has pixels of another size, or the mosaics are far from each other.
    """
    first = next(iter(pieces.values()))[0]
    found = {name: [_on_grid(first, one) for one in listed] for name, listed in pieces.items()}
    boxes = [box for listed in found.values() for box, _ in listed]
    whole = Box(
        min(box.y0 for box in boxes),
        min(box.x0 for box in boxes),
        max(box.y1 for box in boxes),
        max(box.x1 for box in boxes),
    )
    filled = max(sum(box.size for box, _ in listed) for listed in found.values()) / whole.size
    if filled < LEAST_FILLED:
        raise GridError(
            f"{first.where}: the mosaics fill only {filled:.1%} of the {whole.shape[0]} x {whole.shape[1]} pixels"
            " (y, x) that hold them all; give those that are far from each other as separate fields"
        )
    grid = _extended(first, whole)
    bands = []
    for name, listed in pieces.items():
        _require_alike(listed)
        placed = [
            _placed(first, one, box, whole, on_grid=on_grid)
            for one, (box, on_grid) in zip(listed, found[name], strict=True)
        ]
        depths = [_depth(one) if len(placed) > 1 else 0.0 for one in placed]
        order = sorted(range(len(placed)), key=lambda k: (-depths[k], k))
        bands.append(
            dataclasses.replace(
                listed[0].band,
                name=name,
                sci=None,
                err=None,
                wht=None,
                mosaics=tuple(placed[k] for k in order),
            )
        )
    return grid, tuple(bands)


def _on_grid(first: Piece, other: Piece) -> tuple[Box, bool]:
    """Return the pixels of the first mosaic's grid, which may be outside of it, that another one covers."""
    try:
        y, x = sky.sample(other.shape, 33)
        y_first, x_first = sky.world_to_pixel(first.wcs, *sky.pixel_to_world(other.wcs, y, x))
    except AstrometryError as error:
        raise AstrometryError(f"{other.where}: {error}") from None
    if not (np.isfinite(y_first).all() and np.isfinite(x_first).all()):
        raise GridError(
            f"{other.where}: is too far from {first.where} for one field; give it as another field"
        )
    dy, dx = (np.round(np.median(one)) for one in (y_first - y, x_first - x))
    rows, columns = other.shape
    if np.hypot(y_first - y - dy, x_first - x - dx).max() <= ON_GRID:
        return Box(int(dy), int(dx), int(dy) + rows, int(dx) + columns), True
    step = math.sqrt(other.area / first.area)
    if not STEP_RANGE[0] <= step <= STEP_RANGE[1]:
        raise GridError(
            f"{other.where}: pixels {step:.2f} times as wide as those of {first.where}; resample to one grid, or"
            " measure this band with photometry.bands"
        )
    return (
        Box(
            math.floor(y_first.min()) - 1,
            math.floor(x_first.min()) - 1,
            math.ceil(y_first.max()) + 2,
            math.ceil(x_first.max()) + 2,
        ),
        False,
    )


def _placed(first: Piece, one: Piece, box: Box, whole: Box, *, on_grid: bool) -> Placed:
    """Return a mosaic with its place on the common grid."""
    place = Box(box.y0 - whole.y0, box.x0 - whole.x0, box.y1 - whole.y0, box.x1 - whole.x0)
    sci, err, wht = one.band.sci, one.band.err, one.band.wht
    assert sci is not None
    if on_grid:
        return Placed(sci, err, wht, place, None)
    # Values are per pixel, and the field's pixels have another area.
    ratio = first.area / one.area
    return Placed(
        _scaled(sci, ratio), err and _scaled(err, ratio), wht and _scaled(wht, ratio**-2), place, one.wcs
    )


def _scaled(plane: Plane, factor: float) -> Plane:
    return dataclasses.replace(plane, factor=plane.factor * factor)


def _require_alike(listed: Sequence[Piece]) -> None:
    for one in listed:
        gzip = [
            plane.path
            for plane in (one.band.sci, one.band.err, one.band.wht)
            if plane and plane.kind == "gzip"
        ]
        if gzip:
            raise InputError(
                f"{one.where}: mosaics that form one field are read in windows, which {gzip[0]} does not have;"
                " decompress it (gunzip)"
            )
        if one.band.given != listed[0].band.given:
            raise InputError(
                f"{one.where}: has {', '.join(one.band.given)}, but {listed[0].where} has"
                f" {', '.join(listed[0].band.given)}; give err and wht for all mosaics of a band, or for none"
            )


def _extended(first: Piece, whole: Box) -> Grid:
    """Return the first mosaic's grid with another origin and size."""
    rows, columns = whole.shape
    shifts = {"CRPIX1": -whole.x0, "CRPIX2": -whole.y0}
    sizes = {"NAXIS1": columns, "NAXIS2": rows}
    if whole == Box(0, 0, *first.shape):
        return Grid(first.shape, "\n".join(first.cards), first.wcs)

    def moved(card: str) -> str:
        key = card[:8].rstrip()
        if key in sizes:
            return str(fits.Card(key, sizes[key])).rstrip()
        if key in shifts:
            value = float(fits.Card.fromstring(card).value)
            # Without the last digits, which the sum of a cut-out's CRPIX and its origin need not return.
            return str(fits.Card(key, round(value + shifts[key], 9))).rstrip()
        return card

    # A tile-compressed image describes its table with NAXISn, and the image with ZNAXISn.
    wcs = "\n".join(moved(card) for card in first.wcs.split("\n"))
    if not re.search(r"^CRPIX1", wcs, re.MULTILINE):
        raise AstrometryError(
            f"{first.where}: the header has no CRPIX1; correct it, or give another file first"
        )
    return Grid((rows, columns), "\n".join(moved(card) for card in first.cards), wcs)


def _depth(one: Placed) -> float:
    """Return the median weight, or 1 / error^2, of the pixels with data in windows that are spread evenly."""
    deep: list[np.ndarray] = []
    rows, columns = one.sci.shape
    for row in range(SAMPLES):
        for column in range(SAMPLES):
            y, x = (
                (2 * k + 1) * size // (2 * SAMPLES) - SIDE // 2
                for k, size in ((row, rows), (column, columns))
            )
            box = Box(y, x, y + SIDE, x + SIDE).clip(one.sci.box)
            good = np.isfinite(read_window(one.sci, box))
            if one.wht is not None:
                weight = read_window(one.wht, box).astype(np.float64)
            elif one.err is not None:
                with np.errstate(divide="ignore"):
                    weight = read_window(one.err, box).astype(np.float64) ** -2.0
            else:
                return 0.0
            deep.append(weight[good & np.isfinite(weight) & (weight > 0)])
    values = np.concatenate(deep)
    return float(np.median(values)) if values.size else 0.0
