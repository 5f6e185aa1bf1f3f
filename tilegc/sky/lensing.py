"""Cosmology and lensing: lengths, scalings, critical density, masses."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from astropy import constants, units

from tilegc import config
from tilegc.errors import ConvergenceError

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

__all__ = ["cosmology", "kpc_per_arcsec", "lens_scaling", "mass_within", "sigma_critical"]


def cosmology(settings: config.Cosmology) -> FlatLambdaCDM:
    """Return astropy's flat LCDM cosmology, without radiation."""
    return _flat(settings.H0, settings.Om0)


@lru_cache(maxsize=16)  # astropy takes 30 ms to make one, and a sample needs the same one for every cluster
def _flat(hubble: float, matter: float) -> FlatLambdaCDM:
    from astropy.cosmology import FlatLambdaCDM  # noqa: PLC0415  (a second to import; workers need none)

    return FlatLambdaCDM(H0=hubble, Om0=matter)


def kpc_per_arcsec(cosmo: FlatLambdaCDM, z: float) -> float:
    """Return the proper length that one arcsec spans at redshift z, kpc (4.921 at 0.348 by default); NaN of NaN."""
    if math.isnan(z):
        return math.nan
    return float(1.0 / cosmo.arcsec_per_kpc_proper(z).to_value(units.arcsec / units.kpc))


def lens_scaling(cosmo: FlatLambdaCDM, z_l: float, z_s: float) -> float:
    """Return D_LS/D_S, by which a convergence grows with the source's distance (algorithm.md, section 13).

    Parameters
    ----------
    cosmo : FlatLambdaCDM
        Cosmology.
    z_l, z_s : float
        Redshifts of lens and source.

    Returns
    -------
    float
        Between 0 (source at the lens) and 1 (the limit for a lens at redshift 0).

    Raises
    ------
    ConvergenceError
        If the source is not behind the lens.
    """
    if not z_s > z_l:
        raise ConvergenceError(f"a source at redshift {z_s:g} is not behind the cluster at {z_l:g}")
    # flat space: D_LS = (chi_S - chi_L) / (1 + z_s), D_S = chi_S / (1 + z_s)
    return float(1.0 - cosmo.comoving_distance(z_l) / cosmo.comoving_distance(z_s))


def sigma_critical(cosmo: FlatLambdaCDM, z_l: float, scaling: float) -> float:
    """Return the critical surface density c^2 / (4 pi G D_L s) (algorithm.md, section 13).

    Parameters
    ----------
    cosmo : FlatLambdaCDM
        Cosmology.
    z_l : float
        Redshift of the lens.
    scaling : float
        s = D_LS/D_S to which the convergence is scaled.

    Returns
    -------
    float
        Msun per kpc^2.
    """
    density = constants.c**2 / (4 * np.pi * constants.G * cosmo.angular_diameter_distance(z_l) * scaling)
    return float(density.to_value(units.Msun / units.kpc**2))


def mass_within(mean_kappa: float, radius_arcsec: float, kpc: float, sigma_crit: float) -> float:
    """Return the projected mass inside a circle, Sigma_cr times the mean convergence times its area.

    Kappa and Sigma_cr must be those of one D_LS/D_S; the mass then does not depend on which.

    Parameters
    ----------
    mean_kappa : float
        Mean convergence inside the circle.
    radius_arcsec : float
        Radius, arcsec.
    kpc : float
        kpc per arcsec at the lens.
    sigma_crit : float
        Critical surface density, Msun per kpc^2.

    Returns
    -------
    float
        Msun.
    """
    return sigma_crit * mean_kappa * float(np.pi) * (radius_arcsec * kpc) ** 2
