"""One depth for a sample: each cluster's numbers brought to the same absolute magnitude.

A cluster is complete to its 50 per cent depth m50, an absolute magnitude M = m50 - distance modulus - K. Its numbers
are multiplied by the ratio of the luminosity function brighter than the common magnitude to that brighter than its
own. Where a cluster is shallower than the common magnitude, this extrapolates, and says so.

The luminosity function is the normal one of globular clusters. Its turnover may fade with time: M_to(z) = M_to(z_ref) -
fading (t(z) - t(z_ref)), with t the lookback time, since younger clusters are brighter.

K is that of a table, or that of a spectrum that is flat in f_nu, -2.5 log10(1 + z): the part of it that does not
depend on the source (Hogg et al. 2002, arXiv:astro-ph/0210394). Spectra of old clusters are nearly flat in f_nu between
0.9 and 1.6 micron, where NIRCam's short-wavelength bands see those at redshifts of 0.2 to 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

__all__ = ["CommonDepth", "Limit", "LuminosityFunction", "bring_to_common_depth", "k_correction"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How deep one cluster is."""

    name: str
    redshift: float
    modulus: float
    """Distance modulus, mag."""
    lookback: float
    """Lookback time, Gyr."""
    m50: float
    """Magnitude at which half of the point sources are found; NaN where it is not known."""


@dataclass(frozen=True, kw_only=True)
class LuminosityFunction:
    """Normal distribution of absolute magnitudes."""

    turnover: float
    width: float
    lookback: float
    """Lookback time at which `turnover` holds, Gyr."""
    fading: float = 0.0
    """mag per Gyr."""

    def brighter(self, magnitude: float, lookback: float) -> float:
        """Return the fraction of clusters brighter than an absolute magnitude at a lookback time."""
        turnover = self.turnover - self.fading * (lookback - self.lookback)
        return float(ndtr((magnitude - turnover) / self.width))


@dataclass(frozen=True, kw_only=True)
class CommonDepth:
    """One cluster at the common depth."""

    limit: float
    """Absolute magnitude of its own depth."""
    k_correction: float
    common: float
    """Absolute magnitude of the common depth."""
    factor: float
    """By which its numbers are multiplied."""
    extrapolated: bool
    """Whether its own depth is brighter than the common one."""


def k_correction(redshift: float, table: Sequence[tuple[float, float]] | None = None) -> float:
    """Return m - M - distance modulus.

    Parameters
    ----------
    redshift : float
    table : sequence of (redshift, K), optional
        Interpolated linearly; without it, K of a spectrum that is flat in f_nu.

    Raises
    ------
    ValueError
        If the redshift is outside of the table.
    """
    if table is None:
        return -2.5 * math.log10(1.0 + redshift)
    z, k = np.array(sorted(table)).T
    if not z[0] <= redshift <= z[-1]:
        raise ValueError(
            f"redshift {redshift:g} is outside of the table of K-corrections, {z[0]:g} to {z[-1]:g}"
        )
    return float(np.interp(redshift, z, k))


def bring_to_common_depth(
    limits: Sequence[Limit],
    function: LuminosityFunction,
    magnitude: float | None = None,
    table: Sequence[tuple[float, float]] | None = None,
) -> Mapping[str, CommonDepth]:
    """Return what brings each cluster to one depth; clusters of unknown depth are left out.

    Parameters
    ----------
    limits : sequence of Limit
    function : LuminosityFunction
    magnitude : float, optional
        The common absolute magnitude; by default the median of the clusters' own.
    table : sequence of (redshift, K), optional
        See `k_correction`.
    """
    known = [one for one in limits if math.isfinite(one.m50)]
    corrections = {one.name: k_correction(one.redshift, table) for one in known}
    own = {one.name: one.m50 - one.modulus - corrections[one.name] for one in known}
    if not known:
        return {}
    common = float(np.median(list(own.values()))) if magnitude is None else magnitude
    found = {}
    for one in known:
        limit = own[one.name]
        seen, wanted = (function.brighter(m, one.lookback) for m in (limit, common))
        found[one.name] = CommonDepth(
            limit=limit,
            k_correction=corrections[one.name],
            common=common,
            factor=wanted / seen if seen > 0 else math.nan,
            extrapolated=limit < common,
        )
    return found
