"""Counts, purity and profile as a function of the growth of the mask: the figure of `tilegc study mask`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tilegc.report import style

__all__ = ["draw"]

SHADES = ("#1f2328", style.BLUE, style.GREEN, style.ORANGE, style.VERMILLION, style.PURPLE, style.SKY)


def draw(table: Mapping[str, np.ndarray]) -> Figure:
    """Draw a study: density and purity against growth, and profiles relative to that of the smallest growth.

    Parameters
    ----------
    table : mapping
        Columns of `schema.STUDY_MASK`.
    """
    figure = Figure(figsize=(12.0, 5.6), dpi=style.DPI, facecolor="white", layout="constrained")
    density, purity, profile = (
        style.dressed(axes, title)
        for axes, title in zip(
            figure.subplots(1, 3),
            ("Sources per arcsec²", "Purity", "Profile relative to that of the smallest growth"),
            strict=True,
        )
    )
    names = list(dict.fromkeys(table["field"].astype(str).tolist()))
    for number, name in enumerate(names):
        rows = (table["field"].astype(str) == name) & (table["annulus"] < 0)
        marker, colour = style.MARKERS[number % len(style.MARKERS)]
        density.errorbar(
            table["growth"][rows],
            table["n_per_arcsec2"][rows],
            yerr=table["n_err"][rows],
            marker=marker,
            ms=5,
            color=colour,
            lw=1.2,
            capsize=2,
            label=f"field {name}",
        )
        _purities(purity, table, rows, name, number)
        _profiles(profile, table, name, marker)
    profile.set_xscale("log")
    if profile.lines:
        style.plain_ticks(profile.xaxis)
    density.set_ylim(bottom=0)
    density.set_xlabel("growth of the mask (px)")
    purity.set_xlabel("growth of the mask (px)")
    profile.set_xlabel("distance from the centre (arcsec)")
    for axes, columns in ((density, 2), (purity, 1), (profile, 3)):
        if axes.get_legend_handles_labels()[0]:
            # Place the legend below its diagram, where it hides nothing.
            axes.legend(
                frameon=False,
                fontsize=style.SMALL - 1,
                labelcolor=style.INK,
                ncols=columns,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.13),
            )
    return figure


def _purities(axes: Axes, table: Mapping[str, np.ndarray], rows: np.ndarray, name: str, number: int) -> None:
    """Draw the purity of one field against growth, as measured on noise and, if there is one, against the truth."""
    marker, colour = style.MARKERS[number % len(style.MARKERS)]
    for beside, (column, line, kind) in enumerate(
        (("purity", "-", "noise"), ("purity_truth", "--", "truth"))
    ):
        if not np.isfinite(table[column][rows]).any():
            continue
        pure, n = table[column][rows], np.maximum(table["n_gc"][rows], 1)
        # The number of false sources among n is binomial; assume at least one, so that the error is never zero.
        error = np.sqrt(np.maximum(pure * (1 - pure), (1 - 1 / n) / n) / n)
        axes.errorbar(
            table["growth"][rows] + 0.06 * (2 * number + beside),
            pure,
            yerr=(error, np.minimum(error, 1 - pure)),
            ls=line,
            marker=marker,
            ms=5,
            color=colour,
            lw=1.2,
            capsize=2,
            label=f"field {name}, against {kind}",
        )


def _profiles(axes: Axes, table: Mapping[str, np.ndarray], name: str, marker: str) -> None:
    """Draw the profiles of one field under every growth, relative to that under the smallest."""
    growths = np.unique(table["growth"])
    annuli = (table["field"].astype(str) == name) & (table["annulus"] >= 0)
    least = annuli & (table["growth"] == growths[0])
    for shade, pixels in enumerate(growths):
        on = annuli & (table["growth"] == pixels)
        n, first = table["n_per_arcsec2"][on], table["n_per_arcsec2"][least]
        usable = (table["n_gc"][on] >= 20) & np.isfinite(table["r_hi"][on])
        if not usable.any():
            continue
        middle = np.sqrt(np.maximum(table["r_lo"][on], 0.3) * table["r_hi"][on])[usable]
        ratio, error = _ratio(
            n[usable], first[usable], table["n_gc"][on][usable], table["n_gc"][least][usable]
        )
        # Shift the growths slightly against each other, so that their error bars do not overlap.
        axes.errorbar(
            middle * 1.015 ** (shade - growths.size / 2),
            ratio,
            yerr=error,
            marker=marker,
            ms=4,
            lw=1.1,
            elinewidth=0.8,
            capsize=1.5,
            color=SHADES[shade % len(SHADES)],
            label=f"{name}, {pixels:g} px",
        )


def _ratio(
    density: np.ndarray, first: np.ndarray, count: np.ndarray, all_: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the densities under a grown mask relative to those under the smallest growth, and the errors.

    The remaining sources are a subset of all sources, so the two densities are correlated: they differ only by the
    sources that the growth removed, and by the area around them. With p = count / total, the error of the ratio is
    that of p, sqrt(p (1 - p) / total), times the ratio of the areas.
    """
    ratio = density / first
    part = count / all_
    return ratio, ratio / part * np.sqrt(part * (1 - part) / all_)
