"""Divergence and curl of a deflection field: kappa is half of the first, the second must vanish.

The deflection is the gradient of a potential, so that its curl is zero: a sign or an axis taken wrongly shows
there, as large as the convergence itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["along_sky", "half_divergence"]

Floats = NDArray[np.float64]


def half_divergence(east: Floats, north: Floats, jacobian: Floats) -> tuple[Floats, Floats]:
    """Return half the divergence and half the curl of a vector field on the sky.

    Central differences between neighbouring pixels, one-sided at the map's edges.

    Parameters
    ----------
    east, north : ndarray of float64 (y, x)
        Components, arcsec.
    jacobian : ndarray of float64 (2, 2)
        d(east, north) / d(x, y), arcsec per pixel.

    Returns
    -------
    divergence, curl : ndarray of float64 (y, x)
        (d east / d xi + d north / d eta) / 2 and (d north / d xi - d east / d eta) / 2.
    """
    # Differences between pixels are derivatives along the pixel axes; the chain rule turns them into those
    # along the sky.
    inverse = np.linalg.inv(jacobian)
    (east_y, east_x), (north_y, north_x) = (_slopes(field) for field in (east, north))

    def along(axis: int, in_x: Floats, in_y: Floats) -> Floats:
        return np.asarray(in_x * inverse[0, axis] + in_y * inverse[1, axis])

    divergence = (along(0, east_x, east_y) + along(1, north_x, north_y)) / 2
    curl = (along(0, north_x, north_y) - along(1, east_x, east_y)) / 2
    return divergence, curl


def _slopes(field: Floats) -> tuple[Floats, Floats]:
    """Return the differences per pixel down the columns and along the rows."""
    down, along = np.gradient(field)
    return np.asarray(down, np.float64), np.asarray(along, np.float64)


def along_sky(x: Floats, y: Floats, jacobian: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield what the components of a field may mean: a name, and the field along east and north.

    Parameters
    ----------
    x, y : ndarray of float64 (y, x)
        Components as a file has them.
    jacobian : ndarray of float64 (2, 2)
        d(east, north) / d(x, y).
    """
    # Rows of unit length: the components are arcsec already, so that only the direction of the axes matters.
    unit = jacobian / np.hypot(jacobian[0], jacobian[1])
    yield "along the pixels' axes", unit[0, 0] * x + unit[0, 1] * y, unit[1, 0] * x + unit[1, 1] * y
    yield "to the east and north", x, y
    # Lens modellers work with x to the west as often as with x to the east.
    yield "to the west and north", -x, y
