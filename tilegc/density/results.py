"""What the phase `density` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tilegc.density.trend import Convergence
from tilegc.phases.partials import Table

__all__ = ["Mapped"]


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """What was drawn under the masks; the maps of density and rho are in the store of every field."""

    convergence: Mapping[str, Convergence]
    """How the iteration of the inpainting ended, by field."""
    inpainted: Table
    """Columns of `schema.INPAINTED`, and `coverage`, the good fraction from which their density was taken."""
