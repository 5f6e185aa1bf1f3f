"""Intensity of a point process on the sky by maximum likelihood, from the positions of the individual points.

ln L = sum over points of w ln lambda(position) - integral of lambda over the searched area, which is summed over
cells. There are no annuli or boxes: no information is lost to binning, and masks only remove area.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.groups import groups

__all__ = ["Fit", "Model", "Sample", "fit"]

Floats = NDArray[np.float64]

STEP: Final = 1e-5
"""Step of the finite differences for derivatives, in units of the scale of a parameter."""

BLOCK: Final = 15.0
"""Side in arcsec of the blocks whose scatter determines the robust errors."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Points and the area that was searched for them; lengths in arcsec from the centre."""

    xi: Floats
    """(n,): offset to the east."""
    eta: Floats
    """(n,): offset to the north."""
    weight: Floats
    """(n,): 1 for a source; where a map replaces points, its value times the area of the cell."""
    cell_xi: Floats
    """(m,): offset of the cells to the east."""
    cell_eta: Floats
    area: Floats
    """(m,): area of the cell in arcsec^2, times the probability that a source in it is detected."""

    def ring(self, r_lo: float, r_hi: float) -> Sample:
        """Return the points and cells between two radii."""
        point, cell = (
            (radius >= r_lo) & (radius < r_hi)
            for radius in (np.hypot(self.xi, self.eta), np.hypot(self.cell_xi, self.cell_eta))
        )
        return Sample(
            self.xi[point],
            self.eta[point],
            self.weight[point],
            self.cell_xi[cell],
            self.cell_eta[cell],
            self.area[cell],
        )


@dataclass(frozen=True)
class Model:
    """A law of the intensity, and the bounds of its parameters."""

    names: tuple[str, ...]
    intensity: Callable[[Floats, Floats, Floats], Floats]
    """Function of (parameters, xi, eta), per arcsec^2; positive within the bounds."""
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Fit:
    """Best-fitting parameters and their covariances; NaN if nothing could be fitted."""

    names: tuple[str, ...]
    values: Floats
    covariance: Floats
    """Inverse of the Fisher information, valid for a Poisson process; NaN for parameters at a bound."""
    robust: Floats
    """F^-1 V F^-1 with V from blocks of 15 arcsec, valid for a clumped process, too; NaN with fewer than ten blocks."""
    log_likelihood: float
    n: float
    """Sum of the weights."""
    at_bound: tuple[str, ...]
    """Parameters at a bound: they have no error, and the errors of the others assume them fixed."""

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.names.index(name)])

    def error(self, name: str) -> float:
        """Return the Poisson error of a parameter; NaN if the fit has none."""
        at = self.names.index(name)
        return _root(self.covariance[at, at])

    def robust_error(self, name: str) -> float:
        """Return the error of a parameter from the scatter of blocks."""
        at = self.names.index(name)
        return _root(self.robust[at, at])


def _root(variance: float) -> float:
    """Return an error; NaN for a non-positive variance, where the likelihood is not concave at its maximum."""
    return math.sqrt(variance) if variance >= 0 else math.nan


def fit(sample: Sample, model: Model, start: Floats, scale: Floats) -> Fit:
    """Maximise the likelihood of a sample.

    Parameters
    ----------
    sample : Sample
        Points and area.
    model : Model
        The law and its bounds.
    start : ndarray
        Initial parameters, within the bounds.
    scale : ndarray
        Typical change of each parameter: the unit of the steps.

    Returns
    -------
    Fit
        NaN if there are fewer points than parameters.
    """
    size = len(model.names)
    nothing = Fit(
        model.names,
        np.full(size, np.nan),
        np.full((size, size), np.nan),
        np.full((size, size), np.nan),
        np.nan,
        float(sample.weight.sum()),
        (),
    )
    if sample.weight.size <= size or sample.weight.sum() <= 0 or sample.area.sum() <= 0:
        return nothing
    low, high = np.array(model.low), np.array(model.high)

    def negative(unit: Floats) -> tuple[float, Floats]:
        theta = np.clip(unit * scale, low, high)
        at_points, at_cells = (model.intensity(theta, *place) for place in _places(sample))
        value = float((sample.area * at_cells).sum() - (sample.weight * np.log(at_points)).sum())
        in_points, in_cells = (_slopes(model, theta, scale, *place) for place in _places(sample))
        # Use NumPy's own sums: a BLAS adds in an order that depends on the number of threads.
        gradient = (in_cells * sample.area).sum(axis=1) - (in_points * (sample.weight / at_points)).sum(
            axis=1
        )
        return value, gradient * scale

    found = scipy.optimize.minimize(
        negative,
        np.clip(start, low, high) / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low / scale, high / scale, strict=True)),
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-6},
    )
    theta = np.clip(found.x * scale, low, high)
    if not np.isfinite(found.fun):
        return nothing
    bound = (theta <= low + 1e-6 * scale) | (theta >= high - 1e-6 * scale)
    covariance, robust = _covariances(sample, model, theta, scale, ~bound)
    at_bound = tuple(name for name, there in zip(model.names, bound, strict=True) if there)
    return Fit(
        model.names, theta, covariance, robust, -float(found.fun), float(sample.weight.sum()), at_bound
    )


def _places(sample: Sample) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    return (sample.xi, sample.eta), (sample.cell_xi, sample.cell_eta)


def _slopes(model: Model, theta: Floats, scale: Floats, xi: Floats, eta: Floats) -> Floats:
    """Return d lambda / d theta, (parameters, positions), by central differences within the bounds."""
    slopes = np.empty((theta.size, xi.size))
    for k in range(theta.size):
        up, down = theta.copy(), theta.copy()
        up[k] = min(theta[k] + STEP * scale[k], model.high[k])
        down[k] = max(theta[k] - STEP * scale[k], model.low[k])
        slopes[k] = (model.intensity(up, xi, eta) - model.intensity(down, xi, eta)) / (up[k] - down[k])
    return slopes


def _covariances(
    sample: Sample, model: Model, theta: Floats, scale: Floats, free: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return both covariances of the free parameters; NaN for the others."""
    points, cells = _places(sample)
    in_points, in_cells = (_slopes(model, theta, scale, *place) for place in (points, cells))
    at_points, at_cells = (model.intensity(theta, *place) for place in (points, cells))
    fisher = np.einsum("ic,jc,c->ij", in_cells, in_cells, sample.area / at_cells)
    inverse, robust = np.full_like(fisher, np.nan), np.full_like(fisher, np.nan)
    some = np.ix_(free, free)
    try:
        inverse[some] = np.linalg.inv(fisher[some])
    except np.linalg.LinAlgError:
        return inverse, robust
    count, block = groups(*np.floor(np.concatenate([np.stack(points), np.stack(cells)], axis=1) / BLOCK))
    if count < 10:
        return inverse, robust
    scores = np.stack(
        [
            np.bincount(block, np.concatenate([p * sample.weight / at_points, -c * sample.area]), count)
            for p, c in zip(in_points, in_cells, strict=True)
        ]
    )
    scatter = np.einsum("ib,jb->ij", scores, scores) * count / (count - 1)
    robust[some] = inverse[some] @ scatter[some] @ inverse[some]
    return inverse, robust
