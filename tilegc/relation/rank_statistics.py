"""Which of several maps the positions of the sources prefer, whatever the law.

The conditional likelihood of the positions, given how many there are, and profiled over the law:

    ln L(map) = max over c, g of sum_i ln[(1 - g) p_i k_i^c / sum(p k^c dA) + g p_i / sum(p dA)]

Maps do not compete by their scale or by how steeply they rise: k and any s k^t have one ln L.  (With kappa itself
for the density, a map with a wrong core can beat the true one in every trial.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

__all__ = ["MapLikelihood", "difference_error", "position_likelihood"]

Floats = NDArray[np.float64]

POWERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.5, 6.0, 8.0)
"""Values of c among which the best is sought first."""

NEAR: Final = 1e-3
"""How near to the largest power the search stops there."""

LEAST: Final = 1e-100


@dataclass(frozen=True, eq=False)
class MapLikelihood:
    """ln L of the positions under one map, and the law that gives it."""

    ln_likelihood: float
    """Without the sum of ln p_i, which all maps share."""
    c: float
    """Power of the map; NaN for a uniform one, which has none."""
    uniform: float
    """g: share of the sources that follow the area alone."""
    ln_density: Floats
    """Of one source, in each cell; (cell,)."""

    @property
    def at_bound(self) -> bool:
        """Whether c is at the largest power that is sought: a larger one may be likelier still."""
        return self.c > POWERS[-1] - NEAR


def position_likelihood(values: Floats, area: Floats, count: Floats) -> MapLikelihood:
    """Return the likelihood of the positions under a map.

    Parameters
    ----------
    values : (cell,) float64
        The map; zero or below: no source there but uniform ones.
    area : (cell,) float64
        Effective area p dA of each cell, above 0.
    count : (cell,) float64
        Sources of each cell.
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
        """Density of the map's sources over the uniform one."""
        power = np.exp(c * ln)
        ratio: Floats = power[cells] * (total / float((area * power).sum()))
        return ratio

    def loss(c: float) -> float:
        x = excess(c, filled)
        g = _uniform_share(x, number)
        return -float((number * np.log(np.maximum(g + (1.0 - g) * x, LEAST))).sum())

    at = int(np.argmin([loss(c) for c in POWERS]))
    low, high = POWERS[max(at - 1, 0)], POWERS[min(at + 1, len(POWERS) - 1)]
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    c = float(best.x) if best.fun <= loss(POWERS[at]) else POWERS[at]
    g = _uniform_share(excess(c, filled), number)
    density = np.log(np.maximum(g + (1.0 - g) * excess(c, slice(None)), LEAST)) - np.log(total)
    value = float((number * density[filled]).sum())
    level = float(ln.min()) == 0.0
    return MapLikelihood(value, np.nan if level else c, 1.0 if level else g, density)


def _uniform_share(x: Floats, number: Floats) -> float:
    """Return the g in [0, 1] at which sum n ln(g + (1 - g) x) is largest: it is concave in g."""

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
    count : (cell,) float64
        Sources of each cell.
    """
    gain = one.ln_density - other.ln_density
    number = float(count.sum())
    if not number > 0:
        return float("nan")
    return float(np.sqrt((count * (gain - float((count * gain).sum()) / number) ** 2).sum()))
