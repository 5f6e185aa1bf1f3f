"""Area removed by the mask in every field, by reason and as a function of radius."""

from __future__ import annotations

from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.container import Container

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import plain, share
from tilegc.report.reading import Material, rows_of
from tilegc.schema import Bit

__all__ = ["HEAD", "against_radius", "area_rows"]

MASKS: Final = (Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE, Bit.REGION, Bit.ARC)
STACKED: Final = (*MASKS, Bit.EDGE)

HEAD: Final = [
    "field",
    "inside the edges (arcsec²)",
    *(style.BITS[bit][0] for bit in MASKS),
    "all masks",
    "good (arcsec²)",
]

GOOD: Final = "#eef0f2"
INNERMOST: Final = 0.3
"""Inner radius in arcsec at which the central annulus is drawn on a logarithmic scale."""
LAST: Final = 1.25
"""Ratio of outer to inner radius with which the open-ended annulus is drawn."""


def _key(bit: Bit) -> str:
    return str(bit.name).lower()


def area_rows(material: Material) -> list[list[str | Markup]]:
    """Return one row per field: the fraction of the area with data, inside the edges, under each mask."""
    rows: list[list[str | Markup]] = []
    for name, field in material.summary["fields"].items():
        areas = field["masked"]
        good = field["good_area_arcsec2"]
        rows.append(
            [
                name,
                plain(good + areas["any"]["arcsec2"], 4),
                *(share(areas[_key(bit)]["fraction"], "no data") for bit in MASKS),
                share(areas["any"]["fraction"], "no data"),
                plain(good, 4),
            ]
        )
    return rows


def against_radius(material: Material, field: str) -> Drawing | None:
    """Draw the fraction of the area with data that each mask takes in annuli; None if there are no data."""
    names = ("field", "r_lo", "r_hi", "data_arcsec2", "good_arcsec2")
    table = rows_of(material.run.masked, *names, *(f"{_key(bit)}_own_arcsec2" for bit in STACKED))
    rows = table["field"].astype(str) == field
    if not rows.any():
        return None
    low, high = np.maximum(table["r_lo"][rows], INNERMOST), table["r_hi"][rows]
    high = np.where(np.isfinite(high), high, LAST * low)
    data = table["data_arcsec2"][rows]
    figure, axes = style.panel(f"Masked area against radius, field {field}", style.WIDE)
    axes.set_xscale("log")
    layers = [("good", GOOD, table["good_arcsec2"][rows] / data)]
    layers += [(*style.BITS[bit], table[f"{_key(bit)}_own_arcsec2"][rows] / data) for bit in STACKED]
    floor = np.zeros(len(data))
    handles: list[Artist | Container] = []
    for label, colour, part in layers:
        if part.any():
            handles.append(
                axes.bar(
                    low, part, high - low, floor, align="edge", color=colour, lw=0, label=label, zorder=2
                )
            )
        floor += part
    for radius in np.unique([low, high]):
        axes.axvline(radius, color="white", lw=0.4, zorder=3)
    axes.set_ylim(0, 1)
    axes.set_xlim(low.min(), high.max())
    axes.set_xlabel("distance from the centre (arcsec)")
    axes.set_ylabel("fraction of the area with data")
    style.plain_ticks(axes.xaxis)
    style.legend(figure, handles, columns=7)
    return Drawing(
        f"masked-{field}",
        figure,
        f"Fraction of field {field} that each mask removes, in annuli around the "
        f"{'cluster centre' if material.config.cluster.known else 'middle of all fields'}. A pixel with several "
        "bits counts for the last of bright, extended, spike, region and arc; near missing data all count as edge. The "
        "outermost annulus is open-ended.",
        wide=True,
    )
