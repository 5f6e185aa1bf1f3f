"""What the run file asks of the law: the map sharpened, without the stars of the central galaxy, or displaced."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilegc.config import RunConfig
from tilegc.io.convergence import Kappa
from tilegc.relation.assumptions import Frame
from tilegc.relation.floors import Floor, lensed_floor
from tilegc.relation.map_changes import displaced, less_stars, registered, without_stars
from tilegc.relation.sharpening import sharpened
from tilegc.relation.warps import Warped
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.results import Gridded

__all__ = ["LawMap", "law_map", "slope_error"]

log = logging.getLogger("tilegc")

SURE = 3.0
"""Number of standard deviations from which the map is displaced."""


@dataclass(frozen=True, kw_only=True)
class LawMap:
    """The cells of the law with the map that it uses, and how that differs from the map of the run file."""

    cells: SkyCells
    kappa: Kappa
    """The map on its own pixels; stars of the central galaxy are removed in the cells only."""
    frame: Frame
    changes: dict[str, Any]
    """What summary.json says of the changes; empty if there are none."""


def law_map(config: RunConfig, sky: Gridded, kappa: Kappa) -> LawMap:
    """Return the map that the law uses.

    Parameters
    ----------
    config : RunConfig
        Its `convergence.resolution` and the options of `relation`.
    sky : Gridded
    kappa : Kappa
        The map of the run.
    """
    relation = config.relation
    cells, changes = sky.cells, dict[str, Any]()
    resolution = config.convergence.resolution if config.convergence else None
    if resolution is not None:
        kappa = sharpened(kappa, resolution)
        cells = replace(cells, kappa=displaced(cells, kappa, 0.0, 0.0, relation.max_radius))
        changes["resolution_arcsec"] = resolution
    frame = Frame(
        side=relation.box,
        reach=relation.max_radius,
        kept=sky.in_law,
        recovery=sky.recovery,
        light=sky.light,
        floor=floor_of(config, cells, kappa),
        central=sky.central_light,
        min_radius=relation.min_radius,
    )
    if relation.registration == "auto":
        base = frame.fit(cells)
        found = registered(cells, kappa, frame, base) if base.law.found else None
        if found is not None:
            cells, changes["registration"] = _moved(cells, kappa, found, frame, relation.max_offset)
            frame = replace(frame, movable=False)
    if relation.central_galaxy == "light":
        base = frame.fit(cells)
        stars = without_stars(cells, frame, base) if base.law.found else None
        if stars is None or frame.central is None:
            log.warning(
                "relation.central_galaxy: the light of the central galaxy is not known: kappa is used as it is"
            )
        else:
            height, error = float(stars.values[0]), float(stars.errors[0])
            cells = replace(cells, kappa=less_stars(cells, frame.central, height))
            changes["central_galaxy"] = {"kappa_at_1_arcsec": height, "err": error, "gain": stars.gain}
            frame = replace(frame, central=None, movable=False)
    return LawMap(cells=cells, kappa=kappa, frame=frame, changes=changes)


def floor_of(config: RunConfig, cells: SkyCells, kappa: Kappa) -> Floor:
    """Return the floor that the run file asks for; a gradient is per arcmin."""
    relation = config.relation
    slope = relation.background_slope
    shape = None if slope is None else lensed_floor(kappa, cells, slope, relation.max_radius)
    return Floor(shape, 60.0 if relation.floor == "linear" else None)


def slope_error(config: RunConfig, use: LawMap) -> float:
    """Return what the uncertain slope of the background is worth in c; NaN where the lens does not change the floor."""
    relation = config.relation
    if relation.background_slope is None:
        return np.nan
    ends = (
        relation.background_slope - relation.background_slope_err,
        relation.background_slope + relation.background_slope_err,
    )
    powers = [
        use.frame.fit(
            use.cells,
            floor=replace(use.frame.floor, shape=lensed_floor(use.kappa, use.cells, slope, use.frame.reach)),
        ).law.c
        for slope in ends
    ]
    return 0.5 * abs(powers[1] - powers[0])


def _moved(
    cells: SkyCells, kappa: Kappa, found: Warped, frame: Frame, most: float
) -> tuple[SkyCells, dict[str, Any]]:
    """Return the cells with the displaced map, or as they are if the displacement is too large or not significant."""
    east, north = found.values.tolist()
    inverse = np.linalg.inv(found.covariance[:2, :2])
    sigma = float(np.sqrt(np.einsum("i,ij,j->", found.values, inverse, found.values)))
    distance = float(np.hypot(east, north))
    verdict = "not significant" if sigma < SURE else "refused" if distance > most else "applied"
    told = {
        "xi_arcsec": east,
        "eta_arcsec": north,
        "xi_err": float(found.errors[0]),
        "eta_err": float(found.errors[1]),
        "sigma": sigma,
        "verdict": verdict,
    }
    if verdict == "applied":
        cells = replace(cells, kappa=displaced(cells, kappa, east, north, frame.reach))
    return cells, told
