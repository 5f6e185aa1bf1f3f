"""Convergence: an analytic cluster, or a kappa map from a FITS file.

Everything here is brought to the source redshift 3, for which n = (kappa / 0.4)^(1 / 0.7) holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tilegc.io.convergence import Kappa
from tilegc.sky import SkyGrid

__all__ = [
    "REFERENCE_REDSHIFT",
    "AnalyticMass",
    "Convergence",
    "MapMass",
    "plane",
]

REFERENCE_REDSHIFT = 3.0
"""Source redshift of every kappa in the simulator."""


class Convergence(Protocol):
    """What gives kappa (source redshift 3) on the sky."""

    def kappa(self, xi: NDArray[np.float64], eta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return kappa at (xi east, eta north), arcsec from the cluster centre."""
        ...


@dataclass(frozen=True)
class Clump:
    """A cored ellipse: kappa = peak (1 + (R / core)^2)^-slope, R the elliptical radius."""

    peak: float
    core: float
    """arcsec."""
    slope: float
    axis_ratio: float
    position_angle: float
    """Of the major axis, degrees east of north."""
    xi: float = 0.0
    eta: float = 0.0


@dataclass(frozen=True)
class AnalyticMass:
    """Two cored elliptical clumps in the ballpark of Abell S1063.

    Mean kappa within 60 arcsec is 0.57 at source redshift 3, that of the GRALE map of the Hubble
    Frontier Fields (Williams v4: 0.722 at D_LS / D_S = 1, times 0.785); the slope outside is that of
    a nearly isothermal halo. The second clump stands for the elongation to the north-east.
    """

    clumps: tuple[Clump, ...] = (
        Clump(peak=1.62, core=12.3, slope=0.51, axis_ratio=0.78, position_angle=40.0),
        Clump(peak=0.34, core=9.0, slope=0.75, axis_ratio=0.85, position_angle=60.0, xi=17.0, eta=16.0),
    )

    def scaled(self, kappa: float, angle: float) -> AnalyticMass:
        """Return the same shape with all convergences times `kappa` and all angular sizes times `angle`."""
        return AnalyticMass(
            tuple(
                replace(c, peak=c.peak * kappa, core=c.core * angle, xi=c.xi * angle, eta=c.eta * angle)
                for c in self.clumps
            )
        )

    def kappa(self, xi: NDArray[np.float64], eta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return kappa at (xi east, eta north), arcsec from the cluster centre."""
        total = np.zeros(np.broadcast(xi, eta).shape)
        for c in self.clumps:
            sin, cos = math.sin(math.radians(c.position_angle)), math.cos(math.radians(c.position_angle))
            dx, dy = xi - c.xi, eta - c.eta
            along, across = dx * sin + dy * cos, dx * cos - dy * sin
            # R^2 with the area of the ellipse kept: q along^2 + across^2 / q
            r2 = c.axis_ratio * along**2 + across**2 / c.axis_ratio
            total += c.peak * (1.0 + r2 / c.core**2) ** -c.slope
        return total


@dataclass(frozen=True, eq=False)
class MapMass:
    """A kappa map that was read, round a centre of one's choice."""

    given: Kappa
    """At source redshift 3."""
    ra: float
    """Centre, degrees."""
    dec: float

    def kappa(self, xi: NDArray[np.float64], eta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return kappa at (xi east, eta north), arcsec from the centre; NaN off the map."""
        return self.given.at(*plane(self.ra, self.dec).radec(xi, eta))


def plane(ra: float, dec: float) -> SkyGrid:
    """Return the tangent plane on a centre (degrees); its cells are of no use here."""
    return SkyGrid(ra, dec, 1.0)
