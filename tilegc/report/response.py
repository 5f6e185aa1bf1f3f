"""How photometry answers artificial stars: measured against true fluxes, and pulls."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.container import Container
from matplotlib.figure import Figure

from tilegc.io.tables import read_ecsv
from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.reading import Material, rows_of
from tilegc.schema import FILES

__all__ = ["responses"]


def responses(material: Material) -> Drawing | None:
    """Draw bias, scatter and pulls of the central field's fluxes against magnitude; None without measured stars."""
    path = material.run.path / FILES.response
    if not path.exists():
        return None
    names = ("field", "band", "r_lo", "r_hi", "mag_lo", "mag_hi", "bias", "bias_err", "scatter", "pull_width")
    table = rows_of(read_ecsv(path), *names)
    rows = (table["field"].astype(str) == material.central) & (table["r_lo"] == 0) & np.isinf(table["r_hi"])
    if not rows.any():
        return None
    figure = Figure(figsize=(style.WIDE[0], 0.75 * style.WIDE[1]), layout="constrained")
    left, right = figure.subplots(1, 2)
    style.dressed(left, f"Field {material.central}: measured over true flux")
    style.dressed(right, "Pulls")
    handles: list[Artist | Container] = []
    for number, band in enumerate(dict.fromkeys(table["band"][rows].astype(str))):
        some = rows & (table["band"].astype(str) == band)
        marker, colour = style.MARKERS[number % len(style.MARKERS)]
        middle = (table["mag_lo"][some] + table["mag_hi"][some]) / 2
        bias, scatter = 1 + table["bias"][some], table["scatter"][some]
        line = {"color": colour, "marker": marker, "ms": 4, "lw": 1.2}
        handles.append(
            left.errorbar(middle, bias, yerr=table["bias_err"][some], label=band, elinewidth=0.8, **line)
        )
        left.fill_between(middle, bias - scatter, bias + scatter, color=colour, alpha=0.1, lw=0)
        right.plot(middle, table["pull_width"][some], **line)
    for axes in (left, right):
        axes.axhline(1.0, color=style.FAINT, lw=0.8, zorder=0)
        axes.set_xlabel("true AB magnitude")
    left.set_ylabel("median ratio; shaded: central 68 %")
    left.set_ylim(0.6, 1.6)
    right.set_ylabel("width of (measured − true) / error")
    right.set_ylim(0, 2)
    style.legend(figure, handles, columns=4)
    words = (
        "Artificial stars that the run recovers, measured as sources are. Near the limit those that noise or "
        "neighbours brighten are found more often, which makes the median ratio larger than 1. Pulls of 1 mean that "
        "the errors of the catalogue are right."
    )
    return Drawing("response", figure, words, wide=True)
