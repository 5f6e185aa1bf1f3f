"""Masses from lensing and from counts (Diego et al. 2026, section 5; algorithm.md, section 13)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilegc.config import RunConfig
from tilegc.io.convergence import Kappa
from tilegc.sky import cosmology, kpc_per_arcsec, lens_scaling, mass_within, sigma_critical
from tilegc.skygrid.lens_models import APERTURE

__all__ = ["APERTURE", "GC_TO_LENS", "SEARCHED", "VIRIAL_PER_GC", "Masses", "masses", "searched"]

VIRIAL_PER_GC = 5e9
"""Virial mass per globular cluster in Msun (Burkert & Forbes 2020)."""

COVERED = 0.99
"""Minimum fraction of the aperture that a kappa map must cover."""

SEARCHED = 0.8
"""Minimum searched fraction of the aperture for a mean mass of a globular cluster, which missing sources increase."""

GC_TO_LENS = 2.9e-5
"""Ratio of the mass in globular clusters to the lensing mass (Harris et al. 2015)."""


@dataclass(frozen=True)
class Masses:
    """Masses in Msun; NaN if there is no kappa map, or none that covers the aperture."""

    sigma_cr: float
    """Critical surface density at the reference source redshift in Msun / kpc^2."""
    mean_kappa: float
    lens: float
    """Lensing mass within the aperture."""
    n_gc_aperture: int
    """Catalogued sources within the aperture."""
    coverage: float
    """Fraction of the aperture where sources could be recorded: its good area."""
    virial_from_counts: float
    """Virial mass from all catalogued sources: a lower limit, since the relation holds for a complete population."""
    gc_from_ratio: float
    mean_gc: float
    """Also NaN if less than `SEARCHED` of the aperture is good."""


def masses(config: RunConfig, kappa: Kappa | None, radius_arcsec: np.ndarray, good_area: float) -> Masses:
    """Return the masses from a kappa map and from the catalogue.

    Parameters
    ----------
    config : RunConfig
        Settings of the run.
    kappa : Kappa, optional
        Convergence map.
    radius_arcsec : ndarray
        Distance of every catalogued source from the centre.
    good_area : float
        Good area within the aperture in arcsec^2.
    """
    coverage = searched(good_area)
    inside = int((radius_arcsec < APERTURE).sum())
    virial = radius_arcsec.size * VIRIAL_PER_GC
    if not config.cluster.known:
        return Masses(np.nan, np.nan, np.nan, 0, np.nan, np.nan, np.nan, np.nan)
    if config.convergence is None or kappa is None:
        return Masses(np.nan, np.nan, np.nan, inside, coverage, virial, np.nan, np.nan)
    cosmo = cosmology(config.cosmology)
    redshift = config.cluster.redshift
    scaling = lens_scaling(cosmo, redshift, config.convergence.reference_redshift)
    sigma_cr = sigma_critical(cosmo, redshift, scaling)
    mean, covered = kappa.mean_within(config.cluster.ra, config.cluster.dec, APERTURE)
    if covered < COVERED:
        mean = np.nan
    lens = mass_within(mean, APERTURE, kpc_per_arcsec(cosmo, redshift), sigma_cr)
    gc = lens * GC_TO_LENS
    mean_gc = gc / inside if inside and coverage >= SEARCHED else np.nan
    return Masses(sigma_cr, mean, lens, inside, coverage, virial, gc, mean_gc)


def searched(good_area: float) -> float:
    """Return the fraction of the aperture in a good area (arcsec^2), at most 1: cells extend beyond its edge."""
    return min(good_area / (np.pi * APERTURE**2), 1.0)
