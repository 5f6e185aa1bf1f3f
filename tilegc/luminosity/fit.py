"""The luminosity function of the clusters by maximum likelihood, jointly with their density in every annulus.

The expected number in annulus j and bin k of listed magnitude is

    mu_jk = lambda_j sum_l phi(m_l) seen_jkl + f sum_l 10^(s (m_l - m_0)) seen_jkl,

a Gaussian phi for the clusters and a power law for the background, which the outer field constrains; `seen` is from
artificial stars (`tilegc.luminosity.annuli`). The clusters that reach into the outer field are those of the outermost
other annulus, fading with radius. Poisson likelihood, Fisher scoring, and Gaussian priors that only matter where the
counts say little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.luminosity.annuli import GROUPS, Annuli

__all__ = ["FADING", "Function", "Priors", "fit", "share_brighter"]

Floats = NDArray[np.float64]

FADING: Final = 1.7
"""-dln n/dln r of the clusters beyond the reach of the annuli: n goes as a power 1.4 of a kappa that falls as 1.2."""

SLOPE: Final = (0.3, 0.15)
"""Prior of s, dlog10 N/dm of the background, and its width."""

STEPS: Final = 100
CONVERGED: Final = 1e-6
SMALLEST: Final = 1e-12
FIXED: Final = 1e-6
"""Width of the prior of a parameter that is given."""


@dataclass(frozen=True, kw_only=True)
class Priors:
    """Means and widths of Gaussian priors."""

    turnover: tuple[float, float]
    """mag."""
    width: tuple[float, float]
    """mag."""
    gradient: tuple[float, float] = (0.0, FIXED)
    """Of the turnover, mag per dex in radius."""

    def held(self, turnover: float, width: float) -> Priors:
        """Return priors that fix turnover and width."""
        return replace(self, turnover=(turnover, FIXED), width=(width, FIXED))


@dataclass(frozen=True, kw_only=True)
class Function:
    """A fitted luminosity function."""

    turnover: float
    """AB mag, at the mean radius of the clusters where there is a gradient."""
    width: float
    gradient: float
    pivot: float
    """Radius, arcsec, at which `turnover` holds."""
    background: float
    """Per arcsec^2 and mag at `reference`; 0 without an outer field."""
    slope: float
    reference: float
    """AB mag."""
    density: Floats
    """(j,): clusters of all magnitudes per arcsec^2."""
    covariance: Floats
    """Of turnover, width, gradient, ln background, slope, and ln density of the annuli that are not in the outer
    field."""
    clusters: Floats
    """(j, k): expected clusters."""
    others: Floats
    """(j, k): expected background."""
    deviance: float
    """-2 ln of the likelihood over that of the counts themselves."""
    freedom: int
    """Bins less parameters."""

    def error(self, place: int) -> float:
        """Return the standard deviation of one of the parameters of `covariance`."""
        return float(np.sqrt(max(self.covariance[place, place], 0.0)))

    def turnover_at(self, radius: Floats) -> Floats:
        """Return the turnover at radii, arcsec."""
        found: Floats = self.turnover + self.gradient * np.log10(np.maximum(radius, 0.5) / self.pivot)
        return found


def share_brighter(magnitude: float, turnover: Floats | float, width: float) -> Floats:
    """Return the share of the luminosity function that is brighter than a magnitude."""
    return np.asarray(scipy.special.ndtr((magnitude - turnover) / width), np.float64)


def fit(annuli: Annuli, priors: Priors) -> Function | None:
    """Fit the luminosity function; None if no annulus outside of the outer field holds a source.

    Parameters
    ----------
    annuli : Annuli
    priors : Priors
    """
    inner = np.flatnonzero(~annuli.outer)
    if not annuli.counts[inner].sum():
        return None
    model = _Model.of(annuli, priors, inner)
    seen = annuli.seen.sum(axis=0)
    at = model.start(seen)
    least, damping = model.cost(at, seen), 1e-3
    for _ in range(STEPS):
        gradient, curvature = model.slopes(at, seen)
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), gradient)
        step = np.clip(step, -1.0, 1.0)
        cost = model.cost(at + step, seen)
        if cost <= least:
            done = least - cost < CONVERGED and np.abs(step).max() < 1e-3
            at, least, damping = at + step, cost, max(damping / 10, 1e-9)
            if done:
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    _, curvature = model.slopes(at, seen)
    inverse = np.linalg.inv(curvature)
    # The stars are a sample, too: leave out one group at a time, and follow the maximum by one step.
    moved = np.stack(
        [
            inverse @ model.slopes(at, (seen - annuli.seen[g]) * GROUPS / (GROUPS - 1))[0]
            for g in range(GROUPS)
        ]
    )
    off = moved - moved.mean(axis=0)
    covariance = inverse + (GROUPS - 1) / GROUPS * off.T @ off
    return model.function(at, seen, covariance)


@dataclass(frozen=True, kw_only=True)
class _Model:
    annuli: Annuli
    priors: Priors
    parent: NDArray[np.int64]
    """(j,): whose density it has, of those that are free."""
    factor: Floats
    """(j,): by how much less."""
    pivot: float
    reference: float
    has_outer: bool

    @classmethod
    def of(cls, annuli: Annuli, priors: Priors, inner: NDArray[np.int64]) -> _Model:
        parent, factor = np.zeros(annuli.field.size, np.int64), np.ones(annuli.field.size)
        parent[inner] = np.arange(inner.size)
        outermost = int(np.argmax(annuli.radius[inner]))
        outer = np.flatnonzero(annuli.outer)
        parent[outer] = outermost
        factor[outer] = (annuli.radius[outer] / annuli.radius[inner[outermost]]) ** -FADING
        weight = annuli.counts.sum(axis=1)[inner]
        pivot = 10 ** float(np.average(np.log10(np.maximum(annuli.radius[inner], 0.5)), weights=weight))
        return cls(
            annuli=annuli,
            priors=priors,
            parent=parent,
            factor=factor,
            pivot=pivot,
            reference=float(annuli.edges[-1]) - 1.0,
            has_outer=bool(annuli.counts[outer].sum() > 0),
        )

    @property
    def _means(self) -> Floats:
        return np.array(
            [self.priors.turnover[0], self.priors.width[0], self.priors.gradient[0], np.nan, SLOPE[0]]
        )

    @property
    def _weights(self) -> Floats:
        width = (self.priors.turnover[1], self.priors.width[1], self.priors.gradient[1], np.inf, SLOPE[1])
        return 1 / np.square(width)

    def start(self, seen: Floats) -> Floats:
        """Return parameters to begin with: the priors, and densities from the counts."""
        free = int(self.parent.max()) + 1
        at = np.concatenate([np.nan_to_num(self._means), np.zeros(free)])
        light = (self._bell(at)[0][:, None] * seen).sum(axis=2)
        counts = self.annuli.counts
        for place in range(free):
            j = int(np.flatnonzero((self.parent == place) & ~self.annuli.outer)[0])
            at[5 + place] = np.log((counts[j].sum() + 1) / max(light[j].sum(), SMALLEST))
        if self.has_outer:
            outer = self.annuli.outer
            at[3] = 0.0
            even = self._others(at, seen)[outer].sum()
            at[3] = np.log(0.7 * counts[outer].sum() / max(even, SMALLEST))
        return at

    def _bell(self, at: Floats) -> tuple[Floats, Floats]:
        """Return phi (j, l), and the deviation from the turnover over the width."""
        x = np.log10(np.maximum(self.annuli.radius, 0.5) / self.pivot)
        z = (self.annuli.magnitude - (at[0] + at[2] * x)[:, None]) / at[1]
        return np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * at[1]), z

    def _others(self, at: Floats, seen: Floats) -> Floats:
        if not self.has_outer:
            return np.zeros(seen.shape[:2])
        law = np.exp(at[3]) * 10 ** (at[4] * (self.annuli.magnitude - self.reference))
        return np.asarray(seen @ law)

    def _density(self, at: Floats) -> Floats:
        return self.factor * np.exp(at[5:][self.parent])

    def cost(self, at: Floats, seen: Floats) -> float:
        """Return -ln of the posterior, up to a constant; infinite outside of what makes sense."""
        if not 0.2 < at[1] < 5.0:
            return np.inf
        clusters = self._density(at)[:, None] * (self._bell(at)[0][:, None] * seen).sum(axis=2)
        mu = np.maximum(clusters + self._others(at, seen), SMALLEST)
        prior = np.nansum(self._weights * (at[:5] - self._means) ** 2)
        return float((mu - self.annuli.counts * np.log(mu)).sum() + 0.5 * prior)

    def slopes(self, at: Floats, seen: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of ln of the posterior, and its expected curvature."""
        bell, z = self._bell(at)
        density = self._density(at)[:, None]
        sums = [density * (part[:, None] * seen).sum(axis=2) for part in (bell, bell * z, bell * (z * z - 1))]
        others = self._others(at, seen)
        mu = np.maximum(sums[0] + others, SMALLEST)
        x = np.log10(np.maximum(self.annuli.radius, 0.5) / self.pivot)[:, None]
        parts = np.zeros((at.size, *mu.shape))
        parts[0] = sums[1] / at[1]
        parts[1] = sums[2] / at[1]
        parts[2] = x * parts[0]
        if self.has_outer:
            parts[3] = others
            apart = self.annuli.magnitude - self.reference
            law = np.exp(at[3]) * np.log(10) * apart * 10 ** (at[4] * apart)
            parts[4] = seen @ law
        for place in range(at.size - 5):
            own = self.parent == place
            parts[5 + place, own] = sums[0][own]
        flat = parts.reshape(at.size, -1)
        gradient = flat @ (self.annuli.counts / mu - 1).ravel()
        curvature = (flat / mu.ravel()) @ flat.T
        gradient[:5] -= np.nan_to_num(self._weights * (at[:5] - self._means))
        curvature[range(5), range(5)] += self._weights
        if not self.has_outer:
            curvature[3, 3] += 1.0
        return gradient, curvature

    def function(self, at: Floats, seen: Floats, covariance: Floats) -> Function:
        """Return the function with these parameters."""
        density = self._density(at)
        clusters = density[:, None] * (self._bell(at)[0][:, None] * seen).sum(axis=2)
        others = self._others(at, seen)
        mu, n = np.maximum(clusters + others, SMALLEST), self.annuli.counts
        deviance = 2 * (mu - n + np.where(n > 0, n * np.log(np.maximum(n, 1) / mu), 0.0)).sum()
        shape = int((self._weights < 1 / FIXED).sum()) - (0 if self.has_outer else 2)
        return Function(
            turnover=float(at[0]),
            width=float(at[1]),
            gradient=float(at[2]),
            pivot=self.pivot,
            background=float(np.exp(at[3])) if self.has_outer else 0.0,
            slope=float(at[4]),
            reference=self.reference,
            density=density,
            covariance=covariance,
            clusters=clusters,
            others=others,
            deviance=float(deviance),
            freedom=int((mu > 0.5).sum()) - shape - (at.size - 5),
        )
