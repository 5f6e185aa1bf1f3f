"""Numbers that Diego et al. 2026 publish for Abell S1063, shown beside the same quantities of a run of that cluster."""

from __future__ import annotations

from typing import Final

from tilegc.config import RunConfig
from tilegc.sky import separation_arcsec

__all__ = ["CONTAMINATION_PER_KPC2", "GC_MASS", "LENS_MASS", "is_as1063"]

CONTAMINATION_PER_KPC2: Final = 0.015
"""Sources per kpc^2 that do not belong to the cluster."""

LENS_MASS: Final = 4.23e14
"""Msun within 60 arcsec."""

GC_MASS: Final = 8.47e9
"""Msun in globular clusters within 60 arcsec; it is not `LENS_MASS` times 2.9e-5."""

CENTRE: Final = (342.18322, -44.53091)
"""Brightest galaxy of Abell S1063, degrees, ICRS."""

REDSHIFT: Final = 0.348

APART: Final = 120.0
"""Distance from that galaxy, arcsec, within which a run's centre may be meant for it."""

Z_APART: Final = 0.01


def is_as1063(config: RunConfig) -> bool:
    """Return whether a run is of Abell S1063 itself: by position and redshift, not by name, and not a simulation."""
    cluster = config.cluster
    return (
        config.truth is None
        and abs(cluster.redshift - REDSHIFT) < Z_APART
        and bool(separation_arcsec(cluster.ra, cluster.dec, *CENTRE) < APART)
    )
