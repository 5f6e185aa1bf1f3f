"""Clusters that are known by name without a network: those of the Hubble Frontier Fields.

Centres are the reference positions of the Frontier Fields lens models, on the brightest cluster galaxy (Lotz et al.
2017, ApJ 837, 97; CATS and GRALE models, doi:10.17909/T9KK5N).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["KNOWN", "Known", "by_name", "mentioned"]


@dataclass(frozen=True)
class Known:
    """A cluster with its redshift and centre, degrees ICRS."""

    name: str
    redshift: float
    ra: float
    dec: float
    aliases: tuple[str, ...] = ()


KNOWN: Final = (
    Known("Abell 370", 0.375, 39.97134, -1.58226, ("A370",)),
    Known("Abell 2744", 0.308, 3.586259, -30.400174, ("A2744", "AC118", "Pandora")),
    Known("Abell S1063", 0.348, 342.18322, -44.53091, ("AS1063", "RXC J2248.7-4431", "RXJ2248")),
    Known("MACS J0416.1-2403", 0.396, 64.038101, -24.067486, ("MACS0416", "M0416", "MACSJ0416")),
    Known("MACS J0717.5+3745", 0.545, 109.398239, 37.745731, ("MACS0717", "M0717", "MACSJ0717")),
    Known("MACS J1149.5+2223", 0.543, 177.39875, 22.398533, ("MACS1149", "M1149", "MACSJ1149")),
)


def by_name(names: Iterable[str]) -> Known | None:
    """Return the first cluster that bears one of the names, whatever their spaces, hyphens and capitals.

    >>> by_name(["abell-2744"]).redshift
    0.308
    >>> by_name(["NGC 346"]) is None
    True
    """
    wanted = [_plain(name) for name in names]
    for cluster in KNOWN:
        if any(_plain(name) in wanted for name in (cluster.name, *cluster.aliases)):
            return cluster
    return None


def mentioned(name: str, text: str) -> bool:
    """Whether a text, such as the name of a file, mentions a known cluster.

    >>> mentioned("Abell S1063", "hlsp_frontier_model_abells1063_williams_v4_kappa.fits")
    True
    """
    cluster = by_name([name])
    if cluster is None:
        return False
    return any(_plain(one) in _plain(text) for one in (cluster.name, *cluster.aliases))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())
