"""What the phase `completeness` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.artificial import FieldStars, Prepared
from tilegc.completeness.recovery_map import RecoveryMap
from tilegc.phases.partials import Table

__all__ = ["Completed"]


@dataclass(frozen=True, kw_only=True)
class Completed:
    """Artificial stars, the depths that they give, and how likely each candidate was to be found."""

    stars: Mapping[str, FieldStars]
    """By field; fields that are not searched have none."""
    prepared: Mapping[str, Prepared]
    """By field, what they were drawn from."""
    artificial: Table
    """Columns of `schema.artificial_columns`."""
    depths: Table
    """Columns of `schema.COMPLETENESS`."""
    response: Table
    """Columns of `schema.RESPONSE`."""
    maps: Mapping[str, RecoveryMap]
    """By field, where it is complete."""
    p_recovery: NDArray[np.float64]
    """By candidate."""
    p_point: NDArray[np.float64]
    """By candidate."""

    def joined(self, table: Table) -> Table:
        """Return candidates or catalogue with the columns `schema.COMPLETENESS_COLUMNS`."""
        rows = table["id"]
        return {**table, "p_recovery": self.p_recovery[rows], "p_point": self.p_point[rows]}
