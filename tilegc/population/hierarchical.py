"""One law of n and kappa for a sample: its mean, its scatter from cluster to cluster, and each cluster's place in it.

(ln alpha, c, f) of the clusters are drawn from a normal distribution with mean m and independent standard deviations
t. For given t the clusters' likelihoods, expanded to second order, can be integrated analytically over the laws of the
clusters and over m, which has a flat prior. What remains is the marginal likelihood of t on a grid in three
dimensions; all results are averages over that grid. A cluster with few counts therefore weighs little but is not left
out, and the scatter is not inflated by the errors of the clusters, as it would be if it were the standard deviation of
their best fits.

The prior of each scatter is proportional to t^(1/4), between flat in t and flat in t^2. With a prior flat in t and a
dozen clusters, samples whose scatter comes out too small pull their clusters too close to the mean: their errors are
then 7 % too small on average, also if the likelihoods are exactly normal. A prior flat in t^2 overstates the scatter.

Source: the normal hierarchical model with grid integration of the scatters, Gelman et al. 2013, Bayesian Data Analysis,
3rd edition, section 5.4; priors of the scatter, Gelman 2006, Bayesian Analysis 1, 515.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.population.cluster_counts import ClusterCounts, Quadratic, quadratic_at

__all__ = ["LEAST_CLUSTERS", "Normal", "Population", "SampleLaw", "fit_population", "fit_sample_law"]

Floats = NDArray[np.float64]

LEAST_CLUSTERS: Final = 3
"""Clusters below which a scatter cannot be measured."""

PRIOR_POWER: Final = 0.25
"""Power of a scatter to which its prior is proportional."""

NODES: Final = 12
"""Nodes of the grid along each scatter."""

WIDEST: Final = (1.5, 1.2, 4.0)
"""Largest scatters on the grid: of ln alpha, of c, and of f relative to its mean error and spread."""

ROUNDS: Final = 4
"""Rounds of expanding the likelihoods at the current laws of the clusters."""


@dataclass(frozen=True, eq=False)
class Normal:
    """Mean and covariance of (ln alpha, c, f)."""

    mean: Floats
    """(3,)."""
    covariance: Floats
    """(3, 3)."""

    @property
    def err(self) -> Floats:
        """Standard deviations; (3,)."""
        return np.sqrt(np.diag(self.covariance))


@dataclass(frozen=True, eq=False)
class Population:
    """The distribution of the clusters' laws."""

    mean: Normal
    """Mean law and its error."""
    scatter: Floats
    """Intrinsic standard deviations: posterior medians; (3,)."""
    scatter_interval: Floats
    """68 % intervals of them; (3, 2)."""
    scatter_err: Floats
    """Standard deviations of their posterior; (3,)."""
    nodes: Floats
    """Scatters on the grid; (node, 3)."""
    weight: Floats
    """Posterior probability of each node; sums to 1; (node,)."""
    centres: Floats
    """Mean law for each node; (node, 3)."""
    spreads: Floats
    """Covariance of the mean law for each node; (node, 3, 3)."""

    @property
    def predictive(self) -> Normal:
        """Distribution of the law of another cluster of this population."""
        return _mixed(self.weight, self.centres, self.spreads + _diagonal(self.nodes**2))

    def shrunken(self, likelihood: Quadratic) -> Normal:
        """Return the law of one of the clusters, given its own counts and those of all others."""
        variance = _diagonal(self.nodes**2)
        # (1 + V P)^-1 stays finite for a scatter of zero and for a likelihood that knows nothing.
        inner = np.linalg.inv(np.eye(3) + variance @ likelihood.precision)
        own = inner @ variance
        miss = likelihood.slope - np.einsum("ij,nj->ni", likelihood.precision, self.centres)
        means = self.centres + np.einsum("nij,nj->ni", own, miss)
        covariances = own + inner @ self.spreads @ np.swapaxes(inner, 1, 2)
        return _mixed(self.weight, means, covariances)


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleLaw:
    """The law of a sample, and each cluster's."""

    names: tuple[str, ...]
    population: Population
    shrunken: tuple[Normal, ...]
    """Law of each cluster."""
    left_out: tuple[Normal, ...]
    """Law of each cluster as the others predict it, intrinsic scatter included."""
    alone: Floats
    """Best fit of each cluster alone; (cluster, 3)."""
    alone_err: Floats
    """Its errors by counting and clumping; NaN where not determined; (cluster, 3)."""


def fit_population(likelihoods: Sequence[Quadratic]) -> Population:
    """Fit mean and scatter to the likelihoods of the clusters.

    Parameters
    ----------
    likelihoods : sequence of Quadratic
        One for each cluster, at least `LEAST_CLUSTERS`.

    Raises
    ------
    ValueError
        If there are too few.
    """
    if len(likelihoods) < LEAST_CLUSTERS:
        raise ValueError(f"{len(likelihoods)} clusters: at least {LEAST_CLUSTERS} are needed")
    precision = np.stack([one.precision for one in likelihoods])
    slope = np.stack([one.slope for one in likelihoods])
    widest = np.array(WIDEST) * np.array([1.0, 1.0, _floor_scale(precision, slope)])
    for _ in range(2):  # the second grid covers only what the first one found probable
        nodes = _grid(widest)
        log, centres, spreads = _marginal(nodes, precision, slope)
        weight = np.exp(log - log.max()) * _volume(nodes) * np.prod(nodes**PRIOR_POWER, axis=1)
        weight = weight / weight.sum()
        widest = np.minimum(
            widest, [1.5 * _quantiles(nodes[:, k], weight, [0.995])[0] + 1e-6 for k in range(3)]
        )
    quantiles = np.array([_quantiles(nodes[:, k], weight, [0.16, 0.5, 0.84]) for k in range(3)])
    mean_scatter = weight @ nodes
    return Population(
        mean=_mixed(weight, centres, spreads),
        scatter=quantiles[:, 1],
        scatter_interval=quantiles[:, ::2],
        scatter_err=np.sqrt(weight @ (nodes - mean_scatter) ** 2),
        nodes=nodes,
        weight=weight,
        centres=centres,
        spreads=spreads,
    )


