"""Residuals of a law on a fine lattice, of the sources and of simulated skies of the same law.

A sky drawn from the law is not fitted again: the change of its law is taken to first order, one step of Fisher scoring,
so that the residuals of thousands of skies cost no more than those of one. The residuals of the sources take the same
step, which for them is nearly zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.smoothing import FWHM_PER_SIGMA
from tilegc.relation.clumping import Clumping
from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import LEAST_MEAN, products

__all__ = ["ResidualSky", "Smoother", "residual_sky"]

Floats = NDArray[np.float64]

CHUNK = 32
"""Simulated skies that are held in memory at a time."""


@dataclass(frozen=True, eq=False)
class ResidualSky:
    """Counts, expectations and the response of the law, on a fine lattice of boxes."""

    data: BoxCounts
    law: Law
    expected: Floats
    """Sources that the law expects in each fine box; (box,)."""
    above: Floats
    """The part of them that follows kappa."""
    towards: Floats
    """Change of the free parameters per residual, F^-1 J / (mu (1 + phi mu)); (parameter, box)."""
    response: Floats
    """Change of the expectation per free parameter; (parameter, box)."""
    outer: Floats
    """Change of the free parameters if the outer field is one standard deviation above its expectation."""

    @property
    def residual(self) -> Floats:
        """Sources less the law that fits them best, (box,)."""
        settled: Floats = self.settled((self.data.count - self.expected)[None])[0]
        return settled

    def settled(self, residual: Floats, shift: Floats | None = None) -> Floats:
        """Return residuals after the law has moved to them; (sky, box).

        Parameters
        ----------
        residual : float64 (sky, box)
            Counts less the expectation of the law.
        shift : float64 (sky,), optional
            Deviation of the outer field in standard deviations.
        """
        step = np.einsum("sb,pb->sp", residual, self.towards)
        if shift is not None:
            step = step + shift[:, None] * self.outer[None, :]
        moved: Floats = residual - np.einsum("sp,pb->sb", step, self.response)
        return moved

    def draws(self, skies: int, seed: int, clumps: Clumping | None) -> Iterator[Floats]:
        """Yield residuals of simulated skies of the law, some skies at a time; (sky, box).

        Parameters
        ----------
        skies, seed : int
            Number of skies; seed of the random numbers.
        clumps : Clumping, optional
            Correlation of the sources beyond the law; None for independent sources.
        """
        draw = np.random.Generator(np.random.PCG64(seed))
        field = None if clumps is None else _ClumpedField(self.data, clumps, self.law.dispersion)
        for first in range(0, skies, CHUNK):
            number = min(CHUNK, skies - first)
            mean = np.broadcast_to(self.expected, (number, self.expected.size))
            if field is not None:
                mean = np.maximum(mean + self.above * (field.factors(number, draw) - 1.0), LEAST_MEAN)
            counts = draw.poisson(mean).astype(np.float64)
            yield self.settled(counts - self.expected, draw.normal(size=number))


def residual_sky(data: BoxCounts, law: Law, side: float) -> ResidualSky:
    """Return the residuals of a law.

    Parameters
    ----------
    data : BoxCounts
        Counts on the fine lattice, without an outer field of its own if the law was fitted without one.
    law : Law
        The law fitted to larger boxes of `side` arcsec.
    side : float
        Side of those boxes, in which the scatter of the counts was measured.
    """
    expected = np.maximum(data.expected(law), LEAST_MEAN)
    jacobian = data.jacobian(law)[: law.free.size][law.free]
    # A box of the fit has (side / data.side)^2 of these: its variance, mu + phi mu^2, is that of its sum.
    whole = expected * (side / data.side) ** 2
    weighted = jacobian / (expected * (1.0 + law.dispersion * whole))
    information = products(weighted, jacobian)
    outer = np.zeros(len(jacobian))
    if data.outer is not None and np.isfinite(law.outer_variance):
        slopes = data.outer.slopes(law.a, law.c, law.free.size)[law.free]
        information = information + np.outer(slopes, slopes) / law.outer_variance
        outer = slopes / np.sqrt(law.outer_variance)
    scale = np.sqrt(np.diag(information))
    inverse = np.linalg.inv(information / np.outer(scale, scale)) / np.outer(scale, scale)
    return ResidualSky(
        data,
        law,
        expected,
        law.a * data.powers(law.c)[0],
        products(inverse, weighted.T),
        jacobian,
        np.einsum("ij,j->i", inverse, outer),
    )


class _ClumpedField:
    """Factors that clump the sources which follow kappa, with the correlation measured from their residuals."""

    def __init__(self, data: BoxCounts, clumps: Clumping, dispersion: float) -> None:
        self.row, self.column = data.row - data.row.min(), data.column - data.column.min()
        reach = int(np.ceil(4 * clumps.length / data.side)) if clumps.variance > 0 else 0
        height, width = (int(axis.max()) + 1 + reach for axis in (self.row, self.column))
        self.shape = (scipy.fft.next_fast_len(height, real=True), scipy.fft.next_fast_len(width, real=True))
        self.power = np.zeros((self.shape[0], self.shape[1] // 2 + 1))
        if clumps.variance > 0:
            y, x = (np.minimum(np.arange(n), n - np.arange(n)) * data.side for n in self.shape)
            # A lognormal factor of this correlation is the exponential of a Gaussian one of its logarithm.
            gauss = np.log1p(clumps.variance * clumps.correlation(np.hypot(y[:, None], x[None, :])))
            self.power = np.sqrt(np.maximum(scipy.fft.rfft2(gauss).real, 0.0))
        # Scatter between boxes that is not correlated with that of their neighbours.
        self.alone = max(dispersion - clumps.variance, 0.0)

    def factors(self, number: int, draw: np.random.Generator) -> Floats:
        """Return factors of mean 1; (sky, box)."""
        white = scipy.fft.rfft2(draw.normal(size=(number, *self.shape)))
        field = scipy.fft.irfft2(white * self.power, self.shape)[:, self.row, self.column]
        spread = field.var()
        factors: Floats = np.exp(field - 0.5 * spread)
        if self.alone > 0:
            factors = factors * draw.gamma(1.0 / self.alone, self.alone, factors.shape)
        return factors


class Smoother:
    """Significance of residuals smoothed with a Gaussian: the sum of kernel x residual over its standard deviation."""

    def __init__(self, sky: ResidualSky, fwhm: float, covered: float) -> None:
        data = sky.data
        self.row, self.column = data.row - data.row.min(), data.column - data.column.min()
        sigma = fwhm / FWHM_PER_SIGMA / data.side
        reach = int(np.ceil(4 * sigma))
        self.extent = (int(self.row.max()) + 1, int(self.column.max()) + 1)
        height, width = (side + reach for side in self.extent)
        self.shape = (scipy.fft.next_fast_len(height, real=True), scipy.fft.next_fast_len(width, real=True))
        y, x = (np.minimum(np.arange(n), n - np.arange(n)) for n in self.shape)
        kernel = np.exp(-0.5 * (y[:, None] ** 2 + x[None, :] ** 2) / sigma**2)
        self.kernel = scipy.fft.rfft2(kernel)
        self.deviation = np.sqrt(self._summed(sky.expected[None], scipy.fft.rfft2(kernel**2))[0])
        share = self._summed(data.box_area[None], self.kernel)[0] / (float(kernel.sum()) * data.side**2)
        self.used = share >= covered
        """Boxes around which enough of the sky was searched; (box,)."""

    def _summed(self, values: Floats, kernel: NDArray[np.complex128]) -> Floats:
        placed = np.zeros((len(values), *self.shape))
        placed[:, self.row, self.column] = values
        sums: Floats = scipy.fft.irfft2(scipy.fft.rfft2(placed) * kernel, self.shape)[
            :, self.row, self.column
        ]
        return sums

    def significance(self, residual: Floats) -> Floats:
        """Return the significance at each box where enough sky was searched, 0 elsewhere; (sky, box)."""
        ratio: Floats = np.where(
            self.used, self._summed(residual, self.kernel) / np.maximum(self.deviation, 1e-300), 0.0
        )
        return ratio
