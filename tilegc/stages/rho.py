"""The seed's kernel sum of detected and inpainted sources at every pixel (DESIGN 3.7)."""

from __future__ import annotations

import numpy as np

from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import TileGrid
from tilegc.io import lattices, store
from tilegc.kernels import multilevel
from tilegc.kernels.multilevel import Tables, coarse_nodes, far, kernel_tables
from tilegc.stages.inpaint import no_data
from tilegc.stages.partials import Table
from tilegc.stages.setup import Setup

__all__ = ["MAPS", "rho", "tile_bytes"]

MAPS = ("rho",)
"""Arrays that this stage writes."""

BYTES_PER_PIXEL = 24.0
"""Peak memory of a tile."""

POINT_BYTES = 64 * 2**20
"""Points round a tile, and the lattices' nodes."""


def tile_bytes(grid: TileGrid) -> int:
    """Return the peak memory of a tile, bytes."""
    return int(BYTES_PER_PIXEL * grid.tile(0).core.size) + POINT_BYTES


def rho(setup: Setup, catalogue: Table, inpainted: Table) -> None:
    """Write the kernel sum of every field's detected and inpainted sources.

    The mean over realisations of the sums is the sum of the mean: the convolution is linear.
    """
    config = setup.config.density
    tables = {}
    for field in setup.fields:
        name, source = field.source.name, field.source
        tables[name] = kernel_tables(source.shape, source.scale, config.alpha, config.softening)
        y, x, weight = _points(setup, name, catalogue, inpainted)
        order = lattices.put_points(field.store, "points", source.shape, y, x, weight=weight)
        nodes, coarse = far(y[order], x[order], weight[order], source.shape, tables[name])
        lattices.put_lattice(field.store, "rho_far", nodes, coarse)
        store.annotate(field.store, {"rho_alpha": config.alpha, "rho_softening_arcsec": config.softening})
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in setup.fields
        for tile in field.grid.tiles()
    ]
    common = ({field.source.name: field for field in setup.fields}, tables)
    setup.engine.run("rho", _rho_unit, units, common=common, ledger=setup.ledger)


def _points(
    setup: Setup, name: str, catalogue: Table, inpainted: Table
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, x and weight of all pixels of a field that hold a source, detected or drawn."""
    width = setup.source(name).shape[1]
    found, drawn = (table["field"] == name for table in (catalogue, inpainted))
    detected = catalogue["y"][found].astype(np.int64) * width + catalogue["x"][found]
    filled = inpainted["y"][drawn].astype(np.int64) * width + inpainted["x"][drawn]
    pixel, at = np.unique(np.concatenate([detected, filled]), return_inverse=True)
    counts = [np.bincount(part, minlength=pixel.size) for part in (at[: detected.size], at[detected.size :])]
    weight = counts[0] + counts[1] / setup.config.inpaint.realisations
    return pixel // width, pixel % width, weight


def _rho_unit(common: tuple[dict[str, FieldTiles], dict[str, Tables]], payload: tuple[str, int]) -> None:
    """Compute and write the kernel sum of one tile."""
    fields, tables = common
    field = fields[payload[0]]
    core = field.grid.tile(payload[1]).core
    y, x, weight = lattices.take_points(field.store, "points", core.grow(tables[payload[0]].reach), "weight")
    nodes = coarse_nodes(core)
    coarse = lattices.take_lattice(field.store, "rho_far", nodes)
    values = multilevel.rho(y, x, weight, core, tables[payload[0]], coarse, nodes).astype(np.float32)
    values[no_data(store.read(field.store, "mask", core))] = np.nan
    store.write(field.store, "rho", core, values)
