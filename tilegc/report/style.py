"""Style of all figures: colours, sizes and fonts in one place.

Figures are drawn with matplotlib's objects (no pyplot, no global state), so that one process can draw several reports
at once. The colours are those of Okabe & Ito, which colour-blind readers can distinguish; whatever differs in colour
also differs in shape or line style.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from tilegc.schema import Bit

__all__ = [
    "BITS",
    "BLUE",
    "DPI",
    "FAINT",
    "GREEN",
    "INK",
    "MARKERS",
    "ORANGE",
    "PURPLE",
    "SKY",
    "SMALL",
    "TEXT",
    "VERMILLION",
    "WIDE",
    "colour_bar",
    "colour_map",
    "dressed",
    "finish",
    "legend",
    "log_panel",
    "map_legend",
    "map_panel",
    "measured",
    "panel",
    "pdf",
    "plain_ticks",
    "png",
]

Floats = NDArray[np.float64]

INK: Final = "#1f2328"
FAINT: Final = "#8b929a"
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
    Bit.ARC: ("arc", VERMILLION),
}
"""Name and colour of every mask bit; a later one is drawn over an earlier one."""

MARKERS: Final = (("o", BLUE), ("s", VERMILLION), ("D", GREEN), ("^", PURPLE), ("v", ORANGE))
"""Marker and colour of the fields, in run-file order, repeated if there are more."""

MAP: Final = 5.4
"""Width of a map in inches: two fit side by side on a page, one fills a phone."""
WIDE: Final = (7.0, 5.0)
"""Width and height of a diagram in inches."""
LEFT, RIGHT, BOTTOM, TOP = 0.72, 0.14, 1.5, 0.36
"""Margins of a map in inches, the same for all, so that neighbours on the page are aligned; the lower margin contains
colour bar and legend."""
DPI: Final = 170

COLUMN, PAGE = 88.0, 180.0
"""Widths in mm of a column and of a page of a journal: a map takes a column, a diagram the page."""

TEXT: Final = 10.5
SMALL: Final = 9.0
"""Font sizes in points."""
_LETTERING: Final[dict[str, Any]] = {
    "frameon": False,
    "fontsize": SMALL,
    "labelcolor": INK,
    "handletextpad": 0.5,
    "columnspacing": 1.3,
}


def panel(title: str, size: tuple[float, float] = WIDE) -> tuple[Figure, Axes]:
    """Return a figure with one diagram and its title, to be completed and passed to `png`.

    Parameters
    ----------
    title : str
        Title, above the diagram and aligned to the left.
    size : tuple of float
        Width and height in inches.
    """
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
    return figure, dressed(figure.add_subplot(), title)


def log_panel(title: str) -> tuple[Figure, Axes]:
    """Return a wide figure with one diagram and its title, both axes logarithmic."""
    figure, axes = panel(title, WIDE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    return figure, axes


def measured(
    axes: Axes, x: Floats, y: Floats, error: Floats, *, color: str, label: str, **more: Any
) -> Container:
    """Draw points with error bars on a logarithmic axis; an error that reaches zero has no lower end."""
    options: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5.5, "color": color, "zorder": 4} | more
    return axes.errorbar(
        x,
        y,
        yerr=(np.minimum(error, 0.999 * y), error),
        **options,
        elinewidth=1.1,
        capsize=2.5,
        label=label,
    )


def finish(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """Finish a diagram with logarithmic axes: plain tick labels and a legend. Data and limits must be set."""
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    legend(figure, axes.get_legend_handles_labels()[0], columns)


def map_panel(title: str, aspect: float = 1.0) -> tuple[Figure, Axes]:
    """Return a figure with one map and its title; the axes have the same position in all figures.

    Parameters
    ----------
    title : str
        Title, above the map.
    aspect : float
        Height of the map divided by its width; the height of the figure follows from it, within limits.
    """
    inner = MAP - LEFT - RIGHT
    height = inner * min(max(aspect, 0.35), 1.6)
    total = height + BOTTOM + TOP
    figure = Figure(figsize=(MAP, total), dpi=DPI, facecolor="white")
    return figure, dressed(figure.add_axes((LEFT / MAP, BOTTOM / total, inner / MAP, height / total)), title)


def dressed(axes: Axes, title: str) -> Axes:
    """Set title, ticks and fonts of the axes, and return them."""
    axes.set_title(title, loc="left", fontsize=TEXT + 0.5, color=INK, fontweight="bold")
    axes.tick_params(
        which="both", labelsize=SMALL, color=FAINT, labelcolor=INK, direction="in", top=True, right=True
    )
    for spine in axes.spines.values():
        spine.set_color(FAINT)
        spine.set_linewidth(0.8)
    axes.xaxis.label.set(fontsize=TEXT, color=INK)
    axes.yaxis.label.set(fontsize=TEXT, color=INK)
    return axes


def legend(figure: Figure, handles: Sequence[Artist | Container], columns: int = 3) -> None:
    """Put a legend below a diagram, where it hides nothing; none without handles."""
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), **_LETTERING
        )


def map_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend below a map and its colour bar, if any; none without handles."""
    if handles:
        height = figure.get_size_inches()[1]
        top = 0.3 if len(figure.axes) > 1 else BOTTOM - 0.58
        figure.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, top / height),
            borderaxespad=0.0,
            ncols=_columns([str(handle.get_label()) for handle in handles]),
            handlelength=1.7,
            **_LETTERING,
        )


