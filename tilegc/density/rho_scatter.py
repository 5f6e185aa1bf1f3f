"""Scatter of rho between the realisations of the inpainting (algorithm.md, sections 7 and 8).

Every realisation fills the masks independently, with random numbers that depend only on field, realisation and pixel;
the scatter of its kernel sums is the uncertainty due to the filling alone. The draws on different pixels are
independent and Poisson, so the expected variance is the squared kernel summed over the expected draws, as in
`rho_error`. With R realisations the measured scatter is itself uncertain by a factor 1 +- 1 / sqrt(2 (R - 1)), as
`tests/density/test_rho_scatter.py` shows.

The sums of all realisations are computed on blocks of 8 x 8 pixels, 0.24 arcsec at 30 mas: a quarter of the core of
the kernel. Blocks are counted from pixel (0, 0) of the field, and the points in them are added in one order, so that
the result does not depend on the tiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.config import Density
from tilegc.density import multilevel
from tilegc.density.inpainting import no_data
from tilegc.density.multilevel import Tables, coarse_nodes, far, kernel_tables
from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import Box, TileGrid
from tilegc.io import lattices, store
from tilegc.kernels.lattice import bilinear_part, lattice_shape
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["BLOCK", "MAPS", "block_points", "rho_scatter", "scatter_of", "tile_bytes"]

MAPS = ("rho_scatter",)
"""Arrays that this phase writes."""

BLOCK: Final = 8
"""Side of a block in pixels."""

ERROR: Final = 1e-2
"""Accuracy of the kernel sums."""

MOST: Final = 40
"""Maximum number of realisations used, the first ones: they determine the scatter to 11 %."""


@dataclass(frozen=True)
class _Common:
    fields: dict[str, FieldTiles]
    tables: dict[str, Tables]
    realisations: int


def tile_bytes(grid: TileGrid) -> int:
    """Return the peak memory of a tile in bytes."""
    return int(16.0 * grid.tile(0).core.size) + 64 * 2**20


def block_points(
    inpainted: Table, number: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row and column of the occupied blocks, realisation and draws, sorted by realisation, row, column.

    Parameters
    ----------
    inpainted : table
        Columns realisation, y, x of one field.
    number : int
        Number of realisations.
    width : int
        Number of blocks along a row of the field.
    """
    row, column = (inpainted[axis].astype(np.int64) // BLOCK for axis in ("y", "x"))
    block = row * width + column
    # Block and realisation in one integer, so that one sort groups by both.
    key, count = np.unique(block * number + inpainted["realisation"], return_counts=True)
    block, realisation = key // number, key % number
    order = np.argsort(realisation, kind="stable")
    block = block[order]
    return block // width, block % width, realisation[order], count[order].astype(np.float64)


def rho_scatter(context: Context, config: Density, realisations: int, inpainted: Table) -> None:
    """Write the standard deviation of rho between realisations at every pixel; NaN if there is only one realisation."""
    number = min(realisations, MOST)
    tables: dict[str, Tables] = {}
    for field in context.fields:
        name, source = field.source.name, field.source
        shape = lattice_shape(source.shape, BLOCK)
        tables[name] = kernel_tables(shape, BLOCK * source.scale, config.alpha, config.softening, error=ERROR)
        used = (inpainted["field"] == name) & (inpainted["realisation"] < number)
        drawn = {column: inpainted[column][used] for column in ("realisation", "y", "x")}
        row, column, realisation, count = block_points(drawn, number, shape[1])
        order = lattices.put_points(
            field.store, "blocks", shape, row, column, realisation=realisation, count=count
        )
        row, column, realisation, count = (values[order] for values in (row, column, realisation, count))
        for index in range(number):
            member = realisation == index
            # One far field for each realisation: they are independent, and their scatter is the result.
            nodes, coarse = far(row[member], column[member], count[member], shape, tables[name])
            lattices.put_lattice(field.store, f"blocks_far_{index}", nodes, coarse)
        store.annotate(field.store, {"rho_scatter_realisations": number})
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in context.fields
        for tile in field.grid.tiles()
    ]
    common = _Common({field.source.name: field for field in context.fields}, tables, number)
    context.engine.run("rho-scatter", _scatter_unit, units, common=common, ledger=context.ledger)


def _scatter_unit(common: _Common, payload: tuple[str, int]) -> None:
    """Compute and write the scatter of one tile."""
    field, of = common.fields[payload[0]], common.tables[payload[0]]
    core = field.grid.tile(payload[1]).core
    shape = lattice_shape(field.grid.field.shape, BLOCK)
    blocks = Box(core.y0 // BLOCK, core.x0 // BLOCK, -(-core.y1 // BLOCK), -(-core.x1 // BLOCK))
    # One more block on every side, for the interpolation between block centres.
    blocks = blocks.grow(1).clip(Box(0, 0, *shape))
    y, x, realisation, count = lattices.take_points(
        field.store, "blocks", blocks.grow(of.reach), "realisation", "count"
    )
    nodes = coarse_nodes(blocks)
    mean, squares = np.zeros(blocks.shape), np.zeros(blocks.shape)
    for index in range(common.realisations):
        member = realisation == index
        coarse = lattices.take_lattice(field.store, f"blocks_far_{index}", nodes)
        add(
            multilevel.rho(y[member], x[member], count[member], blocks, of, coarse, nodes),
            index,
            mean,
            squares,
        )
    scatter = scatter_of(squares, common.realisations)
    values = bilinear_part(scatter, blocks, core, shape, BLOCK)
    values[no_data(store.read(field.store, "mask", core))] = np.nan
    store.write(field.store, MAPS[0], core, values)


def add(values: np.ndarray, before: int, mean: np.ndarray, squares: np.ndarray) -> None:
    """Add one realisation to a running mean and sum of squares about it, in place (Welford 1962)."""
    # Running sums: the maps of 40 realisations need not be held at the same time.
    deviation = values - mean
    mean += deviation / (before + 1)
    squares += deviation * (values - mean)


def scatter_of(squares: np.ndarray, realisations: int) -> np.ndarray:
    """Return the standard deviation from the sum of squares about the mean; NaN if there is only one realisation."""
    if realisations < 2:
        return np.full(squares.shape, np.nan)
    scatter: np.ndarray = np.sqrt(np.maximum(squares, 0.0) / (realisations - 1))
    return scatter
