"""The three passes of photometry over the tiles of a field: normal equations, positions, and what is left.

All are counting passes: nothing is written, the driver gathers rows of sources and sky splines by their numbers, so
that they come out the same for any tiling and in any order of tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.engine import Pass
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.photometry import sky_spline
from tilegc.photometry.local_sky import HALF, Planes, planes
from tilegc.photometry.noise_cells import noise_cells
from tilegc.photometry.normal_matrix import Points, Rows, rows, stamps
from tilegc.photometry.positions import CORE, refine
from tilegc.photometry.projected_mask import FieldMask, projected
from tilegc.photometry.quality import quality
from tilegc.photometry.residual import residual, weights
from tilegc.photometry.sources import MARGIN, TileSources
from tilegc.photometry.spline_psf import SplinePsf

__all__ = ["BESIDE", "EQUATIONS", "FIRST", "POSITIONS", "REST", "FitParams", "SkyRows", "bands_of", "left_of"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]

# 64 px of a noise cell and 5 of its box, then up to the next border of the blocks in which errors are averaged.
REST_HALO: Final = 88
"""Halo, pixels, of the residuals: a noise cell that begins in the core, and whole blocks of errors about it."""

SKY_HALO: Final = 72
"""Halo of the first equations: the cells of the sky's splines, and whole blocks of errors."""

NEAR_HALO: Final = 32
"""Halo of the others: a stamp, and whole blocks of errors."""

READS: Final = ("sci", "wht", "err", "mask")


@dataclass(frozen=True)
class FitParams:
    """What the passes need to know of a field."""

    shape: tuple[int, int]
    psfs: tuple[SplinePsf, ...]
    """Of every band."""
    with_wht: tuple[bool, ...]
    """Whether a band has weights."""
    with_err: tuple[bool, ...]
    """Whether a band has errors."""
    sky: tuple[Floats, ...] = ()
    """Coefficients of every band's sky, from the last solution."""
    radii: Floats | None = None
    """Of the apertures, pixels."""
    masks: tuple[FieldMask, ...] = ()
    """Of the fields, for a band on a grid of its own."""
    wcs: str = ""
    """Of that band."""
    moving: bool = True
    """Whether sources move, or only get their planes."""
    with_sky: bool = True
    """Whether the sky's own rows are wanted: they do not depend on positions."""


@dataclass(frozen=True)
class SkyRows:
    """Rows of the sky's normal equations that a tile owns, of one band."""

    first: tuple[int, int]
    """Row and column of the first coefficient."""
    band: Floats
    right: Floats


def bands_of(window: Window, tile: Tile, fit: FitParams) -> list[tuple[Float32, Float32, Float32 | None]]:
    """Return data, weight and errors of every band."""
    origin = tile.window.y0, tile.window.x0
    mask = window["mask"].values if "mask" in window else projected(fit.wcs, tile.window, fit.masks)
    found = []
    for band in range(len(window["sci"].values)):
        sci = window["sci"].values[band]
        wht = window["wht"].values[band] if fit.with_wht[band] else None
        err = window["err"].values[band] if fit.with_err[band] and "err" in window else None
        found.append((sci, weights(sci, wht, err, mask, origin), err))
    return found


def _equations(
    window: Window, tile: Tile, params: tuple[FitParams, TileSources]
) -> tuple[dict[str, Any], Any]:
    """Return, band by band, the rows of the tile's sources and sky splines."""
    fit, sources = params
    # Two stamps overlap up to twice their radius; 3 px more, because sources move between rounds.
    reach = 2 * fit.psfs[0].radius + 3
    sources = sources.near(tile, reach)
    points = sources.points(tile, fit.shape, reach)
    origin = (tile.window.y0, tile.window.x0)
    splines = (sky_spline.basis(), *origin)
    found: list[tuple[Rows, SkyRows | None]] = []
    for band, ((sci, weight, _), psf) in enumerate(zip(bands_of(window, tile, fit), fit.psfs, strict=True)):
        skies = sources.planes(tile, band)
        part = rows(sci, weight, points, psf, stamps(points, psf), splines, skies)
        found.append((part, _sky_rows(sci, weight, tile, fit.shape) if fit.with_sky else None))
    return {}, found


