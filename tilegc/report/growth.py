"""Counts, purity and profile against the growth of the mask: the figure of `tilegc study mask`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from tilegc.report import style

__all__ = ["draw"]

SHADES = ("#1f2328", style.BLUE, style.GREEN, style.ORANGE, style.VERMILLION, style.PURPLE, style.SKY)


def draw(table: Mapping[str, np.ndarray]) -> Figure:
    """Draw a study: density and purity against growth, and the profile of every growth over that of the least.

    Parameters
    ----------
    table : mapping
        Columns of `schema.STUDY_MASK`.
    """
    figure = Figure(figsize=(12.0, 4.4), dpi=style.DPI, facecolor="white", layout="constrained")
    density, purity, profile = (style.dressed(axes, title) for axes, title in zip(
        figure.subplots(1, 3),
        ("Sources per arcsec²", "Purity", "Profile over that of the least growth"),
        strict=True,
    ))  # fmt: skip
    names = list(dict.fromkeys(table["field"].astype(str).tolist()))
    growths = np.unique(table["growth"])
    for number, name in enumerate(names):
        marker, colour = style.MARKERS[number % len(style.MARKERS)]
        rows = (table["field"].astype(str) == name) & (table["annulus"] < 0)
        at = table["growth"][rows]
        density.errorbar(
            at, table["n_per_arcsec2"][rows], yerr=table["n_err"][rows], marker=marker, ms=5, color=colour, lw=1.2,
            capsize=2, label=f"field {name}",
        )  # fmt: skip
        for column, line, what in (("purity", "-", "noise"), ("purity_truth", "--", "truth")):
            if np.isfinite(table[column][rows]).any():
                purity.plot(
                    at, table[column][rows], ls=line, marker=marker, ms=5, color=colour, lw=1.2,
                    label=f"field {name}, against {what}",
                )  # fmt: skip
        for shade, pixels in enumerate(growths):
            on = (table["field"].astype(str) == name) & (table["annulus"] >= 0) & (table["growth"] == pixels)
            least = (
                (table["field"].astype(str) == name)
                & (table["annulus"] >= 0)
                & (table["growth"] == growths[0])
            )
            n, first = table["n_per_arcsec2"][on], table["n_per_arcsec2"][least]
            usable = (table["n_gc"][on] >= 20) & np.isfinite(table["r_hi"][on])
            middle = np.sqrt(np.maximum(table["r_lo"][on], 0.3) * table["r_hi"][on])[usable]
            if usable.any():
                profile.plot(
                    middle, (n[usable] / first[usable]), marker=marker, ms=4, lw=1.1,
                    color=SHADES[shade % len(SHADES)], label=f"{name}, {pixels:g} px",
                )  # fmt: skip
    profile.set_xscale("log")
    if profile.lines:
        style.plain_ticks(profile.xaxis)
    density.set_ylim(bottom=0)
    density.set_xlabel("growth of the mask (px)")
    purity.set_xlabel("growth of the mask (px)")
    profile.set_xlabel("distance from the centre (arcsec)")
    for axes in (density, purity, profile):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(
                frameon=False,
                fontsize=style.SMALL - 1,
                labelcolor=style.INK,
                ncols=2 if axes is profile else 1,
            )
    return figure
