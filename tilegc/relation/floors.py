"""The floor of the law: flat, linear in position, or of background sources that are seen through the lens.

Behind a lens of magnification mu, the number of sources above a limit changes by mu^(2.5 s - 1), where s is the slope
d log10 N / d mag of their counts: a magnified sky shows fainter sources, but less of it. For s below 0.4 the background
is depleted where kappa is high. Only sources behind the lens are affected, not stars of the Galaxy or peaks of noise,
so that the truth lies between this floor and a flat one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.io.convergence import Kappa
from tilegc.kernels.magnification import magnification
from tilegc.skygrid.cells import SkyCells

__all__ = ["FLAT", "Floor", "lensed_floor"]

Floats = NDArray[np.float64]

HIGHEST: Final = 30.0
"""Largest magnification: on a critical curve that of a point is infinite, that of a source is not."""


@dataclass(frozen=True, eq=False)
class Floor:
    """How the floor of the law depends on position."""

    shape: Floats | None = None
    """Factor of the floor in each cell, (eta, xi); None: 1 everywhere."""
    tilt: float | None = None
    """Unit of position in arcsec of a floor that is linear in it; None: no gradient."""


FLAT: Final = Floor()


def lensed_floor(kappa: Kappa, cells: SkyCells, slope: float, reach: float) -> Floats:
    """Return the factor of the counts of background sources in each cell.

    The shear follows from the convergence by the inversion of Kaiser & Squires (1993), on the pixels of the map and
    without mass outside it. Cells outside the map, or beyond `reach`, have a factor of 1.

    Parameters
    ----------
    kappa : Kappa
        The map, at the reference source redshift.
    cells : SkyCells
    slope : float
        s, d log10 N / d mag of the background.
    reach : float
        Radius in arcsec up to which the map is used.

    Returns
    -------
    float64 (eta, xi)
    """
    mu = np.clip(magnification(kappa.values), 1.0 / HIGHEST, HIGHEST)
    factor = replace(kappa, values=mu ** (2.5 * slope - 1.0))
    near = cells.radius < reach
    shape = np.ones(cells.kappa.shape)
    rows, columns = np.nonzero(near)
    shape[rows, columns] = factor.at(*cells.grid.radec(cells.xi[columns], cells.eta[rows]))
    return np.where(np.isfinite(shape), shape, 1.0)
