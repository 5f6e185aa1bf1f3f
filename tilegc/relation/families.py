"""The law with lens models of different families, as a value: what `tilegc.relation.lens_families` measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Families", "Family"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """The law with one lens model; NaN where there is none."""

    name: str
    a: float
    c: float
    floor: float
    ln_kappa_rms: float
    """Scatter of ln kappa about that of the run's map over the cells that both have; 0 for that map itself."""

    @property
    def index(self) -> float:
        """The b of kappa = A n^b, 1 / c."""
        return 1.0 / self.c


@dataclass(frozen=True, kw_only=True)
class Families:
    """The law with every family, the run's own map first."""

    members: tuple[Family, ...]
    guess: bool
    """Whether the differences are assumed, as there is one family only."""
    c_err: float
    """Root mean square of the other families' c about that of the run's map; NaN where none has a law."""
    index_err: float
    """The same of b = 1 / c."""
    ln_kappa_rms: float
    """Scatter of ln kappa between the families, measured or assumed."""

    def described(self) -> dict[str, Any]:
        """Return what summary.json says of the families; of a guess the single draws say nothing."""
        members = self.members[:1] if self.guess else self.members
        names = ("a", "c", "floor", "index", "ln_kappa_rms")
        return {
            "guess": self.guess,
            **{name: _null(getattr(self, name)) for name in ("ln_kappa_rms", "c_err", "index_err")},
            "families": [
                {"name": one.name, **{name: _null(getattr(one, name)) for name in names}} for one in members
            ],
        }


def _null(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
