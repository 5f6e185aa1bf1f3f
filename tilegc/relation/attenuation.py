"""What the errors of a lens map do to the law that is fitted with it.

A wrong kappa flattens the law: counts that belong to one kappa are booked under others. The lens modellers'
range maps tell how wrong. Taking the map for the truth and each range map for the map that one would have had,
the exact expected counts of the law are fitted again: what becomes of c is the attenuation, and c over it is
what would have been found without errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.counts_law import BoxCounts, Law, fit_law

__all__ = ["Attenuation", "attenuation"]

Floats = NDArray[np.float64]

SURE: Final = 3.0
"""Errors by which the ratio must differ from 0 before c is divided by it."""


@dataclass(frozen=True)
class Attenuation:
    """What range maps make of c.

    NaN where fewer than half of them, or than two, give a law back: those that do are not like the others.
    """

    realisations: int
    """Range maps that could be fitted: with a power that lies on none of its bounds."""
    kappa_rms: float
    """Root mean square of kappa over the map's kappa less 1, by area, over all range maps."""
    ratio: float
    """Mean over range maps of the c that they give back, over the one that was put in."""
    ratio_err: float
    """Error of that mean."""
    c_corrected: float
    """c of the law over the ratio; NaN where that is not known to a third of itself."""
    c_scatter: float
    """Standard deviation of c over range maps, the counts being those that were found: the lens map's share in
    the error of c."""


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
    """Estimate how errors of the lens map flatten the law.

    Parameters
    ----------
    kappa : float64 (eta, xi)
        The map with which the law was fitted.
    ensemble : iterable of float64 (eta, xi)
        Range maps, on the same cells; NaN: no data.
    area, count : float64 (eta, xi)
        Effective area (arcsec^2) and sources of each cell.
    use : bool (eta, xi)
        Cells that entered the fit.
    law : Law
        The fit.
    boxes : callable
        Makes boxes of (kappa, count), as they were for the fit: `gather`, and the outer field.
    light : float64 (eta, xi), optional
        Light of galaxies in each cell, where the law has a term for it.
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
        # A power that ends on its bound is no measurement: neither is a mean over those that do not.
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
