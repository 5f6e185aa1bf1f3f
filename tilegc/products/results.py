"""What the phase `products` leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Written"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """The products, which are files of the run's folder."""

    summary: Mapping[str, Any]
    """Content of summary.json, but for `timing`, which is complete only when the run ends."""
