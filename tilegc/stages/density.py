"""Density, inpainting, and the seed's kernel sum, at the mosaic's own pixels (DESIGN 3.7 and 3.8).

The two maps of a field are convolutions over all of it: one task a field computes each by FFT, which needs
memory for the whole field; `WHOLE_FIELD` says how far that goes. The draws under the mask are made in tiles.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tilegc.engine import FieldTiles, Pass, Unit, run_pass
from tilegc.geometry import Box, Tile
from tilegc.io import store
from tilegc.kernels.convolve import kernel_sum, local_density
from tilegc.kernels.random import draw_sources
from tilegc.schema import Bit
from tilegc.sky import pixel_to_world
from tilegc.stages.partials import Table, concatenate
from tilegc.stages.setup import Setup

__all__ = ["MAPS", "WHOLE_FIELD", "density", "inpaint", "rho"]

MAPS = ("density", "rho")
"""Arrays that this stage writes."""

WHOLE_FIELD = 5000 * 5000
"""Pixels of the largest field whose density is computed in one piece."""

DENSITY_SIGMA = 2.0
"""Width, arcsec, of the Gaussian of the local density."""


@dataclass(frozen=True)
class _WholeField:
    """One field and the sources on it, for a task that sees all of it."""

    tiles: FieldTiles
    y: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    """What each source counts: 1, or 1 / realisations for an inpainted one."""
    alpha: float
    softening: float


def density(setup: Setup, catalogue: Table) -> None:
    """Write the local density of every field's sources, per arcsec^2."""
    units = [
        Unit(f"{field.source.name}", field.grid.field.size, _whole(setup, field, [(catalogue, 1.0)]))
        for field in setup.fields
    ]
    setup.engine.run("density", _density_unit, units, ledger=setup.ledger)


def rho(setup: Setup, catalogue: Table, inpainted: Table) -> None:
    """Write the kernel sum of every field's detected and inpainted sources.

    The mean over realisations of the sums is the sum of the mean: the convolution is linear.
    """
    share = 1.0 / setup.config.inpaint.realisations
    units = [
        Unit(
            f"{field.source.name}",
            field.grid.field.size,
            _whole(setup, field, [(catalogue, 1.0), (inpainted, share)]),
        )
        for field in setup.fields
    ]
    setup.engine.run("rho", _rho_unit, units, ledger=setup.ledger)


def inpaint(setup: Setup) -> Table:
    """Draw the sources that the masks hide: the columns of `schema.INPAINTED`, by realisation, field, y, x."""
    config = setup.config.inpaint
    params = {
        field.source.name: _InpaintParams(
            index,
            config.seed,
            zlib.crc32(field.source.name.encode()),
            config.realisations,
            field.source.pixel_area,
        )
        for index, field in enumerate(setup.fields)
    }
    drawn = run_pass(setup.engine, INPAINT, setup.fields, params)
    order = np.lexsort((drawn["x"], drawn["y"], drawn["field"], drawn["realisation"]))
    table = {name: column[order] for name, column in drawn.items()}
    ra, dec = np.zeros(order.size), np.zeros(order.size)
    for index, name in enumerate(setup.names):
        rows = table["field"] == index
        if rows.any():
            ra[rows], dec[rows] = pixel_to_world(setup.source(name).wcs, table["y"][rows], table["x"][rows])
    names = np.array(setup.names, dtype=object)
    return {**table, "field": names[table["field"]], "ra": ra, "dec": dec}


@dataclass(frozen=True)
class _InpaintParams:
    field: int
    seed: int
    crc: int
    realisations: int
    pixel_area: float


def no_data(mask: np.ndarray) -> np.ndarray:
    """Return where there are no data."""
    missing: np.ndarray = (mask & np.uint8(Bit.NO_DATA)) != 0
    return missing


def hidden(mask: np.ndarray) -> np.ndarray:
    """Return where sources are inpainted: masked for what lies on the sky, not for want of data or near an edge.

    A saturated core has no data, but a star does: inside a bright mask or a spike it is masked like the rest.
    """
    on_sky = np.uint8(Bit.BRIGHT | Bit.EXTENDED | Bit.SPIKE | Bit.REGION)
    star = np.uint8(Bit.BRIGHT | Bit.SPIKE)
    missing = no_data(mask) & ((mask & star) == 0)
    chosen: np.ndarray = ((mask & on_sky) != 0) & ((mask & np.uint8(Bit.EDGE)) == 0) & ~missing
    return chosen


def _inpaint_rule(
    window: xr.Dataset, tile: Tile, params: _InpaintParams
) -> tuple[dict[str, np.ndarray], Table]:
    rate = window["density"].values.astype(np.float64) * params.pixel_area
    realisation, y, x = draw_sources(
        rate, hidden(window["mask"].values), seed=params.seed, stream=params.crc,
        realisations=params.realisations, y0=tile.core.y0, x0=tile.core.x0,
    )  # fmt: skip
    return {}, {"realisation": realisation, "field": np.full(y.size, params.field, np.int32), "y": y, "x": x}


INPAINT = Pass("inpaint", ("density", "mask"), 0, (), _inpaint_rule, concatenate, bytes_per_pixel=32.0)


def _whole(setup: Setup, field: FieldTiles, tables: list[tuple[Table, float]]) -> _WholeField:
    name = field.source.name
    rows = [(table, table["field"] == name, weight) for table, weight in tables]
    return _WholeField(
        field,
        np.concatenate([table["y"][on] for table, on, _ in rows]),
        np.concatenate([table["x"][on] for table, on, _ in rows]),
        np.concatenate([np.full(int(on.sum()), weight) for _, on, weight in rows]),
        setup.config.density.alpha,
        setup.config.density.softening,
    )


def _counts(field: _WholeField) -> np.ndarray:
    """Return sources per pixel, float64 (y, x)."""
    height, width = field.tiles.source.shape
    pixel = field.y.astype(np.int64) * width + field.x
    return np.bincount(pixel, weights=field.weight, minlength=height * width).reshape(height, width)


def _density_unit(common: None, field: _WholeField) -> None:  # noqa: ARG001
    """Compute and write the local density of one field."""
    source = field.tiles.source
    mask = store.read(field.tiles.store, "mask", field.tiles.grid.field)
    values = local_density(_counts(field), mask == 0, source.pixel_area, DENSITY_SIGMA / source.scale)
    # Where sources are inpainted the density is needed, in a saturated core as well.
    _write(field.tiles, "density", values, no_data(mask) & ~hidden(mask))


def _rho_unit(common: None, field: _WholeField) -> None:  # noqa: ARG001
    """Compute and write the kernel sum of one field."""
    mask = store.read(field.tiles.store, "mask", field.tiles.grid.field)
    values = kernel_sum(_counts(field), field.tiles.source.scale, field.alpha, field.softening)
    _write(field.tiles, "rho", values, no_data(mask))


def _write(tiles: FieldTiles, name: str, values: np.ndarray, blank: np.ndarray) -> None:
    """Write a map that is NaN where `blank` is set."""
    rounded = values.astype(np.float32)
    rounded[blank] = np.nan
    for band in _row_bands(tiles):
        store.write(tiles.store, name, band, rounded[band.slices])


def _row_bands(tiles: FieldTiles) -> Iterator[Box]:
    """Yield bands of whole rows of tiles: whole shards of the store."""
    height, width = tiles.grid.shape
    step = max(tiles.grid.size, tiles.grid.size * (1024 // tiles.grid.size))
    for y0 in range(0, height, step):
        yield Box(y0, 0, min(height, y0 + step), width)
