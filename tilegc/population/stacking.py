"""Mean radial profile of a sample, in kpc or in units of r_200, with the scatter from cluster to cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONCENTRATION", "Profile", "Stack", "r_200_of", "r_200_of_mass", "stack"]

Floats = NDArray[np.float64]

CONCENTRATION: Final = 5.0
"""Concentration of the NFW halo with which r_200 is derived from a lens mass; with 4 or 6 it changes by up to 6 %."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """Profile of one cluster."""

    lo: Floats
    """Inner radii of the annuli, in the unit of the stack; (annulus,)."""
    hi: Floats
    """Outer radii."""
    value: Floats
    """Density, in the unit of the stack; NaN where not measured."""
    err: Floats
    """Its error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Mean profile; NaN where fewer than two clusters reach."""

    edges: Floats
    """(annulus + 1,)."""
    mean: Floats
    err: Floats
    """Error of the mean, intrinsic scatter included."""
    scatter: Floats
    """Intrinsic standard deviation between clusters."""
    n_clusters: NDArray[np.int64]


def stack(profiles: Sequence[Profile], edges: ArrayLike) -> Stack:
    """Average profiles in annuli that all have in common.

    An annulus of a cluster counts in those of the stack by the area that they share. In each annulus the mean is that
    of a random-effects model (DerSimonian & Laird 1986): clusters have a scatter of their own beside their errors.

    Parameters
    ----------
    profiles : sequence of Profile
    edges : array_like
        Edges of the annuli of the stack, in the unit of the profiles' radii.
    """
    limits = np.asarray(edges, np.float64)
    count = limits.size - 1
    mean, err, scatter = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    number = np.zeros(count, np.int64)
    binned = [_rebinned(one, limits) for one in profiles]
    for k in range(count):
        values = np.array([value[k] for value, _ in binned])
        errors = np.array([error[k] for _, error in binned])
        good = np.isfinite(values) & (errors > 0)
        number[k] = good.sum()
        if number[k] > 1:
            mean[k], err[k], scatter[k] = _random_effects(values[good], errors[good])
    return Stack(edges=limits, mean=mean, err=err, scatter=scatter, n_clusters=number)


def _rebinned(profile: Profile, edges: Floats) -> tuple[Floats, Floats]:
    """Return values and errors of a profile in other annuli; NaN where it covers less than half of one."""
    lo, hi = (
        np.maximum(profile.lo[None, :], edges[:-1, None]),
        np.minimum(profile.hi[None, :], edges[1:, None]),
    )
    area = np.where(hi > lo, hi**2 - lo**2, 0.0) * np.isfinite(profile.value)
    total = area.sum(axis=1)
    enough = total >= 0.5 * (edges[1:] ** 2 - edges[:-1] ** 2)
    share = area / np.where(enough, total, np.inf)[:, None]
    value, err = np.nan_to_num(profile.value), np.nan_to_num(profile.err)
    # an annulus that is shared by two of the stack is not measured twice: its error is that of its part
    part = (hi**2 - lo**2).clip(0) / (profile.hi**2 - profile.lo**2)
    variance = (share**2 * err**2 / np.where(part > 0, part, np.inf)).sum(axis=1)
    return np.where(enough, share @ value, np.nan), np.where(enough, np.sqrt(variance), np.nan)


def _random_effects(values: Floats, errors: Floats) -> tuple[float, float, float]:
    """Return mean, its error, and intrinsic scatter."""
    weight = errors**-2.0
    fixed = (weight * values).sum() / weight.sum()
    excess = (weight * (values - fixed) ** 2).sum() - (values.size - 1)
    variance = max(excess / (weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    weight = 1 / (errors**2 + variance)
    return (
        float((weight * values).sum() / weight.sum()),
        float(weight.sum() ** -0.5),
        float(np.sqrt(variance)),
    )


def r_200_of(
    mass: float, radius: float, critical_density: float, concentration: float = CONCENTRATION
) -> float:
    """Return r_200 of the NFW halo with a given projected mass.

    Parameters
    ----------
    mass : float
        Msun within a cylinder.
    radius : float
        Its radius, kpc.
    critical_density : float
        Of the universe at the cluster's redshift, Msun per kpc^3.
    concentration : float
        r_200 over the scale radius.

    Returns
    -------
    float
        kpc; NaN if there is no such halo between 100 and 10,000 kpc.
    """

    def excess(r_200: float) -> float:
        m_200 = 800.0 / 3.0 * np.pi * critical_density * r_200**3
        shape = np.log1p(concentration) - concentration / (1 + concentration)
        return float(m_200 * _projected(radius * concentration / r_200) / shape - mass)

    if not (mass > 0 and radius > 0 and excess(1e2) < 0 < excess(1e4)):
        return float("nan")
    return float(scipy.optimize.brentq(excess, 1e2, 1e4, rtol=1e-10))


def r_200_of_mass(m_200: float, critical_density: float) -> float:
    """Return the radius, kpc, of the sphere of a mass (Msun) with 200 times the critical density (Msun per kpc^3)."""
    return float((3.0 * m_200 / (800.0 * np.pi * critical_density)) ** (1 / 3))


def _projected(x: float) -> float:
    """Return the mass of an NFW halo within a cylinder of x scale radii, in units of 4 pi rho_s r_s^3."""
    if x < 1:
        return float(np.log(x / 2) + np.arccosh(1 / x) / np.sqrt(1 - x * x))
    if x > 1:
        return float(np.log(x / 2) + np.arccos(1 / x) / np.sqrt(x * x - 1))
    return float(np.log(0.5) + 1.0)
