"""Noise, purity and the choice of T: the fraction of real sources, and where a regular pattern begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.lines import Line2D

from tilegc.detection.periodicity import FEWEST
from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import DASH, missing, plain, share
from tilegc.report.reading import Material, Table, rows_of

__all__ = ["HEAD", "noise_rows", "purity", "regularity"]

HEAD: Final = (
    "field",
    "local noise (nJy/px)",
    "lowest to highest",
    "over ERR",
    "common to all bands",
    "T (S/N)",
    "chosen",
    "purity of the catalogue",
    "regular pattern",
)
"""Columns of the table of noise and threshold."""

LAST: Final = 8.0
"""Upper limit of the signal-to-noise axis of both diagrams."""

FAINTEST: Final = 1e-12
"""Lower limit of the scale of false-alarm probabilities."""

ALARM: Final = 1e-4
"""False-alarm probability below which a pattern is considered significant."""


def noise_rows(material: Material) -> list[list[str | Markup]]:
    """Return the table of noise and threshold, one row per field."""
    rows: list[list[str | Markup]] = []
    for name, field in material.summary["fields"].items():
        noise, low, high = (field[key] for key in ("local_noise", "local_noise_lo", "local_noise_hi"))
        rows.append(
            [
                name,
                _number(noise, 3),
                missing() if low is None else f"{plain(low, 3)} {DASH} {plain(high, 3)}",
                _number(field["noise_over_err"], 3),
                _number(field["common_noise"], 3),
                _number(field["threshold_snr"], 3),
                "by its purity" if field["threshold_chosen"] else "given",
                share(field["purity"], "not known"),
                _pattern(material, name),
            ]
        )
    return rows


def _pattern(material: Material, field: str) -> str:
    """Return the signal-to-noise ratio up to which there is a regular pattern, and where none could be searched for."""
    onset = material.summary["fields"][field]["pattern_onset_snr"]
    table = rows_of(material.run.pattern, "field", "snr_lo", "snr_hi", "false_alarm")
    on = table["field"].astype(str) == field
    low, high, searched = table["snr_lo"][on], table["snr_hi"][on], np.isfinite(table["false_alarm"][on])
    if not searched.any():
        return f"not searched: fewer than {FEWEST} sources in every slice of S/N"
    words = (
        f"up to S/N {onset:g}"
        if onset is not None
        else f"none from S/N {low[searched].min():g} to {high[searched].max():g}"
    )
    gaps = [f"{a:g}–{b:g}" for a, b in _joined(low[~searched], high[~searched])]
    return words + (
        f"; not searched at {', '.join(gaps)} (fewer than {FEWEST} sources per slice)" if gaps else ""
    )


def _joined(low: np.ndarray, high: np.ndarray) -> list[tuple[float, float]]:
    """Return the slices with adjacent ones joined."""
    joined: list[tuple[float, float]] = []
    for a, b in zip(low.tolist(), high.tolist(), strict=True):
        if joined and joined[-1][1] == a:
            joined[-1] = joined[-1][0], b
        else:
            joined.append((a, b))
    return joined


def _number(value: float | None, digits: int) -> str | Markup:
    return missing() if value is None else plain(value, digits)


def _summed(material: Material, field: str) -> Table:
    """Return the slices of a field, summed over its zones of noise."""
    names = ("field", "snr_lo", "snr_hi", "n_found", "n_noise", "n_noise_err")
    table = rows_of(material.run.purity, *names)
    rows = table["field"].astype(str) == field
    low = np.unique(table["snr_lo"][rows])
    there = [rows & (table["snr_lo"] == one) for one in low]
    return {
        "low": low,
        "high": np.array([table["snr_hi"][one].max() for one in there]),
        "found": np.array([table["n_found"][one].sum() for one in there], float),
        "noise": np.array([table["n_noise"][one].sum() for one in there], float),
        "error": np.array([math.hypot(*table["n_noise_err"][one]) for one in there], float),
    }


def purity(material: Material) -> Drawing | None:
    """Draw purity against signal-to-noise, field by field; None if it is unknown."""
    figure, axes = style.panel("Purity against noise", style.WIDE)
    handles: list[Artist | Container] = []
    for number, field in enumerate(material.fields):
        table = _summed(material, field)
        known = np.isfinite(table["noise"]) & (table["found"] > 0) & np.isfinite(table["high"])
        if not known.any():
            continue
        marker, colour = style.MARKERS[number % len(style.MARKERS)]
        found, noise = table["found"][known], table["noise"][known]
        pure = 1 - noise / found
        error = np.sqrt(table["error"][known] ** 2 + noise**2 / found) / found
        middle = (table["low"] + table["high"])[known] / 2
        handles.append(
            axes.errorbar(
                middle,
                pure,
                yerr=error,
                ls="",
                marker=marker,
                ms=4.5,
                color=colour,
                elinewidth=1,
                capsize=1.5,
                label=f"field {field}: in slices",
                zorder=3,
            )
        )
        all_noise, all_found = (np.cumsum(table[key][::-1])[::-1] for key in ("noise", "found"))
        with np.errstate(invalid="ignore", divide="ignore"):
            above = np.where(all_found > 0, 1 - all_noise / all_found, np.nan)
        handles += axes.plot(
            table["low"], above, color=colour, lw=1.5, label=f"field {field}: all above", zorder=2
        )
        handles += _limit(axes, material, field, colour)
    if not handles:
        return None
    words = [
        "Fraction of peaks not caused by noise, according to null maps: in slices of signal-to-noise (points)",
        "and for all peaks above a given value (lines). Dashed: limit of the catalogue.",
    ]
    if material.config.detect.threshold == "auto":
        target = material.config.detect.purity
        handles.append(axes.axhline(target, color=style.FAINT, lw=1, zorder=1, label=f"target: {target:g}"))
        words.append("The limit is the lowest for which the catalogue reaches the requested purity.")
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlim(2.4, LAST)
    axes.set_xlabel("signal-to-noise (local noise)")
    axes.set_ylabel("purity")
    style.legend(figure, handles, columns=3)
    return Drawing("purity", figure, " ".join(words), wide=True)


def _limit(axes: Axes, material: Material, field: str, colour: str) -> list[Line2D]:
    summary: Mapping[str, Any] = material.summary["fields"][field]
    if summary["threshold_snr"] is None:
        return []
    limit = summary["threshold_snr"] * material.config.detect.keep
    if not limit < LAST:
        return []
    return [
        axes.axvline(limit, color=colour, ls="--", lw=1, zorder=1, label=f"field {field}: limit {limit:.2f}")
    ]


def regularity(material: Material) -> Drawing | None:
    """Draw the false-alarm probability of the strongest periodicity; None if no slice was searched."""
    names = ("field", "snr_lo", "snr_hi", "period", "false_alarm")
    table = rows_of(material.run.pattern, *names)
    figure, axes = style.panel("Regular pattern in the positions", style.WIDE)
    handles: list[Artist | Container] = []
    axes.set_yscale("log")
    lowest = 1.0
    for number, field in enumerate(material.fields):
        rows = (table["field"].astype(str) == field) & np.isfinite(table["false_alarm"])
        if not rows.any():
            continue
        marker, colour = style.MARKERS[number % len(style.MARKERS)]
        middle = (table["snr_lo"] + table["snr_hi"])[rows] / 2
        chance = np.maximum(table["false_alarm"][rows], FAINTEST)
        lowest = min(lowest, chance.min())
        handles += axes.plot(middle, chance, color=colour, marker=marker, ms=5, lw=1, label=f"field {field}")
        for x, y, period in zip(middle, chance, table["period"][rows], strict=True):
            if y < ALARM:
                axes.annotate(
                    f"{period:.1f} px",
                    (x, y),
                    xytext=(4, 4),
                    textcoords="offset points",
                    fontsize=style.SMALL,
                )
        handles += _limit(axes, material, field, colour)
    if not handles:
        return None
    handles.append(
        axes.axhline(ALARM, color=style.FAINT, lw=1, zorder=1, label="significant below this line")
    )
    axes.set_ylim(min(ALARM / 100, lowest / 10), 3)
    axes.set_xlim(2.4, LAST)
    axes.set_xlabel("signal-to-noise (local noise)")
    axes.set_ylabel("false-alarm probability")
    style.legend(figure, handles, columns=3)
    words = (
        "Probability that sources placed at random under the same mask show a periodicity as strong as the strongest "
        "one found, in slices of signal-to-noise. Low values indicate a pattern, which null maps cannot reveal."
    )
    return Drawing("regularity", figure, words, wide=True)
