"""The sky grid: one tangent plane on the cluster, over all fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike

from tilegc.errors import AstrometryError
from tilegc.kernels.mesh import Mesh, nodes
from tilegc.sky.angles import ARCSEC, Floats, difference, turned
from tilegc.sky.astrometry import pixel_to_world

__all__ = ["SkyGrid", "mesh"]


@dataclass(frozen=True)
class SkyGrid:
    """The tangent plane at the cluster's centre, cut into square cells, north up (algorithm.md, section 9).

    Cell (j, i) covers j p <= eta < (j + 1) p and i p <= xi < (i + 1) p, p the cells' side: the centre is a
    corner of four cells.
    """

    ra: float
    """Right ascension of the centre, degrees, ICRS."""
    dec: float
    """Declination of the centre, degrees, ICRS."""
    pixel: float
    """Side of a cell, arcsec."""

    def offsets(self, ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
        """Project positions on the tangent plane (gnomonic, the FITS TAN).

        Parameters
        ----------
        ra, dec : array_like
            Degrees, ICRS.

        Returns
        -------
        xi, eta : ndarray of float64
            Arcsec to the east and to the north of the centre; NaN at 90 deg from it and beyond.
        """
        turn = np.radians(difference(np.asarray(ra, np.float64), self.ra))
        lat, lat0 = np.radians(np.asarray(dec, np.float64)), np.radians(self.dec)
        # 1 - cos(turn) as 2 sin^2: positions are arcminutes apart, and the plain form loses half the digits
        versine = 2.0 * np.sin(turn / 2) ** 2
        depth = np.cos(lat - lat0) - np.cos(lat0) * np.cos(lat) * versine
        depth = np.where(depth > 1e-12, depth, np.nan)
        xi = np.cos(lat) * np.sin(turn) / depth
        eta = (np.sin(lat - lat0) + np.sin(lat0) * np.cos(lat) * versine) / depth
        return np.asarray(xi * ARCSEC, np.float64), np.asarray(eta * ARCSEC, np.float64)

    def radec(self, xi: ArrayLike, eta: ArrayLike) -> tuple[Floats, Floats]:
        """Return positions of points of the tangent plane: the inverse of `offsets`.

        Parameters
        ----------
        xi, eta : array_like
            Arcsec to the east and to the north.

        Returns
        -------
        ra, dec : ndarray of float64
            Degrees, ICRS; 0 <= ra < 360.
        """
        east, north = np.asarray(xi, np.float64) / ARCSEC, np.asarray(eta, np.float64) / ARCSEC
        lat0 = np.radians(self.dec)
        inward = np.cos(lat0) - north * np.sin(lat0)
        ra = turned(self.ra + np.degrees(np.arctan2(east, inward)))
        dec = np.degrees(np.arctan2(np.sin(lat0) + north * np.cos(lat0), np.hypot(east, inward)))
        return ra, np.asarray(dec, np.float64)

    def wcs(self, i0: int, j0: int) -> WCS:
        """Return the WCS of an array [eta, xi] whose first element is cell (j0, i0).

        Columns run to the east, as xi does: CDELT1 is positive.

        Parameters
        ----------
        i0, j0 : int
            Index in xi and in eta of the array's first cell.

        Returns
        -------
        astropy.wcs.WCS
            Celestial, TAN, ICRS.
        """
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.radesys = "ICRS"
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.cdelt = [self.pixel / 3600.0, self.pixel / 3600.0]
        wcs.wcs.crpix = [0.5 - i0, 0.5 - j0]
        wcs.wcs.set()
        return wcs


def mesh(wcs_text: str, shape: tuple[int, int], grid: SkyGrid, step: int = 64) -> Mesh:
    """Return a field's offsets from the cluster's centre at every `step`-th pixel.

    Parameters
    ----------
    wcs_text : str
        As `wcs_from_text` takes it.
    shape : tuple of int
        Rows and columns of the field.
    grid : SkyGrid
        The tangent plane.
    step : int
        Distance of the nodes, pixels.

    Returns
    -------
    Mesh
        Nodes from pixel (0, 0) to the first beyond the last pixel: every pixel lies between four of them.

    Raises
    ------
    AstrometryError
        If a part of the field is 90 deg or more from the centre.
    """
    y, x = np.meshgrid(*nodes(shape, step), indexing="ij")
    xi, eta = grid.offsets(*pixel_to_world(wcs_text, y, x))
    if not (np.isfinite(xi).all() and np.isfinite(eta).all()):
        raise AstrometryError(
            f"a part of the field is not on the sky within 90 deg of the cluster "
            f"(ra {grid.ra:g}, dec {grid.dec:g}): its WCS or the cluster's centre is wrong"
        )
    return Mesh(step=step, xi=xi, eta=eta)
