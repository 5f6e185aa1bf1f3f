"""How much of the sky each bit of the mask takes, in all and against radius.

Pixels are counted by annulus and value of the mask, all tiles in one reduction; areas are these counts times that of
a pixel. Bits overlap: a bit's area is that of all its pixels, its own area that of the pixels which no later bit has,
so that own areas and the good area add up to the area with data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.kernels.mesh import Mesh
from tilegc.mask.area_counts import VALUES, count_masks
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, by_field
from tilegc.schema import Bit
from tilegc.sky import SkyGrid, mesh

__all__ = ["COUNT_MASKS", "annuli", "areas", "by_radius", "count", "shares"]

BITS: Final = (Bit.EDGE, Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE, Bit.REGION, Bit.ARC)
"""Bits of pixels with data, earlier ones first."""

VALUE: Final = np.arange(VALUES)
DATA: Final = (VALUE & Bit.NO_DATA) == 0
INSIDE: Final = (VALUE & (Bit.NO_DATA | Bit.EDGE)) == 0
GOOD: Final = VALUE == 0


@dataclass(frozen=True)
class _Params:
    field: str
    mesh: Mesh
    edges: np.ndarray


def _rule(window: Window, tile: Tile, params: _Params) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    counts = count_masks(params.mesh, tile.core, window["mask"].values, params.edges)
    return {}, {params.field: counts}


COUNT_MASKS = Pass("masked-area", ("mask",), 0, (), _rule, partial(by_field, np.add), bytes_per_pixel=48.0)


def annuli(edges: tuple[float, ...]) -> np.ndarray:
    """Return the edges of a profile as `count` takes them: rising radii above 0, arcsec."""
    return np.array([edge for edge in edges if edge > 0], np.float64)


def count(context: Context, grid: SkyGrid, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Count every field's pixels by annulus and value of the mask: int64 (len(edges) + 1, 256) by field."""
    params = {
        field.source.name: _Params(field.source.name, mesh(field.source.wcs, field.source.shape, grid), edges)
        for field in context.fields
    }
    found: dict[str, np.ndarray] = run_pass(context.engine, COUNT_MASKS, context.fields, params)
    return found


def _chosen(bit: Bit) -> tuple[np.ndarray, np.ndarray]:
    """Return which values of the mask have a bit that counts, and for which of them it is the last: bool (256,)."""
    if bit == Bit.EDGE:
        edge = DATA & ~INSIDE
        return edge, edge
    # By values of the mask and not by pixels: 256 cases stand for all of a mosaic.
    set_ = INSIDE & ((VALUE & bit) != 0)
    # Bits rise in the order of `BITS`: a value below twice the bit has none after it.
    return set_, set_ & (bit * 2 > VALUE)


def areas(counts: np.ndarray, pixel_area: float) -> Table:
    """Return areas, arcsec^2, of counts (..., 256): data, inside, good, and every bit's, whole and own."""
    table = {
        "data_arcsec2": counts[..., DATA].sum(axis=-1) * pixel_area,
        "inside_arcsec2": counts[..., INSIDE].sum(axis=-1) * pixel_area,
        "good_arcsec2": counts[..., GOOD].sum(axis=-1) * pixel_area,
    }
    for bit in BITS:
        whole, own = _chosen(bit)
        name = str(bit.name).lower()
        table[f"{name}_arcsec2"] = counts[..., whole].sum(axis=-1) * pixel_area
        table[f"{name}_own_arcsec2"] = counts[..., own].sum(axis=-1) * pixel_area
    return table


def by_radius(counts: Mapping[str, np.ndarray], edges: np.ndarray, pixel_area: Mapping[str, float]) -> Table:
    """Return the columns of `schema.MASKED`: a row a field and annulus with data, the last one without an end."""
    parts = []
    for name, found in counts.items():
        there = found[:, DATA].sum(axis=1) > 0
        table = {
            "field": np.full(len(found), name, dtype=object),
            "r_lo": np.concatenate([[0.0], edges]),
            "r_hi": np.concatenate([edges, [np.inf]]),
            **areas(found, pixel_area[name]),
        }
        parts.append({key: column[there] for key, column in table.items()})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def shares(counts: np.ndarray, pixel_area: float) -> dict[str, dict[str, float | None]]:
    """Return every bit's fraction and area in one field, and that of all masks together, for summary.json.

    Fractions are of the pixels with data inside the edges; that of the edges themselves of all pixels with data.
    """
    total = counts.sum(axis=0)
    inside, data = int(total[INSIDE].sum()), int(total[DATA].sum())
    sums = {bit: int(total[_chosen(bit)[0]].sum()) for bit in BITS}
    found = {
        str(bit.name).lower(): (pixels, data if bit == Bit.EDGE else inside) for bit, pixels in sums.items()
    }
    found["any"] = inside - int(total[GOOD].sum()), inside
    return {
        name: {"fraction": pixels / whole if whole else None, "arcsec2": pixels * pixel_area}
        for name, (pixels, whole) in found.items()
    }
