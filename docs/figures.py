"""Compose the figure of the README from the folder of a finished run.

    python docs/figures.py RUN_DIR [PNG]        (default: docs/figures/demo.png)

Three panels: the middle of the mosaic with its mask and sources; the density of the sources of that field with the
contours of the convergence; convergence against density in boxes. Drawn with the parts that the report is made of.
The figure in the repository is of `tilegc simulate --preset as1063`, seed 1, run as it comes.
"""

# ruff: noqa: INP001  (a script, which says what it wrote)

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullFormatter
from palette import write_png

import tilegc
from tilegc.geometry import Box
from tilegc.report import style
from tilegc.report.maps import decades
from tilegc.report.places import show, sky_axes
from tilegc.report.reading import Material, Picture, block_means, column
from tilegc.schema import Bit

TARGET = Path(__file__).parent / "figures" / "demo.png"
SIZE = (13.2, 4.75)
"""Inches."""
DPI = 140
KAPPA = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
"""Contours."""
SIDE = 9.0
"""Of the close-up, arcsec."""
BITS = (Bit.EDGE, Bit.BRIGHT, Bit.EXTENDED, Bit.REGION)


def compose(material: Material) -> Figure:
    """Return the figure of one run."""
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    left, middle, right = (figure.add_axes((x, 0.205, 0.262, 0.73)) for x in (0.046, 0.383, 0.727))
    mosaic(material, left)
    density(material, middle, figure)
    relation(material, right)
    for axes, title in (
        (left, "1   Core of the mosaic: sources, mask"),
        (middle, "2   Density of sources, contours of κ"),
        (right, "3   Convergence against density"),
    ):
        axes.set_title(title, loc="left", fontsize=11, color=style.INK, fontweight="bold")
        axes.tick_params(which="both", direction="in", top=True, right=True, labelsize=8.5, color=style.FAINT)
        axes.xaxis.label.set_fontsize(9.5)
        axes.yaxis.label.set_fontsize(9.5)
        for spine in axes.spines.values():
            spine.set_color(style.FAINT)
    return figure


def mosaic(material: Material, axes: Axes) -> None:
    """Draw the middle of the mosaic pixel for pixel: summed bands in grey, mask in colours, sources as rings."""
    at, field = material.places[material.central], material.central
    # An upright piece of sky needs a larger piece of a turned mosaic.
    box = at.window(0.0, 0.0, SIDE * float(np.abs(at.matrix[0, :2]).sum()) / at.scale)
    window = (
        material.run.field(field)[["light", "mask"]]
        .isel(y=slice(box.y0, box.y1), x=slice(box.x0, box.x1))
        .load()
    )
    light, mask = window["light"].to_numpy(), window["mask"].to_numpy()
    level, top = np.nanpercentile(light, [2, 99.8])
    grey = np.arcsinh((light - level) / (0.02 * (top - level)))
    show(axes, at, grey, box, cmap=style.colour_map("gray_r", "#dfe3e8"), interpolation="antialiased")
    tints = np.zeros((256, 4), np.float32)
    for bit in BITS:
        tints[(np.arange(256) & bit.value) != 0] = to_rgba(style.BITS[bit][1], 0.35)
    show(axes, at, tints[mask], box, interpolation="nearest")
    xi, eta = material.points(material.catalogue, field)
    half = SIDE / 2
    near = (np.abs(xi) < half) & (np.abs(eta) < half)
    axes.plot(xi[near], eta[near], ls="", marker="o", ms=5.5, mfc="none", mec=style.BLUE, mew=0.9)
    sky_axes(axes, (-half, half, -half, half), float(material.summary["cluster"]["kpc_per_arcsec"]))
    ring = Line2D(
        [], [], ls="", marker="o", ms=5, mfc="none", mec=style.BLUE, label=f"source ({near.sum():,} here)"
    )
    used = [bit for bit in BITS if (mask & bit.value).any()]
    patches = [
        Patch(facecolor=style.BITS[bit][1], alpha=0.5, label=f"mask: {style.BITS[bit][0]}") for bit in used
    ]
    _legend(axes, [ring, *patches])


