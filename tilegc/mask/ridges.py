"""Spikes and arcs: beads on a line, which look like sources one by one (algorithm.md, section 2).

Lines are found on the detection map in tiles, joined across tile borders into one table, and told apart in the
driver: what is straight and points to something very bright is a spike of it, also where the spike falls apart into
pieces on its way out; all else that is long is an arc. No model of a star is used: orientation and length are those
that the map shows, so that mosaics of several visits, whose spikes point anywhere, need nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from tilegc.config import Mask
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile, blocks
from tilegc.io.window import Window
from tilegc.kernels.lattice import fill, lattice_shape
from tilegc.kernels.medians import median
from tilegc.kernels.order import sigma
from tilegc.mask.components import Components
from tilegc.mask.ridge_filter import RADIUS, line_steps, ridges
from tilegc.phases.context import Context, blocks_of
from tilegc.phases.partials import Table, by_field, concatenate
from tilegc.schema import Bit

__all__ = [
    "CELL",
    "LINES",
    "RIDGES",
    "RIDGE_GROWTH",
    "SPIKE_LIMIT",
    "SPREAD",
    "find_ridges",
    "is_arc",
    "is_spike",
    "lines_of",
    "spike_limit",
    "wanted",
    "widest",
]

CELL = 128
"""Side of the cells, pixels from (0, 0), in which the noise under ridges is measured."""

LEAST_PIXELS = 256
"""Pixels below which a cell has no noise of its own."""

SPIKE_LIMIT = 0.55
"""Mean of the cut detection map along a line, in sigma, that `auto` takes for one: 3.8 times that of noise."""

RIDGE_LENGTH = 12.0
"""Pixels over which the middles of lines must follow one another: with the line's own, a feature of 60."""

RIDGE_GROWTH = 3.0
"""Pixels by which ridges are grown: the half width of a spike and of its rings in the detection map."""

ASIDE = 6.0
ASKEW = 0.05
"""Pixels, and share of its distance, by which a spike's axis may miss its star."""

GAP = 2.0
GAP_PIXELS = 60.0
"""A piece of a spike begins no farther from its star than so many times its own length, and so many pixels."""

BEND = 12.0
"""Pixels, besides `ASKEW` of its length, to which a piece of a spike that does not reach its star may be wide: spikes
are straight, and an arc that points to a star by chance bends by more."""

ROUND = 3.0
"""Axis ratio below which a ridge with something very bright in it is a cross of several spikes."""


@dataclass(frozen=True)
class RidgeParams:
    """What `_ridges_rule` needs."""

    noise: np.ndarray
    """Noise of the detection map, nJy per pixel, on half cells, float32; NaN: nothing can be found."""
    limits: tuple[float, ...]
    """That of spikes, or of all lines; then that of arcs where it is another."""
    steps: np.ndarray


def wanted(mask: Mask) -> bool:
    """Return whether a run file asks for spikes or arcs."""
    return mask.spikes != "off" or mask.arcs != "off"


def spike_limit(mask: Mask) -> float:
    """Return k of `mask.spikes`, in sigma."""
    return float(mask.spikes) if isinstance(mask.spikes, float | int) else SPIKE_LIMIT


LINES = {"ridges": np.uint8(1), "arc ridges": np.uint8(2)}
"""Bits of the array `ridges`: lines above the limit of spikes, or of all; those above arcs' own limit."""


def _limits(mask: Mask) -> tuple[float, ...]:
    """Return the limits of lines, in sigma: one, or that of spikes and that of arcs."""
    spikes = spike_limit(mask)
    arcs = float(mask.arcs) if isinstance(mask.arcs, float | int) else spikes
    if mask.spikes == "off":
        return (arcs,)
    return (spikes,) if mask.arcs == "off" or arcs == spikes else (spikes, arcs)


def lines_of(mask: Mask) -> tuple[str, ...]:
    """Return which of `LINES` are looked for: none, all lines alike, or spikes and arcs by limits of their own."""
    return tuple(LINES)[: len(_limits(mask))] if wanted(mask) else ()


def find_ridges(context: Context, masks: Mask) -> dict[str, np.ndarray]:
    """Write the ridges of every field; return the noise that they were judged by, on half cells, by field."""
    limits = _limits(masks)
    names, steps = context.names, line_steps()
    blocks = tuple(blocks_of(field) for field in context.fields)
    cells = run_pass(context.engine, SPREAD, blocks, {name: name for name in names})
    params = {
        field.source.name: RidgeParams(_noise(cells[field.source.name], field.source.shape), limits, steps)
        for field in context.fields
    }
    run_pass(context.engine, RIDGES, context.fields, params, context.ledger)
    return {name: wanted.noise for name, wanted in params.items()}


def _spread_rule(window: Window, tile: Tile, params: str) -> tuple[dict[str, np.ndarray], dict[str, Table]]:
    """Return the map's median distance from 0 in every cell, as sigma; a tile is a block of whole cells."""
    values = window["detection"].values
    counted = _counted(window)
    places, found = [], []
    for place, cell in blocks(tile.core, CELL):
        part = cell.within(tile.window)
        # About zero and not about the median: the filter's kernel has no sum, and a median in a cell full of
        # light is biased.
        inside = np.abs(values[part][counted[part]])
        places.append(place)
        found.append(sigma(float(median(inside))) if inside.size >= LEAST_PIXELS else np.nan)
    rows, columns = np.array(places, np.int64).T
    return {}, {params: {"row": rows, "column": columns, "sigma": np.array(found)}}


SPREAD = Pass(
    "ridge noise",
    ("detection", "flags"),
    0,
    (),
    _spread_rule,
    partial(by_field, concatenate),
    bytes_per_pixel=24.0,
    whole_cells=True,
)


