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
"""Arrays that this phase writes."""

COLUMNS = ("weight", "direct", "spread")
"""Values of each point: its weight in rho, and the two terms of its variance."""

SPREAD = 1.1
"""Core radius of the kernel by which inpainting contributes to the variance, in sigmas of the smoothed density: a
detected source affects the draws all around it. Tuned to the scatter of an ensemble
(`tests/density/test_rho_error.py`)."""

ERROR = 1e-2
"""Accuracy of the kernel sums of the variance."""

BYTES_PER_PIXEL = 40.0
"""Peak memory of a tile in bytes per pixel."""

POINT_BYTES = 64 * 2**20
"""Memory in bytes of the points around a tile and of the nodes of the lattices."""


def error_tables(
    shape: tuple[int, int], scale: float, alpha: float, softening: float
) -> tuple[Tables, Tables]:
    """Return the kernels of the variance of rho: that of the sources themselves, and that of the inpainted sources."""
    return (
        kernel_tables(shape, scale, 2 * alpha, softening, error=ERROR),
        kernel_tables(shape, scale, 2 * alpha, softening, core=SPREAD * DENSITY_SIGMA, error=ERROR),
    )


def drawn_variance(coverage: np.ndarray) -> np.ndarray:
    """Return the contribution of an inpainted source to the second term of the variance; `coverage` is above 0.

    A detected source contributes 1 to the first term; a source drawn in one of R realisations contributes 1 / R^2.
    """
    return 1.0 + 1.0 / coverage


def tile_bytes(grid: TileGrid) -> int:
    """Return the peak memory of a tile in bytes."""
    return int(BYTES_PER_PIXEL * grid.tile(0).core.size) + POINT_BYTES


def rho(context: Context, config: Density, realisations: int, catalogue: Table, inpainted: Table) -> None:
    """Write the kernel sum over the detected and inpainted sources of every field, and its error.

    The convolution is linear, so the kernel sum of the mean over realisations is the mean of their kernel sums: one
    convolution is enough.

    The error is the scatter of rho over Poisson realisations of the sources, each inpainted anew. A detected source
    contributes W^2; a source drawn in one of R realisations contributes W^2 / R^2. In addition, the expected number
    under a mask is itself estimated from the sources around it: of n sources a fraction c, the good fraction, is
    detected, and the estimate of n scatters with variance n / c. A source drawn in all realisations therefore
    contributes 1 + 1/c more, smoothed with the Gaussian of the local density.
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
    """Return y, x and `COLUMNS` of every pixel of a field that contains a source, detected or inpainted."""
    y, x, weight = detected(catalogue, name)
    inpainted_here = inpainted["field"] == name
    detected_pixel = y.astype(np.int64) * width + x
    filled = inpainted["y"][inpainted_here].astype(np.int64) * width + inpainted["x"][inpainted_here]
    # Detected and drawn sources on one pixel are one point: fewer points for the sums, and one order for both.
    pixel = np.unique(np.concatenate([detected_pixel, filled]))
    at, drawn = np.searchsorted(pixel, detected_pixel), np.searchsorted(pixel, filled)
    total, squares, coverage = np.zeros(pixel.size), np.zeros(pixel.size), np.ones(pixel.size)
    total[at], squares[at] = weight, weight * weight  # at most one detected source per pixel
    coverage[drawn] = inpainted["coverage"][inpainted_here]
    share = np.bincount(drawn, minlength=pixel.size) / realisations
    # A drawn source counts 1/R in the mean of R realisations, and 1/R^2 in its variance, R times over.
    columns = total + share, squares + share / realisations, share * drawn_variance(coverage)
    return pixel // width, pixel % width, dict(zip(COLUMNS, columns, strict=True))


def _rho_unit(
    common: tuple[dict[str, FieldTiles], dict[str, tuple[Tables, ...]]], payload: tuple[str, int]
) -> None:
    """Compute and write the kernel sum of one tile and its error."""
    fields, tables = common
    field = fields[payload[0]]
    core = field.grid.tile(payload[1]).core
    blank = no_data(store.read(field.store, "mask", core))
    nodes = coarse_nodes(core)

    # The steeper kernels of the variance start at other distances; points are read once for all three sums.
    reach = max(of.reach for of in tables[payload[0]])
    y, x, *weights = lattices.take_points(field.store, "points", core.grow(reach), *COLUMNS)

    def summed(column: str, weight: np.ndarray, of: Tables) -> np.ndarray:
        # A detected source has no `spread`, a drawn one little `direct`: half of the points drop out of each
        # sum.
        nonzero = weight != 0
        coarse = lattices.take_lattice(field.store, f"{column}_far", nodes)
        return multilevel.rho(y[nonzero], x[nonzero], weight[nonzero], core, of, coarse, nodes)

    sums = dict(zip(COLUMNS, map(summed, COLUMNS, weights, tables[payload[0]]), strict=True))
    error = np.sqrt(np.maximum(sums["direct"] + sums["spread"], 0.0))
    for array, values in zip(MAPS, (sums["weight"], error), strict=True):
        rounded = values.astype(np.float32)
        rounded[blank] = np.nan
        store.write(field.store, array, core, rounded)
