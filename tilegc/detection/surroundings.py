"""What surroundings do to sources: false ones at the rims of masks, and confusion (algorithm.md, section 6.3).

`purity` knows only noise. What is left of spikes, of bright galaxies and of their satellites' light makes false sources
at the rims of the masks as well. Their number per area was measured on mocks; over the number of sources that the run
finds there, it is the share by which `reliability` is below `purity`.

*Confusion*: between the sources of a crowded core the map scatters more than noise does, because sources below the
limit lie there. `confusion` is that scatter over the noise, in patches of the sky between the sources.

*Diffuse light*: `tilegc.detection.diffuse_light`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.detection.diffuse_light import REACH, diffuse_light
from tilegc.detection.noise.noise_map import LocalNoise, NoiseMap
from tilegc.detection.noise.null_maps import mad_sigma
from tilegc.detection.shapes import POINT, Places, by_tile
from tilegc.engine import Pass, run_pass
from tilegc.filter.detection_map import EXPECTED
from tilegc.geometry import PATCH, Box, Tile
from tilegc.io.window import Window
from tilegc.kernels.lattice import bilinear_at, fill, lattice_shape
from tilegc.kernels.masks import grow
from tilegc.kernels.medians import median
from tilegc.phases.context import Context, blocks_of
from tilegc.phases.partials import Table
from tilegc.schema import Bit

__all__ = ["SURROUNDINGS", "Surroundings", "false_share", "surroundings"]

BRIGHT_THINGS: Final = np.uint8(Bit.BRIGHT | Bit.EXTENDED | Bit.SPIKE | Bit.ARC)
"""Bits of what has rims."""

RIMS: Final = (2.5, 12.5)
"""Pixels from a mask within which a source lies on its rim, and near it."""

DENSITY: Final = (1.5e-5, 2e-6)
"""False sources above `REFERENCE` per pixel on rims and near them: mocks `small`, seeds 31, 41, 42, 44 and 45.

Four and three sources on 260,000 and 1,200,000 px: good to a factor of two.
"""

REFERENCE: Final = 5.0
FALL: Final = 1.0
"""Signal-to-noise at which these densities hold, and in which they fall by e: above 8 there was none."""

EDGES: Final = (0.0, 4.0, 5.0, 6.5, 8.0, np.inf)
"""Slices of signal-to-noise in which sources are counted."""

MOST: Final = 0.5
"""Largest share of false sources that is believed: where there are more, a mask is missing."""

BETWEEN: Final = 5.0
BETWEEN_GROWTH: Final = 4.0
"""Pixels are between the sources if they lie farther than 4 px from any pixel of this signal-to-noise."""

HALO: Final = REACH


@dataclass(frozen=True)
class Surroundings:
    """What one field's surroundings do to its sources."""

    area: np.ndarray
    """Good pixels on rims, near them, and elsewhere, int64 (3,)."""
    confusion: np.ndarray
    """Scatter of the map over the noise between the sources, in patches of `PATCH` px, float64; NaN: not known."""


def surroundings(
    context: Context, candidates: Table, local: Mapping[str, LocalNoise]
) -> tuple[Table, dict[str, Surroundings]]:
    """Return candidates with the columns of `schema.SURROUNDINGS`, and what was measured for them.

    Parameters
    ----------
    context : Context
    candidates : table
        Columns of `schema.CANDIDATES`.
    local : mapping
        Noise of every field, expected pixel by pixel.
    """
    n = candidates["y_peak"].size
    where = np.full(n, len(RIMS), np.int64)
    confusion, diffuse = np.full(n, np.nan), np.full(n, np.nan)
    places, found = {}, {}
    blocks = {field.source.name: blocks_of(field) for field in context.fields}
    for name, field in blocks.items():
        rows = np.flatnonzero(candidates["field"] == name)
        y, x = candidates["y_peak"][rows], candidates["x_peak"][rows]
        places[name] = by_tile(field.grid, rows, y, x)
        empty = np.full(lattice_shape(field.source.shape, PATCH), np.nan)
        found[name] = Surroundings(np.zeros(len(RIMS) + 1, np.int64), empty)
    names = context.names

    def enter(part: Table) -> None:
        where[part["row"]] = part["where"]
        diffuse[part["row"]] = part["diffuse"]
        one = found[names[int(part["field"][0])]]
        one.area[:] += part["area"]
        one.confusion[part["patch_y"], part["patch_x"]] = part["scatter"]

    searched = [field for name, field in blocks.items() if local[name].map.known]
    if searched:
        run_pass(
            context.engine,
            SURROUNDINGS,
            searched,
            {name: (number, local[name].map) for number, name in enumerate(names)},
            gather=enter,
            own=lambda field, tile: places[field.source.name][tile.index],
        )
    reliability = candidates["purity"].astype(np.float64)
    for name in names:
        rows = np.flatnonzero(candidates["field"] == name)
        patches = found[name].confusion
        if np.isfinite(patches).any():
            y, x = candidates["y_peak"][rows], candidates["x_peak"][rows]
            # Interpolated, because patches are wider than the core of a cluster and steps between them would
            # show in the catalogue.
            confusion[rows] = bilinear_at(fill(patches), y, x, PATCH)
        point = candidates["shape"][rows] == POINT
        share = false_share(candidates["snr"][rows], where[rows], point, found[name].area)
        reliability[rows] = np.clip(reliability[rows] - share, 0.0, 1.0)
    return {**candidates, "reliability": reliability, "confusion": confusion, "diffuse": diffuse}, found