def _sky_rows(sci: Float32, weight: Float32, tile: Tile, shape: tuple[int, int]) -> SkyRows:
    core, origin = tile.core, (tile.window.y0, tile.window.x0)
    down = sky_spline.knots_of(core.y0, core.y1, shape[0])
    along = sky_spline.knots_of(core.x0, core.x1, shape[1])
    first = origin[0] // sky_spline.STEP, origin[1] // sky_spline.STEP
    matrix, right = sky_spline.cells(sci, weight, origin)
    band, total = sky_spline.moments(matrix, right, first, down, along, sky_spline.grid_shape(shape))
    return SkyRows((down[0], along[0]), band, total)


def _positions(
    window: Window, tile: Tile, params: tuple[FitParams, TileSources]
) -> tuple[dict[str, Any], Any]:
    """Return number, offset, error and, by band, the sky's planes of the tile's sources and how errors grow by them."""
    fit, sources = params
    reach = fit.psfs[0].radius + max(CORE, HALF) + 3
    points, sources = sources.points(tile, fit.shape, reach), sources.near(tile, reach)
    bands = bands_of(window, tile, fit)
    weight = [one for _, one, _ in bands]
    peaks = sources.y_peak - tile.window.y0, sources.x_peak - tile.window.x0
    # Neighbours from other tiles are in the residual but are not moved here: their own tile does that.
    own = np.flatnonzero(points.own)
    left, found = [], []
    for n, ((sci, w, _), psf) in enumerate(zip(bands, fit.psfs, strict=True)):
        shapes = stamps(points, psf)
        # The residual of each band is made once, and serves planes and positions.
        left.append(left_of(sci, n, points, sources, shapes, fit, tile))
        found.append(planes(left[n], w, peaks, (points.row, points.column), shapes, own))
    skies = [Planes(peaks[0][own], peaks[1][own], terms) for terms, _ in found]
    offset, error = sources.offset[own], np.full((own.size, 2), np.nan)
    if fit.moving:
        offset, error = refine(left, weight, points, sources.offset, sources.flux, fit.psfs, skies)
    terms, growth = np.stack([one for one, _ in found]), np.stack([one for _, one in found])
    return {}, (points.number[own], offset, error, terms, growth)


def _rest(window: Window, tile: Tile, params: tuple[FitParams, TileSources]) -> tuple[dict[str, Any], Any]:
    """Return the numbers of the tile's sources and, band by band, their quality and the noise of its cells."""
    fit, sources = params
    sources = sources.near(tile, MARGIN)
    points = sources.points(tile, fit.shape, MARGIN)
    bands = bands_of(window, tile, fit)
    origin = (tile.window.y0, tile.window.x0)
    radii = np.zeros(0) if fit.radii is None else fit.radii
    found = []
    for n, ((sci, weight, err), psf) in enumerate(zip(bands, fit.psfs, strict=True)):
        shapes = stamps(points, psf)
        left = left_of(sci, n, points, sources, shapes, fit, tile)
        flux, skies = sources.flux[n], sources.planes(tile, n)
        measured = quality(left, weight, err, points, flux, shapes, fit.sky[n], origin, radii, skies)
        found.append((measured, noise_cells(left, weight, points, psf.image(), tile.core, origin)))
    return {}, (points.number[points.own], found)


def left_of(
    sci: Float32,
    band: int,
    points: Points,
    sources: TileSources,
    shapes: Floats,
    fit: FitParams,
    tile: Tile,
) -> Float32:
    """Return one band without its sky and sources; their stamps are computed once a pass, being half of its work."""
    origin = (tile.window.y0, tile.window.x0)
    return residual(sci, points, sources.flux[band], shapes, fit.sky[band], origin)


FIRST: Final = Pass("photometry: sky", READS, SKY_HALO, (), _equations, bytes_per_pixel=60.0)
EQUATIONS: Final = Pass("photometry: equations", READS, NEAR_HALO, (), _equations, bytes_per_pixel=60.0)
POSITIONS: Final = Pass("photometry: positions", READS, NEAR_HALO, (), _positions, bytes_per_pixel=60.0)
REST: Final = Pass("photometry: residuals", READS, REST_HALO, (), _rest, bytes_per_pixel=60.0)

BESIDE: Final = {
    step.name: replace(
        step, name=f"{step.name}, other bands", reads=tuple(name for name in step.reads if name != "mask")
    )
    for step in (FIRST, EQUATIONS, POSITIONS, REST)
}
"""The same passes over a band with a grid of its own, which has no mask."""
