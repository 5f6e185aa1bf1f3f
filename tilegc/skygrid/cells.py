"""The sky grid: areas, light, rho, sources and kappa of all fields in cells on the sky (algorithm.md, section 9).

The contributions of tiles are reduced on the workers, a few neighbours at a time, and the partial results are sent to
the driver, which holds the grid: that of a large field would not fit into the memory of a worker. Areas are integer
counts of pixels and sums are exact, so the order of the reduction does not matter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegc.config import Cluster
from tilegc.detection.noise.noise_map import NoiseMap
from tilegc.engine import FieldTiles, Pass, run_pass
from tilegc.geometry import Box, Tile
from tilegc.io import store
from tilegc.io.convergence import Kappa
from tilegc.io.window import Window
from tilegc.kernels.mesh import Mesh
from tilegc.phases.context import Context
from tilegc.schema import Bit
from tilegc.sky import SkyGrid, mesh, world_to_pixel
from tilegc.skygrid.cell_sums import accumulate_cells, cell_of, cells_at
from tilegc.skygrid.tile_sums import TileCells, add_tiles, join_cells, settle_cells

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["HALF", "SkyCells", "add_up", "read_sky_cells", "stored_cells"]

log = logging.getLogger("tilegc.skygrid")

HALF = 0.5
"""Minimum fraction of good area of a cell; cells below are left out together with their sources."""

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class SkyCells:
    """Contents of every cell; arrays of (field, eta, xi) or (eta, xi), read-only."""

    grid: SkyGrid
    j0: int
    """Index of the first row: its cells begin at eta = j0 * pixel arcsec north of the centre."""
    i0: int
    """Index of the first column, the same along xi, east."""
    fields: tuple[str, ...]
    pixel_area: np.ndarray
    """Area of a pixel of each field in arcsec^2; float64 (field,)."""
    n_pixels: np.ndarray
    n_good: np.ndarray
    n_inside: np.ndarray
    n_gc: np.ndarray
    light: np.ndarray
    rho: np.ndarray
    kappa: np.ndarray

    @property
    def nbytes(self) -> int:
        """Total size of the arrays in bytes."""
        given = (self.n_pixels, self.n_good, self.n_inside, self.n_gc, self.light, self.rho, self.kappa)
        return sum(array.nbytes for array in given)

    @property
    def xi(self) -> np.ndarray:
        """Centres of the columns in arcsec east of the cluster centre."""
        xi: np.ndarray = (self.i0 + np.arange(self.kappa.shape[1]) + 0.5) * self.grid.pixel
        return xi

    @property
    def eta(self) -> np.ndarray:
        """Centres of the rows in arcsec north of the cluster centre."""
        eta: np.ndarray = (self.j0 + np.arange(self.kappa.shape[0]) + 0.5) * self.grid.pixel
        return eta

    @cached_property
    def radius(self) -> np.ndarray:
        """Distance of the cell centres from the cluster centre in arcsec, (eta, xi)."""
        radius: np.ndarray = np.hypot(self.eta[:, None], self.xi[None, :])
        radius.flags.writeable = False
        return radius

    @cached_property
    def good_area(self) -> np.ndarray:
        """Good area in arcsec^2, (field, eta, xi)."""
        good_area: np.ndarray = self.n_good * self.pixel_area[:, None, None]
        # Cached and shared: whoever wants to change it must copy it.
        good_area.flags.writeable = False
        return good_area

    @cached_property
    def inside_area(self) -> np.ndarray:
        """Area without mask bits 1 and 2 in arcsec^2, (field, eta, xi)."""
        inside_area: np.ndarray = self.n_inside * self.pixel_area[:, None, None]
        inside_area.flags.writeable = False
        return inside_area

    @cached_property
    def kept(self) -> np.ndarray:
        """Cells with sufficient good area, all fields taken together, (eta, xi)."""
        kept: np.ndarray = self.good_area.sum(axis=0) >= HALF * self.grid.pixel**2
        kept.flags.writeable = False
        return kept

    def kept_of(self, field: int) -> np.ndarray:
        """Cells with sufficient good area of one field, (eta, xi)."""
        kept: np.ndarray = self.good_area[field] >= HALF * self.grid.pixel**2
        return kept

    def inside_of(self, field: int) -> np.ndarray:
        """Cells with sufficient area of one field without mask bits 1 and 2, (eta, xi)."""
        inside: np.ndarray = self.inside_area[field] >= HALF * self.grid.pixel**2
        return inside

    @cached_property
    def owner(self) -> np.ndarray:
        """Index of the field to which each cell belongs: the one with most pixels in it, (eta, xi)."""
        owner: np.ndarray = self.n_pixels.argmax(axis=0)
        owner.flags.writeable = False
        return owner

    def owned(self, ra: np.ndarray, dec: np.ndarray, field: np.ndarray) -> np.ndarray:
        """Return whether positions (deg) lie in cells that belong to their own field, bool.

        Where fields overlap, the catalogue lists a source once for each field.
        """
        cell, on = self._flat(*self._named(ra, dec))
        if not self.kappa.size:
            return on
        names = np.array(self.fields)[self.owner.ravel()[cell]]
        own: np.ndarray = on & (names == np.asarray(field).astype(str))
        return own

    def _named(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells (i_eta, i_xi) of positions (deg)."""
        xi, eta = self.grid.offsets(ra, dec)
        return cell_of(eta, self.grid.pixel), cell_of(xi, self.grid.pixel)

    def _flat(self, i_eta: np.ndarray, i_xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the flat index of each cell, and which cells are on the grid."""
        j, i = i_eta - self.j0, i_xi - self.i0
        height, width = self.kappa.shape
        on = (i >= 0) & (i < width) & (j >= 0) & (j < height)
        return np.where(on, j * width + i, 0), on

    def count_cells(self, i_eta: np.ndarray, i_xi: np.ndarray) -> np.ndarray:
        """Return how many times each cell occurs, int64 (eta, xi)."""
        cell, on = self._flat(i_eta, i_xi)
        return np.bincount(cell[on], minlength=self.kappa.size).reshape(self.kappa.shape)

    def count(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return the number of positions (deg) in each cell, int64 (eta, xi)."""
        return self.count_cells(*self._named(ra, dec))

    def kept_at(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Return whether positions (deg) lie in cells with sufficient good area, bool."""
        cell, on = self._flat(*self._named(ra, dec))
        return on & self.kept.ravel()[cell] if self.kappa.size else on


@dataclass(frozen=True)
class _CellParams:
    field: int
    mesh: Mesh
    pixel: float
    noise: NoiseMap | None = None
    """Local noise; with `ceiling`, pixels of higher noise do not count as good."""
    ceiling: float = np.inf


def _cell_rule(
    window: Window, tile: Tile, params: _CellParams
) -> tuple[dict[str, np.ndarray], tuple[TileCells, ...]]:
    values = {name: window[name].values for name in ("mask", "light", "rho")}
    if params.noise is not None:
        # Area in which the sample is not complete counts as masked, like its sources, which the caller has left
        # out.
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
    """Sum all fields on the sky grid.

    Parameters
    ----------
    context : Context
        Fields, engine and ledger of the run.
    grid : SkyGrid
        The grid.
    box : float
        Side of the boxes of the relation in arcsec: the grid extends to whole boxes.
    sources : table
        Columns field, y_peak, x_peak of the sources to be counted.
    kappa : Kappa, optional
        Convergence map; without it kappa is NaN everywhere.
    complete : mapping, optional
        For each field, its local noise and the highest noise at which the sample is complete. Area with higher noise
        does not count as good, and `sources` must not contain any source there.
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
    # Whole boxes of the relation: their borders are multiples of the box from the cluster's centre, whatever
    # the fields cover.
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
        # Locate a source by the pixel of its peak, as areas are counted by pixels: both then fall into the same cell.
        n_gc[index] = empty.count_cells(*cells_at(params[name].mesh, y, x, grid.pixel))
    # A source in a cell of another field is counted there, by that field's own detection.
    n_gc[foreign] = 0
    values = empty.kappa
    if kappa is not None:
        xi, eta = np.meshgrid(empty.xi, empty.eta)
        # At the centres of cells: maps are smooth on the scale of 0.3 arcsec, and an average over pixels would
        # be another choice.
        values = kappa.at(*grid.radec(xi, eta))
    return SkyCells(
        grid, j0, i0, context.names, empty.pixel_area, n_pixels, n_good, n_inside, n_gc, light, rho, values
    )


def field_of_centre(fields: Sequence[FieldTiles], cluster: Cluster) -> int:
    """Return the index of the field that contains the cluster centre, or 0 if none does."""
    for index, tiles in enumerate(fields):
        y, x = world_to_pixel(tiles.source.wcs, cluster.ra, cluster.dec)
        height, width = tiles.source.shape
        if -0.5 <= float(y) < height - 0.5 and -0.5 <= float(x) < width - 0.5:
            return index
    return 0


def read_sky_cells(dataset: xr.Dataset) -> SkyCells:
    """Return the sky grid of a run from its dataset, `Run.sky`."""
    return _cells({str(name): array.to_numpy() for name, array in dataset.data_vars.items()}, dataset.attrs)


def stored_cells(path: str) -> SkyCells:
    """Return the sky grid of a run from its store (a local path or a URL)."""
    return _cells(*store.read_arrays(path))


def _cells(values: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> SkyCells:
    """Return the sky grid of a run from the arrays and attributes of its store."""
    names = ("n_pixels", "n_good", "n_inside", "n_gc", "light", "rho", "kappa")
    return SkyCells(
        SkyGrid(told["ra"], told["dec"], told["cell_arcsec"]),
        int(told["j0"]),
        int(told["i0"]),
        tuple(told["fields"]),
        np.array(told["pixel_area_arcsec2"], np.float64),
        *(values[name] for name in names),
    )


def _foreign(n_pixels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return which cells belong to another field, the one with most pixels there; bool (field, eta, xi).

    Where fields overlap, the sky must be counted only once.
    """
    if not n_pixels.size:
        return np.zeros(n_pixels.shape, bool)
    # The first field wins a tie, so that the choice does not depend on the order of tiles.
    owner = n_pixels.argmax(axis=0)
    foreign: np.ndarray = (owner != np.arange(len(names))[:, None, None]) & (n_pixels > 0)
    if foreign.any():
        log.warning(
            "fields %s overlap on %d cells of the sky grid: each cell belongs to the field with most pixels in it; "
            "the catalogue lists the sources of every field",
            ", ".join(names),
            int(foreign.any(axis=0).sum()),
        )
    return foreign


def _extent(parts: Sequence[TileCells], side: int) -> Box:
    """Return the rectangle of cells that contains all fields, extended to whole boxes of `side` cells."""
    boxes = [part.box for part in parts] or [Box(0, 0, 0, 0)]
    low = (min(box.y0 for box in boxes) // side, min(box.x0 for box in boxes) // side)
    high = (-(-max(box.y1 for box in boxes) // side), -(-max(box.x1 for box in boxes) // side))
    return Box(low[0] * side, low[1] * side, high[0] * side, high[1] * side)


def _mean(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return sums divided by counts; NaN where the count is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = np.where(count > 0, sums / count, np.nan)
    return mean
