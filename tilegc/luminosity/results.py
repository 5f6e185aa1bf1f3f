"""What the phase `luminosity` finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.luminosity.annuli import Annuli
from tilegc.luminosity.fit import Function
from tilegc.luminosity.numbers import UNKNOWN, Assumed, Number
from tilegc.phases.partials import Table

__all__ = ["Luminosities"]


@dataclass(frozen=True, kw_only=True)
class Luminosities:
    """The luminosity function of the clusters, their number, and which sources are clusters."""

    band: str
    """Band of the magnitudes; `detection` for flat spectra."""
    why: str
    """Why there is no function; empty where there is one."""
    annuli: Annuli | None = None
    function: Function | None = None
    fixed: bool = False
    """Whether turnover and width were given, not fitted."""
    magnitude: float = np.nan
    """The depth in the band: AB magnitude at which half of the sources are found."""
    brighter: Number = UNKNOWN
    """Clusters brighter than that on the searched area outside of the outer field, as measured."""
    total: Number = UNKNOWN
    """Clusters of all magnitudes there, for the fitted function."""
    within: Number = UNKNOWN
    """Those within 60 arcsec; NaN where too little of that was searched."""
    assumed: Assumed | None = None
    """The number of all clusters for the literature's function."""
    p_gc: NDArray[np.float64]
    """By candidate."""
    p_gc_colour: NDArray[np.float64]
    """By candidate."""

    def joined(self, table: Table) -> Table:
        """Return candidates or catalogue with the columns `schema.MEMBERSHIP_COLUMNS`."""
        rows = table["id"]
        return {**table, "p_gc": self.p_gc[rows], "p_gc_colour": self.p_gc_colour[rows]}
