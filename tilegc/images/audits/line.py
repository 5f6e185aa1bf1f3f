"""A line of the audit: a value, what it means and what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from tilegc.io.fits import FieldSource

__all__ = ["SEVERITY", "Line", "Verdict", "judged", "rounded", "too_little"]

Verdict = Literal["ok", "look", "wrong", "unmeasured"]

SEVERITY: Final[tuple[Verdict, ...]] = ("unmeasured", "ok", "look", "wrong")


@dataclass(frozen=True)
class Line:
    """One line of the audit."""

    check: str
    field: str
    """Empty where it is of the whole run."""
    band: str
    """Empty where it is of the whole field."""
    value: float
    """NaN where it could not be measured."""
    unit: str
    verdict: Verdict
    finding: str
    """What the value is."""
    remedy: str
    """What to do; empty where nothing is."""


def judged(value: float, ok: float, look: float) -> Verdict:
    """Return what a value means that is the worse the larger: up to `ok`, up to `look`, beyond."""
    if not math.isfinite(value):
        return "unmeasured"
    return "ok" if value <= ok else "look" if value <= look else "wrong"


def rounded(value: float, digits: int = 3) -> float:
    """Return a value with as many digits as it deserves: the last bits of medians differ between CPUs."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else math.nan


def too_little(check: str, source: FieldSource, band: str, unit: str, what: str) -> Line:
    """Return the line of what could not be measured, and why."""
    return Line(check, source.name, band, math.nan, unit, "unmeasured", what, "")
