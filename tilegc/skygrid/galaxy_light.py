"""Light of the member galaxies, which have globular clusters of their own: a term of the law beside kappa.

The globular clusters of a member galaxy follow its light, not the convergence of the whole cluster, and a bright
galaxy has hundreds: counted with the others they flatten the law and make its errors wrong. The law is therefore n =
a kappa^c + g l + f, where l is the light of every galaxy, spread like its globular clusters: an exponential with a
scale length of 1 arcsec, some 5 kpc at z = 0.35.

A galaxy is a peak of the light on the sky grid, masked pixels included. Its light is that within an aperture minus
the local median, which removes the halo of the cluster and of its brightest galaxy. The brightest galaxy itself is
not a member in this sense, because its globular clusters are those of the cluster; nor are bright stars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.kernels.mesh import Mesh, offsets_at
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.schema import Bit
from tilegc.sky import mesh
from tilegc.skygrid.cell_sums import accumulate_cells
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.tile_sums import TileCells, add_tiles, join_cells, settle_cells

__all__ = ["galaxies", "galaxy_light", "whole_light"]

Floats = NDArray[np.float64]

SCALE: Final = 1.0
"""Scale length in arcsec of the sources around a galaxy, exp(-r / scale); chosen on mocks whose members have 0.7 to
1.5."""

SPREAD: Final = 8.0
"""Truncation radius in scale lengths."""

SMOOTHED: Final = 0.35
"""Sigma in arcsec of the Gaussian with which the light is smoothed before peaks are sought."""

APART: Final = 0.9
"""Minimum distance in arcsec between peaks."""

APERTURE: Final = 1.0
RING: Final = (1.6, 3.0)
"""Radius of the aperture and outer radius of the ring for the local median in arcsec."""

CORE: Final = 4.0
"""Radius in arcsec around the cluster centre within which the light is attributed to the brightest galaxy."""

STAR: Final = 1.5
"""Minimum radius in arcsec around a bright star within which the light is attributed to the star."""


@dataclass(frozen=True)
class _Common:
    fields: Mapping[str, FieldTiles]
    numbers: Mapping[str, int]
    meshes: Mapping[str, Mesh]
    pixel: float


def whole_light(context: Context, cells: SkyCells, radius: float) -> Floats:
    """Return the mean light of all pixels with data, masked or not, in each cell, from the field that owns the cell.

    Parameters
    ----------
    context : Context
        Fields, engine and ledger of the run.
    cells : SkyCells
        The sky grid.
    radius : float
        Tiles farther than this from the cluster centre (arcsec) are not read.

    Returns
    -------
    float64 (eta, xi)
        nJy per arcsec^2; NaN where nothing was read. The sums are exact, so the bits do not depend on the tiles.
    """
    meshes = {
        field.source.name: mesh(field.source.wcs, field.source.shape, cells.grid) for field in context.fields
    }
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in context.fields
        for tile in field.grid.tiles()
        # The law has no light beyond its radius, and reading the images of a whole mosaic again would cost as
        # much as the filter.
        if _nearest(tile.core, meshes[field.source.name], field.source.scale) < radius
    ]
    numbers = {name: number for number, name in enumerate(context.names)}
    common = _Common(
        {field.source.name: field for field in context.fields}, numbers, meshes, cells.grid.pixel
    )
    parts: list[TileCells] = []
    context.engine.run(
        "galaxy-light", _light_unit, units, common=common, combine=join_cells, gather=parts.extend
    )
    whole = np.full(cells.kappa.shape, np.nan)
    extent = Box(cells.j0, cells.i0, cells.j0 + cells.eta.size, cells.i0 + cells.xi.size)
    for number in range(len(context.fields)):
        mine = [part for part in parts if part.field == number]
        if mine:
            count, _, _, light, _ = add_tiles(mine, extent)
            # Where fields overlap, light must come from the field whose sources are counted.
            here = (count > 0) & (cells.owner == number)
            whole[here] = light[here] / count[here] / cells.pixel_area[number]
    return whole


def _nearest(core: Box, of_field: Mesh, scale: float) -> float:
    """Return a lower limit in arcsec on the distance of every pixel of a core from the cluster centre."""
    middle = np.array([(core.y0 + core.y1) // 2]), np.array([(core.x0 + core.x1) // 2])
    xi, eta = offsets_at(of_field, *middle)
    return float(np.hypot(xi, eta)[0]) - 0.51 * scale * float(np.hypot(*core.shape))


def _light_unit(common: _Common, payload: tuple[str, int]) -> tuple[TileCells, ...]:
    """Sum the light of one tile, including masked pixels."""
    name, index = payload
    field, of_field = common.fields[name], common.meshes[name]
    core = field.grid.tile(index).core
    mask, light = (store.read(field.store, array, core) for array in ("mask", "light"))
    seen = ((mask & np.uint8(Bit.NO_DATA)) == 0) & np.isfinite(light)
    sums = accumulate_cells(
        common.numbers[name],
        of_field,
        core,
        common.pixel,
        # The same accumulation as for the grid, with a mask of its own: light counts wherever it was measured.
        mask=np.where(seen, np.uint8(0), np.uint8(Bit.NO_DATA)),
        light=np.where(seen, light, np.float32(0)),
        rho=np.zeros(core.shape, np.float32),
    )
    settled = settle_cells(sums, of_field, core, field.source.shape, common.pixel)
    return () if settled is None else (settled,)


def galaxies(light: Floats, cells: SkyCells, stars: Table, max_radius: float) -> Floats:
    """Return the light in nJy of every galaxy in the cell of its peak, and 0 in all other cells.

    Parameters
    ----------
    light : float64 (eta, xi)
        Light in nJy per arcsec^2; NaN where unknown.
    cells : SkyCells
        The sky grid.
    stars : table
        Bright stars: columns ra, dec (deg), radius_arcsec.
    max_radius : float
        Maximum distance of a galaxy from the cluster centre in arcsec.
    """
    pixel, found = cells.grid.pixel, np.zeros(light.shape)
    known = np.isfinite(light)
    if not known.any():
        return found
    # Gaps are filled before smoothing, or their edges would be peaks.
    values = np.where(known, light, np.median(light[known]))
    smooth = scipy.ndimage.gaussian_filter(values, SMOOTHED / pixel)
    reach = max(int(APART / pixel), 1)
    peak = (smooth == scipy.ndimage.maximum_filter(smooth, 2 * reach + 1)) & known
    # The light of the brightest galaxy, which sits at the centre, belongs to the cluster.
    peak &= (cells.radius < max_radius) & (cells.radius >= CORE)
    xi, eta = cells.grid.offsets(np.asarray(stars["ra"], float), np.asarray(stars["dec"], float))
    row, column = np.nonzero(peak)
    for x, y, radius in zip(xi, eta, np.asarray(stars["radius_arcsec"], float), strict=True):
        away = np.hypot(cells.xi[column] - x, cells.eta[row] - y) > max(float(radius), STAR)
        row, column = row[away], column[away]
    side = int(np.ceil(RING[1] / pixel))
    y, x = np.indices((2 * side + 1, 2 * side + 1)) - side
    distance = np.hypot(y, x) * pixel
    aperture, ring = distance <= APERTURE, (distance >= RING[0]) & (distance <= RING[1])
    padded = np.pad(np.where(known, light, np.nan), side, constant_values=np.nan)
    for j, i in zip(row.tolist(), column.tolist(), strict=True):
        window = padded[j : j + 2 * side + 1, i : i + 2 * side + 1]
        round_it = window[ring & np.isfinite(window)]
        if round_it.size:
            inside = window[aperture & np.isfinite(window)]
            # The median of a ring is robust against other galaxies in it; the aperture is small, since members
            # are crowded.
            found[j, i] = max(float((inside - np.median(round_it)).sum()) * pixel**2, 0.0)
    return found


def galaxy_light(
    light: Floats, cells: SkyCells, stars: Table, max_radius: float, *, everywhere: bool = False
) -> Floats:
    """Return the light of galaxies, spread like their globular clusters, per arcsec^2; float64 (eta, xi).

    It is normalised to mean 1 over the good sky within `max_radius`, so that g in the law is the mean density there
    of sources that belong to galaxies; 0 everywhere if there is no galaxy. The arguments are those of `galaxies`; with
    `everywhere` the light beyond `max_radius` stays, in the same unit.
    """
    pixel = cells.grid.pixel
    side = int(np.ceil(SPREAD * SCALE / pixel))
    y, x = (np.indices((2 * side + 1, 2 * side + 1)) - side) * pixel
    kernel = np.exp(-np.hypot(y, x) / SCALE)
    found = galaxies(light, cells, stars, np.inf if everywhere else max_radius)
    rows, columns = np.nonzero(found)
    spread = np.zeros(found.shape)
    if rows.size:
        part = (
            slice(max(rows.min() - side, 0), rows.max() + side + 1),
            slice(max(columns.min() - side, 0), columns.max() + side + 1),
        )
        # Only around the galaxies: transforms of the whole grid would take longer. They leave tiny negative
        # values behind.
        spread[part] = np.maximum(_convolved(found[part], kernel), 0.0)
    if not everywhere:
        spread[cells.radius >= max_radius] = 0.0
    area = cells.good_area.sum(axis=0) * (cells.kept & (cells.radius < max_radius))
    mean = float((spread * area).sum() / area.sum()) if area.any() else 0.0
    return spread / mean if mean > 0 else spread


def _convolved(image: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve by FFT; the result has the image's shape, and zeros are assumed outside of it.

    The same floats as `scipy.signal.fftconvolve(image, kernel, mode="same")`, without `scipy.signal`, whose import
    brings in `scipy.stats` and costs every process of a run half a second.
    """
    full = [pixels + more - 1 for pixels, more in zip(image.shape, kernel.shape, strict=True)]
    padded = [scipy.fft.next_fast_len(length, real=True) for length in full]
    product = scipy.fft.rfftn(image, padded) * scipy.fft.rfftn(kernel, padded)
    convolved: NDArray[np.float64] = scipy.fft.irfftn(product, padded)
    starts = [(length - pixels) // 2 for length, pixels in zip(full, image.shape, strict=True)]
    return convolved[
        tuple(slice(start, start + pixels) for start, pixels in zip(starts, image.shape, strict=True))
    ]
