"""Light of the galaxy in the middle of the cluster, whose stars are part of kappa but carry no globular clusters.

The median of the light in rings is taken, so that satellites and arcs do not count. Its stars contribute to kappa in
proportion, kappa_stars = h l, where l is this light in units of its value at 1 arcsec.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.skygrid.cells import SkyCells

__all__ = ["REACH", "central_light"]

Floats = NDArray[np.float64]

REACH: Final = 20.0
"""Radius in arcsec at which the light of the galaxy is taken to be zero."""

RING: Final = 0.5
"""Width of a ring in arcsec."""

UNIT: Final = 1.0
"""Radius in arcsec at which the light is 1."""

LEAST: Final = 6
"""Minimum number of rings with light."""


def central_light(whole: Floats, cells: SkyCells) -> Floats | None:
    """Return the light of the central galaxy in units of its value at 1 arcsec.

    Parameters
    ----------
    whole : float64 (eta, xi)
        Light of all pixels with data, masked or not; NaN where unknown.
    cells : SkyCells

    Returns
    -------
    float64 (eta, xi) or None
        0 beyond 20 arcsec; None where there is no light at the centre.
    """
    near = np.isfinite(whole) & (cells.radius < REACH)
    ring = np.floor(cells.radius[near] / RING).astype(np.int64)
    values = whole[near]
    rings = [(number, values[ring == number]) for number in range(int(REACH / RING))]
    known = [(RING * (number + 0.5), float(np.median(inside))) for number, inside in rings if inside.size]
    if len(known) < LEAST:
        return None
    radius, light = np.array(known).T
    light = np.maximum(light - float(light[-2:].mean()), 0.0)
    unit = float(np.interp(UNIT, radius, light))
    if not (unit > 0 and radius[0] < UNIT):
        return None
    profile: Floats = np.where(cells.radius < radius[-1], np.interp(cells.radius, radius, light / unit), 0.0)
    return profile
