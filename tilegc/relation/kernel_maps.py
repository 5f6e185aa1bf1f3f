"""The kernel sum on cells of the sky: its shape fitted to kappa, and errors of the comparison.

rho = W * N with W(d) = (S + d)^-alpha for any alpha and S, on cells that may be coarser than pixels: where W is steep
it is averaged over the cells of source and target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.correlation import pearson
from tilegc.kernels.ranks import ranks
from tilegc.relation.resampling import block_numbers, block_weights

__all__ = [
    "CellMaps",
    "KernelFit",
    "Likeness",
    "cell_kernel",
    "fit_kernel",
    "likeness",
    "likeness_errors",
    "varies",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEAR: Final = 3
"""Distance in cells within which the kernel is averaged over both cells rather than taken between their centres."""

SAMPLES: Final = 6
"""Samples along a cell for this average."""

SECTORS: Final = 8
"""Number of sectors around the centre, each of which is held out once."""

ALPHAS: Final = (0.6, 0.9, 1.2, 1.6, 2.0, 2.5, 3.2)
SOFTENINGS: Final = (0.45, 0.9, 1.8, 3.6, 7.2, 14.4)
"""Initial grid of softenings, in arcsec, in the search for the best kernel."""

STEP: Final = 0.005
"""Step in ln alpha and ln softening: smaller than their errors."""

MAP_RESAMPLES: Final = 100

ROUNDING: Final = 1e-9
"""Variations below this fraction of the maximum of a map are rounding errors: the map is flat."""

BOUNDS: Final = ((0.2, 6.0), (0.1, 60.0))
"""Bounds of alpha and of the softening (arcsec)."""


@dataclass(frozen=True, eq=False)
class CellMaps:
    """The maps from which the kernel sum is made and with which it is compared; arrays (eta, xi)."""

    counts: Floats
    """Sources in each cell, including inpainted ones with their weight."""
    area: Floats
    """Area in which sources were recorded or inpainted."""
    kappa: Floats
    use: Bools
    """Cells that are compared."""
    xi: Floats
    """Centres of the columns in arcsec."""
    eta: Floats
    pixel: float

    @property
    def blocks(self) -> NDArray[np.int64]:
        """Number of the block of each cell; (eta, xi)."""
        return block_numbers(*np.meshgrid(self.xi, self.eta))


@dataclass(frozen=True)
class Likeness:
    """Similarity of two maps; NaN if there is nothing to compare."""

    beta: float
    pearson: float
    spearman: float


@dataclass(frozen=True)
class KernelFit:
    """The kernel for which the sources resemble kappa most; NaN if there is no fit."""

    alpha: float
    alpha_err: float
    """Error from leaving out one sector at a time."""
    softening: float
    softening_err: float
    score: float
    """1 - sum (kappa - beta rho)^2 / sum (kappa - its mean)^2, in each sector with the fit to the others."""
    given_score: float
    """The same for the given kernel, for which only beta is fitted."""
    fitted_score: float
    """Score of the fit to all sectors, in these sectors: the value without a hold-out."""


class _Sum:
    """Convolution of one map of counts with many kernels."""

    def __init__(self, shape: tuple[int, int], pixel: float) -> None:
        self.shape, self.pixel = shape, pixel
        self.padded = tuple(int(scipy.fft.next_fast_len(2 * side - 1, real=True)) for side in shape)

    def transform(self, values: Floats) -> NDArray[np.complex128]:
        result: NDArray[np.complex128] = scipy.fft.rfft2(values, self.padded)
        return result

    def of(self, spectrum: NDArray[np.complex128], kernel: NDArray[np.complex128]) -> Floats:
        result: Floats = scipy.fft.irfft2(spectrum * kernel, self.padded)[: self.shape[0], : self.shape[1]]
        return result

    def kernel(self, alpha: float, softening: float) -> NDArray[np.complex128]:
        quarter = cell_kernel(self.shape, self.pixel, alpha, softening)
        rows, columns = self.shape
        whole = np.zeros(self.padded)
        whole[:rows, :columns] = quarter
        if rows > 1:
            whole[1 - rows :, :columns] = quarter[:0:-1]
        if columns > 1:
            whole[:, 1 - columns :] = whole[:, columns - 1 : 0 : -1]
        return self.transform(whole)


def cell_kernel(shape: tuple[int, int], pixel: float, alpha: float, softening: float) -> Floats:
    """Return the mean of (softening + d)^-alpha between points in two cells, by their separation in cells.

    Parameters
    ----------
    shape : tuple of int
        Separations along eta and xi, from 0.
    pixel, softening : float
        Side of a cell and softening in arcsec.
    """
    y, x = np.indices(shape)
    kernel: Floats = (softening + pixel * np.hypot(y, x)) ** -alpha
    # The difference between uniform positions in two cells has a triangular distribution.
    steps = np.arange(1 - SAMPLES, SAMPLES) / SAMPLES
    weight = 1.0 - np.abs(steps)
    weight /= weight.sum()
    both = weight[:, None] * weight[None, :]
    for j in range(min(NEAR + 1, shape[0])):
        for i in range(min(NEAR + 1, shape[1])):
            distance = np.hypot(j + steps[:, None], i + steps[None, :])
            kernel[j, i] = (both * (softening + pixel * distance) ** -alpha).sum()
    return kernel


def likeness(kappa: Floats, rho: Floats, weight: Floats | None = None) -> Likeness:
    """Return beta = sum(kappa rho) / sum(rho^2), and Pearson's and Spearman's correlation of cells.

    Parameters
    ----------
    kappa, rho : (cell,) float64
        The two maps.
    weight : (cell,) float64, optional
        How often each cell counts, integers.
    """
    if weight is not None:
        number = weight.astype(np.int64)
        kappa, rho = np.repeat(kappa, number), np.repeat(rho, number)
    power = float((rho * rho).sum())
    if kappa.size < 3 or power == 0:
        return Likeness(np.nan, np.nan, np.nan)
    beta = float((kappa * rho).sum()) / power
    if not (varies(rho) and varies(kappa)):
        return Likeness(beta, np.nan, np.nan)
    return Likeness(beta, pearson(kappa, rho), pearson(ranks(kappa), ranks(rho)))


def varies(values: Floats) -> bool:
    """Return whether values differ by more than rounding errors, which interpolation leaves in a flat map."""
    return bool(np.ptp(values) > ROUNDING * np.abs(values).max())


def kernel_sums(maps: CellMaps, counts: Iterator[Floats], alpha: float, softening: float) -> Iterator[Floats]:
    """Yield the kernel sum of each of several maps of counts."""
    sums = _Sum(maps.counts.shape, maps.pixel)
    kernel = sums.kernel(alpha, softening)
    for one in counts:
        yield sums.of(sums.transform(one), kernel)


def likeness_errors(
    maps: CellMaps, alpha: float, softening: float, resamples: int = MAP_RESAMPLES
) -> Likeness:
    """Return the standard deviations of the comparison of kappa and rho, over resampled blocks of the sky.

    A resample draws blocks of sources *and* area, and rho is computed again: W * wN divided by the fraction of W *
    area that was drawn, where w is the number of times a block was drawn. The cells of rho are not independent:
    resampling them would underestimate the error of rho by a factor of ten.

    A resample also gives weight to other places: it corresponds to observing another patch of a similar sky, which is
    an upper limit on the effect of counting the same patch again (by a factor 5 to 8:
    `tests/relation/test_kernel_maps.py`).
    """
    if not maps.use.any():
        return Likeness(np.nan, np.nan, np.nan)
    sums = _Sum(maps.counts.shape, maps.pixel)
    kernel = sums.kernel(alpha, softening)
    whole = sums.of(sums.transform(maps.area), kernel)
    found = []
    for weight in block_weights(maps.blocks, resamples):
        drawn = sums.of(sums.transform(weight * maps.area), kernel)
        rho = sums.of(sums.transform(weight * maps.counts), kernel)
        use = maps.use & (drawn > 1e-9 * whole)
        at = likeness(maps.kappa[use], (rho[use] * whole[use]) / drawn[use], weight[use])
        found.append((at.beta, at.pearson, at.spearman))
    table = np.array(found)
    finite = table[np.isfinite(table).all(axis=1)]
    if len(finite) < 2:
        return Likeness(np.nan, np.nan, np.nan)
    return Likeness(*(float(value) for value in finite.std(axis=0, ddof=1)))


def fit_kernel(maps: CellMaps, given: tuple[float, float]) -> KernelFit:
    """Fit alpha and S to kappa by least squares of kappa - beta rho, and score the fit in held-out sectors.

    Parameters
    ----------
    maps : CellMaps
        The maps.
    given : tuple of float
        alpha and softening (arcsec) of the kernel that is scored next to the fitted one.
    """
    sector = _sectors(maps)
    kappa = maps.kappa[maps.use]
    parts = np.unique(sector)
    if parts.size < 3 or not maps.counts.any() or not varies(kappa):
        return KernelFit(*[np.nan] * 7)
    sums = _Sum(maps.counts.shape, maps.pixel)
    spectrum = sums.transform(maps.counts)
    kept: dict[tuple[float, float], Floats] = {}

    def rho(alpha: float, softening: float) -> Floats:
        key = (alpha, softening)
        if key not in kept:
            kept[key] = sums.of(spectrum, sums.kernel(alpha, softening))[maps.use]
        return kept[key]

    everything = np.ones(kappa.size, np.bool_)
    best = _best(rho, kappa, everything, None)
    folds = [_best(rho, kappa, sector != part, best) for part in parts]
    total = float(((kappa - kappa.mean()) ** 2).sum())

    def held_out(kernels: list[tuple[float, float]]) -> float:
        miss = 0.0
        for part, kernel in zip(parts, kernels, strict=True):
            values, test = rho(*kernel), sector == part
            beta = (kappa[~test] * values[~test]).sum() / (values[~test] ** 2).sum()
            miss += float(((kappa[test] - beta * values[test]) ** 2).sum())
        return 1.0 - miss / total

    count = parts.size
    spread = np.sqrt((count - 1) / count * ((np.array(folds) - np.mean(folds, axis=0)) ** 2).sum(axis=0))
    return KernelFit(
        best[0],
        float(spread[0]),
        best[1],
        float(spread[1]),
        held_out(folds),
        held_out([given] * count),
        1.0 - _miss(rho(*best), kappa, everything) / total,
    )


def _sectors(maps: CellMaps) -> NDArray[np.int64]:
    """Return the sector around the centre of each cell that is compared."""
    xi, eta = np.meshgrid(maps.xi, maps.eta)
    turn = np.arctan2(xi[maps.use], eta[maps.use]) / (2.0 * np.pi) % 1.0
    sector: NDArray[np.int64] = np.minimum((turn * SECTORS).astype(np.int64), SECTORS - 1)
    return sector


def _miss(rho: Floats, kappa: Floats, use: Bools) -> float:
    """Return sum (kappa - beta rho)^2 with the best beta."""
    a, b = kappa[use], rho[use]
    power = float((b * b).sum())
    return float((a * a).sum()) - (float((a * b).sum()) ** 2 / power if power > 0 else 0.0)


def _best(rho: object, kappa: Floats, use: Bools, begin: tuple[float, float] | None) -> tuple[float, float]:
    """Return alpha and softening from least squares."""
    assert callable(rho)
    if begin is None:
        tried = [(alpha, softening) for alpha in ALPHAS for softening in SOFTENINGS]
        begin = min(tried, key=lambda kernel: _miss(rho(*kernel), kappa, use))
    low, high = np.log(np.array(BOUNDS)).T

    def loss(ln: Floats) -> float:
        inside = np.clip(ln, low, high)
        return _miss(rho(*_kernel(inside)), kappa, use) * (1.0 + float(((ln - inside) ** 2).sum()))

    found = scipy.optimize.minimize(
        loss,
        np.log(begin),
        method="Nelder-Mead",
        options={
            "xatol": 5e-3,
            "fatol": 0.0,
            "maxfev": 45,
            "initial_simplex": np.log(begin) + np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2]]),
        },
    )
    return _kernel(np.clip(found.x, low, high))


def _kernel(ln: Floats) -> tuple[float, float]:
    """Return alpha and softening rounded to half a per cent, so that different folds share evaluated kernels."""
    alpha, softening = np.exp(np.round(ln / STEP) * STEP)
    return float(alpha), float(softening)
