"""Compose the figure of masks and detections in docs/decisions/bright-stars.md from the folder of a finished run.

    python docs/mask_figures.py RUN_DIR [PNG]        (default: docs/figures/masks.png)

A piece of the cluster's field and one of the field beside it, pixel for pixel: summed bands in grey, the bits of the
mask in colours, the catalogue as rings. The figure in the repository is of `tilegc simulate --preset small`, seed 1,
run with `mask: {spikes: auto, arcs: auto}`; the pieces are those with most of its stars.
"""

# ruff: noqa: INP001  (a script, which says what it wrote)

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from palette import write_png

import tilegc
from tilegc.report import style
from tilegc.run_folder import Run
from tilegc.schema import Bit

TARGET = Path(__file__).parent / "figures" / "masks.png"
PIECES = {"a": (560, 300), "b": (140, 430)}
"""Lowest row and column of each field's piece."""
SIDE = 600
SIZE = (12.4, 6.75)
"""Inches."""
DPI = 110
BITS = (Bit.EDGE, Bit.NO_DATA, Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE, Bit.REGION)


def compose(run: Run) -> Figure:
    """Return the figure of one run."""
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    used: set[Bit] = set()
    for place, (field, (row, column)) in zip((0.045, 0.535), PIECES.items(), strict=True):
        axes = figure.add_axes((place, 0.12, 0.45, 0.45 * SIZE[0] / SIZE[1]))
        used |= piece(run, axes, field, row, column)
    ring = Line2D([], [], ls="", marker="o", ms=6, mfc="none", mec=style.BLUE, label="source")
    looks = [style.BITS[bit] for bit in BITS if bit in used]
    patches = [Patch(facecolor=colour, alpha=0.6, label=name) for name, colour in looks]
    figure.legend(handles=[ring, *patches], loc="lower center", ncols=7, frameon=False, fontsize=10)
    return figure


def piece(run: Run, axes: Axes, field: str, row: int, column: int) -> set[Bit]:
    """Draw a piece of one field; return the bits that are set in it."""
    rows, columns = slice(row, row + SIDE), slice(column, column + SIDE)
    window = run.field(field)[["light", "mask"]].isel(y=rows, x=columns).load()
    light, mask = window["light"].to_numpy(), window["mask"].to_numpy()
    level, faint = np.nanpercentile(light, [30, 10])
    grey = np.arcsinh((light - level) / (4 * (level - faint)))
    extent = (column - 0.5, column + SIDE - 0.5, row - 0.5, row + SIDE - 0.5)
    axes.imshow(
        grey,
        cmap=style.colour_map("gray_r", "#dfe3e8"),
        vmin=-0.5,
        vmax=4.5,
        origin="lower",
        extent=extent,
        interpolation="antialiased",
    )
    tints = np.zeros((256, 4), np.float32)
    for bit in BITS:
        tints[(np.arange(256) & bit.value) != 0] = to_rgba(style.BITS[bit][1], 0.42)
    axes.imshow(tints[mask], origin="lower", extent=extent, interpolation="nearest")
    found = run.catalogue[run.catalogue["field"] == field]
    y, x = np.asarray(found["y"], float), np.asarray(found["x"], float)
    inside = (y >= row) & (y < row + SIDE) & (x >= column) & (x < column + SIDE)
    axes.plot(x[inside], y[inside], ls="", marker="o", ms=4.0, mfc="none", mec=style.BLUE, mew=0.7)
    share = run.summary["fields"][field]["masked"]["any"]["fraction"]
    axes.set_title(
        f"field {field}: {inside.sum():,} sources here; masks take {100 * share:.1f} % of the field",
        loc="left",
        fontsize=10.5,
        color=style.INK,
    )
    axes.set_xlim(column - 0.5, column + SIDE - 0.5)
    axes.set_ylim(row - 0.5, row + SIDE - 0.5)
    axes.set_xlabel("x (pixels of 30 mas)")
    axes.set_ylabel("y")
    axes.tick_params(direction="in", top=True, right=True, labelsize=8.5, color=style.FAINT)
    return {bit for bit in BITS if (mask & bit.value).any()}


def main() -> None:
    """Draw and write the figure."""
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else TARGET
    write_png(compose(tilegc.open_run(sys.argv[1])), target, DPI)


if __name__ == "__main__":
    main()
