"""Whether the convergence has the level of a mass map: without its mean, or a sheet of mass, it is partly negative.

Published strong-lensing maps are positive up to their edges (Abell 2744 and Abell S1063, GRALE and CATS: no negative
pixel). With a sheet of 0.15 less, between 1 and 65 % of their pixels are negative, and the law and all masses are
wrong.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tilegc.config import Cluster
from tilegc.images.audits.line import Line, judged, rounded
from tilegc.io.convergence import Kappa
from tilegc.sky import pixel_to_world, separation_arcsec

__all__ = ["level_line"]

OUTER: Final = 0.75
"""Share of the map's pixels, nearest to the cluster first, beyond which the outskirts begin."""

LIMITS: Final = (0.005, 0.05)
"""Shares of negative pixels up to which a map is as published ones are, and up to which it is worth a look."""


def level_line(cluster: Cluster, kappa: Kappa, *, weak_lensing: bool) -> Line:
    """Return the line on the sign and level of the convergence.

    Parameters
    ----------
    cluster : Cluster
        The centre of the run file.
    kappa : Kappa
        The convergence map.
    weak_lensing : bool
        Whether the map is declared to be of weak lensing, whose noise makes negative values.
    """
    rows, columns = np.nonzero(np.isfinite(kappa.values))
    if not rows.size:
        return Line("level", "", "", math.nan, "", "unmeasured", "the map has no data", "")
    values = kappa.values[rows, columns]
    radius = separation_arcsec(*pixel_to_world(kappa.wcs, rows, columns), cluster.ra, cluster.dec)
    far = radius >= np.quantile(radius, OUTER)
    share, outskirts = float((values < 0).mean()), float(values[far].mean())
    finding = (
        f"{100 * rounded(share):g} % of the map's pixels are negative; its mean is {rounded(outskirts):g} beyond "
        f"{radius[far].min():.0f} arcsec"
    )
    verdict = judged(share, *LIMITS)
    if weak_lensing or verdict == "ok":
        told = "; declared a weak-lensing map" if weak_lensing else ""
        return Line("level", "", "", rounded(outskirts), "", "ok", f"{finding}{told}", "")
    return Line(
        "level",
        "",
        "",
        rounded(outskirts),
        "",
        verdict,
        finding,
        "its mean or a mass sheet seems to have been subtracted, so that the law and all masses are wrong: give the "
        "original map of the lens model, or set convergence.weak_lensing: true if noise makes it negative",
    )
