"""Changes of the convergence map that are fitted together with the law: a shift, and stars in the central galaxy.

The map depends on a few parameters. At given parameters the law is fitted as always; the score of the parameters, and
their information once the law has taken its share, give the next step. The errors of the law and of the parameters are
those of the joint fit, widened like those of the law where sources clump.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.clumping import Clumping, clumping, sandwich
from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import LEAST_MEAN, fit_law, products

__all__ = ["Warped", "fit_warped"]

Floats = NDArray[np.float64]

ROUNDS: Final = 12

NO_CLUMPS: Final = Clumping(0.0, 1.0, "exponential", 0.0)

CLOSE: Final = 0.02
"""Step, in units of the errors, at which the parameters have converged."""


@dataclass(frozen=True, eq=False)
class Warped:
    """A law and the parameters of its map; NaN if there is no fit."""

    law: Law
    values: Floats
    """Parameters of the map; (parameter,)."""
    covariance: Floats
    """Covariance of (parameters of the map, free parameters of the law), widened like that of the law by clumping."""
    gain: float
    """Gain in 2 ln L over the map as it is."""

    @property
    def errors(self) -> Floats:
        """Standard deviations of the parameters of the map."""
        error: Floats = np.sqrt(np.diag(self.covariance)[: self.values.size])
        return error

    @property
    def c_err(self) -> float:
        """Standard deviation of c."""
        at = self.values.size + int(self.law.free[:1].sum())
        return float(np.sqrt(self.covariance[at, at]))


def fit_warped(
    boxes: Callable[[Floats], tuple[BoxCounts, Floats]],
    begin: Law,
    number: int,
    *,
    lowest: Floats,
    highest: Floats,
) -> Warped | None:
    """Fit the law and the parameters of its map together.

    Parameters
    ----------
    boxes : callable
        Takes the parameters of the map, and returns the counts in boxes and the derivatives of kappa in their cells,
        (parameter, cell).
    begin : Law
        The law with all parameters of the map at 0.
    number : int
        Number of parameters of the map.
    lowest, highest : float64 (parameter,)
        Bounds of the parameters.

    Returns
    -------
    Warped or None
        None if there is no law for some step, or the counts do not constrain the parameters.
    """
    values, law = np.zeros(number), begin
    # A wrong map makes counts scatter and clump. Once the map is right they may not, so that the dispersion is measured
    # again, and the parameters once more.
    for _ in range(2):
        phi = law.dispersion
        found = _converged(boxes, law, values, lowest, highest)
        if found is None:
            return None
        values, law, covariance, data = found
        law = fit_law(data, begin=law)
        if law.dispersion == phi or not law.found:
            break
    if not (law.found and law.free[1]):
        return None
    gain = 2.0 * (law.ln_likelihood - begin.ln_likelihood)
    wide = float(sandwich(data, law, clumping(data, law))[1, 1])
    plain = float(sandwich(data, law, NO_CLUMPS)[1, 1])
    return Warped(law, values, covariance * max(wide / plain, 1.0), gain)


def _converged(
    boxes: Callable[[Floats], tuple[BoxCounts, Floats]],
    begin: Law,
    values: Floats,
    lowest: Floats,
    highest: Floats,
) -> tuple[Floats, Law, Floats, BoxCounts] | None:
    """Return the parameters of the map, the law, their covariance and the counts, with the dispersion held."""
    number, law, covariance = values.size, begin, np.zeros((0, 0))
    data, slopes = boxes(values)
    for _ in range(ROUNDS):
        law = fit_law(data, dispersion=begin.dispersion, begin=law)
        if not (law.found and law.free[1]):
            return None
        found, score = _joint(data, law, slopes)
        if found is None:
            return None
        covariance = found
        own = covariance[:number, :number]
        step = np.clip(values + np.einsum("ij,j->i", own, score), lowest, highest) - values
        if (np.abs(step) <= CLOSE * np.sqrt(np.diag(own))).all():
            break
        values = values + step
        data, slopes = boxes(values)
    return values, law, covariance, data


def _joint(data: BoxCounts, law: Law, slopes: Floats) -> tuple[Floats | None, Floats]:
    """Return the covariance of the parameters of map and law, and the score of those of the map."""
    mu = np.maximum(data.expected(law), LEAST_MEAN)
    # d/dp of a kappa^c is a c kappa^(c - 1) dkappa/dp, cell by cell.
    rise = data.area * law.a * law.c * np.exp((law.c - 1.0) * data.ln_kappa)
    map_rows = np.add.reduceat(rise * slopes, data.start, axis=1)
    rows = np.concatenate([map_rows, data.jacobian(law)[law.free]])
    weighted = rows / (mu * (1.0 + law.dispersion * mu))
    information = products(weighted, rows)
    if data.outer is not None:
        towards = data.outer.slopes(law.a, law.c, law.free.size)[law.free]
        information[len(slopes) :, len(slopes) :] += np.outer(towards, towards) / law.outer_variance
    score = (weighted[: len(slopes)] * (data.count - mu)).sum(axis=1)
    scale = np.sqrt(np.diag(information))
    if not (scale > 0).all():
        return None, score
    try:
        inverse = np.linalg.inv(information / np.outer(scale, scale)) / np.outer(scale, scale)
    except np.linalg.LinAlgError:
        return None, score
    return (inverse if (np.diag(inverse) > 0).all() else None), score
