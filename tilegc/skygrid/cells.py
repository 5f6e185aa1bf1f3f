"""The sky grid: areas, light, rho, sources and kappa of all fields in cells on the sky (algorithm.md, section 9).

What tiles of all fields add is reduced on the workers, a few neighbours at a time, and the roots come to the driver,
which holds the grid: that of a large field would not fit into a worker. Areas are integer counts of pixels and sums
are exact, so the order does not matter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr

from tilegc.config import Cluster
from tilegc.detection.noise.noise_map import NoiseMap
from tilegc.engine import FieldTiles, Pass, run_pass
from tilegc.geometry import Box, Tile
from tilegc.io import store
from tilegc.io.convergence import Kappa
from tilegc.kernels.mesh import Mesh
from tilegc.phases.context import Context
from tilegc.schema import Bit
from tilegc.sky import SkyGrid, mesh, world_to_pixel
from tilegc.skygrid.cell_sums import accumulate_cells, cell_of, cells_at
from tilegc.skygrid.tile_sums import TileCells, add_tiles, join_cells, settle_cells

__all__ = ["HALF", "SkyCells", "add_up", "read_sky_cells", "stored_cells"]

log = logging.getLogger("tilegc.skygrid")

HALF = 0.5
"""Share of a cell that must be good area; cells below are left out, with their sources."""

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class SkyCells:
    """What lies in each cell; arrays (field, eta, xi) or (eta, xi), not to be written to."""

    grid: SkyGrid
    j0: int
    """Index of the first row: its cells begin at eta = j0 * pixel arcsec north of the centre."""
    i0: int
    """Index of the first column, the same along xi, east."""
    fields: tuple[str, ...]
    pixel_area: np.ndarray
    """Area of a field's pixel, arcsec^2; float64 (field,)."""
    n_pixels: np.ndarray
    n_good: np.ndarray
    n_inside: np.ndarray
    n_gc: np.ndarray
    light: np.ndarray
    rho: np.ndarray
    kappa: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays it is made of."""
        given = (self.n_pixels, self.n_good, self.n_inside, self.n_gc, self.light, self.rho, self.kappa)
        return sum(array.nbytes for array in given)

    @property
    def xi(self) -> np.ndarray:
        """Centres of the columns, arcsec east."""
        xi: np.ndarray = (self.i0 + np.arange(self.kappa.shape[1]) + 0.5) * self.grid.pixel
        return xi

    @property
    def eta(self) -> np.ndarray:
        """Centres of the rows, arcsec north."""
        eta: np.ndarray = (self.j0 + np.arange(self.kappa.shape[0]) + 0.5) * self.grid.pixel
        return eta

    @cached_property
    def radius(self) -> np.ndarray:
        """Distance of the cells' centres from the cluster's, arcsec (eta, xi)."""
        radius: np.ndarray = np.hypot(self.eta[:, None], self.xi[None, :])
        radius.flags.writeable = False
        return radius

    @cached_property
    def good_area(self) -> np.ndarray:
        """Good area, arcsec^2 (field, eta, xi)."""
        good_area: np.ndarray = self.n_good * self.pixel_area[:, None, None]
        good_area.flags.writeable = False
        return good_area

    @cached_property
    def inside_area(self) -> np.ndarray:
        """Area without the bits 1 and 2, arcsec^2 (field, eta, xi)."""
        inside_area: np.ndarray = self.n_inside * self.pixel_area[:, None, None]
        inside_area.flags.writeable = False
        return inside_area

    @cached_property
    def kept(self) -> np.ndarray:
        """Cells with enough good area of all fields together (eta, xi)."""
        kept: np.ndarray = self.good_area.sum(axis=0) >= HALF * self.grid.pixel**2
        kept.flags.writeable = False
        return kept

    def kept_of(self, field: int) -> np.ndarray:
        """Cells with enough good area of one field (eta, xi)."""
        kept: np.ndarray = self.good_area[field] >= HALF * self.grid.pixel**2
        return kept

    def inside_of(self, field: int) -> np.ndarray:
        """Cells with enough area of one field without the bits 1 and 2 (eta, xi)."""
        inside: np.ndarray = self.inside_area[field] >= HALF * self.grid.pixel**2
        return inside

    @cached_property
    def owner(self) -> np.ndarray:
        """Position of the field to which each cell belongs, that with most pixels in it (eta, xi)."""
        owner: np.ndarray = self.n_pixels.argmax(axis=0)
        owner.flags.writeable = False
        return owner

    def owned(self, ra: np.ndarray, dec: np.ndarray, field: np.ndarray) -> np.ndarray:
        """Return whether these places (deg) lie in cells of their own field, bool.

        Where fields overlap, a source stands in the catalogue once for each.
        """
        cell, on = self._flat(*self._named(ra, dec))
        if not self.kappa.size:
            return on
        names = np.array(self.fields)[self.owner.ravel()[cell]]
        own: np.ndarray = on & (names == np.asarray(field).astype(str))
        return own

    def _named(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells (i_eta, i_xi) of these places (deg)."""
        xi, eta = self.grid.offsets(ra, dec)
        return cell_of(eta, self.grid.pixel), cell_of(xi, self.grid.pixel)

    def _flat(self, i_eta: np.ndarray, i_xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the flat index of these cells, and which of them are on the grid."""
        j, i = i_eta - self.j0, i_xi - self.i0
        height, width = self.kappa.shape
        on = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        return np.where(on, j * width + i, 0), on

    def count_cells(self, i_eta: np.ndarray, i_xi: np.ndarray) -> np.ndarray:
        """Return how many times each cell is named, int64 (eta, xi)."""
        cell, on = self._flat(i_eta, i_xi)
        return np.bincount(cell[on], minlength=self.kappa.size).reshape(self.kappa.shape)

    def count(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return how many of these places (deg) lie in each cell, int64 (eta, xi)."""
        return self.count_cells(*self._named(ra, dec))

    def kept_at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return whether these places (deg) lie in kept cells, bool."""
        cell, on = self._flat(*self._named(ra, dec))
        return on & self.kept.ravel()[cell] if self.kappa.size else on


@dataclass(frozen=True)
class _CellParams:
    field: int
    mesh: Mesh
    pixel: float
    noise: NoiseMap | None = None
    """Local noise; with `ceiling`, pixels of more noise are not good here."""
    ceiling: float = np.inf


def _cell_rule(
    window: xr.Dataset, tile: Tile, params: _CellParams
) -> tuple[dict[str, np.ndarray], tuple[TileCells, ...]]:
    values = {name: window[name].values for name in ("mask", "light", "rho")}
    if params.noise is not None:
        shallow = params.noise.on(window, tile.core) > np.float64(params.ceiling)
        values["mask"] = values["mask"] | np.where(shallow, np.uint8(Bit.REGION), np.uint8(0))
    sums = accumulate_cells(params.field, params.mesh, tile.core, params.pixel, **values)
    settled = settle_cells(sums, params.mesh, tile.core, tile.field_shape, params.pixel)
    return {}, () if settled is None else (settled,)


CELLS = Pass("sky-grid", ("mask", "light", "rho"), 0, (), _cell_rule, join_cells, bytes_per_pixel=72.0)


def add_up(
    context: Context,
    grid: SkyGrid,
    box: float,
    sources: Table,
    kappa: Kappa | None,
    complete: Mapping[str, tuple[NoiseMap, float]] | None = None,
) -> SkyCells:
    """Add up all fields on the sky grid.

    Parameters
    ----------
    context : Context
    grid : SkyGrid
    box : float
        Side of the boxes of the relation, arcsec: the grid extends to whole boxes.
    sources : table
        Columns field, y_peak, x_peak of the sources to be counted.
    kappa : Kappa, optional
        NaN everywhere where there is none.
    complete : mapping, optional
        By field, its local noise and the highest at which its sources are complete: area beyond
        it is not good here, and `sources` holds none from there.
    """
    limits = complete or {}
    params = {
        field.source.name: _CellParams(
            index,
            mesh(field.source.wcs, field.source.shape, grid),
            grid.pixel,
            *limits.get(field.source.name, (None, np.inf)),
        )
        for index, field in enumerate(context.fields)
    }
    parts: list[TileCells] = []
    extra = max((noise.reads for noise, _ in limits.values()), key=len, default=())
    step = replace(CELLS, reads=(*CELLS.reads, *extra))
    run_pass(context.engine, step, context.fields, params, gather=parts.extend)
    extent = _extent(parts, round(box / grid.pixel))
    (j0, i0), shape = (extent.y0, extent.x0), (len(context.fields), *extent.shape)
    n_pixels, n_good, n_inside = (np.zeros(shape, np.int64) for _ in range(3))
    light, rho = np.full(shape, np.nan), np.full(shape, np.nan)
    for index, field in enumerate(context.fields):
        mine = [part for part in parts if part.field == index]
        if mine:
            n_pixels[index], n_good[index], n_inside[index], lights, rhos = add_tiles(mine, extent)
            light[index] = _mean(lights, n_good[index]) / field.source.pixel_area
            rho[index] = _mean(rhos, n_inside[index])
    parts.clear()
    foreign = _foreign(n_pixels, context.names)
    n_good[foreign], n_inside[foreign] = 0, 0
    empty = SkyCells(
        grid,
        j0,
        i0,
        context.names,
        np.array([field.source.pixel_area for field in context.fields]),
        n_pixels,
        n_good,
        n_inside,
        np.zeros(shape, np.int64),
        light,
        rho,
        np.full(shape[1:], np.nan),
    )
    n_gc = np.zeros(shape, np.int64)
    for index, name in enumerate(context.names):
        y, x = (sources[axis][sources["field"] == name] for axis in ("y_peak", "x_peak"))
        # By the pixel of the peak, as areas are: a source and its pixel lie in one cell.
        n_gc[index] = empty.count_cells(*cells_at(params[name].mesh, y, x, grid.pixel))
    n_gc[foreign] = 0
    values = empty.kappa
    if kappa is not None:
        xi, eta = np.meshgrid(empty.xi, empty.eta)
        values = kappa.at(*grid.radec(xi, eta))
    return SkyCells(
        grid, j0, i0, context.names, empty.pixel_area, n_pixels, n_good, n_inside, n_gc, light, rho, values
    )


def field_of_centre(fields: Sequence[FieldTiles], cluster: Cluster) -> int:
    """Return the position of the field that holds the cluster's centre; 0 where none does."""
    for index, tiles in enumerate(fields):
        y, x = world_to_pixel(tiles.source.wcs, cluster.ra, cluster.dec)
        height, width = tiles.source.shape
        if -0.5 <= float(y) < height - 0.5 and -0.5 <= float(x) < width - 0.5:
            return index
    return 0


def read_sky_cells(dataset: xr.Dataset) -> SkyCells:
    """Return the sky grid of a run's folder, as `Run.sky` opens it."""
    told = dataset.attrs
    names = ("n_pixels", "n_good", "n_inside", "n_gc", "light", "rho", "kappa")
    return SkyCells(
        SkyGrid(told["ra"], told["dec"], told["cell_arcsec"]),
        int(told["j0"]),
        int(told["i0"]),
        tuple(told["fields"]),
        np.array(told["pixel_area_arcsec2"], np.float64),
        *(dataset[name].to_numpy() for name in names),
    )


def stored_cells(path: str) -> SkyCells:
    """Return the sky grid of a run from the store that it was written to (a local path or a URL)."""
    return read_sky_cells(store.read_dataset(path))


def _foreign(n_pixels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return which cells belong to another field, bool (field, eta, xi): to the one with most pixels there.

    The sky must be counted once where fields overlap.
    """
    if not n_pixels.size:
        return np.zeros(n_pixels.shape, bool)
    owner = n_pixels.argmax(axis=0)
    foreign: np.ndarray = (owner != np.arange(len(names))[:, None, None]) & (n_pixels > 0)
    if foreign.any():
        log.warning(
            "fields %s overlap on %d cells of the sky grid: each counts for the field with most pixels there; "
            "the catalogue lists the sources of all",
            ", ".join(names),
            int(foreign.any(axis=0).sum()),
        )
    return foreign


def _extent(parts: Sequence[TileCells], side: int) -> Box:
    """Return the rectangle of cells that holds all fields, out to whole boxes of `side` cells."""
    boxes = [part.box for part in parts] or [Box(0, 0, 0, 0)]
    low = (min(box.y0 for box in boxes) // side, min(box.x0 for box in boxes) // side)
    high = (-(-max(box.y1 for box in boxes) // side), -(-max(box.x1 for box in boxes) // side))
    return Box(low[0] * side, low[1] * side, high[0] * side, high[1] * side)


def _mean(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return sums over counts; NaN where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = np.where(count > 0, sums / count, np.nan)
    return mean
