"""Convergence: an analytic cluster, or a kappa map from a FITS file.

Everything here is brought to the source redshift 3, for which n = (kappa / 0.4)^(1 / 0.7) holds.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from tilegc.errors import ConvergenceError, InputError

__all__ = [
    "REFERENCE_REDSHIFT",
    "AnalyticMass",
    "Convergence",
    "MapMass",
    "lens_scaling",
    "read_convergence",
]

REFERENCE_REDSHIFT = 3.0
_COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3)


class Convergence(Protocol):
    """What gives kappa (source redshift 3) on the sky."""

    def kappa(self, xi: NDArray[np.float64], eta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return kappa at (xi east, eta north), arcsec from the cluster centre."""
        ...


def lens_scaling(lens_redshift: float, source_redshift: float) -> float:
    """Return D_LS / D_S in the flat LCDM of the seed recipe (Om0 0.3, H0 70)."""
    lens = _COSMOLOGY.comoving_distance(lens_redshift)
    return float(1.0 - lens / _COSMOLOGY.comoving_distance(source_redshift))


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
    """A kappa map, bilinear between its pixels, zero outside and where it is negative or not finite.

    Attributes
    ----------
    data : ndarray of float64
        As in the file, scaled as declared there.
    wcs : WCS
    factor : float
        Brings `data` to source redshift 3.
    ra, dec : float
        The cluster centre, degrees.
    """

    data: NDArray[np.float64]
    wcs: WCS
    factor: float
    ra: float
    dec: float

    def kappa(self, xi: NDArray[np.float64], eta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return kappa at (xi east, eta north), arcsec from the cluster centre."""
        ra, dec = sky_from_plane(xi, eta, self.ra, self.dec)
        x, y = self.wcs.wcs_world2pix(ra, dec, 0)
        ny, nx = self.data.shape
        inside = (x >= 0.0) & (y >= 0.0) & (x <= nx - 1.0) & (y <= ny - 1.0)
        x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
        i, j = np.minimum(x.astype(np.int64), nx - 2), np.minimum(y.astype(np.int64), ny - 2)
        fx, fy = x - i, y - j
        k = np.where(np.isfinite(self.data), np.maximum(self.data, 0.0), 0.0)
        low = k[j, i] * (1.0 - fx) + k[j, i + 1] * fx
        high = k[j + 1, i] * (1.0 - fx) + k[j + 1, i + 1] * fx
        return np.where(inside, self.factor * (low * (1.0 - fy) + high * fy), 0.0)


def sky_from_plane(
    xi: NDArray[np.float64], eta: NDArray[np.float64], ra: float, dec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (ra, dec) in degrees of tangent-plane offsets in arcsec from (ra, dec)."""
    a, b = np.radians(xi / 3600.0), np.radians(eta / 3600.0)
    sin, cos = math.sin(math.radians(dec)), math.cos(math.radians(dec))
    down = cos - b * sin
    new_ra = math.radians(ra) + np.arctan2(a, down)
    new_dec = np.arctan2(sin + b * cos, np.hypot(a, down))
    return np.degrees(new_ra) % 360.0, np.degrees(new_dec)


def read_convergence(path: str | Path) -> tuple[NDArray[np.float64], WCS, fits.Header]:
    """Return a kappa map, its WCS and its header (the first two-dimensional image of the file).

    Raises
    ------
    InputError
        If the file is absent or not FITS.
    ConvergenceError
        If it holds no image with a celestial WCS.
    """
    where = Path(path)
    try:
        with fits.open(where, memmap=False) as hdus:
            found = [h for h in hdus if getattr(h, "data", None) is not None and np.ndim(h.data) == 2]
            if not found:
                raise ConvergenceError(f"kappa: {where} holds no two-dimensional image; give a kappa map")
            header, data = found[0].header.copy(), np.asarray(found[0].data, np.float64)
    except FileNotFoundError:
        raise InputError(f"kappa: {where} does not exist; check the path") from None
    except OSError as error:
        line = " ".join(str(error).split())
        raise InputError(f"kappa: {where} cannot be read as FITS ({line})") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    if not wcs.has_celestial or wcs.naxis != 2 or min(data.shape) < 2:
        raise ConvergenceError(f"kappa: {where} has no celestial WCS; give a map with one")
    if not np.isfinite(data).any():
        raise ConvergenceError(f"kappa: {where} has no finite value; give another map")
    return data, wcs, header
