"""The passes over tiles: the area that artificial stars are put on, and what becomes of each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.draw import Stars
from tilegc.completeness.near_gaps import add_normalised, kernel_images
from tilegc.completeness.own_mask import REACH, ByMap, Extended, masks_itself
from tilegc.completeness.recovery import Limits, Shapes, Sky, recover
from tilegc.completeness.recovery_map import CELL
from tilegc.completeness.responses import Responses
from tilegc.completeness.window import Placed, some
from tilegc.detection.noise.noise_map import NoiseMap
from tilegc.engine import Pass
from tilegc.filter.detection_map import EXPECTED, FilterParams, band_response, response_halo
from tilegc.geometry import Tile, TileGrid
from tilegc.io.window import Window
from tilegc.kernels.masks import grow
from tilegc.kernels.smoothing import difference, difference_radius
from tilegc.mask.mask_map import ELONGATED_AREA, ELONGATION, EXTENDED_AREA
from tilegc.phases.partials import Table, concatenate
from tilegc.photometry.spline_psf import SplinePsf
from tilegc.schema import Bit

__all__ = ["AREA", "InjectParams", "TileShare", "halo_of", "inject_pass", "shares", "stars_pass"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

RIM: Final = 2.0
"""Pixels about the good ones on which stars are put, too: a source just inside a mask may have its peak outside."""

FAR: Final = 8
"""Pixels beyond a response in which the catalogue must be known."""

REST: Final = np.uint8(Bit.NO_DATA | Bit.BRIGHT)
"""Bits of `flags` whose pixels the detection filter leaves out."""


def _area_rule(window: Window, tile: Tile, params: int) -> tuple[dict[str, Any], Table]:
    """Count, in every cell that a core meets, searched pixels and those masked for light; `params`: the field."""
    core = tile.core_in_window
    mask = window["mask"].values
    searched = _searched(mask)[core]
    light = (mask[core] & np.uint8(Bit.BRIGHT | Bit.EXTENDED)) != 0
    box = tile.core
    (row, down), (column, across) = (_cells(*span) for span in ((box.y0, box.y1), (box.x0, box.x1)))
    area, pixels = (
        np.add.reduceat(np.add.reduceat(values, down, axis=0, dtype=np.int64), across, axis=1)
        for values in (searched, light)
    )
    return {}, {
        "field": np.full(area.size, params),
        "row": np.repeat(row, column.size),
        "column": np.tile(column, row.size),
        "area": area.ravel(),
        "light": pixels.ravel(),
    }


def _cells(first: int, last: int) -> tuple[Int64, Int64]:
    """Return the numbers of the cells that pixels `first` to `last` - 1 meet, and where in these pixels each begins."""
    number = np.arange(first // CELL, -(-last // CELL))
    return number, np.maximum(number * CELL - first, 0)


def _searched(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where stars are put: on good pixels, and on pixels with data next to them."""
    good: NDArray[np.bool_] = mask == 0
    if not good.any():
        return good
    searched: NDArray[np.bool_] = grow(good, RIM) & ((mask & np.uint8(Bit.NO_DATA)) == 0)
    return searched


AREA: Final = Pass("completeness: area", ("mask",), 4, (), _area_rule, concatenate, bytes_per_pixel=8.0)


@dataclass(frozen=True)
class InjectParams:
    """What a field's tiles need to know."""

    filtering: FilterParams
    responses: Responses
    noise: NoiseMap | None
    """Local noise, where peaks are compared with it."""
    limits: Limits
    shapes: Shapes

    @property
    def halo(self) -> int:
        """Pixels round a core that the stars in it look at."""
        return halo_of(self.filtering, self.responses.psf_radius)


def halo_of(filtering: FilterParams, psf_radius: int) -> int:
    """Return how many pixels round a core the stars in it look at.

    Parameters
    ----------
    filtering : FilterParams
        Of the field.
    psf_radius : int
        Radius of the stars' light, pixels.
    """
    reach = psf_radius + 2 * response_halo(filtering) + FAR
    if not math.isfinite(filtering.extended):
        return reach
    return max(reach, REACH + max(difference_radius(*taps) for taps in filtering.mid_scales))


@dataclass(frozen=True)
class TileShare:
    """Stars that a tile owns, and the field's sources about it."""

    number: Int64
    y: Floats
    x: Floats
    flux: Floats
    """nJy, (band, n)."""
    reference: Floats
    """In the unit of the detection map."""
    source_y: Int64
    source_x: Int64
    source_flux: Floats
    """Of the run's peaks above the limit, in the unit of the detection map."""
    listed: NDArray[np.bool_]
    """Whether they are in the catalogue."""


