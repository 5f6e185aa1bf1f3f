"""The audit as a table for the reader: one row per check and field, with all bands in the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tilegc.report.numbers import DASH, text

__all__ = ["VERDICTS", "AuditRow", "audit_rows", "counted"]

VERDICTS: Final = ("wrong", "look", "ok", "unmeasured")
"""Verdicts, the most serious first."""

NAMES: Final = {
    "scale": "pixel scale",
    "units": "AB zero point",
    "colours": "colours",
    "astrometry": "offset of bands",
    "err": "noise over expected",
    "correlation": "correlated noise",
    "psf": "width of points (FWHM)",
    "psf file": "sum of the PSF file",
    "cores": "core deficit of points",
    "weights": "depth, shallow over deep",
    "centre": "centre to brightest galaxy",
    "kappa": "κ peak to brightest galaxy",
    "orientation": "κ's orientation",
    "level": "level of κ",
    "outside": "centre outside of all fields",
    "repeats": "repeated values",
    "useless": "useless weights or errors",
}


@dataclass(frozen=True)
class AuditRow:
    """One check of one field, over all bands."""

    name: str
    field: str
    values: str
    """Values, with the names of the bands if there are several."""
    verdict: str
    """The worst verdict of its bands."""
    finding: str
    """Explanation for the worst band."""
    remedies: tuple[str, ...]
    """Remedies, by band."""


def audit_rows(lines: Iterable[Mapping[str, Any]]) -> list[AuditRow]:
    """Return the audit of summary.json with the bands of each check and field in one row."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["field"], line["check"]), []).append(line)
    return [_row(group) for group in groups.values()]


def _row(lines: Sequence[Mapping[str, Any]]) -> AuditRow:
    worst = min(lines, key=lambda line: VERDICTS.index(line["verdict"]))
    units = {line["unit"] for line in lines if line["value"] is not None}
    unit = f" {units.pop()}" if len(units) == 1 and units != {""} else ""
    numbers = [DASH if line["value"] is None else text(line["value"]) for line in lines]
    if len(lines) > 1:
        numbers = [f"{line['band']} {number}" for line, number in zip(lines, numbers, strict=True)]
    alike = len(lines) == 1 or all(line["finding"] == lines[0]["finding"] for line in lines)
    finding = worst["finding"] if alike else f"{worst['band']}: {worst['finding']}"
    remedies: dict[str, list[str]] = {}
    for line in lines:
        if line["remedy"]:
            remedies.setdefault(line["remedy"], []).append(line["band"])
    told = [
        remedy if len(bands) == len(lines) else f"{', '.join(bands)}: {remedy}"
        for remedy, bands in remedies.items()
    ]
    name = NAMES.get(worst["check"], worst["check"])
    return AuditRow(name, worst["field"], ", ".join(numbers) + unit, worst["verdict"], finding, tuple(told))


def counted(lines: Iterable[Mapping[str, Any]]) -> str:
    """Return the number of lines with each verdict, e.g. "1 wrong, 2 look, 40 ok"."""
    verdicts = [line["verdict"] for line in lines]
    return ", ".join(f"{verdicts.count(name)} {name}" for name in VERDICTS if name in verdicts)
