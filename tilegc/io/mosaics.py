"""Several mosaics of one band as one image: which of them a pixel belongs to, and its value there.

The mosaics of a band are in order, the deepest first, and a pixel belongs to the first one that has data there (finite,
and of positive weight). Where none has, it belongs to the first one on the field's grid that covers it, so that an
image that was cut up is put together exactly as it was. A mosaic on another grid is resampled: its images by
polynomials (`kernels.resampling`), errors and weights by taking the nearest pixel, because it is the noise of the
pixels that is wanted there and not that of a weighted mean of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tilegc.geometry import Box
from tilegc.io.fits import BandSource, FieldSource, Pixels, Placed, Plane, read_window
from tilegc.kernels.masks import grow
from tilegc.kernels.mesh import STEP, Mesh, offsets
from tilegc.kernels.resampling import REACH, interpolated, nearest
from tilegc.sky import pixel_to_world, world_to_pixel

__all__ = ["assembled", "owners", "seams"]

Owner = npt.NDArray[np.int16]

GRAIN = 2.0**20
"""Positions are rounded to 1/GRAIN pixel: the last bits of trigonometric functions differ between processors."""


def assembled(band: BandSource, wcs: str, names: Iterable[str], box: Box) -> dict[str, Pixels]:
    """Return a window of a band that has several mosaics.

    Parameters
    ----------
    band : BandSource
    wcs : str
        WCS of the field.
    names : iterable of str
        Of sci, err and wht; those that are not given are left out.
    box : Box
        Pixels of the field.

    Returns
    -------
    dict of str to float32 (ny, nx)
        As `read_window` of one image; outside of all mosaics NaN, and weight 0.
    """
    wanted = [name for name in names if name in band.given]
    owner, laid = _owned(band, wcs, {*wanted, "sci"}, box)
    values = {name: np.full(box.shape, 0.0 if name == "wht" else np.nan, np.float32) for name in wanted}
    for number, (part, planes) in laid.items():
        place = part.within(box)
        mine = owner[place] == number
        for name in wanted:
            values[name][place][mine] = planes[name][mine]
    return values


def owners(band: BandSource, wcs: str, box: Box) -> Owner:
    """Return which mosaic every pixel of a window belongs to, an index of `band.mosaics`; -1: none."""
    return _owned(band, wcs, {"sci"}, box)[0]


def seams(source: FieldSource, box: Box) -> npt.NDArray[np.bool_]:
    """Return which pixels of a window are within `source.seam` pixels of a border between different grids.

    Where two mosaics on one grid meet, neither pixels nor noise change, and there is no seam.
    """
    margin = math.ceil(source.seam) + 1
    wide = box.grow(margin).clip(source.box)
    border = np.zeros(wide.shape, np.bool_)
    for band in source.bands:
        if all(one.wcs is None for one in band.mosaics):
            continue
        owner = owners(band, source.wcs, wide)
        # Of mosaics on the field's grid all are one.
        own_grid = np.array([*(number if one.wcs else -2 for number, one in enumerate(band.mosaics)), -1])
        grid = own_grid[owner]
        for first, second in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
            change = (grid[first] != grid[second]) & (owner[first] >= 0) & (owner[second] >= 0)
            border[first] |= change
            border[second] |= change
    return grow(border, source.seam)[box.within(wide)]


def _owned(
    band: BandSource, wcs: str, names: Iterable[str], box: Box
) -> tuple[Owner, dict[int, tuple[Box, dict[str, Pixels]]]]:
    """Return the owners of a window, and of each mosaic that was read its part of the window and its planes."""
    owner, covering = np.full(box.shape, -1, np.int16), np.full(box.shape, -1, np.int16)
    laid = {}
    for number, one in enumerate(band.mosaics):
        part = box.clip(one.box)
        if not part.size:
            continue
        planes = _laid(one, wcs, {*names, "wht"}, part)
        laid[number] = part, planes
        good = np.isfinite(planes["sci"])
        if "wht" in planes:
            good &= planes["wht"] > 0
        for taken, where in ((owner, good), (covering, one.wcs is None)):
            inside = taken[part.within(box)]
            inside[(inside < 0) & where] = number
        if (owner >= 0).all():
            break
    return np.where(owner >= 0, owner, covering), laid


def _laid(one: Placed, wcs: str, names: Iterable[str], part: Box) -> dict[str, Pixels]:
    """Return planes of a mosaic on a part of the field that it covers."""
    given = {name: plane for name, plane in one.planes() if name in {*names}}
    if one.wcs is None:
        there = Box(part.y0 - one.box.y0, part.x0 - one.box.x0, part.y1 - one.box.y0, part.x1 - one.box.x0)
        return {name: read_window(plane, there) for name, plane in given.items()}
    y, x = _positions(wcs, one.wcs, part)
    there = Box(
        math.floor(y.min()) - REACH,
        math.floor(x.min()) - REACH,
        math.ceil(y.max()) + REACH + 1,
        math.ceil(x.max()) + REACH + 1,
    ).clip(one.sci.box)
    y, x = y - there.y0, x - there.x0
    read = {name: _window(plane, there) for name, plane in given.items()}
    if "wht" in read and "sci" in read:
        # A pixel without weight may hold anything, and would spoil its neighbours.
        read["sci"] = np.where(read["wht"] > 0, read["sci"], np.float32(np.nan))
    found = {
        name: interpolated(values, y, x) if name == "sci" else nearest(values, y, x)
        for name, values in read.items()
    }
    if "wht" in found:
        found["wht"] = np.where(np.isfinite(found["wht"]), found["wht"], np.float32(0.0))
    return found


def _window(plane: Plane, box: Box) -> Pixels:
    return read_window(plane, box) if box.size else np.zeros((0, 0), np.float32)


def _positions(wcs: str, other: str, box: Box) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return where the pixels of a field are on another grid, from a mesh that is the same for every window."""
    top, left = box.y0 // STEP * STEP, box.x0 // STEP * STEP
    rows, columns = np.arange(top, box.y1 + STEP, STEP), np.arange(left, box.x1 + STEP, STEP)
    nodes = world_to_pixel(other, *pixel_to_world(wcs, *np.meshgrid(rows, columns, indexing="ij")))
    y, x = (np.round(one * GRAIN) / GRAIN for one in nodes)
    return offsets(Mesh(y, x), Box(box.y0 - top, box.x0 - left, box.y1 - top, box.x1 - left))