def _noise(cells: Table, shape: tuple[int, int]) -> np.ndarray:
    values = np.full(lattice_shape(shape, CELL), np.nan)
    values[cells["row"], cells["column"]] = cells["sigma"]
    # Cells without enough pixels take the noise of their neighbours.
    return widest(fill(values))


def widest(values: np.ndarray) -> np.ndarray:
    """Return, on half cells, the largest noise of a cell and of the neighbours nearest to this quarter of it.

    In a cell that a step of the depth crosses no single number is right: its shallow part is judged by the
    shallow neighbour, else its noise would pass for ridges.

    Parameters
    ----------
    values : (cell_y, cell_x) float64

    Returns
    -------
    (2 cell_y, 2 cell_x) float32
    """
    padded = np.pad(values, 1, mode="edge")
    rows, columns = (np.arange(2 * length) // 2 + 1 for length in values.shape)
    # The lower half of a cell lies beside the cell before it, the upper half beside the next.
    # For index 0, 1, 2, 3 of the half cells these are the cells 0, 2, 1, 3, in the padded numbering.
    beside_y, beside_x = (index + 2 * (np.arange(index.size) % 2) - 1 for index in (rows, columns))
    four = [padded[np.ix_(y, x)] for y in (rows, beside_y) for x in (columns, beside_x)]
    largest: np.ndarray = np.maximum.reduce(four).astype(np.float32)
    return largest


def _counted(window: Window) -> np.ndarray:
    """Return which pixels were filtered and are finite."""
    unfiltered = (window["flags"].values & np.uint8(Bit.NO_DATA | Bit.BRIGHT)) != 0
    counted: np.ndarray = ~unfiltered & np.isfinite(window["detection"].values)
    return counted


def _ridges_rule(window: Window, tile: Tile, params: RidgeParams) -> tuple[dict[str, np.ndarray], None]:
    """Find the lines of a core."""
    box, half = tile.window, CELL // 2
    noise = params.noise[np.ix_(np.arange(box.y0, box.y1) // half, np.arange(box.x0, box.x1) // half)]
    counted = _counted(window) & (noise > 0)  # NaN: no pixel counts
    values = np.zeros_like(noise)
    # In units of the local noise, so that one limit holds over the whole field.
    np.divide(window["detection"].values, noise, out=values, where=counted)
    drawn = np.zeros(tile.core.shape, np.uint8)
    for limit, bit in zip(params.limits, LINES.values(), strict=False):
        found = ridges(values, counted, 1.0, limit, params.steps)
        drawn[found[tile.core_in_window]] |= bit
    return {"ridges": drawn}, None


RIDGES = Pass("ridges", ("detection", "flags"), RADIUS, ("ridges",), _ridges_rule, bytes_per_pixel=32.0)


def _extent(objects: Components) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return length and width, pixels, of the rectangle of each component's second moments, and the larger moment."""
    yy, xx, yx = objects.moments.T
    # A uniform rectangle of length L has the second moment L^2 / 12.
    larger = 0.5 * (yy + xx) + np.sqrt(0.25 * (yy - xx) * (yy - xx) + yx * yx)
    return np.sqrt(12.0 * larger), np.sqrt(12.0 * np.maximum(yy + xx - larger, 0.0)), larger


def is_spike(found: Components, bright: Components) -> np.ndarray:
    """Return which ridges are spikes of something very bright; bool (n,).

    Parameters
    ----------
    found : Components
        Of the ridges.
    bright : Components
        Of bit 4: stars, saturated cores among them, and the cores of galaxies.
    """
    length, width, larger = _extent(found)
    # The width of the enclosing rectangle grows with bending: a straight line stays narrow.
    straight = width <= BEND + ASKEW * length
    yy, yx = found.moments[:, 0], found.moments[:, 2]
    # The eigenvector of the larger moment, in the form that does not cancel.
    axis_y, axis_x = yx, larger - yy
    steep = np.abs(larger - found.moments[:, 1]) > np.abs(axis_x)
    axis_y, axis_x = (
        np.where(steep, larger - found.moments[:, 1], axis_y),
        np.where(steep, yx, axis_x),
    )
    norm = np.sqrt(axis_y * axis_y + axis_x * axis_x)
    norm = np.where(norm > 0, norm, 1.0)
    axis_y, axis_x = axis_y / norm, axis_x / norm
    spike = np.zeros(found.area.size, bool)
    # A loop over stars, of which there are tens; arrays over all ridges.
    for y, x in bright.centroid:
        dy, dx = y - found.centroid[:, 0], x - found.centroid[:, 1]
        along, across = np.abs(dy * axis_y + dx * axis_x), np.abs(dy * axis_x - dx * axis_y)
        gap = along - 0.5 * length
        # The axis, extended, passes the star at a distance that grows with the uncertainty of its direction.
        points = (across <= ASIDE + ASKEW * along) & (gap <= GAP * length + GAP_PIXELS)
        points &= straight | (gap <= 0)
        y0, x0, y1, x1 = found.bounds.T
        # A star's spikes may be joined by its core to one cross, which has no axis.
        held = (y0 - ASIDE <= y) & (y < y1 + ASIDE) & (x0 - ASIDE <= x) & (x < x1 + ASIDE)
        spike |= points | (held & (found.elongation < ROUND))
    return spike & (length >= RIDGE_LENGTH)


def is_arc(found: Components, spike: np.ndarray) -> np.ndarray:
    """Return which ridges are arcs: the long ones that are no spikes; bool (n,)."""
    chosen: np.ndarray = ~spike & (_extent(found)[0] >= RIDGE_LENGTH)
    return chosen
