"""Intervals from the profile likelihood, for parameters at a bound, where a standard error means little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import POWERS, fit_law, least_floor

__all__ = ["interval"]

C, FLOOR, MEMBERS = 1, 2, 3
"""Indices of the parameters of the law."""

REACH: Final = 12
"""Distance from the best value, in errors, within which an end is sought."""


def interval(
    data: BoxCounts, law: Law, parameter: int, covariance: NDArray[np.float64], level: float = 1.0
) -> tuple[float, float]:
    """Return the values at which 2 ln L is level^2 below its maximum, all other parameters being refitted.

    Parameters
    ----------
    data, law : BoxCounts, Law
        The counts, and the law fitted to them.
    parameter : int
        1: c; 2: the floor; 3: g. The lower ends of the latter two may be at their bounds, `least_floor` and 0.
    covariance : float64
        Covariance of the law, including clumping: the likelihood is broadened by its ratio to the Fisher covariance.
    level : float
        Level in standard deviations: 1 for 68 %, 2 for 95 %.

    Returns
    -------
    tuple of float
        NaN for an end that was not found.
    """
    fisher = _fisher(law, parameter)
    if not law.found or not np.isfinite(fisher):
        return np.nan, np.nan
    error = float(np.sqrt(covariance[parameter, parameter])) if law.free[parameter] else 0.0
    stretch = max(error / fisher, 1.0) if law.free[parameter] else _stretch(law, covariance)
    unit = max(error, fisher * stretch)
    best = law.theta[parameter]
    below = bool(law.free[2]) or law.floor < 0

    def excess(value: float) -> float:
        there = fit_law(data, dispersion=law.dispersion, begin=law, hold=(parameter, value), below=below)
        if not there.found:
            raise _NoFitError
        return 2.0 * (law.ln_likelihood - there.ln_likelihood) / stretch**2 - level**2

    low, high = POWERS if parameter == C else (0.0, np.inf)
    if parameter == FLOOR and below:
        low = min(least_floor(data, law), best)
    return _end(excess, best, -unit * level, low), _end(excess, best, unit * level, high)


class _NoFitError(ArithmeticError):
    """The other parameters could not be fitted with one held fixed."""


def _fisher(law: Law, parameter: int) -> float:
    """Return the Fisher error of a parameter with the others free, even for a floor at its bound."""
    free = law.free.copy()
    # A floor at its bound is not free in the fit, and its row is missing from the covariance. How fast the likelihood
    # falls from there still sets the scale on which the end is sought.
    free[parameter] = True
    matrix = law.information[np.ix_(free, free)]
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return float("nan")
    return float(np.sqrt(inverse[(free.cumsum() - 1)[parameter], (free.cumsum() - 1)[parameter]]))


def _stretch(law: Law, covariance: NDArray[np.float64]) -> float:
    """Return the factor by which clumping increases the errors of the free parameters, that of c."""
    return max(float(np.sqrt(covariance[C, C])) / _fisher(law, C), 1.0) if law.free[C] else 1.0


def _end(excess: Callable[[float], float], best: float, step: float, bound: float) -> float:
    """Return the point on one side of the best value where the excess is zero, or the bound if it is reached first."""
    inner = outer = best
    try:
        for _ in range(REACH):
            outer = outer + step
            # Steps grow outwards by one error at a time until the likelihood has fallen far enough: brentq then needs
            # a bracket only one error wide, and a bound that comes first ends the search.
            if (outer - bound) * step >= 0:
                outer = bound
            if excess(outer) > 0:
                return float(scipy.optimize.brentq(excess, inner, outer, xtol=1e-4 * abs(step), rtol=1e-10))
            if outer == bound:
                return bound
            inner = outer
    except _NoFitError:
        pass
    return float("nan")
