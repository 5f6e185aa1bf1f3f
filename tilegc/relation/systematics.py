"""What a law's power owes to choices rather than to chance: the systematic part of its error.

The law is fitted again with other sources and other sky. Such a sample shares its sources with the whole: were
nothing wrong, its power would differ by chance, with the variance err_sample^2 - err_whole^2 (Hausman 1978,
Econometrica 46, 1251). What a difference has beyond that is systematic.
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
"""How much of the correction for crowding is not sure: chains over a lens like AS1063 miss 0.01 to 0.03 of 0.12."""

SOURCES: Final = ("snr_5", "snr_7", "snr_10", "bright_half", "faint_half")
"""Samples by brightness: their mean square counts, as they are not independent."""


@dataclass(frozen=True)
class Systematic:
    """Systematic errors of c by what makes them; NaN: not known, and not in the total."""

    lens_map: float
    """From range maps: by how much they flatten the law, and how c scatters over them."""
    members: float
    """Sources of galaxies: the law away from galaxies against that with a term for their light."""
    crowding: float
    """A share of what the correction for crowding does."""
    sources: float
    """Limits and halves by brightness."""
    outer_field: float
    """The law without the outer field's prior on the floor; NaN where it has none."""
    lens_family: float = np.nan
    """The law with lens models of other families, or with the published difference between families."""

    @property
    def largest(self) -> str | None:
        """Name of the largest part; None where none is known."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        known = {name: value for name, value in parts.items() if np.isfinite(value)}
        return max(known, key=lambda name: known[name], default=None)

    @property
    def total(self) -> float:
        """All that are known, in quadrature; NaN where none is."""
        parts = np.array([getattr(self, part.name) for part in fields(self)])
        return float(np.sqrt(np.nansum(parts**2))) if np.isfinite(parts).any() else np.nan


def beyond_chance(c: Floats, err: Floats) -> Floats:
    """Return by how much each power differs from the first one beyond chance, 0 or more; NaN without a fit.

    Parameters
    ----------
    c, err : (sample,) float64
        Powers, and their standard deviations; the whole first.
    """
    excess = (c - c[0]) ** 2 - np.abs(err**2 - err[0] ** 2)
    result: Floats = np.sqrt(np.maximum(excess, 0.0))
    return result


def systematic(c: Mapping[str, float], beyond: Mapping[str, float], found: Attenuation | None) -> Systematic:
    """Return the systematic errors of c.

    Parameters
    ----------
    c, beyond : mapping
        By sample of the sensitivity table: its power, and what `beyond_chance` gives.
    found : Attenuation, optional
        From range maps.
    """
    lens = np.nan if found is None else float(np.hypot(found.c_corrected - c["all"], found.c_scatter))
    by_brightness = np.array([beyond[name] for name in SOURCES])
    known = by_brightness[np.isfinite(by_brightness)]
    # Where the run itself leaves galaxies out, the law with them is what there is to compare.
    members = "members_kept" if c["members_removed"] == c["all"] else "members_removed"
    return Systematic(
        lens,
        beyond[members],
        CROWDING_SHARE * abs(c["all"] - c["crowding_kept"]),
        float(np.sqrt((known**2).mean())) if known.size else np.nan,
        beyond["no_outer_field"],
    )
