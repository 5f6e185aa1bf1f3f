"""The counts of one cluster in physical units, and their likelihood near the values that a sample expects.

A run fits n = a kappa^c + f per arcsec^2, with kappa for one source redshift. Between clusters this can be compared
only per kpc^2 and at one surface density: with Sigma = kappa Sigma_cr and s kpc per arcsec,

    N = alpha (Sigma / PIVOT)^c per kpc^2,    ln alpha = ln a + c ln(PIVOT / Sigma_cr) - 2 ln s.

The transformation from (ln a, c, f) to (ln alpha, c, f) is linear, so that a normal distribution of one is one of the
other. The floor f is mostly sources that do not belong to the cluster, and stays per arcsec^2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import POWERS, fit_law, score

__all__ = ["PARAMETERS", "PIVOT", "ClusterCounts", "Quadratic", "quadratic_at"]

Floats = NDArray[np.float64]

PIVOT: Final = 1e9
"""Msun per kpc^2: within the range of all cluster cores, so that ln alpha and c are nearly uncorrelated."""

PARAMETERS: Final = ("ln_alpha", "c", "floor")
"""ln of clusters per kpc^2 at `PIVOT`; power; sources per arcsec^2."""

STEPS: Final = 40
"""Maximum number of steps of scoring."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterCounts:
    """Counts of one cluster and what turns its law into physical units."""

    name: str
    data: BoxCounts
    law: Law
    """The law of this cluster alone."""
    sigma_cr: float
    """Critical surface density for the source redshift of kappa, Msun per kpc^2."""
    kpc_per_arcsec: float
    inflation: float = 1.0
    """Variance of c, clumping of the sources included, over that by counting; divides the log likelihood."""

    @property
    def to_physical(self) -> tuple[Floats, Floats]:
        """T (3, 3) and t (3,) of (ln alpha, c, f) = T (ln a, c, f) + t."""
        turn = np.eye(3)
        turn[0, 1] = np.log(PIVOT / self.sigma_cr)
        return turn, np.array([-2.0 * np.log(self.kpc_per_arcsec), 0.0, 0.0])

    @property
    def alone(self) -> Floats:
        """(ln alpha, c, f) of this cluster alone; (3,)."""
        turn, shift = self.to_physical
        return np.asarray(turn @ self.law.theta[:3] + shift)

    @cached_property
    def floor_range(self) -> tuple[float, float]:
        """Mean and standard deviation of the floor before the counts are fitted, sources per arcsec^2.

        The floor is not far from the range between zero and the density where kappa is lowest: without that, a small
        field allows a floor far below zero and a power near zero that compensates for it.
        """
        data = self.data
        mean = np.add.reduceat(data.area * data.ln_kappa, data.start) / np.maximum(data.box_area, 1e-12)
        low = np.argsort(mean, kind="stable")[: max(data.count.size // 4, 1)]
        highest = float((data.count[low].sum() + 1.0) / max(data.box_area[low].sum(), 1e-12))
        return 0.5 * highest, highest

    def in_own_units(self, physical: Floats) -> Floats:
        """Return (ln a, c, f) of (ln alpha, c, f); (3,)."""
        turn, shift = self.to_physical
        return np.asarray(np.linalg.solve(turn, physical - shift))


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A log likelihood near its conditional maximum, b x - x P x / 2 up to a constant, in (ln alpha, c, f)."""

    precision: Floats
    """P; (3, 3). Singular where the counts do not determine a parameter."""
    slope: Floats
    """b; (3,)."""


def quadratic_at(cluster: ClusterCounts, mean: Floats, precision: Floats) -> Quadratic:
    """Return the likelihood of a cluster's counts, expanded at its most probable law given the sample's.

    Expanding there rather than at the cluster's own maximum makes the result good for clusters whose counts alone
    hardly constrain the law, and whose likelihood is far from normal.

    Parameters
    ----------
    cluster : ClusterCounts
    mean, precision : float64 (3,), (3, 3)
        Normal distribution of (ln alpha, c, f) in the sample.

    Returns
    -------
    Quadratic
        Marginal over the share of member galaxies, where the law has one.
    """
    turn, shift = cluster.to_physical
    count = cluster.law.free.size
    prior = np.zeros((count, count))
    prior[:3, :3] = turn.T @ precision @ turn
    target = np.zeros(count)
    target[:3] = np.linalg.solve(turn, mean - shift)
    theta = cluster.law.theta.copy() if cluster.law.found else np.array([*target[:3], *np.zeros(count - 3)])
    free = np.ones(count, np.bool_)
    now = _joint(cluster, theta, target, prior)
    for _ in range(STEPS):
        value, gradient, information = now
        free[3:] = (theta[3:] > 0) | (gradient[3:] > 0)
        step = np.zeros(count)
        step[free] = np.linalg.solve((information + prior)[np.ix_(free, free)], gradient[free])
        length = float(step @ (information + prior) @ step)
        for _ in range(STEPS):
            tried = theta + step
            tried[1] = min(max(tried[1], POWERS[0]), POWERS[1])
            tried[3:] = np.maximum(tried[3:], 0.0)
            trial = _joint(cluster, tried, target, prior)
            if trial[0] >= value - 1e-10 * abs(value):
                theta, now = tried, trial
                break
            step = 0.5 * step
        if length < 1e-8:
            break
    _, gradient, information = now
    likelihood_slope = gradient - prior @ (target - theta) + information @ theta
    return _physical(likelihood_slope, information, free, turn, shift)


def _joint(
    cluster: ClusterCounts, theta: Floats, target: Floats, prior: Floats
) -> tuple[float, Floats, Floats]:
    """Return the log posterior, its gradient, and the information of the counts and of `floor_range`."""
    ln, gradient, information = score(cluster.data, theta, cluster.law.dispersion or 0.0)
    away = target - theta
    middle, width = cluster.floor_range
    information = information / cluster.inflation
    information[2, 2] += width**-2.0
    gradient = gradient / cluster.inflation + prior @ away
    gradient[2] += (middle - theta[2]) / width**2
    miss = (theta[2] - middle) / width
    return ln / cluster.inflation - 0.5 * (float(away @ prior @ away) + miss**2), gradient, information


def _physical(
    slope: Floats, information: Floats, free: NDArray[np.bool_], turn: Floats, shift: Floats
) -> Quadratic:
    """Return the quadratic in physical units, with the member galaxies' term maximised out."""
    for extra in np.flatnonzero(free[3:]) + 3:
        if information[extra, extra] > 0:
            beside = information[:, extra] / information[extra, extra]
            slope = slope - beside * slope[extra]
            information = information - np.outer(beside, information[extra])
    back = np.linalg.inv(turn)
    precision = back.T @ information[:3, :3] @ back
    # x = T theta + t: a slope in theta is one in x after the shift has been taken out
    return Quadratic(precision, back.T @ slope[:3] + precision @ shift)


def counts_of(
    name: str, data: BoxCounts, *, sigma_cr: float, kpc_per_arcsec: float, inflation: float = 1.0
) -> ClusterCounts:
    """Fit the counts of one cluster; a term for member galaxies that cannot be fitted is left out."""
    law = fit_law(data)
    if not law.found and data.light is not None:
        data = replace(data, light=None)
        law = fit_law(data)
    return ClusterCounts(
        name=name,
        data=data,
        law=law,
        sigma_cr=sigma_cr,
        kpc_per_arcsec=kpc_per_arcsec,
        inflation=inflation,
    )
