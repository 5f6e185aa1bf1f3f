"""The law n = a kappa^c + f from counts in boxes, by maximum likelihood.

A box expects mu = sum over its cells of p (a kappa^c + f) dA, with p the probability that a source there is recorded:
the law holds cell by cell, not for the mean kappa of a box. Counts are Poisson, or, where they scatter by more,
negative binomial with the variance mu + phi mu^2. Nothing is binned by what was counted, so that noise does not bend
the law as it does in the binned fit (algorithm.md, section 10.1). Where the light l of galaxies is given there is a
further term, g l with g >= 0: the sources that belong to galaxies rather than to the cluster.

Fisher scoring with analytic derivatives. The floor is looked for at zero or above first; where it lies on zero, it may
go below: a floor that stops at zero is off upwards by 0.4 of its error where there is none, and takes c with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

__all__ = [
    "LARGEST_LN_A",
    "LEAST_LN_KAPPA",
    "BoxCounts",
    "Law",
    "OuterField",
    "fit_law",
    "gather",
    "least_floor",
    "products",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_LN_KAPPA: Final = -30.0
"""Stands for the logarithm of a kappa that is zero or negative: no law expects a source there."""

POWERS: Final = (0.02, 8.0)
"""Bounds of c."""

LARGEST_LN_A: Final = 100.0
"""Beyond it, of ln a and of ln a / c, there is no law: a handful of sources that galaxies' light explains by itself."""

LARGEST_STEP: Final = np.array([3.0, 0.7, np.inf, np.inf])
"""Of ln a, c, f and g in one iteration."""

ROUNDS: Final = 80
"""Iterations before a fit is given up."""

HALVINGS: Final = 30
"""Of a step that does not climb."""

CLOSE: Final = 1e-14
"""Squared length of a step, in errors, at which a fit has converged."""

OVER_DISPERSED: Final = 2.71
"""Gain in 2 ln L from which counts are taken as negative binomial: 5 % of Poisson counts reach it, since the
dispersion cannot be negative."""

LEAST_MEAN: Final = 1e-12

BELOW: Final = 0.5
"""How far below zero a floor may come out, over the lowest density that the law without a floor expects in a box:
expected counts stay positive."""


@dataclass(frozen=True, eq=False)
class OuterField:
    """What the sky beyond the lens map's reach says of the floor: a mean density there, and its error."""

    density: float
    """Sources per arcsec^2 of effective area."""
    err: float
    """Its standard deviation: counting and clumping."""
    ln_kappa: Floats
    """ln kappa in parts of that sky, extrapolated; (part,)."""
    ln_kappa_err: Floats
    """Error of the same, which all parts share; (part,)."""
    share: Floats
    """Share of each part in the area; sums to 1."""

    def terms(self, c: float) -> tuple[float, float, float]:
        """Return the mean over the sky of kappa^c, its derivative by c, and its error.

        ln kappa being normal, kappa^c has the mean and the error of a lognormal one.
        """
        spread = (c * self.ln_kappa_err) ** 2
        power = self.share * np.exp(c * self.ln_kappa + 0.5 * spread)
        return (
            float(power.sum()),
            float((power * (self.ln_kappa + c * self.ln_kappa_err**2)).sum()),
            float((power * np.sqrt(np.expm1(spread))).sum()),
        )

    def variance(self, theta: Floats) -> float:
        """Return the variance of density - (a <kappa^c> + f): counting, and what is not known of kappa there."""
        return self.err**2 + (float(np.exp(theta[0])) * self.terms(float(theta[1]))[2]) ** 2


@dataclass(frozen=True, eq=False)
class BoxCounts:
    """Counts in boxes, and the cells of which the boxes are made, box after box."""

    row: Ints
    """Row of each box on the lattice of boxes; (box,)."""
    column: Ints
    side: float
    """Of a box, arcsec."""
    count: Floats
    """Sources of each box; whole numbers, or expectations."""
    start: Ints
    """First cell of each box."""
    ln_kappa: Floats
    """ln kappa of each cell; (cell,)."""
    area: Floats
    """Effective area p dA of each cell, arcsec^2; (cell,)."""
    outer: OuterField | None = None
    light: Floats | None = None
    """Light of galaxies in each cell, per arcsec^2, in any unit; (cell,)."""

    @property
    def parameters(self) -> int:
        """How many the law has here: ln a, c, f, and g where there is light."""
        return 3 if self.light is None else 4

    @property
    def box_light(self) -> Floats:
        """Sum over each box of p l dA."""
        if self.light is None or not self.start.size:
            return np.zeros(self.start.size)
        return np.add.reduceat(self.area * self.light, self.start)

    @property
    def box_area(self) -> Floats:
        """Effective area of each box, arcsec^2."""
        return np.add.reduceat(self.area, self.start) if self.start.size else np.zeros(0)

    def powers(self, c: float) -> tuple[Floats, Floats]:
        """Return the sums over each box of p kappa^c dA and of p kappa^c ln kappa dA."""
        weight = self.area * np.exp(c * self.ln_kappa)
        return np.add.reduceat(weight, self.start), np.add.reduceat(weight * self.ln_kappa, self.start)

    def expected(self, law: Law) -> Floats:
        """Return the counts that a law expects; (box,)."""
        return law.a * self.powers(law.c)[0] + law.floor * self.box_area + law.members * self.box_light

    def jacobian(self, law: Law) -> Floats:
        """Return the derivatives of the expected counts by (ln a, c, f) or (ln a, c, f, g); (parameter, box)."""
        power, slope = self.powers(law.c)
        rows = [law.a * power, law.a * slope, self.box_area]
        return np.stack(rows if self.light is None else [*rows, self.box_light])


