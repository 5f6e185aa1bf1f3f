"""Inpainting of masked areas: an ensemble of Poisson draws at the local density (algorithm.md, section 8)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from tilegc.config import Inpaint
from tilegc.density.random import draw_sources
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, stacked
from tilegc.schema import Bit
from tilegc.sky import pixel_to_world

__all__ = ["INPAINT", "hidden", "inpaint", "no_data"]


def no_data(mask: np.ndarray) -> np.ndarray:
    """Return the pixels without data."""
    missing: np.ndarray = (mask & np.uint8(Bit.NO_DATA)) != 0
    return missing


def hidden(mask: np.ndarray) -> np.ndarray:
    """Return the pixels where sources are inpainted: masked for an object, but neither near an edge nor without data.

    A saturated core has no data because of its star: inside a bright-star mask or a spike it is inpainted like the
    rest of the mask.
    """
    on_sky = np.uint8(Bit.BRIGHT | Bit.EXTENDED | Bit.SPIKE | Bit.REGION | Bit.ARC)
    star = np.uint8(Bit.BRIGHT | Bit.SPIKE)
    missing = no_data(mask) & ((mask & star) == 0)
    chosen: np.ndarray = ((mask & on_sky) != 0) & ((mask & np.uint8(Bit.EDGE)) == 0) & ~missing
    return chosen


def inpaint(context: Context, config: Inpaint) -> Table:
    """Draw the sources hidden by the masks: the columns of `schema.INPAINTED`, sorted by realisation, field, y, x.

    An additional column, `coverage`, is the smoothed good fraction on which the local density is based.
    """
    params = {
        field.source.name: _InpaintParams(
            index,
            config.seed,
            # CRC-32 of the name and not Python's `hash`, which differs from process to process.
            zlib.crc32(field.source.name.encode()),
            config.realisations,
            field.source.pixel_area,
        )
        for index, field in enumerate(context.fields)
    }
    parts: list[Table] = []
    run_pass(context.engine, INPAINT, context.fields, params, gather=parts.append)
    drawn = stacked(parts)
    assert drawn is not None  # every tile returns a table, possibly an empty one
    # Tiles come back in any order; the table has one.
    order = np.lexsort((drawn["x"], drawn["y"], drawn["field"], drawn["realisation"]))
    table = {name: column[order] for name, column in drawn.items()}
    ra, dec = np.zeros(order.size), np.zeros(order.size)
    for index, name in enumerate(context.names):
        rows = table["field"] == index
        if rows.any():
            ra[rows], dec[rows] = pixel_to_world(context.source(name).wcs, table["y"][rows], table["x"][rows])
    names = np.array(context.names, dtype=object)
    return {**table, "field": names[table["field"]], "ra": ra, "dec": dec}


@dataclass(frozen=True)
class _InpaintParams:
    field: int
    seed: int
    crc: int
    realisations: int
    pixel_area: float


def _inpaint_rule(window: Window, tile: Tile, params: _InpaintParams) -> tuple[dict[str, np.ndarray], Table]:
    rate = window["density"].values.astype(np.float64) * params.pixel_area
    realisation, y, x = draw_sources(
        rate,
        hidden(window["mask"].values),
        seed=params.seed,
        stream=params.crc,
        realisations=params.realisations,
        y0=tile.core.y0,
        x0=tile.core.x0,
    )
    coverage = window["coverage"].values[y - tile.core.y0, x - tile.core.x0].astype(np.float64)
    number = np.full(y.size, params.field, np.int32)
    return {}, {"realisation": realisation, "field": number, "y": y, "x": x, "coverage": coverage}


INPAINT = Pass("inpaint", ("density", "coverage", "mask"), 0, (), _inpaint_rule, bytes_per_pixel=32.0)
