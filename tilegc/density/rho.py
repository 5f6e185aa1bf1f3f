"""Kernel sum rho over detected and inpainted sources (Diego et al. 2026, eq. 2; algorithm.md, section 7)."""

from __future__ import annotations

import numpy as np

from tilegc.config import Density
from tilegc.density import multilevel
from tilegc.density.coverage import detected
from tilegc.density.density_map import DENSITY_SIGMA
from tilegc.density.inpainting import no_data
from tilegc.density.multilevel import Tables, coarse_nodes, far, kernel_tables
from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import TileGrid
from tilegc.io import lattices, store
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["MAPS", "drawn_variance", "error_tables", "rho", "tile_bytes"]

MAPS = ("rho", "rho_error")
"""Arrays that this stage writes."""

COLUMNS = ("weight", "direct", "spread")
"""What a point has: its weight in rho, and its two parts in the variance."""

SPREAD = 1.1
"""Core of the kernel by which inpainting adds to the variance, in sigmas of the density: a source seen is felt by
what is drawn all round it. Chosen for the scatter of an ensemble (`tests/density/test_rho_error.py`)."""

ERROR = 1e-2
"""To which the error's own kernel is summed."""

BYTES_PER_PIXEL = 40.0
"""Peak memory of a tile."""

POINT_BYTES = 64 * 2**20
"""Points round a tile, and the lattices' nodes."""


def error_tables(
    shape: tuple[int, int], scale: float, alpha: float, softening: float
) -> tuple[Tables, Tables]:
    """Return the kernels of rho's variance: of the sources themselves, and of what inpainting makes of them."""
    return (
        kernel_tables(shape, scale, 2 * alpha, softening, error=ERROR),
        kernel_tables(shape, scale, 2 * alpha, softening, core=SPREAD * DENSITY_SIGMA, error=ERROR),
    )


def drawn_variance(coverage: np.ndarray) -> np.ndarray:
    """Return what an inpainted source adds to the second part of the variance; `coverage` above 0.

    A detected one adds 1 to the first part, and 1 of R realisations of a drawn one 1 / R^2.
    """
    return 1.0 + 1.0 / coverage


def tile_bytes(grid: TileGrid) -> int:
    """Return the peak memory of a tile, bytes."""
    return int(BYTES_PER_PIXEL * grid.tile(0).core.size) + POINT_BYTES


def rho(context: Context, config: Density, realisations: int, catalogue: Table, inpainted: Table) -> None:
    """Write the kernel sum of every field's detected and inpainted sources, and its error.

    The mean over realisations of the sums is the sum of the mean: the convolution is linear.

    The error is the scatter of rho over Poisson fields of sources, each inpainted anew. A detected source adds W^2,
    a draw in one of R realisations W^2 / R^2. The expected number under a mask is what was seen round it: were n there
    in all, c n of them seen, the n inpainted from these would scatter by n / c. So a source drawn in all realisations
    adds 1 + 1/c more, c being the good fraction round it, but through the Gaussian that smoothes the density.
    """
    tables: dict[str, tuple[Tables, ...]] = {}
    for field in context.fields:
        name, source = field.source.name, field.source
        kernel = source.shape, source.scale, config.alpha, config.softening
        tables[name] = (kernel_tables(*kernel), *error_tables(*kernel))
        y, x, columns = _points(name, source.shape[1], realisations, catalogue, inpainted)
        order = lattices.put_points(field.store, "points", source.shape, y, x, **columns)
        for column, of in zip(COLUMNS, tables[name], strict=True):
            nodes, coarse = far(y[order], x[order], columns[column][order], source.shape, of)
            lattices.put_lattice(field.store, f"{column}_far", nodes, coarse)
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in context.fields
        for tile in field.grid.tiles()
    ]
    common = ({field.source.name: field for field in context.fields}, tables)
    context.engine.run("rho", _rho_unit, units, common=common, ledger=context.ledger)
    for field in context.fields:
        store.annotate(field.store, {"rho_alpha": config.alpha, "rho_softening_arcsec": config.softening})


def _points(
    name: str, width: int, realisations: int, catalogue: Table, inpainted: Table
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return y, x and `COLUMNS` of all pixels of a field that hold a source, detected or drawn."""
    y, x, weight = detected(catalogue, name)
    mine = inpainted["field"] == name
    seen = y.astype(np.int64) * width + x
    filled = inpainted["y"][mine].astype(np.int64) * width + inpainted["x"][mine]
    pixel = np.unique(np.concatenate([seen, filled]))
    at, drawn = np.searchsorted(pixel, seen), np.searchsorted(pixel, filled)
    total, squares, coverage = np.zeros(pixel.size), np.zeros(pixel.size), np.ones(pixel.size)
    total[at], squares[at] = weight, weight * weight  # one detected source a pixel
    coverage[drawn] = inpainted["coverage"][mine]
    share = np.bincount(drawn, minlength=pixel.size) / realisations
    columns = total + share, squares + share / realisations, share * drawn_variance(coverage)
    return pixel // width, pixel % width, dict(zip(COLUMNS, columns, strict=True))


def _rho_unit(
    common: tuple[dict[str, FieldTiles], dict[str, tuple[Tables, ...]]], payload: tuple[str, int]
) -> None:
    """Compute and write the kernel sum of one tile, and its error."""
    fields, tables = common
    field = fields[payload[0]]
    core = field.grid.tile(payload[1]).core
    blank = no_data(store.read(field.store, "mask", core))
    nodes = coarse_nodes(core)

    reach = max(of.reach for of in tables[payload[0]])
    y, x, *weights = lattices.take_points(field.store, "points", core.grow(reach), *COLUMNS)

    def summed(column: str, weight: np.ndarray, of: Tables) -> np.ndarray:
        there = weight != 0
        coarse = lattices.take_lattice(field.store, f"{column}_far", nodes)
        return multilevel.rho(y[there], x[there], weight[there], core, of, coarse, nodes)

    sums = dict(zip(COLUMNS, map(summed, COLUMNS, weights, tables[payload[0]]), strict=True))
    error = np.sqrt(np.maximum(sums["direct"] + sums["spread"], 0.0))
    for array, values in zip(MAPS, (sums["weight"], error), strict=True):
        rounded = values.astype(np.float32)
        rounded[blank] = np.nan
        store.write(field.store, array, core, rounded)