def false_share(snr: np.ndarray, where: np.ndarray, point: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return the share of false sources that surroundings make among those like each, float64 (n,).

    Parameters
    ----------
    snr : (n,) float64
    where : (n,) int64
        0 on the rim of a mask, 1 near it, 2 elsewhere.
    point : (n,) bool
        Which of them are points: only these are counted.
    area : (3,) int64
        Good pixels of each of the three.
    """
    share = np.zeros(snr.size)
    edges = np.array(EDGES)
    lower, upper = (np.exp(-(edges[side] - REFERENCE) / FALL) for side in (slice(-1), slice(1, None)))
    # Below the lowest limit of interest they are lost in the noise.
    # Differences of an exponential are the share of it within each slice.
    false = np.minimum(lower, np.exp((REFERENCE - edges[1]) / FALL)) - upper
    false[0] = 0.0
    which = np.clip(np.searchsorted(edges, snr, side="right") - 1, 0, edges.size - 2)
    for place, density in enumerate(DENSITY):
        for number in range(edges.size - 1):
            rows = (where == place) & (which == number)
            counted = int((rows & point).sum())
            if counted:
                # Expected false sources over the sources that were found: with none found there is none to call
                # false.
                share[rows] = min(density * float(area[place]) * false[number] / counted, MOST)
    return share


def _rule(
    window: Window, tile: Tile, params: tuple[tuple[int, NoiseMap], Places]
) -> tuple[dict[str, np.ndarray], Table]:
    """Say where the candidates of a block lie, count its rims, and measure the scatter in its patches."""
    (number, noise), places = params
    mask, detection = window["mask"].values, window["detection"].values
    # In units of the noise pixel by pixel: steps of depth would otherwise count as confusion.
    level = noise.on(window, tile.window)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(level > 0, detection / level, np.float32(np.nan))
        bright = grow(ratio >= BETWEEN, BETWEEN_GROWTH)
    good = (mask == 0) & np.isfinite(ratio)
    things = (mask & BRIGHT_THINGS) != 0
    zone = np.full(mask.shape, len(RIMS), np.uint8)
    if things.any():
        # The wider zone first, so that the narrower one is drawn over it.
        for kind in reversed(range(len(RIMS))):
            zone[grow(things, RIMS[kind])] = kind
    between = good & ~bright
    core, patches = tile.core, []
    for row in range(core.y0 // PATCH, -(-core.y1 // PATCH)):
        for column in range(core.x0 // PATCH, -(-core.x1 // PATCH)):
            box = Box(row * PATCH, column * PATCH, (row + 1) * PATCH, (column + 1) * PATCH).clip(core)
            place = box.within(tile.window)
            values = ratio[place][between[place]]
            scatter = mad_sigma(values - median(values)) if values.size else np.nan
            patches.append((row, column, scatter))
    rows, columns, scatters = zip(*patches, strict=True)
    inside = tile.core_in_window
    y, x = places.y - tile.window.y0, places.x - tile.window.x0
    return {}, {
        "field": np.array([number]),
        "row": places.rows,
        "where": zone[y, x].astype(np.int64),
        "diffuse": diffuse_light(window["light"].values, y.astype(np.int64), x.astype(np.int64)),
        "area": np.bincount(zone[inside][good[inside]], minlength=len(RIMS) + 1),
        "patch_y": np.array(rows),
        "patch_x": np.array(columns),
        "scatter": np.array(scatters, np.float64),
    }


SURROUNDINGS: Final = Pass(
    "surroundings",
    ("detection", "mask", "light", EXPECTED),
    HALO,
    (),
    _rule,
    bytes_per_pixel=52.0,
    whole_cells=True,
)
