"""The law n = a kappa^c + f from counts in boxes, by maximum likelihood.

The expectation of a box is mu = sum over its cells of p (a kappa^c + f) dA, where p is the probability that a source
there is recorded: the law holds cell by cell, not for the mean kappa of a box. Counts are Poisson or, if they scatter
more, negative binomial with variance mu + phi mu^2. Nothing is binned by the observed counts, so that noise does not
bend the law, as it does in the binned fit (algorithm.md, section 10.1). If the light l of galaxies is given, there is
a further term g l with g >= 0: sources that belong to galaxies rather than to the cluster.

The maximum is found by Fisher scoring with analytic derivatives. The floor is first constrained to be zero or above;
if it is then at zero, it may become negative. A floor that stopped at zero would be biased high by 0.4 of its error
if there is none, and would bias c with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from tilegc.relation.counts import NO_LAW, BoxCounts, Law, OuterField

__all__ = ["LARGEST_LN_A", "LEAST_MEAN", "POWERS", "fit_law", "least_floor", "products", "score"]

Floats = NDArray[np.float64]


POWERS: Final = (0.02, 8.0)
"""Bounds of c."""

LARGEST_LN_A: Final = 100.0
"""Upper limit of ln a and ln a / c; beyond it there is no law, but a few sources explained by the light of galaxies."""

LARGEST_STEP: Final = np.array([3.0, 0.7, np.inf, np.inf, np.inf, np.inf])
"""Maximum change of ln a, c, f, g and the tilt of the floor in one iteration."""

ROUNDS: Final = 80
"""Maximum number of iterations of a fit."""

HALVINGS: Final = 30
"""Maximum number of halvings of a step that does not increase the likelihood."""

CLOSE: Final = 1e-14
"""Squared length of a step, in units of the errors, at which a fit has converged."""

OVER_DISPERSED: Final = 2.71
"""Gain in 2 ln L above which counts are treated as negative binomial: 5 % of Poisson counts reach it, since the
dispersion cannot be negative."""

LEAST_MEAN: Final = 1e-12

BELOW: Final = 0.5
"""How far below zero a floor may be, relative to the lowest density in a box expected from the law without a floor:
expected counts remain positive."""


def fit_law(
    data: BoxCounts,
    *,
    floor: bool = True,
    dispersion: float | None = None,
    weight: ArrayLike = 1.0,
    begin: Law | None = None,
    hold: tuple[int, float] | None = None,
    below: bool = True,
) -> Law:
    """Fit the law to counts in boxes.

    Parameters
    ----------
    data : BoxCounts
        The counts.
    floor : bool
        Whether the law has a floor.
    dispersion : float, optional
        phi; by default fitted, and 0 if the counts scatter no more than Poisson counts.
    weight : array_like
        Weight of each box, (box,): how often a resample of the sky contains it.
    begin : Law, optional
        A law close to the solution; its outer variance is kept.
    hold : tuple, optional
        Index of one of (ln a, c, f, g), and the value at which it is held.
    below : bool
        Whether the floor may be slightly negative.

    Returns
    -------
    Law
        NaN if there are fewer than three boxes, or no source.
    """
    weights = np.broadcast_to(np.asarray(weight, np.float64), data.count.shape)
    if np.count_nonzero(weights) < 3 or not (weights * data.count).sum() > 0:
        return NO_LAW
    # In two steps, because the bound of a negative floor depends on the law without one: the first gives a law at
    # all, the second lets the floor below zero, but not so far that a box would expect fewer than no sources.
    constrained = _of_all_floors(data, floor, dispersion, weights, begin, hold)
    if (
        not (below and floor and constrained.found)
        or constrained.free[2]
        or (hold is not None and hold[0] == 2)
    ):
        return constrained
    negative = _ascend(
        data, floor, constrained.dispersion, weights, constrained, hold, _least(data, constrained, weights)
    )
    return negative if negative.found else constrained


def least_floor(data: BoxCounts, law: Law) -> float:
    """Return the lowest floor considered, in sources per arcsec^2: below 0, or 0 if no law without a floor fits."""
    if law.floor < 0 and not law.free[2]:
        return law.floor
    none = fit_law(data, floor=False, dispersion=law.dispersion, begin=law)
    return _least(data, none, np.ones(data.count.size)) if none.found else min(law.floor, 0.0)


def _least(data: BoxCounts, without: Law, weights: Floats) -> float:
    """Return the lowest floor allowed, given the law without a floor."""
    area = data.box_area
    used = (weights > 0) & (area > 0)
    alone = replace(without, members=0.0, floor=0.0, tilt=())
    return -BELOW * float((data.expected(alone)[used] / area[used]).min())


def _of_all_floors(
    data: BoxCounts,
    floor: bool,
    dispersion: float | None,
    weights: Floats,
    begin: Law | None,
    hold: tuple[int, float] | None,
) -> Law:
    """Fit with a floor of zero or more and, if not given, the dispersion."""
    law = _ascend(data, floor, dispersion or 0.0, weights, begin, hold)
    if dispersion is not None or not law.found:
        return law
    # Dispersion and law depend on each other only weakly, so that two or three turns are enough. The test of the gain
    # comes first in each: counts that are Poisson must not be widened by a phi that is noise itself.
    for _ in range(3):
        phi, gain = _dispersion(data, law, weights)
        if gain < OVER_DISPERSED:
            return _ascend(data, floor, 0.0, weights, law, hold) if law.dispersion else law
        converged = abs(phi - law.dispersion) < 1e-3 * phi
        law = _ascend(data, floor, phi, weights, replace(law, outer_variance=np.nan), hold)
        if converged:
            break
    return law


@dataclass(frozen=True, eq=False)
class _Point:
    """The likelihood at one law, and its derivatives."""

    ln_likelihood: float
    gradient: Floats
    information: Floats


def _point(data: BoxCounts, theta: Floats, phi: float, weights: Floats, linear: Floats) -> _Point:
    """Return the likelihood of the boxes; `linear` are the factors of the parameters after ln a and c."""
    a = float(np.exp(theta[0]))
    power, slope = data.powers(theta[1])
    jacobian = np.stack([a * power, a * slope, *linear])
    mu = a * power
    for factor, row in zip(theta[2:].tolist(), linear, strict=True):
        mu = mu + factor * row
    # A box may expect nothing at all (no area, or a floor at its bound): the logarithm stays finite, and the step
    # away from there is still found.
    mu = np.maximum(mu, LEAST_MEAN)
    ln = data.count * np.log(mu) - mu if phi == 0 else _negative_binomial(data.count, mu, phi)
    # Fisher scoring takes the expected information in place of the second derivatives: it is positive definite
    # wherever the parameters are told apart, so that a step always climbs, even far from the maximum.
    scaled = jacobian * (weights / (mu * (1.0 + phi * mu)))
    return _Point(
        float((weights * ln).sum()), (scaled * (data.count - mu)).sum(axis=1), products(scaled, jacobian)
    )


def score(data: BoxCounts, theta: Floats, dispersion: float) -> tuple[float, Floats, Floats]:
    """Return ln L of the counts at (ln a, c, f), and g if there is light, its gradient, and the Fisher information.

    Parameters
    ----------
    data : BoxCounts
    theta : float64 (parameter,)
    dispersion : float
        phi in the variance mu + phi mu^2.
    """
    boxes = _point(data, theta, dispersion, np.ones(data.count.size), data.linear)
    variance = np.nan if data.outer is None else data.outer.variance(theta)
    point = _beside(data.outer, theta, variance, boxes)
    return point.ln_likelihood, point.gradient, point.information


def products(a: Floats, b: Floats) -> Floats:
    """Return a b^T of (parameter, box) arrays with plain sums: those of a BLAS depend on its number of threads."""
    result: Floats = np.einsum("ik,jk->ij", a, b)
    return result


def _beside(outer: OuterField | None, theta: Floats, variance: float, boxes: _Point) -> _Point:
    """Return the joint likelihood of the boxes and the outer field."""
    if outer is None:
        return boxes
    miss = outer.density - outer.expected(theta)
    towards = outer.slopes(float(np.exp(theta[0])), float(theta[1]), theta.size)
    return _Point(
        boxes.ln_likelihood - 0.5 * miss**2 / variance,
        boxes.gradient + towards * (miss / variance),
        boxes.information + np.outer(towards, towards) / variance,
    )


def _negative_binomial(count: Floats, mu: Floats, phi: float) -> Floats:
    """Return ln L of each count without the factorial; it becomes the Poisson value, N ln mu - mu, as phi goes to 0."""
    size = 1.0 / phi
    ln: Floats = (
        scipy.special.gammaln(count + size)
        - scipy.special.gammaln(size)
        + count * np.log(phi * mu)
        - (count + size) * np.log1p(phi * mu)
    )
    return ln


def _first_guess(data: BoxCounts, weights: Floats, area: Floats, *, floor: bool) -> Floats:
    """Return a law with c = 1, g = 0, no tilt, and the floor of the outer field, or a tenth of the counts."""
    total, sky = float((weights * data.count).sum()), float((weights * area).sum())
    density = total / sky
    level = 0.0
    if floor:
        level = 0.1 * density
        if data.outer is not None:
            level = min(max(data.outer.density, 0.0), 0.8 * density)
    power = float((weights * data.powers(1.0)[0]).sum())
    return np.array(
        [np.log(max(total - level * sky, 0.1 * total) / max(power, LEAST_MEAN)), 1.0, level, 0.0, 0.0, 0.0]
    )


def _ascend(
    data: BoxCounts,
    floor: bool,
    phi: float,
    weights: Floats,
    begin: Law | None,
    hold: tuple[int, float] | None,
    least: float = 0.0,
) -> Law:
    """Find the maximum by Fisher scoring, with the floor at `least` or above and g at 0 or above."""
    known, linear = data.parameters, data.linear
    theta = _first_guess(data, weights, data.box_area, floor=floor)[:known]
    if begin is not None:
        theta[: begin.theta.size] = begin.theta[:known]
    theta[2] = max(theta[2], least) if floor else 0.0
    fixed = np.array([False, False, not floor, False, not floor, not floor])[:known]
    bound = np.array([-np.inf, -np.inf, least, 0.0, -np.inf, -np.inf])[:known]
    if hold is not None:
        theta[hold[0]] = hold[1]
        fixed[hold[0]] = True
        bound[hold[0]] = -np.inf
    outer_variance = begin.outer_variance if begin is not None and np.isfinite(begin.outer_variance) else None
    variance = np.nan
    boxes = _point(data, theta, phi, weights, linear)
    free, length = ~fixed, np.inf
    for _ in range(ROUNDS):
        if data.outer is not None:
            variance = data.outer.variance(theta) if outer_variance is None else outer_variance
        point = _beside(data.outer, theta, variance, boxes)
        step, free = _step(point, theta, fixed, bound)
        if step is None:
            return NO_LAW
        length = float(step @ point.information @ step)
        for _ in range(HALVINGS):
            trial = theta + step
            trial = np.maximum(trial, bound)
            trial[0] = min(trial[0], LARGEST_LN_A)
            trial[1] = min(max(trial[1], POWERS[0]), POWERS[1])
            tried = _point(data, trial, phi, weights, linear)
            trial_point = _beside(data.outer, trial, variance, tried)
            # Near the maximum, rounding may make a good step look like a bad one by a few units of the last digit.
            if trial_point.ln_likelihood >= point.ln_likelihood - 1e-12 * abs(point.ln_likelihood):
                theta, boxes, point = trial, tried, trial_point
                break
            step = 0.5 * step
        if length < CLOSE:
            break
    # Rounds may run out along a direction in which the likelihood is all but flat. A step below a thousandth of the
    # error is as good as convergence; a longer one is none, and no law is better than a wrong one.
    if not length < 1e-6:
        return NO_LAW
    return Law(
        float(theta[0]),
        float(theta[1]),
        float(theta[2]),
        phi,
        point.ln_likelihood,
        point.information,
        free,
        variance,
        float(theta[3]) if known > 3 else 0.0,
        tuple(theta[4:].tolist()),
    )


def _step(
    point: _Point, theta: Floats, fixed: NDArray[np.bool_], least: Floats
) -> tuple[Floats | None, NDArray[np.bool_]]:
    """Return the step to the maximum of the local quadratic, and which parameters it changes.

    A floor or g that would fall below its bound is set to it, and the others to their best values given that.
    """
    free = ~fixed & ~((theta <= least) & (point.gradient <= 0))
    outwards = (theta[1] <= POWERS[0] and point.gradient[1] < 0) or (
        theta[1] >= POWERS[1] and point.gradient[1] > 0
    )
    if free[1] and outwards:
        free[1] = False
    fixed_step, moved = np.zeros(theta.size), free.copy()
    step = _solved(point, moved, fixed_step)
    while step is not None and (moved & (theta + step < least)).any():
        low = int(np.flatnonzero(moved & (theta + step < least))[0])
        moved[low], fixed_step[low] = False, least[low] - theta[low]
        step = _solved(point, moved, fixed_step)
    if step is None:
        return None, free
    with np.errstate(divide="ignore"):
        step = step / max(1.0, float((np.abs(step) / LARGEST_STEP[: theta.size]).max()))
    return step, free


def _solved(point: _Point, free: NDArray[np.bool_], fixed_step: Floats) -> Floats | None:
    """Return the step of the free parameters for given steps of the others; None if it is undetermined."""
    step = fixed_step.copy()
    if not free.any():
        return step
    # Parameters differ by orders of magnitude (ln a, c, sources per arcsec^2): scaled to unit diagonal, the matrix is
    # as well conditioned as their correlations allow.
    right = (point.gradient - point.information @ fixed_step)[free]
    matrix = point.information[np.ix_(free, free)]
    scale = np.sqrt(np.diag(matrix))
    if not (np.isfinite(matrix).all() and (scale > 0).all()):
        return None
    try:
        step[free] = np.linalg.solve(matrix / np.outer(scale, scale), right / scale) / scale
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() else None


def _dispersion(data: BoxCounts, law: Law, weights: Floats) -> tuple[float, float]:
    """Return the most likely phi for a law, and the gain in 2 ln L over Poisson counts."""
    mu = np.maximum(data.expected(law), LEAST_MEAN)
    poisson = float((weights * (data.count * np.log(mu) - mu)).sum())

    def loss(ln_phi: float) -> float:
        return -float((weights * _negative_binomial(data.count, mu, float(np.exp(ln_phi)))).sum())

    best = scipy.optimize.minimize_scalar(
        loss, bounds=(-12.0, 3.0), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(best.x)), 2.0 * (-float(best.fun) - poisson)
