"""Attenuation of the law by the errors of the lens map.

An error of kappa flattens the law, because counts are attributed to the wrong kappa. The range maps of the lens
modellers show how large the errors are. Each of them in turn is used as the map that one would have had, with the
actual map as the truth: the law is fitted again to the exact expected counts. The ratio of the recovered c to the
true one is the attenuation, and c divided by it is the value that would have been found without errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import fit_law

__all__ = ["Attenuation", "attenuation"]

Floats = NDArray[np.float64]

SURE: Final = 3.0
"""The ratio must differ from 0 by this many errors before c is divided by it."""


@dataclass(frozen=True)
class Attenuation:
    """Effect of the range maps on c.

    NaN if fewer than two range maps, or fewer than half of them, recover a law: those that do would not be
    representative.
    """

    realisations: int
    """Number of range maps that could be fitted with a power inside its bounds."""
    kappa_rms: float
    """Area-weighted rms of kappa relative to the kappa of the map, minus 1, over all range maps."""
    ratio: float
    """Mean over range maps of the recovered c, relative to the true one."""
    ratio_err: float
    """Error of this mean."""
    c_corrected: float
    """c of the law divided by the ratio; NaN if the ratio is not known to a third of its value."""
    c_scatter: float
    """Standard deviation of c over range maps for the observed counts: the lens map's share in the error of c."""


def attenuation(
    kappa: Floats,
    ensemble: Iterable[Floats],
    area: Floats,
    count: Floats,
    use: NDArray[np.bool_],
    law: Law,
    *,
    boxes: Callable[[Floats, Floats], BoxCounts],
    light: Floats | None = None,
) -> Attenuation:
    """Estimate how far errors of the lens map flatten the law.

    Parameters
    ----------
    kappa : float64 (eta, xi)
        The map with which the law was fitted.
    ensemble : iterable of float64 (eta, xi)
        Range maps on the same cells; NaN where there are no data.
    area, count : float64 (eta, xi)
        Effective area (arcsec^2) and number of sources of each cell.
    use : bool (eta, xi)
        Cells that entered the fit.
    law : Law
        The fit.
    boxes : callable
        Makes the boxes from (kappa, count), in the same way as for the fit.
    light : float64 (eta, xi), optional
        Light of galaxies in each cell, if the law has a term for it.
    """
    there = use & np.isfinite(kappa) & (area > 0)
    positive = np.where(there & (kappa > 0), kappa, 0.0)
    density = law.a * positive**law.c + law.floor + (0.0 if light is None else law.members * light)
    expected = np.where(there, area * density, 0.0)
    put_in, found, tried, squares, weights = [], [], 0, 0.0, 0.0
    for values in ensemble:
        tried += 1
        on = there & np.isfinite(values) & (kappa > 0)
        squares += float((area[on] * (values[on] / kappa[on] - 1.0) ** 2).sum())
        weights += float(area[on].sum())
        exact = boxes(values, expected)
        if exact.outer is not None:
            outer = replace(exact.outer, density=law.a * exact.outer.terms(law.c)[0] + law.floor)
            exact = replace(exact, outer=outer)
        back = fit_law(exact, dispersion=law.dispersion, begin=law)
        again = fit_law(boxes(values, count), dispersion=law.dispersion, begin=law)
        # A power at its bound is not a measurement, and a mean over the others alone would be biased.
        if back.free[1] and again.free[1]:
            put_in.append(back.c)
            found.append(again.c)
    rms = float(np.sqrt(squares / weights)) if weights else np.nan
    if len(put_in) < max(2, 0.5 * tried):
        return Attenuation(len(put_in), rms, np.nan, np.nan, np.nan, np.nan)
    c = np.array(put_in)
    ratio, spread = float(c.mean()) / law.c, float(c.std(ddof=1)) / law.c / c.size**0.5
    corrected = law.c / ratio if ratio > SURE * spread else np.nan
    return Attenuation(c.size, rms, ratio, spread, corrected, float(np.std(found, ddof=1)))
