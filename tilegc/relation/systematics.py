"""Systematic error of the power of a law: the part due to choices rather than to chance.

The law is fitted again to other samples of sources and other parts of the sky. Such a sample shares its sources with
the full one: without systematic effects their powers would differ by chance, with variance err_sample^2 - err_full^2
(Hausman 1978, Econometrica 46, 1251). Any larger difference is systematic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.attenuation import Attenuation

__all__ = ["CROWDING_SHARE", "Systematic", "beyond_chance", "systematic"]

Floats = NDArray[np.float64]

CROWDING_SHARE: Final = 0.25
"""Fractional uncertainty of the crowding correction: on simulations like AS1063 it is off by 0.01 to 0.03 of 0.12."""

SOURCES: Final = ("snr_5", "snr_7", "snr_10", "bright_half", "faint_half")
"""Samples by brightness. They are not independent, so their mean square is used."""


@dataclass(frozen=True)
class Systematic:
    """Systematic errors of c by cause; NaN: unknown, and not included in the total."""

    lens_map: float
    """From range maps: their flattening of the law, and the scatter of c over them."""
    members: float
    """Sources of galaxies: difference between the law away from galaxies and that with a term for their light."""
    crowding: float
    """A fraction of the crowding correction."""
    sources: float
    """Limits and halves by brightness."""
    outer_field: float
    """The law without the prior of the outer field on the floor; NaN if there is no outer field."""
    lens_family: float = np.nan
    """The law with lens models of other families, or the published difference between families."""
    stars: float = np.nan
    """The number of artificial stars; NaN if completeness does not come from them."""

    floor_gradient: float = np.nan
    """The law with a floor that is linear in position."""
    background: float = np.nan
    """The slope of the counts behind the lens; NaN for a floor that the lens does not change."""
    centre: float = np.nan
    """The law without the middle, or without the stars of the central galaxy in kappa."""
    registration: float = np.nan
    """The law with the map displaced to where the sources prefer it."""

    @property
    def largest(self) -> str | None:
        """Name of the largest term; None if none is known."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        known = {name: value for name, value in parts.items() if np.isfinite(value)}
        return max(known, key=lambda name: known[name], default=None)

    @property
    def total(self) -> float:
        """Quadratic sum of all known terms; NaN if none is known."""
        parts = np.array([getattr(self, part.name) for part in fields(self)])
        return float(np.sqrt(np.nansum(parts**2))) if np.isfinite(parts).any() else np.nan


def beyond_chance(c: Floats, err: Floats) -> Floats:
    """Return the difference of each power from the first one beyond chance, 0 or more; NaN without a fit.

    Parameters
    ----------
    c, err : (sample,) float64
        Powers and their standard deviations; the full sample first.
    """
    excess = (c - c[0]) ** 2 - np.abs(err**2 - err[0] ** 2)
    result: Floats = np.sqrt(np.maximum(excess, 0.0))
    return result


def systematic(c: Mapping[str, float], beyond: Mapping[str, float], found: Attenuation | None) -> Systematic:
    """Return the systematic errors of c.

    Parameters
    ----------
    c, beyond : mapping
        For each sample of the sensitivity table, its power and the result of `beyond_chance`.
    found : Attenuation, optional
        Attenuation from range maps.
    """
    lens = np.nan if found is None else float(np.hypot(found.c_corrected - c["all"], found.c_scatter))
    by_brightness = np.array([beyond[name] for name in SOURCES])
    known = by_brightness[np.isfinite(by_brightness)]
    # If the run itself excludes galaxies, the comparison is with the law that includes them.
    members = "members_kept" if c["members_removed"] == c["all"] else "members_removed"
    return Systematic(
        lens,
        beyond[members],
        CROWDING_SHARE * abs(c["all"] - c["crowding_kept"]),
        float(np.sqrt((known**2).mean())) if known.size else np.nan,
        beyond["no_outer_field"],
    )
