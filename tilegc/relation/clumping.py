"""How residual counts hang together on the sky, and the errors of a law that follow.

Sources cluster beyond any law of kappa, so that neighbouring boxes are not independent and Fisher's errors are
too small.  The two-point function of the residuals, xi(d) = sum r r' / sum m m' over pairs of boxes, with m what the
law expects above its floor, is fitted by A exp(-d / l) or A exp(-d^2 / 2 l^2) out to 30 arcsec; with V the
covariance of the score that it gives, the law's covariance is F^-1 V F^-1, F being the Fisher information: the
sandwich.  At no distance the scatter is that of the counts' own distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from tilegc.relation.counts_law import LEAST_MEAN, BoxCounts, Law, products

__all__ = ["Clumping", "clumping", "sandwich"]

Floats = NDArray[np.float64]

REACH: Final = 30.0
"""Separation, arcsec, out to which pairs count."""

LENGTHS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Scale lengths that are tried, arcsec."""

SHAPES: Final = ("exponential", "gaussian")

DEGENERATE = 1e-14
"""Smallest over largest eigenvalue of an information below which it has no inverse."""

SURE: Final = 4.0
"""Gain in chi^2 from which the residuals are taken as correlated."""


@dataclass(frozen=True)
class Clumping:
    """xi(d) = variance x shape(d / length) of the residuals, relative to what the law expects above its floor."""

    variance: float
    """0 where the pairs do not tell."""
    length: float
    """arcsec."""
    shape: str
    """exponential, exp(-x), or gaussian, exp(-x^2 / 2)."""
    gain: float
    """In chi^2 over no correlation at all."""

    def correlation(self, distance: Floats) -> Floats:
        """Return the shape at these separations, arcsec."""
        return _shape(self.shape, distance / self.length)


def _shape(name: str, x: Floats) -> Floats:
    values: Floats = np.exp(-x) if name == "exponential" else np.exp(-0.5 * x * x)
    return values


@dataclass(frozen=True, eq=False)
class _Lattice:
    """The lattice of boxes, padded so that a cyclic convolution reaches no box twice."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    shape: tuple[int, int]
    distance: Floats
    """Of each lag, arcsec, wrapped; of the padded shape."""

    def spread(self, values: Floats) -> Floats:
        """Put values of boxes on the padded lattice."""
        placed = np.zeros(self.shape)
        placed[self.row, self.column] = values
        return placed

    def convolved(self, values: Floats, kernel: Floats) -> Floats:
        """Return sum over boxes b' of kernel(b - b') values(b'); (box,)."""
        product = fft.rfft2(self.spread(values)) * fft.rfft2(kernel)
        result: Floats = fft.irfft2(product, self.shape)[self.row, self.column]
        return result

    def pairs(self, values: Floats) -> Floats:
        """Return sum over pairs of boxes of the product of their values, lag by lag."""
        transform = fft.rfft2(self.spread(values))
        products: Floats = fft.irfft2(np.abs(transform) ** 2, self.shape)
        return products


def _lattice(data: BoxCounts) -> _Lattice:
    row, column = data.row - data.row.min(), data.column - data.column.min()
    reach = int(np.ceil(REACH / data.side))
    shape = tuple(
        2 * int(fft.next_fast_len((int(axis.max()) + 2 + reach) // 2 + 1)) for axis in (row, column)
    )
    lag_y, lag_x = (np.minimum(np.arange(n), n - np.arange(n)) * data.side for n in shape)
    return _Lattice(row, column, (shape[0], shape[1]), np.hypot(lag_y[:, None], lag_x[None, :]))


def clumping(data: BoxCounts, law: Law) -> Clumping:
    """Fit the two-point function of the residuals of a law.

    Each lag counts with the variance that independent counts would give it.
    """
    above = law.a * data.powers(law.c)[0]
    mu = np.maximum(data.expected(law), LEAST_MEAN)
    lattice = _lattice(data)
    near = (lattice.distance > 0) & (lattice.distance <= REACH)
    found, model = (lattice.pairs(values)[near] for values in (data.count - mu, above))
    distance = lattice.distance[near]
    # The variance of a product of two counts is that of one times that of the other.
    noise = lattice.pairs(mu * (1.0 + law.dispersion * mu))[near]
    there = noise > 1e-9 * max(float(noise.max(initial=0.0)), LEAST_MEAN)
    best = Clumping(0.0, LENGTHS[0], SHAPES[0], 0.0)
    for name in SHAPES:
        for length in LENGTHS:
            form = model[there] * _shape(name, distance[there] / length)
            # Every pair stands at two lags, so that chi^2 counts each of them twice.
            weight = float((form * form / noise[there]).sum()) / 2.0
            size = float((form * found[there] / noise[there]).sum()) / 2.0
            gain = size**2 / weight if size > 0 else 0.0
            if gain > best.gain:
                best = Clumping(size / weight, length, name, gain)
    return best if best.gain >= SURE else replace(best, variance=0.0)


def sandwich(data: BoxCounts, law: Law, found: Clumping) -> Floats:
    """Return the covariance of (ln a, c, f), and g where there is light; zero for a parameter that was not free.

    Parameters
    ----------
    data, law : BoxCounts, Law
        The counts, and the law that was fitted to them.
    found : Clumping
        Of the same; with a variance of 0 the result is the inverse of the information.
    """
    jacobian, mu = data.jacobian(law), np.maximum(data.expected(law), LEAST_MEAN)
    score = jacobian / (mu * (1.0 + law.dispersion * mu))
    middle = products(score * (mu * (1.0 + law.dispersion * mu)), score)
    if found.variance > 0:
        lattice = _lattice(data)
        kernel = np.where(
            (lattice.distance > 0) & (lattice.distance <= REACH),
            found.variance * found.correlation(lattice.distance),
            0.0,
        )
        weighted = score * jacobian[0]
        spread = np.stack([lattice.convolved(one, kernel) for one in weighted])
        middle = middle + products(weighted, spread)
    if data.outer is not None:
        mean, steep, _ = data.outer.terms(law.c)
        towards = np.array([law.a * mean, law.a * steep, 1.0, 0.0])[: law.free.size]
        middle = middle + np.outer(towards, towards) / law.outer_variance
    free = np.ix_(law.free, law.free)
    covariance = np.zeros(law.information.shape)
    if law.free.any():
        covariance[free] = _widened(law.information[free], middle[free])
    return covariance


def _widened(information: Floats, middle: Floats) -> Floats:
    """Return F^-1 V F^-1, no direction narrower than F^-1; NaN where F is not positive definite.

    The fitted xi is noisy and need not belong to any field, so that V could be narrower than F somewhere.
    """
    value, vector = np.linalg.eigh(information)
    if not value[0] > DEGENERATE * value[-1]:  # a handful of sources: some direction is not measured at all
        return np.full_like(information, np.nan)
    root = (vector / np.sqrt(value)) @ vector.T
    ratio, direction = np.linalg.eigh(root @ middle @ root)
    stretched = root @ direction
    covariance: Floats = (stretched * np.maximum(ratio, 1.0)) @ stretched.T
    return covariance
