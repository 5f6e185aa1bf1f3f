"""Noise of the mid-scale maps, which sets the limits of `mask.extended: auto` (algorithm.md, section 2).

Of a field: the lower quartile over cells of the lattice, spread over it, of 1.4826 x MAD of the map in the cell. It is
known before the filter's pass and does not depend on tiles; cells with galaxies or the cluster's core do not move it,
and a mosaic of two depths is judged by the deeper one, where the light round galaxies is seen farthest out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.engine import FieldTiles, Unit
from tilegc.filter.bands import add_bands
from tilegc.filter.unobserved import REACH, observed
from tilegc.geometry import Box, spread_blocks
from tilegc.io import store
from tilegc.kernels.medians import median
from tilegc.kernels.order import sigma
from tilegc.kernels.smoothing import Taps, difference, difference_radius
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, concatenate

__all__ = ["CELLS", "MidScales", "mid_noise"]

CELLS: Final = 8
"""Cells of the lattice in which the noise is measured, at the most: as many as tell it to some per cent."""

MidScales = tuple[tuple[Taps, Taps], tuple[Taps, Taps]]


@dataclass(frozen=True)
class _Cell:
    field: int
    tiles: FieldTiles
    scales: MidScales
    box: Box
    order: int
    unobserved: tuple[bool, ...]


def mid_noise(
    context: Context, scales: MidScales, unobserved: Mapping[str, tuple[bool, ...]] | None = None
) -> dict[str, tuple[float, float]]:
    """Return the noise of both mid-scale maps, nJy per pixel, by field; NaN where no cell has enough data."""
    units = []
    for index, field in enumerate(context.fields):
        name = field.source.name
        left_out = unobserved[name] if unobserved is not None else ()
        units += [
            Unit(f"{name}/{order}", box.size, _Cell(index, field, scales, box, order, left_out))
            for order, box in enumerate(spread_blocks(field.grid.field, CELLS))
        ]
    found: Table = context.engine.run("mid-scale noise", _cell_noise, units, combine=concatenate)
    noise = {}
    for index, field in enumerate(context.fields):
        rows = found["field"] == index
        fine, coarse = (_quiet(found["sigma"][rows & (found["scale"] == scale)]) for scale in (0, 1))
        noise[field.source.name] = fine, coarse
    return noise


def _quiet(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    # The value of a cell, never one between two: interpolating would round differently from one library to
    # another.
    return float(np.quantile(good, 0.25, method="lower")) if good.size else math.nan


def _cell_noise(common: None, cell: _Cell) -> Table:  # noqa: ARG001
    """Measure the noise in one cell (runs on a worker)."""
    reach = max(difference_radius(*taps) for taps in cell.scales) + (REACH if any(cell.unobserved) else 0)
    box = cell.box.grow(reach).clip(cell.tiles.grid.field)
    window = store.read_window(cell.tiles.source, cell.tiles.store, ("sci", "wht"), box)
    wht = window["wht"].values if "wht" in window else None
    light, valid = add_bands(observed(window["sci"].values, cell.unobserved), wht)
    inside = cell.box.within(box)
    # Measured on the same light and the same valid pixels as the filter's pass will have.
    good = valid[inside]
    found = np.full(2, np.nan)
    if 2 * int(good.sum()) >= good.size:
        for scale, taps in enumerate(cell.scales):
            values = difference(light, valid, *taps)[inside][good]
            found[scale] = sigma(float(median(np.abs(values - median(values)))))
    return {
        "field": np.full(2, cell.field),
        "scale": np.arange(2),
        "cell": np.full(2, cell.order),
        "sigma": found,
    }
