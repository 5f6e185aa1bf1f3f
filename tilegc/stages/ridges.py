"""Spikes and arcs: beads on a line, which look like sources one by one (DESIGN 3.2, bits 16 and 8).

Lines are found on the detection map in tiles, joined across tile borders into one table, and told apart in the
driver: what points to something very bright is a spike of it, also where the spike falls apart into pieces on its
way out; all else that is long is an arc. No model of a star is used: orientation and length are those that the map
shows, so that mosaics of several visits, whose spikes point anywhere, need nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from tilegc.config import Mask
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.kernels.components import Components
from tilegc.kernels.ridges import RADIUS, line_steps, ridges
from tilegc.schema import Bit
from tilegc.stages.noise import spread
from tilegc.stages.setup import Setup

__all__ = ["RIDGES", "RIDGE_GROWTH", "SPIKE_LIMIT", "find_ridges", "is_arc", "is_spike", "wanted"]

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

ROUND = 3.0
"""Axis ratio below which a ridge with something very bright in it is a cross of several spikes."""


@dataclass(frozen=True)
class RidgeParams:
    """What `_ridges_rule` needs."""

    sigma: float
    """Noise of the detection map, nJy per pixel; NaN: nothing can be found."""
    limit: float
    steps: np.ndarray


def wanted(mask: Mask) -> bool:
    """Return whether a run file asks for spikes or arcs."""
    return mask.spikes != "off" or mask.arcs != "off"


def find_ridges(setup: Setup) -> None:
    """Write the ridges of every field."""
    asked = setup.config.mask.spikes
    limit = float(asked) if isinstance(asked, float | int) else SPIKE_LIMIT
    noise, steps = spread(setup), line_steps()
    params = {name: RidgeParams(noise[name], limit, steps) for name in setup.names}
    run_pass(setup.engine, RIDGES, setup.fields, params, setup.ledger)


def _ridges_rule(window: xr.Dataset, tile: Tile, params: RidgeParams) -> tuple[dict[str, np.ndarray], None]:
    """Find the lines of a core."""
    values = window["detection"].values
    counted = ((window["flags"].values & np.uint8(Bit.NO_DATA | Bit.BRIGHT)) == 0) & np.isfinite(values)
    if not params.sigma > 0:  # NaN: no pixel counts
        return {"ridges": np.zeros(tile.core.shape, np.uint8)}, None
    found = ridges(values, counted, params.sigma, params.limit, params.steps)
    return {"ridges": found[tile.core_in_window].astype(np.uint8)}, None


RIDGES = Pass("ridges", ("detection", "flags"), RADIUS, ("ridges",), _ridges_rule, bytes_per_pixel=24.0)


def _extent(objects: Components) -> tuple[np.ndarray, np.ndarray]:
    """Return the length, pixels, and the larger second moment of each component: that of a line of this length."""
    yy, xx, yx = objects.moments.T
    larger = 0.5 * (yy + xx) + np.sqrt(0.25 * (yy - xx) * (yy - xx) + yx * yx)
    return np.sqrt(12.0 * larger), larger


def is_spike(found: Components, bright: Components) -> np.ndarray:
    """Return which ridges are spikes of something very bright; bool (n,).

    Parameters
    ----------
    found : Components
        Of the ridges.
    bright : Components
        Of bit 4: stars, saturated cores among them, and the cores of galaxies.
    """
    length, larger = _extent(found)
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
    for y, x in bright.centroid:
        dy, dx = y - found.centroid[:, 0], x - found.centroid[:, 1]
        along, across = np.abs(dy * axis_y + dx * axis_x), np.abs(dy * axis_x - dx * axis_y)
        gap = along - 0.5 * length
        points = (across <= ASIDE + ASKEW * along) & (gap <= GAP * length + GAP_PIXELS)
        y0, x0, y1, x1 = found.bounds.T
        held = (y0 - ASIDE <= y) & (y < y1 + ASIDE) & (x0 - ASIDE <= x) & (x < x1 + ASIDE)
        spike |= points | (held & (found.elongation < ROUND))
    return spike & (length >= RIDGE_LENGTH)


def is_arc(found: Components, spike: np.ndarray) -> np.ndarray:
    """Return which ridges are arcs: the long ones that point to nothing very bright; bool (n,)."""
    chosen: np.ndarray = ~spike & (_extent(found)[0] >= RIDGE_LENGTH)
    return chosen
