"""Discs around the member galaxies, which have globular clusters of their own.

The globular clusters of a member galaxy lie within a few of its half-light radii: they follow its light, not the
convergence of the whole cluster, and a bright galaxy has hundreds. Counted with the others they flatten the law and
make its errors wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.skygrid.cells import SkyCells

__all__ = ["galaxy_discs"]

LEAST: Final = 1.0
"""Minimum area in arcsec^2 of a masked patch that is taken for a galaxy."""

TIMES: Final = 3.0
"""Radius of the disc in units of the radius of a circle with the area of the patch."""

MARGIN: Final = 1.0
"""Margin in arcsec added to the radius."""

WIDEST: Final = 0.1
"""Maximum radius of a disc as a fraction of `relation.max_radius`: the brightest galaxy must not exclude the core."""


def galaxy_discs(cells: SkyCells, max_radius: float) -> NDArray[np.bool_]:
    """Return discs around the galaxies: around every masked patch of at least one square arcsec; bool (eta, xi).

    Bright stars are masked too, so some of the discs surround stars: this costs area but does not bias the result.
    Beyond `max_radius`, where the sky only constrains the floor, there are no discs: masked objects there are stars
    and distant background galaxies.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    max_radius : float
        Radius in arcsec within which kappa is used; a disc is at most a tenth of it.
    """
    inside, good = cells.inside_area.sum(axis=0), cells.good_area.sum(axis=0)
    hidden = np.maximum(inside - good, 0.0)
    # Diagonal neighbours belong together: a galaxy's mask is ragged at the scale of a cell.
    patch, number = scipy.ndimage.label(hidden > 0.5 * inside, structure=np.ones((3, 3)))
    discs = np.zeros(cells.kappa.shape, np.bool_)
    if not number:
        return discs
    labels = np.arange(1, number + 1)
    area = scipy.ndimage.sum_labels(hidden, patch, labels)
    centre = np.array(scipy.ndimage.center_of_mass(hidden, patch, labels)).reshape(-1, 2)
    for size, (row, column) in zip(area[area >= LEAST], centre[area >= LEAST], strict=True):
        radius = min(TIMES * np.sqrt(size / np.pi) + MARGIN, WIDEST * max_radius) / cells.grid.pixel
        # Only the square around the disc.
        rows = slice(max(int(row - radius), 0), int(row + radius) + 2)
        columns = slice(max(int(column - radius), 0), int(column + radius) + 2)
        y, x = np.indices(discs[rows, columns].shape)
        near = np.hypot(y + rows.start - row, x + columns.start - column) <= radius
        discs[rows, columns] |= near
    return discs & (cells.radius < max_radius)