def _columns(labels: Sequence[str]) -> int:
    """Return the number of legend columns that fit under a map: matplotlib fills it column by column."""
    widths = [0.5 + 0.068 * len(label) for label in labels]  # inches: the marker, and letters of size SMALL
    for columns in range(len(widths), 1, -1):
        rows = math.ceil(len(widths) / columns)
        total = sum(max(widths[first : first + rows]) for first in range(0, len(widths), rows))
        if total <= MAP - 0.1:
            return columns
    return 1


def colour_bar(figure: Figure, drawn: ScalarMappable, label: str) -> None:
    """Add a colour bar below a map, with its quantity and unit."""
    width, height = figure.get_size_inches()
    inner = width - LEFT - RIGHT
    bar_axes = figure.add_axes((LEFT / width, (BOTTOM - 0.72) / height, inner / width, 0.12 / height))
    bar = figure.colorbar(drawn, cax=bar_axes, orientation="horizontal")
    if isinstance(drawn.norm, LogNorm):
        plain_ticks(bar_axes.xaxis)
    bar.set_label(label, fontsize=SMALL, color=INK, labelpad=2)
    bar_axes.tick_params(which="both", labelsize=SMALL, color=FAINT, labelcolor=INK, pad=2)
    for spine in bar_axes.spines.values():
        spine.set_visible(False)


def plain_ticks(axis: Axis) -> None:
    """Label a logarithmic axis 0.5, 1, 2 rather than with powers of ten, as densely as there is room."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    if decades < 0.8:
        axis.set_major_locator(MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,)))
        axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def colour_map(name: str, missing: str = "white") -> Colormap:
    """Return a named colour map that shows missing data in the colour `missing`."""
    return colormaps[name].with_extremes(bad=missing)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG. It contains no date or version, so the same drawing gives the same bytes."""
    buffer = io.BytesIO()
    # `savefig` would compute the layout and visit all artists a second time before drawing.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """Return the figure as PDF at the width of a journal's column (maps) or page; no date, the same bytes each time.

    The page is scaled as a whole: with another size of the figure, text and lines would keep theirs and overlap.
    """
    # Reports have PNG figures unless PDF is asked for, and this backend with its fonts takes a second to import.
    from matplotlib.backends.backend_mixed import MixedModeRenderer  # noqa: PLC0415
    from matplotlib.backends.backend_pdf import Op, PdfFile, RendererPdf  # noqa: PLC0415

    width, height = figure.get_size_inches()
    scale = (COLUMN if width <= MAP else PAGE) / 25.4 / width
    buffer = io.BytesIO()
    file = PdfFile(buffer, metadata={"CreationDate": None, "Creator": None, "Producer": None})  # type: ignore[no-untyped-call]
    dpi, figure.dpi = figure.dpi, 72.0
    try:
        file.newPage(scale * width, scale * height)  # type: ignore[no-untyped-call]
        file.width, file.height = width, height  # marks beyond these would not be drawn
        file.output(scale, 0, 0, scale, 0, 0, Op.concat_matrix)  # type: ignore[no-untyped-call]
        page = RendererPdf(file, 72, height, width)  # type: ignore[no-untyped-call]
        renderer: Any = MixedModeRenderer(figure, width, height, 72, page)  # type: ignore[no-untyped-call]
        figure.draw(renderer)
        renderer.finalize()
        file.finalize()  # type: ignore[no-untyped-call]
    finally:
        figure.dpi = dpi
        file.close()  # type: ignore[no-untyped-call]
    return buffer.getvalue()
