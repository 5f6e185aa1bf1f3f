"""What the phase `mask` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.phases.partials import Table

__all__ = ["Masked"]


@dataclass(frozen=True, kw_only=True)
class Masked:
    """What was masked; the mask itself is in the store of every field."""

    stars: Table
    """Bright stars whose wings are masked: columns of `schema.STARS`."""
    edges: np.ndarray
    """Edges of the annuli in which masked pixels are counted, arcsec, float64."""
    counts: Mapping[str, np.ndarray]
    """Pixels by annulus and value of the mask, int64 (annulus, 256), by field; empty without a sky grid."""
