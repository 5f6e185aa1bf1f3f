"""What the phase `audit` finds."""

from __future__ import annotations

from dataclasses import dataclass

from tilegc.images.audits.line import Line

__all__ = ["Audited"]


@dataclass(frozen=True, kw_only=True)
class Audited:
    """Checks of the images and of the convergence map."""

    lines: tuple[Line, ...]
    """One line per check, field by field."""