def shares(
    grid: TileGrid,
    stars: Stars,
    reference: Floats,
    sources: tuple[Int64, Int64, Floats, NDArray[np.bool_]],
    halo: int,
) -> list[TileShare]:
    """Return what every tile of a field needs.

    Parameters
    ----------
    grid : TileGrid
    stars : Stars
    reference : (n,) float64
        Their fluxes in the unit of the detection map.
    sources : y, x, flux, listed
        As in `TileShare`, of the whole field.
    halo : int
    """
    row, column = np.floor(stars.y + 0.5).astype(np.int64), np.floor(stars.x + 0.5).astype(np.int64)
    rows, columns = grid.shape
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    kept = np.flatnonzero(inside)
    tile = (row[kept] // grid.size) * grid.counts[1] + column[kept] // grid.size
    order = np.argsort(tile, kind="stable")
    ends = np.searchsorted(tile[order], np.arange(1, len(grid)))
    y, x, flux, listed = sources
    found = []
    for index, part in enumerate(np.split(kept[order], ends)):
        box = grid.tile(index, halo).window
        near = (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)
        if not part.size:
            near[:] = False
        found.append(
            TileShare(
                stars.number[part],
                stars.y[part],
                stars.x[part],
                stars.flux[:, part],
                reference[part],
                y[near],
                x[near],
                flux[near],
                listed[near],
            )
        )
    return found


def _inject_rule(
    window: Window, tile: Tile, params: tuple[InjectParams, TileShare]
) -> tuple[dict[str, Any], Table]:
    """Return what becomes of the stars of a core; those on masked pixels are left out."""
    field, share = params
    y0, x0 = tile.window.y0, tile.window.x0
    row, column = np.floor(share.y + 0.5).astype(np.int64), np.floor(share.x + 0.5).astype(np.int64)
    dy, dx = share.y - row, share.x - column
    row, column = row - y0, column - x0
    mask, flags = window["mask"].values, window["flags"].values
    kept = np.flatnonzero(_searched(mask)[row, column]) if row.size else np.zeros(0, np.int64)
    stars = some(Placed(row, column, dy, dx, share.flux), kept)
    detection = window["detection"].values
    noise = (
        np.ones(detection.shape, np.float32) if field.noise is None else field.noise.on(window, tile.window)
    )
    source = np.full(detection.shape, -1, np.int32)
    source[share.source_y - y0, share.source_x - x0] = np.arange(share.source_y.size)
    sky = Sky(
        detection,
        noise,
        (mask == 0) & np.isfinite(detection),
        window["light"].values,
        source,
        share.source_flux,
        share.listed,
    )
    which, patches = _patches(field, flags, stars)
    masked = _masked(field, window["light"].values, flags, stars)
    found = recover(
        sky,
        field.limits,
        field.shapes,
        stars,
        share.reference[kept],
        field.responses,
        (which, patches),
        masked,
    )
    peak = found.y >= 0
    return {}, {
        "number": share.number[kept],
        "verdict": found.verdict,
        "displaced": found.displaced,
        "y": np.where(peak, found.y + y0, -1),
        "x": np.where(peak, found.x + x0, -1),
        "value": found.value,
        "noise": noise[stars.row, stars.column],
        "by_pixel": which >= 0,
        "good": mask[stars.row, stars.column] == 0,
    }


def _patches(field: InjectParams, flags: NDArray[np.uint8], stars: Placed) -> tuple[Int64, Floats]:
    """Return the responses of stars near pixels that the filter leaves out, computed pixel by pixel.

    There the smoothing is normalised by the pixels that count, so the response is no shifted kernel any more. It is
    still linear: the filter itself is applied to the star alone, with the same pixels left out.
    """
    row, column, dy, dx, flux = stars
    radius = field.responses.radius
    # Pixels beyond the field count as left out; the window is cut there.
    left_out = np.pad((flags & REST) != 0, radius + 1, constant_values=True)
    sums = np.pad(np.cumsum(np.cumsum(left_out, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    low_y, low_x, side = row + 1, column + 1, 2 * radius + 1
    near = (
        sums[low_y + side, low_x + side]
        - sums[low_y, low_x + side]
        - sums[low_y + side, low_x]
        + sums[low_y, low_x]
    ) > 0
    which = np.full(row.size, -1, np.int64)
    rows = np.flatnonzero(near)
    which[rows] = np.arange(rows.size)
    patches = np.zeros((rows.size, side, side))
    if not rows.size:
        return which, patches
    if field.filtering.matched:
        kernels = kernel_images(field.filtering.matched)
        pad = radius + kernels.wide.shape[-1] // 2
        left_out = np.pad((flags & REST) != 0, pad, constant_values=True)
        light, sides = field.responses.light, field.responses.sides
        add_normalised(some(stars, rows), left_out, pad, light, sides, kernels, patches)
        return which, patches
    margin = radius + response_halo(field.filtering)
    stamp_radius = field.responses.psf_radius
    psfs = [SplinePsf(table, stamp_radius) for table in field.responses.light]
    height, width = flags.shape
    for k, n in enumerate(rows):
        top, left = max(row[n] - margin, 0), max(column[n] - margin, 0)
        part = flags[top : row[n] + margin + 1, left : column[n] + margin + 1]
        j, i = row[n] - top, column[n] - left
        inside = np.s_[
            max(row[n] - radius, 0) - top : row[n] + radius + 1 - top,
            max(column[n] - radius, 0) - left : column[n] + radius + 1 - left,
        ]
        to = np.s_[
            max(radius - row[n], 0) : side - max(row[n] + radius + 1 - height, 0),
            max(radius - column[n], 0) : side - max(column[n] + radius + 1 - width, 0),
        ]
        total = np.zeros(part.shape, np.float32)
        for band, psf in enumerate(psfs):
            image = np.zeros(part.shape, np.float32)
            _put(image, psf.image(dy[n], dx[n]) * flux[band, n], int(j), int(i))
            total += band_response(field.filtering, band, image, part)
        patches[k][to] = np.nan_to_num(total[inside])
    return which, patches


def _put(image: NDArray[np.float32], shape: Floats, j: int, i: int) -> None:
    """Add a stamp to an image about a pixel, as far as it lies inside."""
    reach = shape.shape[0] // 2
    top, left = max(j - reach, 0), max(i - reach, 0)
    bottom, right = min(j + reach + 1, image.shape[0]), min(i + reach + 1, image.shape[1])
    image[top:bottom, left:right] += shape[
        top - j + reach : bottom - j + reach, left - i + reach : right - i + reach
    ]


def _masked(
    field: InjectParams,
    light: NDArray[np.float32],
    flags: NDArray[np.uint8],
    stars: Placed,
) -> NDArray[np.bool_]:
    """Return which stars are masked because of their own light."""
    masked = np.zeros(stars.row.size, bool)
    filtering, tables = field.filtering, field.responses
    # Most stars are too faint to be masked wherever they lie: only the others are looked at.
    height = float(tables.first.max(initial=0.0))
    able = stars.flux.sum(axis=0) * height > 0.1 * min(filtering.bright, filtering.extended)
    if not able.any():
        return masked
    valid = (flags & np.uint8(Bit.NO_DATA)) == 0
    first = difference(light, valid, *filtering.first)
    none = np.zeros((0, 0), np.float32)
    fine, coarse = (
        (difference(light, valid, *pair) for pair in filtering.mid_scales)
        if tables.fine.size
        else (none, none)
    )
    rows = np.flatnonzero(able)
    verdict = np.zeros(rows.size, bool)
    masks_itself(
        some(stars, rows),
        ByMap(first, fine, coarse),
        ByMap(tables.first, tables.fine, tables.coarse),
        ByMap(filtering.bright, filtering.extended, filtering.coarse),
        Extended(EXTENDED_AREA, ELONGATED_AREA, ELONGATION),
        verdict,
    )
    masked[rows] = verdict
    return masked


def inject_pass(params: Mapping[str, InjectParams]) -> Pass:
    """Return the pass that puts stars into fields with these parameters."""
    noise = next(iter(params.values())).noise
    return stars_pass(
        {name: one.halo for name, one in params.items()}, expected=noise is not None and noise.expected
    )


def stars_pass(halo: Mapping[str, int], *, expected: bool) -> Pass:
    """Return the pass that puts stars into fields with these halos; `expected`: it reads the expected noise."""
    reads = ("detection", "mask", "light", "flags", *((EXPECTED,) if expected else ()))
    return Pass("completeness: stars", reads, halo, (), _inject_rule, bytes_per_pixel=60.0)
