"""How far the number of artificial stars leaves the power of the law uncertain."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.floors import FLAT, Floor
from tilegc.relation.likelihood import fit_counts
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.seen_share import SeenStars, seen_share

__all__ = ["star_error"]

GROUPS: Final = 8
"""Groups of stars that are left out, one at a time."""


def star_error(
    cells: SkyCells,
    stars: SeenStars,
    limit: float,
    side: float,
    max_radius: float,
    *,
    kept: NDArray[np.bool_],
    light: NDArray[np.float64] | None,
    floor: Floor = FLAT,
) -> float:
    """Return the standard deviation of c that the stars cause, from a jackknife over groups of them; NaN without a fit.

    Parameters
    ----------
    cells : SkyCells
    stars : SeenStars
    limit : float
        Minimum peak of a source, nJy.
    side, max_radius : float
        As in `tilegc.relation.likelihood.fit_counts`.
    kept : bool (eta, xi)
    light : float64 (eta, xi) or None
    floor : Floor
    """
    powers = []
    for group in range(GROUPS):
        some = stars.without(stars.number % GROUPS == group)
        law = fit_counts(
            cells,
            side,
            max_radius,
            kept=kept,
            recovery=seen_share(cells, some, limit),
            light=light,
            floor=floor,
            thorough=False,
        ).law
        powers.append(law.c)
    off = np.array(powers) - np.mean(powers)
    return float(np.sqrt((GROUPS - 1) / GROUPS * (off**2).sum()))