@dataclass(frozen=True, eq=False)
class Law:
    """n = a kappa^c + f per arcsec^2; NaN where there was nothing to fit."""

    ln_a: float
    c: float
    floor: float
    """Sources per arcsec^2; may be negative within its error, as any measured difference."""
    dispersion: float
    """phi of the variance mu + phi mu^2; 0: Poisson."""
    ln_likelihood: float
    information: Floats
    """Fisher's, of (ln a, c, f), and g where there is light; (3, 3) or (4, 4)."""
    free: NDArray[np.bool_]
    """Which of these were free at the maximum; f and g are not where they lie on their bounds; (3,) or (4,)."""
    outer_variance: float
    """Of the outer field's density about the law."""
    members: float = 0.0
    """g: sources per unit of galaxies' light, 0 or more."""

    @property
    def a(self) -> float:
        """Sources per arcsec^2 at kappa = 1, above the floor."""
        return float(np.exp(self.ln_a))

    @property
    def found(self) -> bool:
        """Whether there is a fit."""
        return bool(np.isfinite(self.c))

    @property
    def theta(self) -> Floats:
        """(ln a, c, f), and g where there is light."""
        return np.array([self.ln_a, self.c, self.floor, self.members])[: self.free.size]


NO_LAW: Final = Law(
    np.nan, np.nan, np.nan, np.nan, np.nan, np.full((3, 3), np.nan), np.zeros(3, np.bool_), np.nan
)


