"""Colours of a population without the noise of its photometry: a sum of Gaussians, deconvolved (extreme deconvolution).

Colours of catalogued sources are broadened by noise. Injected like that they would make the completeness of a cut in
colour, and of a sum of bands, that of a population wider than the true one. Bovy, Hogg & Roweis 2011 (Ann. Appl. Stat.
5, 1657) give the EM steps for Gaussians seen through noise that differs from source to source.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "Mixture", "deconvolved", "flat"]

Floats = NDArray[np.float64]
Mixture = tuple[Floats, Floats, Floats]
"""Weight (k,), mean (k, d) and covariance (k, d, d) of the components."""

FEWEST: Final = 40
"""Sources per component; fewer than this in all have no colours of their own."""

MOST: Final = 3
"""Components at the most."""

STEPS: Final = 60
LEAST: Final = 1e-4
"""Least variance of a component, mag^2."""


def flat(dimension: int) -> Mixture:
    """Return one component of colour 0 and no width."""
    return np.ones(1), np.zeros((1, dimension)), np.zeros((1, dimension, dimension))


def deconvolved(colours: Floats, noise: Floats) -> Mixture:
    """Return the mixture of Gaussians that best explains noisy colours, by the Bayesian information criterion.

    Parameters
    ----------
    colours : (n, d) float64
        mag.
    noise : (n, d, d) float64
        Covariance of each, mag^2.
    """
    n, d = colours.shape
    if d == 0 or n < FEWEST:
        return flat(d)
    best, least = flat(d), np.inf
    for k in range(1, min(MOST, n // FEWEST) + 1):
        mixture, likelihood = _fitted(colours, noise, k)
        criterion = -2 * likelihood + np.log(n) * (k * (1 + d + d * (d + 1) / 2) - 1)
        if criterion < least:
            best, least = mixture, criterion
    return best


def _fitted(colours: Floats, noise: Floats, k: int) -> tuple[Mixture, float]:
    n, d = colours.shape
    # Components begin at equal parts of the sources along the first colour.
    order = np.argsort(colours[:, 0], kind="stable")
    mean = np.stack([np.median(colours[part], axis=0) for part in np.array_split(order, k)])
    spread = (1.4826 * np.median(np.abs(colours - np.median(colours, axis=0)), axis=0)) ** 2
    covariance = np.repeat(np.diag(np.maximum(spread, LEAST))[None], k, axis=0)
    weight = np.full(k, 1 / k)
    likelihood = -np.inf
    for _ in range(STEPS):
        total = covariance[None] + noise[:, None]  # (n, k, d, d)
        inverse = np.linalg.inv(total)
        apart = colours[:, None] - mean
        square = np.einsum("nki,nkij,nkj->nk", apart, inverse, apart)
        log = np.log(weight) - 0.5 * (square + np.linalg.slogdet(total)[1] + d * np.log(2 * np.pi))
        top = log.max(axis=1, keepdims=True)
        each = top[:, 0] + np.log(np.exp(log - top).sum(axis=1))
        likelihood = float(each.sum())
        share = np.exp(log - each[:, None])
        gain = np.einsum("kij,nkjl->nkil", covariance, inverse)
        centre = mean + np.einsum("nkij,nkj->nki", gain, apart)
        rest = covariance[None] - np.einsum("nkij,kjl->nkil", gain, covariance)
        sums = np.maximum(share.sum(axis=0), 1e-12)
        weight = sums / n
        mean = np.einsum("nk,nki->ki", share, centre) / sums[:, None]
        off = centre - mean
        outer = np.einsum("nki,nkj->nkij", off, off) + rest
        covariance = np.einsum("nk,nkij->kij", share, outer) / sums[:, None, None]
        covariance += LEAST * np.eye(d)
    return (weight, mean, covariance), likelihood