def fit_sample_law(clusters: Sequence[ClusterCounts], *, leave_one_out: bool = True) -> SampleLaw:
    """Fit the law of a sample to the counts of its clusters.

    Parameters
    ----------
    clusters : sequence of ClusterCounts
        Clusters with a convergence map, at least `LEAST_CLUSTERS`; one more for `leave_one_out`.
    leave_one_out : bool
        Whether to predict each cluster from the others.

    Returns
    -------
    SampleLaw

    Raises
    ------
    ValueError
        If there are too few clusters.
    """
    known = [one.alone for one in clusters if one.law.found]
    if len(clusters) < LEAST_CLUSTERS or not known:
        raise ValueError(f"{len(known)} clusters with a law: at least {LEAST_CLUSTERS} are needed")
    mean = np.median(known, axis=0)
    precision = np.diag([1.0, 1.0, 1.0 / max(abs(mean[2]), 0.1)]) ** 2
    for _ in range(ROUNDS):
        likelihoods = [quadratic_at(one, mean, precision) for one in clusters]
        population = fit_population(likelihoods)
        mean = population.mean.mean
        precision = np.diag(1.0 / (population.weight @ population.nodes**2))
    left_out: tuple[Normal, ...] = ()
    if leave_one_out and len(clusters) > LEAST_CLUSTERS:
        left_out = tuple(
            fit_population([*likelihoods[:k], *likelihoods[k + 1 :]]).predictive for k in range(len(clusters))
        )
    return SampleLaw(
        names=tuple(one.name for one in clusters),
        population=population,
        shrunken=tuple(population.shrunken(one) for one in likelihoods),
        left_out=left_out,
        alone=np.array([one.alone if one.law.found else np.full(3, np.nan) for one in clusters]),
        alone_err=np.array([_errors(one) for one in clusters]),
    )


def _errors(cluster: ClusterCounts) -> Floats:
    """Return the errors of a cluster's own best fit."""
    law, turn = cluster.law, cluster.to_physical[0]
    err = np.full(3, np.nan)
    if not law.found:
        return err
    free = np.flatnonzero(law.free)
    covariance = np.zeros((law.free.size, law.free.size))
    covariance[np.ix_(free, free)] = np.linalg.pinv(law.information[np.ix_(free, free)]) * cluster.inflation
    err = np.sqrt(np.diag(turn @ covariance[:3, :3] @ turn.T))
    return np.where(law.free[:3], err, np.nan)


def _marginal(nodes: Floats, precision: Floats, slope: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ln of the marginal likelihood of each node, and mean and covariance of the mean law there."""
    log = np.zeros(len(nodes))
    total, right = np.zeros((len(nodes), 3, 3)), np.zeros((len(nodes), 3))
    variance = _diagonal(nodes**2)
    for p, b in zip(precision, slope, strict=True):
        mixed = np.eye(3) + variance @ p
        inner = np.linalg.inv(mixed)
        own = inner @ variance
        log += -0.5 * np.linalg.slogdet(mixed)[1] + 0.5 * np.einsum("i,nij,j->n", b, own, b)
        total += p @ inner
        right += np.einsum("nji,j->ni", inner, b)
    spreads = np.linalg.inv(total)
    centres = np.einsum("nij,nj->ni", spreads, right)
    log += 0.5 * np.einsum("ni,ni->n", right, centres) - 0.5 * np.linalg.slogdet(total)[1]
    return log, np.asarray(centres), np.asarray(spreads)


def _grid(widest: Floats) -> Floats:
    """Return the nodes; dense near zero."""
    along = [((np.arange(NODES) + 0.5) / NODES) ** 1.5 * limit for limit in widest]
    return np.stack([axis.ravel() for axis in np.meshgrid(*along, indexing="ij")], axis=1)


def _volume(nodes: Floats) -> Floats:
    """Return the volume that each node stands for, up to a factor: u = x^1.5 has du = 1.5 u^(1/3) dx."""
    return np.asarray(np.prod(np.cbrt(nodes), axis=1))


def _floor_scale(precision: Floats, slope: Floats) -> float:
    """Return the spread of the clusters' floors, which have no natural unit."""
    floors = [np.linalg.lstsq(p, b, rcond=None)[0][2] for p, b in zip(precision, slope, strict=True)]
    return float(max(np.std(floors), 0.1 * abs(np.median(floors)), 1e-3))


def _quantiles(values: Floats, weight: Floats, levels: Sequence[float]) -> Floats:
    axis, index = np.unique(values, return_inverse=True)
    mass = np.bincount(index, weight)
    cumulated = np.cumsum(mass) - 0.5 * mass
    return np.asarray(np.interp(levels, [0.0, *cumulated, 1.0], [0.0, *axis, axis[-1]]))


def _diagonal(values: Floats) -> Floats:
    return values[:, :, None] * np.eye(3)


def _mixed(weight: Floats, means: Floats, covariances: Floats) -> Normal:
    """Return mean and covariance of a mixture of normal distributions."""
    mean = weight @ means
    away = means - mean
    return Normal(
        mean, np.einsum("n,nij->ij", weight, covariances) + np.einsum("n,ni,nj->ij", weight, away, away)
    )
