"""What follows from a fitted luminosity function: how many clusters there are, and what that depends on.

Clusters brighter than the depth are measured. All others are the tail of an assumed function, so the number of all
is given with the function it was computed for, and with its derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.luminosity.annuli import Annuli
from tilegc.luminosity.fit import Function, Priors, fit

__all__ = ["UNKNOWN", "Assumed", "Number", "assumed", "number"]

Floats = NDArray[np.float64]

NUDGE: Final = 0.05
"""Change of turnover and width, mag, by which derivatives are taken."""


@dataclass(frozen=True)
class Number:
    """A number of clusters and its standard deviation."""

    n: float
    err: float


UNKNOWN: Final = Number(np.nan, np.nan)


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """The number of all clusters for a given luminosity function."""

    turnover: float
    width: float
    number: Number
    per_turnover: float
    """Derivative of ln n with turnover, per mag."""
    per_width: float
    """Derivative of ln n with width, per mag."""


def number(
    function: Function, annuli: Annuli, magnitude: float = np.inf, area: Floats | None = None
) -> Number:
    """Return how many clusters are brighter than a magnitude, and its standard deviation.

    Parameters
    ----------
    function : Function
        Fitted to these annuli.
    annuli : Annuli
    magnitude : float
        AB; infinite: all clusters.
    area : (j,) float64, optional
        In arcsec^2; the searched area outside of the outer field by default.
    """
    inner = ~annuli.outer
    x = np.log10(np.maximum(annuli.radius[inner], 0.5) / function.pivot)
    z = (magnitude - function.turnover_at(annuli.radius[inner])) / function.width
    share = scipy.special.ndtr(z)
    density = function.density[inner]
    size = (annuli.area if area is None else area)[inner]
    each = density * size * share
    finite = np.where(np.isfinite(z), z, 0.0)
    bell = np.where(np.isfinite(z), np.exp(-0.5 * finite**2) / np.sqrt(2 * np.pi), 0.0)
    slope = -density * size * bell / function.width
    # Derivatives with turnover, width, gradient, background and its slope, and ln density.
    towards = np.concatenate([[slope.sum(), (slope * finite).sum(), (slope * x).sum(), 0.0, 0.0], each])
    variance = float(towards @ function.covariance @ towards)
    return Number(float(each.sum()), float(np.sqrt(max(variance, 0.0))))


def assumed(annuli: Annuli, priors: Priors, turnover: float, width: float) -> Assumed | None:
    """Return the number of all clusters if the luminosity function is a given one.

    Parameters
    ----------
    annuli : Annuli
    priors : Priors
        Of what is not given.
    turnover, width : float
        mag.
    """

    def count(at: float, spread: float) -> tuple[Number, float]:
        found = fit(annuli, priors.held(at, spread))
        whole = UNKNOWN if found is None else number(found, annuli)
        return whole, float(np.log(whole.n))

    whole, middle = count(turnover, width)
    if not np.isfinite(middle):
        return None
    return Assumed(
        turnover=turnover,
        width=width,
        number=whole,
        per_turnover=(count(turnover + NUDGE, width)[1] - middle) / NUDGE,
        per_width=(count(turnover, width + NUDGE)[1] - middle) / NUDGE,
    )
