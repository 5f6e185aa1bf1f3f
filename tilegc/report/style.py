"""How every figure looks: colours, sizes and lettering in one place.

Figures are drawn with matplotlib's objects alone (no pyplot, no global state), so that several reports may be
drawn by one process at once. Colours are those of Okabe & Ito, which colour-blind readers can tell apart; what
differs in colour differs in shape or line style as well.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from tilegc.schema import Bit

__all__ = [
    "BITS",
    "BLUE",
    "FAINT",
    "GREEN",
    "INK",
    "MARKERS",
    "ORANGE",
    "PANEL",
    "PURPLE",
    "SKY",
    "SMALL",
    "VERMILLION",
    "WIDE",
    "colour_bar",
    "colour_map",
    "legend",
    "panel",
    "png",
]

INK: Final = "#1f2328"
FAINT: Final = "#8b929a"
HAIR: Final = "#d5d9de"
BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#F0E442"

BITS: Final = {
    Bit.NO_DATA: ("no data", "#c9ced4"),
    Bit.EDGE: ("edge", SKY),
    Bit.BRIGHT: ("bright", ORANGE),
    Bit.EXTENDED: ("extended", PURPLE),
    Bit.SPIKE: ("spike", YELLOW),
    Bit.REGION: ("region", GREEN),
}
"""Name and colour of every bit of the mask, in the order in which a later one covers an earlier one."""

MARKERS: Final = (("o", BLUE), ("s", VERMILLION), ("D", GREEN), ("^", PURPLE), ("v", ORANGE))
"""Marker and colour of the fields, in run-file order, again from the start after the last."""

PANEL: Final = (5.4, 5.3)
"""Width and height of a map, inches: two stand side by side on a page, one fills a phone."""
WIDE: Final = (7.0, 5.0)
"""Of a diagram."""
DPI: Final = 170

TEXT: Final = 10.5
SMALL: Final = 9.0


def panel(title: str, size: tuple[float, float] = PANEL) -> tuple[Figure, Axes]:
    """Return a figure of one diagram with its title, to be filled and given to `png`.

    Parameters
    ----------
    title : str
        Stands above the diagram, to the left.
    size : tuple of float
        Width and height, inches.
    """
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=TEXT + 0.5, color=INK, fontweight="bold")
    axes.tick_params(which="both", labelsize=SMALL, color=FAINT, labelcolor=INK, direction="in", top=True, right=True)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
        spine.set_linewidth(0.8)
    axes.xaxis.label.set(fontsize=TEXT, color=INK)
    axes.yaxis.label.set(fontsize=TEXT, color=INK)
    return figure, axes


def legend(figure: Figure, handles: Sequence[Artist], columns: int = 3) -> None:
    """Put a legend under the diagram, where it covers nothing; without handles there is none."""
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), frameon=False,
            fontsize=SMALL, labelcolor=INK, handletextpad=0.5, columnspacing=1.4,
        )  # fmt: skip


def colour_bar(figure: Figure, axes: Axes, drawn: ScalarMappable, label: str) -> None:
    """Add a colour bar with its quantity and unit."""
    bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.02)
    bar.set_label(label, fontsize=TEXT, color=INK)
    bar.ax.tick_params(which="both", labelsize=SMALL, color=FAINT, labelcolor=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]  (matplotlib declares it an Axes' spines)


def colour_map(name: str, missing: str = "white") -> Colormap:
    """Return a colour map of this name that shows missing data in the colour `missing`."""
    return colormaps[name].with_extremes(bad=missing)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG: the same drawing gives the same bytes, as no date or version is in them."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
