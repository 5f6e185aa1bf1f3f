"""Spatial correlation of the residual counts, and its effect on the errors of a law.

Sources cluster more than any law of kappa predicts, so that neighbouring boxes are not independent and Fisher errors
are too small. The two-point function of the residuals, xi(d) = sum r r' / sum m m' over pairs of boxes, where m is
the expectation of the law above its floor, is fitted with A exp(-d / l) or A exp(-d^2 / 2 l^2) out to 30 arcsec. If V
is the covariance of the score implied by it, the covariance of the law is the sandwich F^-1 V F^-1, where F is the
Fisher information. At zero distance the scatter is that of the distribution of the counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import LEAST_MEAN, products

__all__ = ["Clumping", "clumping", "sandwich"]

Floats = NDArray[np.float64]

REACH: Final = 30.0
"""Maximum separation of pairs in arcsec."""

LENGTHS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Scale lengths that are tried, in arcsec."""

SHAPES: Final = ("exponential", "gaussian")

DEGENERATE = 1e-14
"""Ratio of the smallest to the largest eigenvalue below which the information cannot be inverted."""

SURE: Final = 4.0
"""Minimum gain in chi^2 for the residuals to count as correlated."""


@dataclass(frozen=True)
class Clumping:
    """xi(d) = variance x shape(d / length) of the residuals, relative to the expectation of the law above its floor."""

    variance: float
    """0 if the pairs show no correlation."""
    length: float
    """Scale length in arcsec."""
    shape: str
    """Either exponential, exp(-x), or gaussian, exp(-x^2 / 2)."""
    gain: float
    """Gain in chi^2 relative to no correlation."""

    def correlation(self, distance: Floats) -> Floats:
        """Return the shape at these separations in arcsec."""
        return _shape(self.shape, distance / self.length)


def _shape(name: str, x: Floats) -> Floats:
    values: Floats = np.exp(-x) if name == "exponential" else np.exp(-0.5 * x * x)
    return values


@dataclass(frozen=True, eq=False)
class _Lattice:
    """The lattice of boxes, padded so that a cyclic convolution does not wrap around onto a box."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    shape: tuple[int, int]
    distance: Floats
    """Distance of each lag in arcsec, wrapped; of the padded shape."""

    def spread(self, values: Floats) -> Floats:
        """Put the values of boxes onto the padded lattice."""
        placed = np.zeros(self.shape)
        placed[self.row, self.column] = values
        return placed

    def convolved(self, values: Floats, kernel: Floats) -> Floats:
        """Return the sum over boxes b' of kernel(b - b') values(b'); (box,)."""
        product = scipy.fft.rfft2(self.spread(values)) * scipy.fft.rfft2(kernel)
        result: Floats = scipy.fft.irfft2(product, self.shape)[self.row, self.column]
        return result

    def pairs(self, values: Floats) -> Floats:
        """Return the sum over pairs of boxes of the product of their values, lag by lag."""
        transform = scipy.fft.rfft2(self.spread(values))
        products: Floats = scipy.fft.irfft2(np.abs(transform) ** 2, self.shape)
        return products


def _lattice(data: BoxCounts) -> _Lattice:
    row, column = data.row - data.row.min(), data.column - data.column.min()
    reach = int(np.ceil(REACH / data.side))
    shape = tuple(
        2 * int(scipy.fft.next_fast_len((int(axis.max()) + 2 + reach) // 2 + 1)) for axis in (row, column)
    )
    lag_y, lag_x = (np.minimum(np.arange(n), n - np.arange(n)) * data.side for n in shape)
    return _Lattice(row, column, (shape[0], shape[1]), np.hypot(lag_y[:, None], lag_x[None, :]))


def clumping(data: BoxCounts, law: Law) -> Clumping:
    """Fit the two-point function of the residuals of a law.

    Each lag is weighted with the variance expected for independent counts.
    """
    above = law.a * data.powers(law.c)[0]
    mu = np.maximum(data.expected(law), LEAST_MEAN)
    lattice = _lattice(data)
    near = (lattice.distance > 0) & (lattice.distance <= REACH)
    found, model = (lattice.pairs(values)[near] for values in (data.count - mu, above))
    distance = lattice.distance[near]
    # The variance of a product of two independent residuals is the product of their variances.
    noise = lattice.pairs(mu * (1.0 + law.dispersion * mu))[near]
    there = noise > 1e-9 * max(float(noise.max(initial=0.0)), LEAST_MEAN)
    best = Clumping(0.0, LENGTHS[0], SHAPES[0], 0.0)
    for name in SHAPES:
        for length in LENGTHS:
            form = model[there] * _shape(name, distance[there] / length)
            # Every pair occurs at two lags, so chi^2 counts each pair twice.
            weight = float((form * form / noise[there]).sum()) / 2.0
            size = float((form * found[there] / noise[there]).sum()) / 2.0
            gain = size**2 / weight if size > 0 else 0.0
            if gain > best.gain:
                best = Clumping(size / weight, length, name, gain)
    return best if best.gain >= SURE else replace(best, variance=0.0)


def sandwich(data: BoxCounts, law: Law, found: Clumping) -> Floats:
    """Return the covariance of (ln a, c, f), and g if there is light; zero for a parameter that was not free.

    Parameters
    ----------
    data, law : BoxCounts, Law
        The counts, and the law fitted to them.
    found : Clumping
        Correlation of the residuals; if its variance is 0 the result is the inverse of the information.
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
        towards = data.outer.slopes(law.a, law.c, law.free.size)
        middle = middle + np.outer(towards, towards) / law.outer_variance
    free = np.ix_(law.free, law.free)
    covariance = np.zeros(law.information.shape)
    if law.free.any():
        covariance[free] = _widened(law.information[free], middle[free])
    return covariance


def _widened(information: Floats, middle: Floats) -> Floats:
    """Return F^-1 V F^-1, in no direction narrower than F^-1; NaN if F is not positive definite.

    The fitted xi is noisy and need not be a valid correlation function, so that V could be narrower than F somewhere.
    """
    value, vector = np.linalg.eigh(information)
    if not value[0] > DEGENERATE * value[-1]:  # a handful of sources does not constrain every direction
        return np.full_like(information, np.nan)
    root = (vector / np.sqrt(value)) @ vector.T
    ratio, direction = np.linalg.eigh(root @ middle @ root)
    stretched = root @ direction
    covariance: Floats = (stretched * np.maximum(ratio, 1.0)) @ stretched.T
    return covariance
