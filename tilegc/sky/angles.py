"""Angles on the sphere: differences of right ascension, great circles."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ARCSEC", "Floats", "difference", "separation_arcsec", "turned"]

Floats = NDArray[np.float64]

ARCSEC: Final = 3600.0 * 180.0 / np.pi
"""Arcsec in a radian."""


def separation_arcsec(ra: ArrayLike, dec: ArrayLike, ra0: ArrayLike, dec0: ArrayLike) -> Floats:
    """Return great-circle distances from a position, by Vincenty's formula, good at any distance.

    Parameters
    ----------
    ra, dec : array_like
        Degrees.
    ra0, dec0 : float or array_like
        Degrees.

    Returns
    -------
    ndarray of float64
        Arcsec.
    """
    turn = np.radians(difference(np.asarray(ra, np.float64), np.asarray(ra0, np.float64)))
    lat, lat0 = np.radians(np.asarray(dec, np.float64)), np.radians(np.asarray(dec0, np.float64))
    cos_lat, sin_lat, cos_lat0, sin_lat0 = np.cos(lat), np.sin(lat), np.cos(lat0), np.sin(lat0)
    # cos_lat0 sin_lat - sin_lat0 cos_lat cos_turn, written so that close positions lose no digits
    along = np.sin(lat - lat0) + 2.0 * sin_lat0 * cos_lat * np.sin(turn / 2) ** 2
    beside = cos_lat * np.sin(turn)
    cosine = sin_lat0 * sin_lat + cos_lat0 * cos_lat * np.cos(turn)
    return np.asarray(np.arctan2(np.hypot(beside, along), cosine) * ARCSEC, np.float64)


def difference(ra: Floats, ra0: Floats | float) -> Floats:
    """Return ra - ra0 in -180..180 deg, exact for near positions on both sides of 0 h."""
    turn = ra - ra0
    return np.asarray(turn - 360.0 * np.round(turn / 360.0), np.float64)


def turned(ra: Floats) -> Floats:
    """Return right ascensions in 0 <= ra < 360; a tiny negative one becomes 0, not 360."""
    rest = np.mod(ra, 360.0)
    return np.asarray(np.where(rest >= 360.0, 0.0, rest), np.float64)
