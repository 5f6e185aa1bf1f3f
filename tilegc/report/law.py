"""Figures of the laws: likelihood and binned fit, the ranking of maps, and other samples of sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import error_text
from tilegc.report.reading import Material, rows_of

__all__ = ["HELD", "MAPS", "SAMPLES", "laws", "likelihood_of", "ranking", "sample_label", "sensitivity"]

BINS: Final = 14
"""Bins in ln kappa, for the plot only: no law is fitted to them."""

WIDEST: Final = 20.0
"""Half width, in ln n, at which the band of a law is cut off."""

LEAST: Final = 3
"""Minimum number of cells for a figure, and of sources for a bin to be drawn."""

MAPS: Final = {
    "kappa": "this κ map",
    "uniform": "uniform",
    "rotated_90": "rotated by 90°",
    "rotated_180": "rotated by 180°",
    "mirrored": "mirrored east-west",
    "transposed": "east and north exchanged",
    "shifted_4": "shifted by 4 arcsec",
    "circularised": "circularised",
    "light": "light",
}

SAMPLES: Final = {
    "all": "all",
    "snr_5": "S/N ≥ 5",
    "snr_7": "S/N ≥ 7",
    "snr_10": "S/N ≥ 10",
    "bright_half": "bright half",
    "faint_half": "faint half",
    "members_removed": "away from galaxies",
    "members_kept": "law without a term for galaxies",
    "crowding_kept": "law without crowding correction",
    "no_outer_field": "law without the outer field",
}

HELD: Final = (
    "*: the floor is at its bound, and errors assume that it stays there; a bar with an arrow is open-ended."
)

Floats = NDArray[np.float64]
Cell = str | Markup


def likelihood_of(material: Material) -> dict[str, Any] | None:
    """Return the law of the likelihood; None if there is none."""
    relation = material.summary["relation"]
    found: dict[str, Any] | None = relation and relation.get("likelihood")
    return found if found and found["c"] is not None else None


def laws(material: Material) -> Drawing | None:
    """Draw n against kappa with both laws and their error bands; None if there is no fit."""
    found = likelihood_of(material)
    if found is None:
        return None
    kappa, count, area = _counted(material, found)
    if kappa.size < LEAST:
        return None
    figure, axes = style.log_panel("Both laws: sources given convergence")
    span = np.geomspace(kappa.min(), kappa.max(), 80)
    _points(axes, kappa, count, area)
    curve, low, high = _band(found, span)
    c, b = error_text(found["c"], found["c_err"]), error_text(found["index"], found["index_err"])
    label = f"likelihood: c = {c}, b = 1/c = {b}"
    axes.plot(span, curve, color=style.VERMILLION, lw=1.8, label=label, zorder=5)
    axes.fill_between(span, low, high, color=style.VERMILLION, alpha=0.22, lw=0, zorder=2)
    bottom = 0.5 * max(float(curve.min()), 1e-3 * float(curve.max()))
    if found["floor"] > bottom:
        floor = f"its floor: {error_text(found['floor'], found['floor_err'])} per arcsec²"
        axes.axhline(found["floor"], color=style.VERMILLION, lw=1.1, ls=(0, (1, 1.5)), label=floor)
    boxes = material.summary["relation"]["boxes"]
    if boxes["index"] is not None and boxes["index"] > 0:
        _binned(axes, boxes, span)
    axes.set_xlim(span[0], span[-1])
    axes.set_ylim(bottom, 2.0 * float(curve.max()))
    axes.set_xlabel("κ")
    axes.set_ylabel("n: sources per arcsec²")
    style.finish(figure, axes)
    words = (
        "Sources per arcsec² at a given κ, corrected for crowding, and the maximum-likelihood law n = a κᶜ plus a "
        "floor. Points exclude the surroundings of galaxies, and sources that belong to galaxies are subtracted. The "
        "law binned in n, with axes exchanged, refers to all detected sources. Bands are one standard deviation. "
        "Points only guide the eye: the likelihood uses every cell."
    )
    relation = material.config.relation
    if relation.floor == "linear" or relation.background_slope is not None:
        words += " The floor varies with position; the curve has that of an undepleted sky at the centre."
    return Drawing("both-laws", figure, words, wide=True)


def _counted(material: Material, found: Mapping[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Return kappa, sources minus those of galaxies, and effective area, for the cells away from galaxies."""
    sky = material.sky
    share, kappa = (
        np.nan_to_num(sky["recovery"].to_numpy() * sky["in_law"].to_numpy()),
        sky["kappa"].to_numpy(),
    )
    pixel_area = np.array(sky.attrs["pixel_area_arcsec2"])
    area = (sky["n_good"].to_numpy() * pixel_area[:, None, None]).sum(axis=0) * share
    use = (area > 0) & (kappa > 0) & (material.radius < material.config.relation.max_radius)
    count = sky["n_gc"].to_numpy().sum(axis=0).astype(np.float64)
    if found.get("members"):
        count -= found["members"]["g"] * sky["galaxy_light"].to_numpy() * area
    return kappa[use], count[use], area[use]