def density(material: Material, axes: Axes, figure: Figure) -> None:
    """Draw the local density, and kappa over it."""
    at, field = material.places[material.central], material.central
    picture = block_means(material.mosaic(field, "density"))
    hidden = (material.censuses[field].picture.values & (Bit.NO_DATA | Bit.EDGE).value) != 0
    values = np.where(hidden, np.nan, picture.values)
    low, high = decades(values[values > 0], 0.02)
    drawn = show(
        axes,
        at,
        np.maximum(values, low),
        _box(picture),
        norm=LogNorm(low, high),
        cmap=style.colour_map("viridis", "#e8eaed"),
        interpolation="nearest",
    )
    sky_axes(axes, at.bounds, float(material.summary["cluster"]["kpc_per_arcsec"]))
    axes.set_ylabel("")
    sky = material.sky
    seen = material.of_sky("n_pixels", field) > 0
    lines = axes.contour(
        sky["xi"],
        sky["eta"],
        np.where(seen, sky["kappa"], np.nan),
        levels=KAPPA,
        colors="white",
        linewidths=1.1,
    )
    axes.clabel(lines, fontsize=8, fmt="%g")
    place = axes.get_position()
    bar = figure.colorbar(
        drawn,
        cax=figure.add_axes((place.x0 + 0.02, 0.077, place.width - 0.04, 0.018)),
        orientation="horizontal",
    )
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= tick <= high]
    bar.ax.xaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.set_xticklabels([f"{tick:g}" for tick in ticks])
    bar.ax.tick_params(labelsize=8.5, pad=2)
    bar.outline.set_visible(False)
    bar.set_label("sources per arcsec²", fontsize=8.5, labelpad=1)


def relation(material: Material, axes: Axes) -> None:
    """Draw boxes, bins and fit, and what was planted."""
    sky, found, truth = material.sky, material.summary["relation"]["boxes"], material.truth
    shown = (sky["box_count"].to_numpy() > 0) & (sky["box_kappa"].to_numpy() > 0)
    n = (sky["box_count"] / sky["box_area"]).to_numpy()[shown]
    kappa = sky["box_kappa"].to_numpy()[shown]
    axes.set(xscale="log", yscale="log", xlabel="n: sources per arcsec²", ylabel="κ (sources at z = 3)")
    side = f"{material.summary['relation']['box_arcsec']:g}"
    boxes = axes.plot(
        n,
        kappa,
        ls="",
        marker=".",
        ms=4,
        mew=0,
        color=style.FAINT,
        alpha=0.6,
        label=f"boxes of {side} × {side} arcsec",
    )
    table = material.relation
    use = (column(table, "bin") >= 0) & (column(table, "n_boxes") >= 5)
    mean, spread = column(table, "kappa_mean")[use], column(table, "kappa_std")[use]
    bins = axes.errorbar(
        column(table, "n_mean")[use],
        mean,
        yerr=(np.minimum(spread, 0.99 * mean), spread),
        ls="",
        marker="o",
        ms=5.5,
        color=style.BLUE,
        elinewidth=1,
        capsize=2,
        label="bins: mean ± scatter",
    )
    span = np.geomspace(n.min(), n.max(), 20)
    handles = [boxes[0], bins]
    for law, colour, line, name in (
        (found, style.BLUE, "-", "fit"),
        (truth, style.VERMILLION, (0, (5, 2)), "planted"),
    ):
        if law is not None and law["index"] is not None:
            label = f"{name}: b = {law['index']:.3f} ± {law['index_err']:.3f}"
            power = law["amplitude"] * span ** law["index"]
            handles += axes.plot(span, power, color=colour, ls=line, lw=1.8, label=label)
    axes.set_xlim(n.min() / 1.1, n.max() * 1.1)
    axes.set_ylim(kappa.min() / 1.2, kappa.max() * 1.2)
    style.plain_ticks(axes.xaxis)
    style.plain_ticks(axes.yaxis)
    _legend(axes, handles, 2)


def _legend(axes: Axes, handles: list[object], columns: int = 5) -> None:
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.115),
        ncols=columns,
        frameon=False,
        fontsize=8.3,
        handletextpad=0.4,
        columnspacing=0.9,
        handlelength=1.5,
        borderaxespad=0,
    )


def _box(picture: Picture) -> Box:
    rows, columns = picture.values.shape
    return Box(0, 0, rows * picture.factor, columns * picture.factor)


def main() -> None:
    """Draw and write the figure."""
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    run = tilegc.open_run(sys.argv[1])
    if run.config.convergence is None:
        sys.exit(f"{run.path}: has no convergence map, which two of the panels show")
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else TARGET
    write_png(compose(Material(run)), target, DPI)


if __name__ == "__main__":
    main()