def gather(
    kappa: Floats,
    area: Floats,
    count: Floats,
    use: NDArray[np.bool_],
    *,
    first: tuple[int, int],
    cells: int,
    pixel: float,
    light: Floats | None = None,
) -> BoxCounts:
    """Gather the cells of a grid into boxes.

    Parameters
    ----------
    kappa, area, count : float64 (eta, xi)
        Convergence, effective area (arcsec^2) and sources of each cell.
    use : bool (eta, xi)
        Cells that count.
    first : tuple of int
        Index of the first row and the first column, from the centre; boxes begin at whole multiples of `cells`.
    cells : int
        Cells along a box.
    pixel : float
        Side of a cell, arcsec.
    light : float64 (eta, xi), optional
        Light of galaxies, per arcsec^2; where there is none in any cell, the law has no term for it.
    """
    use = use & np.isfinite(kappa) & (area > 0)
    j, i = np.nonzero(use)
    row, column = (j + first[0]) // cells, (i + first[1]) // cells
    order = np.lexsort((i, j, column, row))
    j, i, row, column = j[order], i[order], row[order], column[order]
    new = np.ones(j.size, np.bool_)
    new[1:] = (np.diff(row) != 0) | (np.diff(column) != 0)
    start = np.flatnonzero(new)
    sources = count[j, i].astype(np.float64)
    counted = np.add.reduceat(sources, start) if start.size else np.zeros(0)
    values = kappa[j, i]
    ln_kappa = np.maximum(np.log(np.where(values > 0, values, 1.0)), LEAST_LN_KAPPA)
    ln_kappa[values <= 0] = LEAST_LN_KAPPA
    return BoxCounts(
        row[start],
        column[start],
        cells * pixel,
        counted,
        start,
        ln_kappa,
        area[j, i],
        light=light[j, i] if light is not None and light[j, i].any() else None,
    )


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
    floor : bool
        Whether there may be one.
    dispersion : float, optional
        phi; found from the counts where not given, and 0 where they scatter no more than Poisson ones.
    weight : array_like
        How often each box counts, (box,): a resample of the sky.
    begin : Law, optional
        A law near the answer; its outer variance is kept.
    hold : tuple, optional
        Number of one of (ln a, c, f, g), and the value at which it is held.
    below : bool
        Whether a floor may come out a little below zero.

    Returns
    -------
    Law
        NaN with fewer than three boxes or without a source.
    """
    weights = np.broadcast_to(np.asarray(weight, np.float64), data.count.shape)
    if np.count_nonzero(weights) < 3 or not (weights * data.count).sum() > 0:
        return NO_LAW
    found = _of_all_floors(data, floor, dispersion, weights, begin, hold)
    if not (below and floor and found.found) or found.free[2] or (hold is not None and hold[0] == 2):
        return found
    under = _ascend(data, floor, found.dispersion, weights, found, hold, _least(data, found, weights))
    return under if under.found else found


def least_floor(data: BoxCounts, law: Law) -> float:
    """Return the floor below which no law is looked for, sources per arcsec^2: below 0, or 0 where none is known."""
    if law.floor < 0 and not law.free[2]:
        return law.floor
    none = fit_law(data, floor=False, dispersion=law.dispersion, begin=law)
    return _least(data, none, np.ones(data.count.size)) if none.found else min(law.floor, 0.0)


def _least(data: BoxCounts, without: Law, weights: Floats) -> float:
    """Return how far below zero a floor may go beside the law that has none."""
    area = data.box_area
    there = (weights > 0) & (area > 0)
    return -BELOW * float((data.expected(replace(without, members=0.0))[there] / area[there]).min())


def _of_all_floors(
    data: BoxCounts,
    floor: bool,
    dispersion: float | None,
    weights: Floats,
    begin: Law | None,
    hold: tuple[int, float] | None,
) -> Law:
    """Fit with a floor of zero or more; and the dispersion, where it is not given."""
    found = _ascend(data, floor, dispersion or 0.0, weights, begin, hold)
    if dispersion is not None or not found.found:
        return found
    for _ in range(3):
        phi, gain = _dispersion(data, found, weights)
        if gain < OVER_DISPERSED:
            return _ascend(data, floor, 0.0, weights, found, hold) if found.dispersion else found
        near = abs(phi - found.dispersion) < 1e-3 * phi
        found = _ascend(data, floor, phi, weights, replace(found, outer_variance=np.nan), hold)
        if near:
            break
    return found


@dataclass(frozen=True, eq=False)
class _Point:
    """The likelihood at one law, and its derivatives."""

    ln_likelihood: float
    gradient: Floats
    information: Floats


def _point(data: BoxCounts, theta: Floats, phi: float, weights: Floats, linear: Floats) -> _Point:
    """Return what the boxes say; `linear`: what f, and g where there is light, are multiplied with, (1 or 2, box)."""
    a = float(np.exp(theta[0]))
    power, slope = data.powers(theta[1])
    jacobian = np.stack([a * power, a * slope, *linear])
    mu = a * power
    for factor, row in zip(theta[2:].tolist(), linear, strict=True):
        mu = mu + factor * row
    mu = np.maximum(mu, LEAST_MEAN)
    ln = data.count * np.log(mu) - mu if phi == 0 else _negative_binomial(data.count, mu, phi)
    scaled = jacobian * (weights / (mu * (1.0 + phi * mu)))
    return _Point(
        float((weights * ln).sum()), (scaled * (data.count - mu)).sum(axis=1), products(scaled, jacobian)
    )


def products(a: Floats, b: Floats) -> Floats:
    """Return a b^T of (parameter, box) arrays by plain sums: those of a BLAS depend on its number of threads."""
    result: Floats = np.einsum("ik,jk->ij", a, b)
    return result


def _beside(outer: OuterField | None, theta: Floats, variance: float, boxes: _Point) -> _Point:
    """Return what boxes and outer field say together."""
    if outer is None:
        return boxes
    a = float(np.exp(theta[0]))
    mean, steep, _ = outer.terms(theta[1])
    miss = outer.density - a * mean - theta[2]
    towards = np.array([a * mean, a * steep, 1.0, 0.0])[: theta.size]
    return _Point(
        boxes.ln_likelihood - 0.5 * miss**2 / variance,
        boxes.gradient + towards * (miss / variance),
        boxes.information + np.outer(towards, towards) / variance,
    )


def _negative_binomial(count: Floats, mu: Floats, phi: float) -> Floats:
    """Return ln L of each count but for its factorial; the Poisson one, N ln mu - mu, as phi goes to 0."""
    size = 1.0 / phi
    ln: Floats = (
        gammaln(count + size) - gammaln(size) + count * np.log(phi * mu) - (count + size) * np.log1p(phi * mu)
    )
    return ln


def _first_guess(data: BoxCounts, weights: Floats, area: Floats, *, floor: bool) -> Floats:
    """Return (ln a, c, f, g) of a linear law, g = 0, whose floor is the outer field's, or a tenth of the counts."""
    total, sky = float((weights * data.count).sum()), float((weights * area).sum())
    density = total / sky
    level = 0.0
    if floor:
        level = 0.1 * density
        if data.outer is not None:
            level = min(max(data.outer.density, 0.0), 0.8 * density)
    power = float((weights * data.powers(1.0)[0]).sum())
    return np.array([np.log(max(total - level * sky, 0.1 * total) / max(power, LEAST_MEAN)), 1.0, level, 0.0])


