"""Mock samples at the level of counts in boxes: clusters of known laws, to test what is measured of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.population.cluster_counts import PIVOT, ClusterCounts, counts_of
from tilegc.relation.counts import gather

__all__ = ["PLANTED", "Planted", "mock_clusters"]

Floats = NDArray[np.float64]

KPC: Final = (3.3, 6.7)
"""kpc per arcsec at redshifts 0.2 and 0.6."""
SIGMA_CR: Final = (3.0e9, 1.8e9)
"""Msun per kpc^2 for sources at redshift 3, likewise."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Distribution of (ln alpha, c, f) in the mocks."""

    mean: tuple[float, float, float] = (-2.9, 1.43, 0.6)
    scatter: tuple[float, float, float] = (0.25, 0.12, 0.15)


PLANTED: Final = Planted()


def mock_clusters(
    number: int, seed: int, planted: Planted = PLANTED
) -> tuple[tuple[ClusterCounts, ...], Floats]:
    """Draw a sample of clusters and count its sources in boxes of 3 arcsec within 24 to 60 arcsec.

    Peak and core of kappa, redshift and field of view differ; counts are Poisson.

    Parameters
    ----------
    number : int
        Clusters.
    seed : int
    planted : Planted
        The population.

    Returns
    -------
    clusters : tuple of ClusterCounts
        Fitted one by one.
    laws : float64 (cluster, 3)
        The law of each.
    """
    draw = np.random.default_rng([seed, number])
    laws = np.array(planted.mean) + draw.normal(size=(number, 3)) * np.array(planted.scatter)
    laws[:, 2] = np.maximum(laws[:, 2], 0.05)
    found = []
    for k in range(number):
        place = draw.uniform()
        kpc, critical = np.interp(place, [0, 1], KPC), np.exp(np.interp(place, [0, 1], np.log(SIGMA_CR)))
        half = int(draw.integers(8, 21))
        xi, eta = np.meshgrid(*[(np.arange(-half, half) + 0.5) * 3.0] * 2)
        peak, core = draw.uniform(0.8, 1.8), draw.uniform(8.0, 16.0)
        kappa = peak * (1 + (0.8 * xi**2 + eta**2 / 0.8) / core**2) ** -0.5
        area = 9.0 * draw.uniform(0.4, 0.95, kappa.shape)
        c = laws[k, 1]
        ln_a = laws[k, 0] + 2 * np.log(kpc) - c * np.log(PIVOT / critical)
        count = draw.poisson(area * (np.exp(ln_a) * kappa**c + laws[k, 2]))
        boxes = gather(
            kappa, area, count, np.hypot(xi, eta) < 3.0 * half, first=(-half, -half), cells=1, pixel=3.0
        )
        found.append(counts_of(f"mock{k + 1}", boxes, sigma_cr=float(critical), kpc_per_arcsec=float(kpc)))
    return tuple(found), laws
