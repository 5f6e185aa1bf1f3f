"""Number of globular clusters against lens mass over a sample: slope and intrinsic scatter, with errors in both.

ln N = ln N_p + beta (ln M - ln M_p) + e, with e normal of standard deviation sigma. The true masses are taken to be
normal in ln M, with mean and width from the sample itself (Kelly 2007, arXiv:0705.2774, with one component), so that a
mass that scatters high is drawn towards the others before it is used: otherwise errors of mass would flatten the
slope. ln N_p is integrated analytically; beta and sigma lie on a grid with flat priors.

Selection: a sample selected by mass, or by anything but N at given mass, leaves slope and scatter unbiased. One that is
selected by the number of its globular clusters does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "GC_MASS_RATIO",
    "LEAST_CLUSTERS",
    "MEAN_CLUSTER_MASS",
    "VIRIAL_MASS_PER_GC",
    "MassRelation",
    "fit_mass_relation",
]

Floats = NDArray[np.float64]

LEAST_CLUSTERS: Final = 4

VIRIAL_MASS_PER_GC: Final = 5e9
"""Msun of halo per globular cluster: N = M / 5e9 (Burkert & Forbes 2020)."""

GC_MASS_RATIO: Final = 2.9e-5
"""Mass of all globular clusters over that of the halo (Harris et al. 2017)."""

MEAN_CLUSTER_MASS: Final = 2.4e5
"""Msun, mean mass of a globular cluster (McLaughlin 1999): turns that ratio into a number."""

NODES: Final = 81


@dataclass(frozen=True, kw_only=True, eq=False)
class MassRelation:
    """ln N = ln_n_at_pivot + slope (ln M - ln pivot), with intrinsic scatter."""

    pivot: float
    """Msun: the geometric mean of the masses."""
    ln_n_at_pivot: float
    ln_n_at_pivot_err: float
    slope: float
    slope_err: float
    scatter: float
    """Intrinsic standard deviation of ln N at given mass: the posterior's median."""
    scatter_interval: tuple[float, float]
    """68 % interval."""
    n_clusters: int
    outliers: tuple[int, ...]
    """Indices of clusters more than 3 standard deviations from the relation, intrinsic scatter included."""


def fit_mass_relation(
    number: ArrayLike, number_err: ArrayLike, mass: ArrayLike, ln_mass_err: ArrayLike
) -> MassRelation:
    """Fit the relation.

    Parameters
    ----------
    number, number_err : array_like (cluster,)
        Globular clusters, above 0, and their errors.
    mass : array_like (cluster,)
        Lens mass in the same aperture, Msun.
    ln_mass_err : array_like (cluster,)
        Errors of ln M.

    Raises
    ------
    ValueError
        If there are fewer than `LEAST_CLUSTERS` clusters, or numbers or masses that are not positive.
    """
    n, n_err, m, x_err = (np.asarray(one, np.float64) for one in (number, number_err, mass, ln_mass_err))
    if n.size < LEAST_CLUSTERS or not ((n > 0) & (m > 0)).all():
        raise ValueError(
            f"{n.size} clusters: at least {LEAST_CLUSTERS} with positive numbers and masses are needed"
        )
    pivot = float(np.exp(np.log(m).mean()))
    x, y, y_err = np.log(m / pivot), np.log(n), n_err / n
    truth, truth_variance = _true_masses(x, x_err)
    slope, scatter, log, level, level_variance = _grid(truth, truth_variance, y, y_err)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean_slope, mean_level = float((weight * slope).sum()), float((weight * level).sum())
    quantiles = _quantiles(scatter, weight, (0.16, 0.5, 0.84))
    deviation = np.sqrt(y_err**2 + mean_slope**2 * truth_variance + quantiles[1] ** 2)
    away = np.abs(y - mean_level - mean_slope * truth) / deviation
    return MassRelation(
        pivot=pivot,
        ln_n_at_pivot=mean_level,
        ln_n_at_pivot_err=float(np.sqrt((weight * (level_variance + (level - mean_level) ** 2)).sum())),
        slope=mean_slope,
        slope_err=float(np.sqrt((weight * (slope - mean_slope) ** 2).sum())),
        scatter=quantiles[1],
        scatter_interval=(quantiles[0], quantiles[2]),
        n_clusters=n.size,
        outliers=tuple(int(k) for k in np.flatnonzero(away > 3.0)),
    )


def _true_masses(x: Floats, x_err: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of the true ln M of each cluster, given the distribution in the sample."""

    def loss(ln_width: float) -> float:
        variance = np.exp(2 * ln_width) + x_err**2
        centre = (x / variance).sum() / (1 / variance).sum()
        return float((np.log(variance) + (x - centre) ** 2 / variance).sum() + np.log((1 / variance).sum()))

    found = scipy.optimize.minimize_scalar(loss, bounds=(np.log(1e-3), np.log(3.0)), method="bounded")
    width = float(np.exp(2 * found.x))
    variance = width + x_err**2
    centre = (x / variance).sum() / (1 / variance).sum()
    return centre + (x - centre) * width / variance, width * x_err**2 / variance


def _grid(truth: Floats, truth_variance: Floats, y: Floats, y_err: Floats) -> tuple[Floats, ...]:
    """Return slope, scatter, ln of the posterior, and mean and variance of the level at each node."""
    away = truth - truth.mean()
    centre = float((away * y).sum() / (away**2).sum())
    spread = float(np.std(y - centre * truth)) + float(np.sqrt((y_err**2).mean()))
    reach = 8 * spread / float(np.sqrt((away**2).sum()))
    slope, scatter = np.meshgrid(
        np.linspace(centre - reach, centre + reach, NODES), (np.arange(NODES) + 0.5) / NODES * 4 * spread
    )
    variance = scatter[..., None] ** 2 + y_err**2 + slope[..., None] ** 2 * truth_variance
    rest = y - slope[..., None] * truth
    level_variance = 1 / (1 / variance).sum(axis=-1)
    level = (rest / variance).sum(axis=-1) * level_variance
    log = -0.5 * (np.log(variance) + (rest - level[..., None]) ** 2 / variance).sum(axis=-1) + 0.5 * np.log(
        level_variance
    )
    return slope, scatter, log, level, level_variance


def _quantiles(values: Floats, weight: Floats, levels: tuple[float, ...]) -> tuple[float, ...]:
    order = np.argsort(values, axis=None)
    cumulated = np.cumsum(weight.ravel()[order])
    return tuple(float(one) for one in np.interp(levels, cumulated, values.ravel()[order]))
