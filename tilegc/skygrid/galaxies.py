"""Discs round the cluster's galaxies, which have globular clusters of their own.

A member's own sources lie within a few of its half-light radii: they follow its light, not the convergence of the
whole cluster, and a bright one has hundreds. Counted with the others they flatten the law and make its errors wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tilegc.skygrid.cells import SkyCells

__all__ = ["galaxy_discs"]

LEAST: Final = 1.0
"""Masked area, arcsec^2, from which a patch is taken for a galaxy."""

TIMES: Final = 3.0
"""Radius of the disc round it, in radii of the circle that has its area."""

MARGIN: Final = 1.0
"""Added to that radius, arcsec."""

WIDEST: Final = 0.1
"""Largest radius of a disc, in `relation.max_radius`: the brightest galaxy's must not take the core away."""


def galaxy_discs(cells: SkyCells, max_radius: float) -> NDArray[np.bool_]:
    """Return discs round the galaxies, bool (eta, xi): round every patch of masked sky of a square arcsec and more.

    Stars are masked too, so that some discs are round stars: they cost area, not truth. Beyond `max_radius`, where the
    sky tells of the floor alone, there are none: what is masked there is stars and galaxies far behind.

    Parameters
    ----------
    cells : SkyCells
    max_radius : float
        Radius within which kappa is used, arcsec: a tenth of it is the largest disc's.
    """
    inside, good = cells.inside_area.sum(axis=0), cells.good_area.sum(axis=0)
    hidden = np.maximum(inside - good, 0.0)
    patch, number = ndimage.label(hidden > 0.5 * inside, structure=np.ones((3, 3)))
    discs = np.zeros(cells.kappa.shape, np.bool_)
    if not number:
        return discs
    labels = np.arange(1, number + 1)
    area = ndimage.sum_labels(hidden, patch, labels)
    centre = np.array(ndimage.center_of_mass(hidden, patch, labels)).reshape(-1, 2)
    for size, (row, column) in zip(area[area >= LEAST], centre[area >= LEAST], strict=True):
        radius = min(TIMES * np.sqrt(size / np.pi) + MARGIN, WIDEST * max_radius) / cells.grid.pixel
        rows = slice(max(int(row - radius), 0), int(row + radius) + 2)
        columns = slice(max(int(column - radius), 0), int(column + radius) + 2)
        y, x = np.indices(discs[rows, columns].shape)
        near = np.hypot(y + rows.start - row, x + columns.start - column) <= radius
        discs[rows, columns] |= near
    return discs & (cells.radius < max_radius)
