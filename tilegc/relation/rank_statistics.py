"""Which of several maps the positions of the sources prefer, whatever the law.

The conditional likelihood of the positions, given the number of sources, and maximised over the law:

    ln L(map) = max over c, g of sum_i ln[(1 - g) p_i k_i^c / sum(p k^c dA) + g p_i / sum(p dA)]

The scale and the steepness of a map do not matter: k and any s k^t have the same ln L. (With kappa itself as the
density, a map with a wrong core can outperform the true one in every trial.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["MapLikelihood", "difference_error", "position_likelihood"]

Floats = NDArray[np.float64]

POWERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.5, 6.0, 8.0)
"""Initial grid of c in the search for the maximum."""

NEAR: Final = 1e-3
"""Accuracy of the search near the largest power."""

LEAST: Final = 1e-100


@dataclass(frozen=True, eq=False)
class MapLikelihood:
    """ln L of the positions under one map, and the corresponding law."""

    ln_likelihood: float
    """Without the sum of ln p_i, which is the same for all maps."""
    c: float
    """Power of the map; NaN for a uniform map, which has none."""
    uniform: float
    """g: fraction of the sources that follow the area alone."""
    ln_density: Floats
    """ln of the density of one source in each cell; (cell,)."""

    @property
    def at_bound(self) -> bool:
        """Return whether c is at the largest power considered: a larger one could be more likely."""
        return self.c > POWERS[-1] - NEAR


def position_likelihood(values: Floats, area: Floats, count: Floats) -> MapLikelihood:
    """Return the likelihood of the positions under a map.

    Parameters
    ----------
    values : (cell,) float64
        The map; where it is zero or below there are only uniform sources.
    area : (cell,) float64
        Effective area p dA of each cell, above 0.
    count : (cell,) float64
        Sources in each cell.
    """
    total = float(area.sum())
    filled = count > 0
    number = count[filled]
    top = float(values.max(initial=0.0))
    if not number.size or not top > 0:
        flat = np.full(values.size, -np.log(total)) if total > 0 else np.zeros(values.size)
        return MapLikelihood(float((count * flat).sum()), np.nan, 1.0, flat)
    ln = np.log(np.maximum(values / top, LEAST))

    def excess(c: float, cells: NDArray[np.bool_] | slice) -> Floats:
        """Return the density of sources that follow the map relative to a uniform one."""
        power = np.exp(c * ln)
        ratio: Floats = power[cells] * (total / float((area * power).sum()))
        return ratio

    def loss(c: float) -> float:
        x = excess(c, filled)
        g = _uniform_share(x, number)
        return -float((number * np.log(np.maximum(g + (1.0 - g) * x, LEAST))).sum())

    at = int(np.argmin([loss(c) for c in POWERS]))
    low, high = POWERS[max(at - 1, 0)], POWERS[min(at + 1, len(POWERS) - 1)]
    best = scipy.optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    c = float(best.x) if best.fun <= loss(POWERS[at]) else POWERS[at]
    g = _uniform_share(excess(c, filled), number)
    density = np.log(np.maximum(g + (1.0 - g) * excess(c, slice(None)), LEAST)) - np.log(total)
    value = float((number * density[filled]).sum())
    level = float(ln.min()) == 0.0
    return MapLikelihood(value, np.nan if level else c, 1.0 if level else g, density)


def _uniform_share(x: Floats, number: Floats) -> float:
    """Return the g in [0, 1] that maximises sum n ln(g + (1 - g) x), a concave function of g."""

    def slope(g: float) -> tuple[float, float]:
        each = (1.0 - x) / np.maximum(g + (1.0 - g) * x, LEAST)
        return float((number * each).sum()), -float((number * each**2).sum())

    if slope(0.0)[0] <= 0:
        return 0.0
    if slope(1.0)[0] >= 0:
        return 1.0
    low, high, g = 0.0, 1.0, 0.1
    for _ in range(60):
        first, second = slope(g)
        low, high = (g, high) if first > 0 else (low, g)
        new = g - first / second
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - g) < 1e-12:
            return new
        g = new
    return g


def difference_error(one: MapLikelihood, other: MapLikelihood, count: Floats) -> float:
    """Return the standard error of the difference of two ln L, for independent positions (Vuong 1989).

    Parameters
    ----------
    one, other : MapLikelihood
        The two maps.
    count : (cell,) float64
        Sources in each cell.
    """
    gain = one.ln_density - other.ln_density
    number = float(count.sum())
    if not number > 0:
        return float("nan")
    return float(np.sqrt((count * (gain - float((count * gain).sum()) / number) ** 2).sum()))
