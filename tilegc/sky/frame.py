"""The cluster's place on the sky and the physical scale at its redshift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from tilegc import config
from tilegc.sky.lensing import cosmology, kpc_per_arcsec

__all__ = ["ClusterFrame"]


@dataclass(frozen=True, kw_only=True)
class ClusterFrame:
    """Centre of the cluster and the angular scale at its redshift."""

    ra: float
    """ICRS, degrees."""
    dec: float
    """ICRS, degrees."""
    kpc_per_arcsec: float

    @classmethod
    def of(cls, cluster: config.Cluster, settings: config.Cosmology) -> Self:
        """Return the frame of the run file's cluster in its cosmology."""
        if not cluster.known:
            return cls(ra=math.nan, dec=math.nan, kpc_per_arcsec=math.nan)
        scale = kpc_per_arcsec(cosmology(settings), cluster.redshift)
        return cls(ra=cluster.ra, dec=cluster.dec, kpc_per_arcsec=scale)
