"""The law with the map displaced, or without the stars of the central galaxy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.io.convergence import Kappa
from tilegc.relation.counts import BoxCounts
from tilegc.relation.likelihood import CountsRelation
from tilegc.relation.sky_counts import box_counts
from tilegc.relation.warps import Warped, fit_warped
from tilegc.sky import world_to_pixel
from tilegc.skygrid.cells import SkyCells

if TYPE_CHECKING:
    from tilegc.relation.assumptions import Frame

__all__ = ["FARTHEST", "displaced", "less_stars", "registered", "without_stars"]

Floats = NDArray[np.float64]

FARTHEST: Final = 5.0
"""Largest displacement of a map that is considered, along each axis, in arcsec."""

STEP: Final = 0.25
"""Step in arcsec with which the gradient of the map is taken."""

SHARE: Final = 0.9
"""Largest share of kappa that the stars of the central galaxy may have in any cell."""


class _Shifted:
    """A map at the cells near the centre, displaced by little: the sky is projected once, and moved by its gradient."""

    def __init__(self, cells: SkyCells, kappa: Kappa, reach: float) -> None:
        self.cells, self.kappa = cells, kappa
        self.rows, self.columns = np.nonzero(cells.radius < reach)
        xi, eta = cells.xi[self.columns], cells.eta[self.rows]
        self.at = self._pixels(xi, eta)
        self.to_east, self.to_north = (
            tuple(there - here for there, here in zip(self._pixels(xi + e, eta + n), self.at, strict=True))
            for e, n in ((1.0, 0.0), (0.0, 1.0))
        )

    def _pixels(self, xi: Floats, eta: Floats) -> tuple[Floats, Floats]:
        return world_to_pixel(self.kappa.wcs, *self.cells.grid.radec(xi, eta))

    def values(self, east: float, north: float) -> Floats:
        """Return the map displaced to the east and the north in arcsec, (eta, xi); elsewhere as it is."""
        # A map that moves east shows at each cell what was west of it.
        y, x = (
            here - east * e - north * n
            for here, e, n in zip(self.at, self.to_east, self.to_north, strict=True)
        )
        values = self.cells.kappa.copy()
        values[self.rows, self.columns] = self.kappa.at_pixels(y, x)
        return values


def displaced(cells: SkyCells, kappa: Kappa, east: float, north: float, reach: float) -> Floats:
    """Return the map displaced to the east and the north, at the cells within `reach`; elsewhere as it is."""
    return _Shifted(cells, kappa, reach).values(east, north)


def less_stars(cells: SkyCells, central: Floats, height: float) -> Floats:
    """Return the map without stars of the central galaxy, whose convergence is `height` at 1 arcsec."""
    least = (1.0 - SHARE) * cells.kappa
    changed: Floats = np.where(
        cells.kappa > 0, np.maximum(cells.kappa - height * central, least), cells.kappa
    )
    return changed


def registered(cells: SkyCells, kappa: Kappa, frame: Frame, base: CountsRelation) -> Warped | None:
    """Fit the displacement of the map, east and north in arcsec, together with the law."""
    # Cells at the edge of the map have no value for some displacement: they do not count for any.
    shifted = _Shifted(cells, kappa, frame.reach)
    inside = np.isfinite(cells.kappa)
    for east in (-FARTHEST, FARTHEST):
        for north in (-FARTHEST, FARTHEST):
            inside &= np.isfinite(shifted.values(east, north))

    def boxes(values: Floats) -> tuple[BoxCounts, Floats]:
        east, north = values.tolist()

        def at(more_east: float, more_north: float) -> Floats:
            return shifted.values(east + more_east, north + more_north)

        slopes = [
            (at(STEP, 0.0) - at(-STEP, 0.0)) / (2 * STEP),
            (at(0.0, STEP) - at(0.0, -STEP)) / (2 * STEP),
        ]
        return _counted(cells, frame, base, at(0.0, 0.0), slopes, inside)

    bound = np.full(2, FARTHEST - STEP)
    return fit_warped(boxes, base.law, 2, lowest=-bound, highest=bound)


def without_stars(cells: SkyCells, frame: Frame, base: CountsRelation) -> Warped | None:
    """Fit the convergence of the stars of the central galaxy, at 1 arcsec, together with the law."""
    central = frame.central
    if central is None:
        return None
    use = frame.kept & (cells.radius < frame.reach) & (central > 0) & (cells.kappa > 0)
    if not use.any():
        return None
    most = float((SHARE * cells.kappa[use] / central[use]).min())

    def boxes(values: Floats) -> tuple[BoxCounts, Floats]:
        return _counted(
            cells,
            frame,
            base,
            less_stars(cells, central, float(values[0])),
            [-central],
            np.isfinite(cells.kappa),
        )

    return fit_warped(boxes, base.law, 1, lowest=np.zeros(1), highest=np.array([most]))


def _counted(
    cells: SkyCells,
    frame: Frame,
    base: CountsRelation,
    kappa: Floats,
    slopes: list[Floats],
    inside: NDArray[np.bool_],
) -> tuple[BoxCounts, Floats]:
    """Return counts in boxes for a changed map, and its derivatives in their cells."""
    light = frame.light if base.law.free.size > 3 else None
    changed = replace(cells, kappa=np.where(inside, kappa, np.nan))
    data = box_counts(
        changed,
        frame.side,
        frame.reach,
        kept=frame.kept,
        recovery=frame.recovery,
        light=light,
        floor=frame.floor,
    )
    assert data.cell is not None
    return data, np.stack([values.ravel()[data.cell] for values in slopes])
