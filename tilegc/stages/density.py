"""The local density of detected sources, per arcsec^2, at the mosaic's own pixels (DESIGN 3.7).

Gaussians of 2 to 16 arcsec look much further than a tile: they are convolved on coarse lattices of the whole
field. Good pixels are spread onto them tile by tile and added up exactly; the sources by the driver. A tile then
reads the nodes round it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from tilegc.engine import FieldTiles, Pass, Unit, run_pass
from tilegc.geometry import Box, Tile, TileGrid
from tilegc.io import lattices, store
from tilegc.kernels.local_density import Width, density_window, widths
from tilegc.kernels.splines import norm, spread, spread_image, touched
from tilegc.stages.inpaint import hidden, no_data
from tilegc.stages.partials import Table, by_field
from tilegc.stages.setup import Setup

__all__ = ["COVERAGE", "DENSITY_SIGMA", "MAPS", "density", "tile_bytes"]

MAPS = ("density",)
"""Arrays that this stage writes."""

DENSITY_SIGMA = 2.0
"""Width, arcsec, of the Gaussian of the local density."""

BYTES_PER_PIXEL = 60.0
"""Peak memory of a tile of the density."""

LATTICE_BYTES = 8 * 2**20
"""Nodes round a tile: its lattices reach 100 nodes beyond it."""

Sums = tuple[tuple[Box, np.ndarray], ...]
"""Of each width: nodes, and what good pixels left on them, int64."""


def density(setup: Setup, catalogue: Table) -> None:
    """Write the local density of every field's sources, per arcsec^2."""
    gaussians = {field.source.name: widths(DENSITY_SIGMA / field.source.scale) for field in setup.fields}
    params = {name: _CoverageParams(name, gaussians[name]) for name in setup.names}
    covered: dict[str, Sums] = run_pass(setup.engine, COVERAGE, setup.fields, params)
    for field in setup.fields:
        name, box = field.source.name, field.grid.field
        rows = catalogue["field"] == name
        y, x = catalogue["y"][rows], catalogue["x"][rows]
        order = np.lexsort((x, y))
        weight = np.ones(order.size)
        for number, (width, (nodes, sums)) in enumerate(zip(gaussians[name], covered[name], strict=True)):
            good = sums / float(norm(width.step, width.degree) ** 2)
            lattices.put_lattice(field.store, f"good_{number}", nodes, good)
            every = touched(box, width.step, width.degree)
            counts = spread(y[order], x[order], weight, width.step, width.degree, every)
            lattices.put_lattice(field.store, f"counts_{number}", every, counts)
        store.annotate(field.store, {"density_sigma_arcsec": DENSITY_SIGMA})
    units = [
        Unit(f"{field.source.name}/{tile.index}", tile.core.size, (field.source.name, tile.index))
        for field in setup.fields
        for tile in field.grid.tiles()
    ]
    common = ({field.source.name: field for field in setup.fields}, gaussians)
    setup.engine.run("density", _density_unit, units, common=common, ledger=setup.ledger)


def tile_bytes(grid: TileGrid) -> int:
    """Return the peak memory of a tile, bytes."""
    return int(BYTES_PER_PIXEL * grid.tile(0).core.size) + LATTICE_BYTES


@dataclass(frozen=True)
class _CoverageParams:
    field: str
    gaussians: tuple[Width, ...]


def _coverage_rule(
    window: xr.Dataset, tile: Tile, params: _CoverageParams
) -> tuple[dict[str, np.ndarray], dict[str, Sums]]:
    """Spread the good pixels of a core."""
    good = window["mask"].values == 0
    sums = tuple(spread_image(good, tile.core, width.step, width.degree) for width in params.gaussians)
    return {}, {params.field: sums}


def _add(a: Sums, b: Sums) -> Sums:
    """Return the sums over the pixels of both."""
    return tuple(_joined(*pair) for pair in zip(a, b, strict=True))


def _joined(a: tuple[Box, np.ndarray], b: tuple[Box, np.ndarray]) -> tuple[Box, np.ndarray]:
    whole = Box(min(a[0].y0, b[0].y0), min(a[0].x0, b[0].x0), max(a[0].y1, b[0].y1), max(a[0].x1, b[0].x1))
    total = np.zeros(whole.shape, np.int64)
    for box, values in (a, b):
        total[box.within(whole)] += values
    return whole, total


COVERAGE = Pass("coverage", ("mask",), 0, (), _coverage_rule, partial(by_field, _add), bytes_per_pixel=16.0)


def _density_unit(
    common: tuple[dict[str, FieldTiles], dict[str, tuple[Width, ...]]], payload: tuple[str, int]
) -> None:
    """Compute and write the local density of one tile."""
    fields, gaussians = common
    field = fields[payload[0]]
    core = field.grid.tile(payload[1]).core
    mask = store.read(field.store, "mask", core)

    def read(kind: str, number: int, nodes: Box) -> np.ndarray:
        return lattices.take_lattice(field.store, f"{kind}_{number}", nodes)

    counts = partial(read, "counts")
    values, _ = density_window(
        core, gaussians[payload[0]], partial(read, "good"), counts, counts, field.source.pixel_area
    )
    rounded = values.astype(np.float32)
    # Where sources are inpainted the density is needed, in a saturated core as well.
    rounded[no_data(mask) & ~hidden(mask)] = np.nan
    store.write(field.store, "density", core, rounded)