def _points(axes: Axes, kappa: Floats, count: Floats, area: Floats) -> None:
    edges = np.geomspace(kappa.min(), kappa.max() * (1 + 1e-9), BINS + 1)
    number = np.digitize(kappa, edges) - 1
    total, sky = (np.bincount(number, values, BINS)[:BINS] for values in (count, area))
    middle = np.bincount(number, kappa * area, BINS)[:BINS]
    shown = total >= LEAST
    style.measured(
        axes,
        middle[shown] / sky[shown],
        total[shown] / sky[shown],
        np.sqrt(total[shown]) / sky[shown],
        color=style.INK,
        mfc="white",
        mew=1.2,
        label="counted, at given κ",
    )


def _band(found: Mapping[str, Any], kappa: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the law of the likelihood and its values one standard deviation below and above; NaN without errors."""
    above = found["a"] * kappa ** found["c"]
    n = above + found["floor"]
    towards = np.stack([above, above * np.log(kappa), np.ones(kappa.size)])
    variance = np.einsum("ik,ij,jk->k", towards, np.array(found["covariance"], float), towards)
    error = np.sqrt(np.maximum(variance, 0.0))
    return n, np.maximum(n - error, 1e-3 * n), n + error


def _binned(axes: Axes, boxes: Mapping[str, float], kappa: Floats) -> None:
    """Draw n = (kappa / A)^(1 / b) from the binned fit; the errors of A and b are treated as independent."""
    a, b = boxes["amplitude"], boxes["index"]
    n = (kappa / a) ** (1 / b)
    spread = np.hypot(
        (boxes["amplitude_err"] or 0.0) / a / b, (boxes["index_err"] or 0.0) / b * np.abs(np.log(n))
    )
    # A slope that is hardly known has a band beyond any axis, and beyond the floats.
    spread = np.minimum(spread, WIDEST)
    label = f"binned in n: b = {error_text(b, boxes['index_err'])}"
    axes.plot(kappa, n, color=style.BLUE, lw=1.6, ls=(0, (5, 2)), label=label, zorder=5)
    axes.fill_between(
        kappa, n * np.exp(-spread), n * np.exp(spread), color=style.BLUE, alpha=0.16, lw=0, zorder=1
    )


def ranking(material: Material) -> Drawing | None:
    """Draw the difference in ln L between other maps and the map of the run; None if none was compared."""
    table = rows_of(material.run.ranking, "rank", "map", "delta", "delta_err")
    shown = table["rank"] > 0
    if shown.sum() < 2:
        return None
    names = [MAPS.get(str(name), str(name)) for name in table["map"][shown]]
    delta, error = table["delta"][shown], np.nan_to_num(table["delta_err"][shown])
    figure, axes = style.panel("Which map the positions prefer", (style.WIDE[0], 1.4 + 0.34 * len(names)))
    place = np.arange(len(names))[::-1]
    own = table["map"][shown].astype(str) == "kappa"
    for rows, colour, marker in ((own, style.VERMILLION, "D"), (~own, style.BLUE, "o")):
        axes.errorbar(
            delta[rows],
            place[rows],
            xerr=error[rows],
            ls="",
            marker=marker,
            ms=6,
            color=colour,
            elinewidth=1.2,
            capsize=2.5,
            zorder=4,
        )
    axes.axvline(0.0, color=style.FAINT, lw=1.0, zorder=1)
    axes.set_yticks(place, names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("ln L minus that of this κ map")
    return Drawing(
        "ranking",
        figure,
        "The likelihood of the positions of the sources under other maps, each with its own best-fitting law. Bars are "
        "one standard error for independent sources; clustering makes the errors larger.",
        wide=True,
    )


def sensitivity(material: Material) -> Drawing | None:
    """Draw the index of both laws for every sample of the sources; None if none could be fitted."""
    table = rows_of(
        material.run.sensitivity,
        "sample",
        "binned_index",
        "binned_index_err",
        "index",
        "index_err",
        "floor_err",
    )
    if not table["sample"].size or not np.isfinite(table["index"]).any():
        return None
    held = np.isfinite(table["index"]) & ~np.isfinite(table["floor_err"])
    names = [sample_label(name, bool(at)) for name, at in zip(table["sample"], held, strict=True)]
    figure, axes = style.panel(
        "The index for other samples of sources", (style.WIDE[0], 1.9 + 0.36 * len(names))
    )
    place = np.arange(len(names))[::-1].astype(float)
    handles = []
    shown = []
    for key, shift, marker, colour, label in (
        ("index", 0.12, "D", style.VERMILLION, "likelihood, 1/c"),
        ("binned_index", -0.12, "o", style.BLUE, "binned in n"),
    ):
        there = np.isfinite(table[key])
        error = np.tile(np.nan_to_num(table[f"{key}_err"][there]), (2, 1))
        if key == "index":
            _open_ends(axes, material, table, held, place + shift, error)
        shown += [table[key][there] - error[0], table[key][there] + error[1]]
        handles.append(
            axes.errorbar(
                table[key][there],
                place[there] + shift,
                xerr=error,
                ls="",
                marker=marker,
                ms=6,
                color=colour,
                elinewidth=1.2,
                capsize=2.5,
                label=label,
                zorder=4,
            )
        )
    values = np.concatenate(shown)
    axes.set_xlim(max(values.min() - 0.05, -0.5), min(values.max() + 0.05, 2.5))
    axes.set_yticks(place, names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("index b of κ = A nᵇ")
    style.legend(figure, handles)
    return Drawing(
        "sensitivity",
        figure,
        "Both indices for brighter sources, for each half by brightness, and with discs around galaxies left out."
        + _trend(material.summary["relation"].get("limit_trend"))
        + (f" {HELD}" if held.any() else ""),
        wide=True,
    )


def _trend(found: Mapping[str, Any] | None) -> str:
    """Return in words whether the likelihood's index depends on the limit; empty where that is not known."""
    if not found or found["chi2"] is None:
        return ""
    values = ", ".join(f"{value:.3f}" for value in found["index"])
    return (
        f" Above S/N 5, 7 and 10 that of the likelihood is {values}: χ² = {found['chi2']:.1f} for "
        f"{found['degrees_of_freedom']} differences, {abs(found['sigma']):.1f} σ in all."
    )


def sample_label(name: object, held: bool) -> str:
    """Return the name of a sample, with a star if its floor is at its bound."""
    return SAMPLES.get(str(name), str(name)) + ("*" if held else "")


def _open_ends(
    axes: Axes,
    material: Material,
    table: Mapping[str, NDArray[Any]],
    held: NDArray[np.bool_],
    place: Floats,
    error: Floats,
) -> None:
    """Use the ends of the profile likelihood for the error bar of the run's own index if its floor is at its bound.

    `error` contains the lower and upper lengths, (2, fitted sample); an undetermined end is drawn as an arrow.
    """
    found = likelihood_of(material)
    rows = np.flatnonzero((table["sample"].astype(str) == "all") & held)
    if found is None or not rows.size:
        return
    row = int(rows[0])
    at = int(np.isfinite(table["index"])[:row].sum())
    index = float(table["index"][row])
    # b = 1 / c: the upper end of c becomes the lower end of b.
    for side, end in enumerate(reversed(found["c_interval"])):
        if end is not None:
            error[side, at] = abs(1.0 / end - index)
        else:
            far = index + (-1.0, 1.0)[side] * max(float(error[side, at]), 0.05)
            arrow = {"arrowstyle": "->", "color": style.VERMILLION, "lw": 1.2}
            axes.annotate("", (far, place[row]), (index, place[row]), arrowprops=arrow, zorder=5)
            error[side, at] = 0.0
