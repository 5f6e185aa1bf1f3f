"""The definition of a column."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Column"]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    dtype: str
    """NumPy dtype name, or "string"."""
    unit: str
    """astropy unit string; empty if dimensionless."""
    meaning: str
