"""Radial profiles around the cluster centre (Diego et al. 2026, figs. 9-10; algorithm.md, section 12)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import error_text
from tilegc.report.reading import Material, Table, rows_of

__all__ = ["counts", "shapes"]

PIVOT: Final = 20.0
"""Radius in arcsec near which all profiles are scaled to 1."""

INNERMOST: Final = 0.3
"""Inner radius in arcsec at which the central annulus is drawn on a logarithmic scale."""

SHAPES: Final = (
    ("n_corrected", "sources, corrected", "o", style.BLUE, "-"),
    ("kappa", "κ", "s", style.INK, "--"),
    ("rho", "ρ", "D", style.GREEN, "-."),
    ("light", "light", "^", style.ORANGE, ":"),
)

Floats = NDArray[np.float64]


def _profile(material: Material) -> Table:
    names = (
        "field",
        "r_lo",
        "r_hi",
        "n_gc",
        "n_per_arcsec2",
        "n_err",
        "n_corrected",
        "kappa",
        "light",
        "rho",
    )
    return rows_of(material.profile, *names)


def counts(material: Material) -> Drawing | None:
    """Draw sources per arcsec^2 against radius, field by field; None if no annulus contains a source."""
    table = _profile(material)
    if not (table["n_gc"] > 0).any():
        return None
    figure, axes = style.log_panel("Radial profile of the sources")
    middle = np.sqrt(np.maximum(table["r_lo"], INNERMOST) * table["r_hi"])
    truth = material.truth
    shown: list[Floats] = []
    groups: list[list[Artist | Container]] = []
    for number, field in enumerate(material.fields):
        marker, colour = style.MARKERS[number % len(style.MARKERS)]
        handles: list[Artist | Container] = []
        rows = (table["field"].astype(str) == field) & (table["n_gc"] > 0)
        n, error, corrected = table["n_per_arcsec2"][rows], table["n_err"][rows], table["n_corrected"][rows]
        if rows.any():
            label = f"field {field}: counted"
            handles.append(
                style.measured(axes, middle[rows], n, error, color=colour, label=label, marker=marker)
            )
            shown.append(n)
        above = (
            corrected > error
        )  # omit points within the error of the contamination: they would only stretch the scale
        if above.any():
            handles += axes.plot(
                middle[rows][above],
                corrected[above],
                ls="",
                marker=marker,
                ms=5.5,
                mfc="white",
                mec=colour,
                mew=1.2,
                label=f"field {field}: minus contamination",
                zorder=3,
            )
            shown.append(corrected[above])
        if truth is not None:
            line, height = _planted(axes, truth["profile"], field, colour)
            handles += line
            shown.append(height)
        groups.append(handles)
    groups.append([*_contamination(axes, material)])
    values = np.concatenate(shown) if shown else np.ones(1)
    axes.set_ylim(values.min() / 2, values.max() * 2)
    axes.set_xlabel("distance from the centre (arcsec)")
    axes.set_ylabel("sources per arcsec²")
    _radii(axes, material, middle)
    style.plain_ticks(axes.yaxis)
    _legend_by_field(figure, [group for group in groups if group])
    words = ["Sources per arcsec² of good area in annuli around the cluster centre, with Poisson errors."]
    if material.summary["contamination"]["per_kpc2"]:
        words.append(
            "Grey: contamination. Open symbols: counts minus contamination, where the difference exceeds its error."
        )
    if truth is not None:
        words.append("Lines: planted objects brighter than the limit of this run, in the same annuli.")
    return Drawing("profile", figure, " ".join(words), wide=True)


def _planted(axes: Axes, planted: dict[str, Any], field: str, colour: str) -> tuple[list[Line2D], Floats]:
    """Draw the planted profile of a field; return its line and its values."""
    n = np.array(planted["n_per_arcsec2"], float)
    rows = np.array([name == field for name in planted["field"]], np.bool_) & (n > 0)
    if not rows.any():
        return [], np.zeros(0)
    radius = np.sqrt(np.maximum(planted["r_lo"], INNERMOST) * np.array(planted["r_hi"], float))
    marker = "_" if rows.sum() == 1 else ""  # a line through one annulus would be invisible
    return axes.plot(
        radius[rows],
        n[rows],
        color=colour,
        lw=1.3,
        marker=marker,
        ms=14,
        mew=1.6,
        label=f"field {field}: planted",
        zorder=2,
    ), n[rows]


def _legend_by_field(figure: Figure, groups: list[list[Artist | Container]]) -> None:
    """Put a legend below the diagram, one column per group; matplotlib fills it column by column."""
    if not 1 < len(groups) <= 3:
        style.legend(figure, [handle for group in groups for handle in group], columns=3)
        return
    longest = max(len(group) for group in groups)
    handles: list[Artist | Container] = []
    for group in groups:
        handles += [*group, *(Line2D([], [], ls="", label=" ") for _ in range(longest - len(group)))]
    style.legend(figure, handles, columns=len(groups))


def _contamination(axes: Axes, material: Material) -> list[Line2D]:
    contamination = material.summary["contamination"]
    if not contamination["per_kpc2"]:  # a logarithmic axis cannot show 0
        return []
    area = material.kpc_per_arcsec**2
    level, error = contamination["per_kpc2"] * area, (contamination["err"] or 0.0) * area
    axes.axhspan(
        max(level - error, 1e-3 * level), level + error, color=style.FAINT, alpha=0.35, lw=0, zorder=0
    )
    text = f"contamination: {error_text(level, error)}"
    return [axes.axhline(level, color=style.FAINT, lw=1.2, label=text, zorder=1)]


def shapes(material: Material) -> Drawing | None:
    """Draw sources, kappa, rho and light of the central field, each scaled to 1 near one radius.

    Return None if no annulus has values of all of them (kappa excepted).
    """
    table = _profile(material)
    rows = table["field"].astype(str) == material.central
    table = {name: values[rows] for name, values in table.items()}
    middle = np.sqrt(np.maximum(table["r_lo"], INNERMOST) * table["r_hi"])
    drawn = [shape for shape in SHAPES if (np.isfinite(table[shape[0]]) & (table[shape[0]] > 0)).any()]
    usable = np.ones(middle.size, bool)
    for name, *_ in drawn:
        usable &= np.isfinite(table[name]) & (table[name] > 0)
    if len(drawn) < 2 or not usable.any():
        return None
    pivot = np.flatnonzero(usable)[np.argmin(np.abs(np.log(middle[usable] / PIVOT)))]
    figure, axes = style.log_panel("Shapes: sources, mass and light")
    for name, label, marker, colour, line in drawn:
        values = table[name] / table[name][pivot]
        show = np.isfinite(values) & (values > 0)
        error = table["n_err"] / table[name][pivot] if name == "n_corrected" else None
        if error is not None:
            show &= values > error
            axes.errorbar(
                middle[show],
                values[show],
                yerr=(np.minimum(error, 0.999 * values)[show], error[show]),
                ls="",
                ecolor=colour,
                elinewidth=1.0,
                capsize=2,
                zorder=3,
            )
        axes.plot(
            middle[show],
            values[show],
            color=colour,
            ls=line,
            lw=1.5,
            marker=marker,
            ms=5,
            label=label,
            zorder=4,
        )
    axes.set_xlabel("distance from the centre (arcsec)")
    axes.set_ylabel("relative to the value at the pivot")
    _radii(axes, material, middle)
    style.plain_ticks(axes.yaxis)
    style.legend(figure, axes.get_legend_handles_labels()[0], columns=4)
    return Drawing(
        "shapes",
        figure,
        f"Profiles of field {material.central}, each divided by its own value between {table['r_lo'][pivot]:g} and "
        f"{table['r_hi'][pivot]:g} arcsec. Light is the sum of the bands minus its outermost annulus.",
        wide=True,
    )


def _radii(axes: Axes, material: Material, middle: Floats) -> None:
    """Set the range of radii, and label the upper axis in kpc."""
    axes.set_xlim(middle.min() / 1.3, middle.max() * 1.3)
    scale = material.kpc_per_arcsec

    def kpc(arcsec: ArrayLike) -> Floats:
        return np.asarray(arcsec, np.float64) * scale

    def arcsec(kpc: ArrayLike) -> Floats:
        return np.asarray(kpc, np.float64) / scale

    above = axes.secondary_xaxis("top", functions=(kpc, arcsec))
    above.set_xlabel("kpc", fontsize=style.SMALL, color=style.INK)
    above.tick_params(
        which="both", labelsize=style.SMALL, color=style.FAINT, labelcolor=style.INK, direction="in"
    )
    above.set_xlim(*(scale * radius for radius in axes.get_xlim()))
    style.plain_ticks(above.xaxis)
    style.plain_ticks(axes.xaxis)
    axes.tick_params(which="both", top=False)
