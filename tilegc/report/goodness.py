"""Figures and rows on whether the law describes the sources: maps of residuals, cumulative residuals, excesses."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from astropy.io import fits
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import plain
from tilegc.report.reading import Material, rows_of
from tilegc.schema import FILES

__all__ = ["cumulative", "excess_rows", "residual_maps", "verdict"]

LIMIT: Final = 5.0
"""Significance at the ends of the colour bar."""

LIKELY: Final = 0.05
"""Probability up to which an excess is marked in the figure, and the law is said not to describe the sources."""

QUANTITIES: Final = {
    "kappa": "κ",
    "radius": "radius (arcsec)",
    "light": "light of galaxies (mean 1)",
    "angle": "position angle (deg)",
}

MOST: Final = 12
"""Maximum number of rows of the table on the page."""


def _found(material: Material) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (material.summary["relation"] or {}).get("goodness")
    return found


def verdict(material: Material) -> str | None:
    """Return in a sentence or two whether the law describes the sources; None where it was not tested."""
    found = _found(material)
    if found is None:
        return None
    p, clumped = found["p_value"], found["p_value_clumped"]
    worst = found["least_probable"]
    at = QUANTITIES.get(worst["statistic"], "")
    name = (
        f"a trend with {at.partition(' (')[0]}"
        if at
        else f"the largest {worst['statistic']} on {worst['scale_arcsec']:g} arcsec"
    )
    words = (
        f"Of {found['simulated_skies']:,} skies drawn from this law with independent sources, {100 * p:.1f} % have "
        f"residuals as unlikely as these"
    )
    if clumped != p:
        words += f"; of skies that also scatter and clump as the residuals do, {100 * clumped:.1f} %"
    if p > LIKELY:
        return f"{words}. The law describes the sources within their noise."
    less = ", but such clumping explains them" if clumped > LIKELY else ""
    return f"{words}. The least probable residual is {name}{less}."


def residual_maps(material: Material) -> Drawing | None:
    """Draw the significance of the residuals on all scales; None without a law."""
    path = material.run.path / FILES.residual_map
    if _found(material) is None or not path.exists():
        return None
    with path.open("rb") as file, fits.open(file) as images:
        header = images[0].header
        planes = [
            (float(image.name.removeprefix("RESIDUAL")), np.array(image.data, np.float64)) for image in images
        ]
    # The largest scales are not tested in a small field.
    planes = [(scale, values) for scale, values in planes if np.isfinite(values).any()]
    if not planes:
        return None
    side = header["CDELT1"] * 3600.0
    west, south = (0.5 - header["CRPIX1"]) * side, (0.5 - header["CRPIX2"]) * side
    extent = (west, west + header["NAXIS1"] * side, south, south + header["NAXIS2"] * side)
    excesses = rows_of(material.run.excesses, "kind", "xi", "eta", "scale", "p_value")
    figure = Figure(figsize=(10.2, 4.5), dpi=style.DPI, facecolor="white", layout="constrained")
    drawn = None
    panels = figure.subplots(1, len(planes), sharey=True, squeeze=False)[0]
    for axes, (scale, values) in zip(panels, planes, strict=True):
        style.dressed(axes, f"{scale:g} arcsec")
        drawn = axes.imshow(
            values,
            origin="lower",
            extent=extent,
            cmap=style.colour_map("RdBu_r", "#e8eaed"),
            vmin=-LIMIT,
            vmax=LIMIT,
            interpolation="nearest",
        )
        for kind, xi, eta, wide, p in zip(*excesses.values(), strict=True):
            if wide == scale and p <= LIKELY:
                dashes = "-" if kind == "excess" else (0, (3, 2))
                axes.add_patch(Circle((xi, eta), wide / 2, fill=False, ec=style.INK, lw=1.3, ls=dashes))
        axes.set_xlim(extent[1], extent[0])
        axes.set_ylim(extent[2], extent[3])
        axes.set_xlabel("east of the centre (arcsec)")
    panels[0].set_ylabel("north of the centre (arcsec)")
    assert drawn is not None
    bar = figure.colorbar(drawn, ax=panels, orientation="horizontal", shrink=0.5, aspect=40)
    bar.set_label("residual, in Poisson standard deviations", fontsize=style.SMALL, color=style.INK)
    bar.ax.tick_params(labelsize=style.SMALL, color=style.FAINT, labelcolor=style.INK)
    words = (
        "Counts minus the law, smoothed with Gaussians of 5, 10 and 20 arcsec (FWHM). Red: more sources than their κ "
        "gives; blue: fewer. Circles mark places that at most one simulated sky in twenty has anywhere: "
        "full lines for excesses, dashed ones for deficits."
    )
    return Drawing("law-residuals", figure, words, wide=True)


def cumulative(material: Material) -> Drawing | None:
    """Draw residuals summed along kappa, radius, light and angle, with their envelopes; None without a law."""
    if _found(material) is None:
        return None
    names = ("quantity", "value", "residual", "low", "high", "low_clumped", "high_clumped")
    table = rows_of(material.run.cumulative, *names)
    shown = [name for name in QUANTITIES if (table["quantity"].astype(str) == name).any()]
    if not shown:
        return None
    columns = 2
    rows = -(-len(shown) // columns)
    figure = Figure(
        figsize=(style.WIDE[0] + 1.2, 2.7 * rows + 0.5),
        dpi=style.DPI,
        facecolor="white",
        layout="constrained",
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel()[len(shown) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.ravel(), shown, strict=False):
        _curve(
            axes, {key: values[table["quantity"].astype(str) == name] for key, values in table.items()}, name
        )
    for row in panels:
        row[0].set_ylabel("summed residual")
    handles = [
        Line2D([], [], color=style.VERMILLION, lw=1.8, label="sources minus law"),
        Line2D([], [], color=style.BLUE, lw=7, alpha=0.3, label="95 % of simulated skies"),
        Line2D([], [], color=style.FAINT, lw=1.1, ls="--", label="the same with clumping"),
    ]
    style.legend(figure, handles)
    words = (
        "Residuals summed in the order of each quantity, over the root of the expected number of sources. A trend that "
        "the law misses leads the curve out of the band. Clumped skies scatter and clump as the residuals do."
    )
    return Drawing("cumulative-residuals", figure, words, wide=True)


def _curve(axes: Axes, table: dict[str, Any], name: str) -> None:
    style.dressed(axes, "")
    value = table["value"].astype(float)
    axes.fill_between(value, table["low"], table["high"], color=style.BLUE, alpha=0.22, lw=0)
    for edge in ("low_clumped", "high_clumped"):
        axes.plot(value, table[edge], color=style.FAINT, lw=1.1, ls="--")
    axes.plot(value, table["residual"], color=style.VERMILLION, lw=1.8)
    axes.axhline(0.0, color=style.FAINT, lw=0.8)
    if name in ("kappa", "light") and (value > 0).all():
        axes.set_xscale("log")
        if value.max() > 1.01 * value.min():
            style.plain_ticks(axes.xaxis)
    if name == "angle":
        axes.set_xticks(range(0, 361, 90))
    axes.set_xlabel(QUANTITIES[name])


def excess_rows(material: Material) -> list[list[str]]:
    """Return the places with more or fewer sources than the law gives, the least probable first."""
    if _found(material) is None:
        return []
    names = (
        "kind",
        "xi",
        "eta",
        "scale",
        "n_sources",
        "n_expected",
        "kappa",
        "significance",
        "p_value",
        "p_value_clumped",
    )
    table = rows_of(material.run.excesses, *names)
    rows = []
    for kind, xi, eta, scale, n, expected, kappa, height, p, clumped in list(
        zip(*table.values(), strict=True)
    )[:MOST]:
        rows.append(
            [
                str(kind),
                f"{plain(float(xi), 3)}, {plain(float(eta), 3)}",
                f"{scale:g}",
                f"{n:,}",
                plain(float(expected)),
                plain(float(kappa), 2),
                f"{height:.1f}",
                plain(float(p), 2),
                plain(float(clumped), 2),
            ]
        )
    return rows
