"""Scatter of rho between the realisations of the inpainting (algorithm.md, sections 7 and 8).

Every realisation fills the masks anew, from numbers that belong to field, realisation and pixel; the scatter of its
kernel sums is what the filling alone leaves open. Draws on different pixels are independent and Poisson, so that its
expectation is the kernel squared, summed over the expected draws, as `rho_error` has it; with R realisations the
measured one scatters about that by 1 / sqrt(2 (R - 1)), as `tests/density/test_rho_scatter.py` shows.

The sums of all realisations run on blocks of 8 x 8 pixels, 0.24 arcsec at 30 mas: a quarter of the kernel's core.
Blocks and the points in them belong to absolute pixels, so that every tile has the same bits.
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
"""Arrays that this stage writes."""

BLOCK: Final = 8
"""Pixels along a block."""

ERROR: Final = 1e-2
"""To which the kernel is summed."""

MOST: Final = 40
"""Realisations that are taken, the first ones: they know a scatter to 11 %."""


@dataclass(frozen=True)
class _Common:
    fields: dict[str, FieldTiles]
    tables: dict[str, Tables]
    realisations: int


def tile_bytes(grid: TileGrid) -> int:
    """Return the peak memory of a tile, bytes."""
    return int(16.0 * grid.tile(0).core.size) + 64 * 2**20


def block_points(
    inpainted: Table, number: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row and column of blocks, realisation and draws there, by realisation, row, column.

    Parameters
    ----------
    inpainted : table
        Columns realisation, y, x, of one field.
    number : int
        Of realisations.
    width : int
        Blocks along a row of the field.
    """
    row, column = (inpainted[axis].astype(np.int64) // BLOCK for axis in ("y", "x"))
    block = row * width + column
    key, count = np.unique(block * number + inpainted["realisation"], return_counts=True)
    block, realisation = key // number, key % number
    order = np.argsort(realisation, kind="stable")
    block = block[order]
    return block // width, block % width, realisation[order], count[order].astype(np.float64)


def rho_scatter(context: Context, config: Density, realisations: int, inpainted: Table) -> None:
    """Write the standard deviation of rho between realisations, at every pixel; NaN with a single one."""
    number = min(realisations, MOST)
    tables: dict[str, Tables] = {}
    for field in context.fields:
        name, source = field.source.name, field.source
        shape = lattice_shape(source.shape, BLOCK)
        tables[name] = kernel_tables(shape, BLOCK * source.scale, config.alpha, config.softening, error=ERROR)
        mine = (inpainted["field"] == name) & (inpainted["realisation"] < number)
        drawn = {column: inpainted[column][mine] for column in ("realisation", "y", "x")}
        row, column, realisation, count = block_points(drawn, number, shape[1])
        order = lattices.put_points(
            field.store, "blocks", shape, row, column, realisation=realisation, count=count
        )
        row, column, realisation, count = (values[order] for values in (row, column, realisation, count))
        for one in range(number):
            own = realisation == one
            nodes, coarse = far(row[own], column[own], count[own], shape, tables[name])
            lattices.put_lattice(field.store, f"blocks_far_{one}", nodes, coarse)
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
    blocks = blocks.grow(1).clip(Box(0, 0, *shape))
    y, x, realisation, count = lattices.take_points(
        field.store, "blocks", blocks.grow(of.reach), "realisation", "count"
    )
    nodes = coarse_nodes(blocks)
    mean, squares = np.zeros(blocks.shape), np.zeros(blocks.shape)
    for one in range(common.realisations):
        own = realisation == one
        coarse = lattices.take_lattice(field.store, f"blocks_far_{one}", nodes)
        add(multilevel.rho(y[own], x[own], count[own], blocks, of, coarse, nodes), one, mean, squares)
    found = scatter_of(squares, common.realisations)
    values = bilinear_part(found, blocks, core, shape, BLOCK)
    values[no_data(store.read(field.store, "mask", core))] = np.nan
    store.write(field.store, MAPS[0], core, values)


def add(values: np.ndarray, before: int, mean: np.ndarray, squares: np.ndarray) -> None:
    """Add one realisation to a running mean and sum of squares about it, in place (Welford 1962)."""
    apart = values - mean
    mean += apart / (before + 1)
    squares += apart * (values - mean)


def scatter_of(squares: np.ndarray, realisations: int) -> np.ndarray:
    """Return the standard deviation from the sum of squares about the mean; NaN with a single realisation."""
    if realisations < 2:
        return np.full(squares.shape, np.nan)
    found: np.ndarray = np.sqrt(np.maximum(squares, 0.0) / (realisations - 1))
    return found