def _ascend(
    data: BoxCounts,
    floor: bool,
    phi: float,
    weights: Floats,
    begin: Law | None,
    hold: tuple[int, float] | None,
    least: float = 0.0,
) -> Law:
    """Climb to the maximum by Fisher scoring, the floor at `least` or above, g at 0 or above."""
    area, known = data.box_area, data.parameters
    linear = np.stack([area, data.box_light][: known - 2])
    theta = _first_guess(data, weights, area, floor=floor)[:known]
    if begin is not None:
        theta[: begin.theta.size] = begin.theta[:known]
    theta[2] = max(theta[2], least) if floor else 0.0
    fixed = np.array([False, False, not floor, False])[:known]
    bound = np.array([-np.inf, -np.inf, least, 0.0])[:known]
    if hold is not None:
        theta[hold[0]] = hold[1]
        fixed[hold[0]] = True
        bound[hold[0]] = -np.inf
    kept = begin.outer_variance if begin is not None and np.isfinite(begin.outer_variance) else None
    variance = np.nan
    boxes = _point(data, theta, phi, weights, linear)
    free, length = ~fixed, np.inf
    for _ in range(ROUNDS):
        if data.outer is not None:
            variance = data.outer.variance(theta) if kept is None else kept
        here = _beside(data.outer, theta, variance, boxes)
        step, free = _step(here, theta, fixed, bound)
        if step is None:
            return NO_LAW
        length = float(step @ here.information @ step)
        for _ in range(HALVINGS):
            trial = theta + step
            trial = np.maximum(trial, bound)
            trial[0] = min(trial[0], LARGEST_LN_A)
            trial[1] = min(max(trial[1], POWERS[0]), POWERS[1])
            tried = _point(data, trial, phi, weights, linear)
            there = _beside(data.outer, trial, variance, tried)
            if there.ln_likelihood >= here.ln_likelihood - 1e-12 * abs(here.ln_likelihood):
                theta, boxes, here = trial, tried, there
                break
            step = 0.5 * step
        if length < CLOSE:
            break
    if not length < 1e-6:
        return NO_LAW
    return Law(
        float(theta[0]),
        float(theta[1]),
        float(theta[2]),
        phi,
        here.ln_likelihood,
        here.information,
        free,
        variance,
        float(theta[3]) if known > 3 else 0.0,
    )


def _step(
    here: _Point, theta: Floats, fixed: NDArray[np.bool_], least: Floats
) -> tuple[Floats | None, NDArray[np.bool_]]:
    """Return the step to the maximum of the quadratic that holds here, and which parameters it moves.

    A floor or g that would fall below its least goes there and the others to the best place beside that.
    """
    free = ~fixed & ~((theta <= least) & (here.gradient <= 0))
    outwards = (theta[1] <= POWERS[0] and here.gradient[1] < 0) or (
        theta[1] >= POWERS[1] and here.gradient[1] > 0
    )
    if free[1] and outwards:
        free[1] = False
    given, moved = np.zeros(theta.size), free.copy()
    step = _solved(here, moved, given)
    while step is not None and (moved & (theta + step < least)).any():
        low = int(np.flatnonzero(moved & (theta + step < least))[0])
        moved[low], given[low] = False, least[low] - theta[low]
        step = _solved(here, moved, given)
    if step is None:
        return None, free
    with np.errstate(divide="ignore"):
        step = step / max(1.0, float((np.abs(step) / LARGEST_STEP[: theta.size]).max()))
    return step, free


def _solved(here: _Point, free: NDArray[np.bool_], given: Floats) -> Floats | None:
    """Return the step of the free parameters beside a given one of the others; None where it is undetermined."""
    step = given.copy()
    if not free.any():
        return step
    right = (here.gradient - here.information @ given)[free]
    matrix = here.information[np.ix_(free, free)]
    scale = np.sqrt(np.diag(matrix))
    if not (np.isfinite(matrix).all() and (scale > 0).all()):
        return None
    try:
        step[free] = np.linalg.solve(matrix / np.outer(scale, scale), right / scale) / scale
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() else None


def _dispersion(data: BoxCounts, law: Law, weights: Floats) -> tuple[float, float]:
    """Return the most likely phi about a law, and the gain in 2 ln L over Poisson counts."""
    mu = np.maximum(data.expected(law), LEAST_MEAN)
    poisson = float((weights * (data.count * np.log(mu) - mu)).sum())

    def loss(ln_phi: float) -> float:
        return -float((weights * _negative_binomial(data.count, mu, float(np.exp(ln_phi)))).sum())

    best = minimize_scalar(loss, bounds=(-12.0, 3.0), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x)), 2.0 * (-float(best.fun) - poisson)
