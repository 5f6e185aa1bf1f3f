"""The luminosity function: counts by magnitude against what the fitted function predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.container import Container

from tilegc.io.tables import read_ecsv
from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import plain
from tilegc.report.reading import Material, rows_of
from tilegc.schema import FILES

__all__ = ["functions", "luminosity_of"]


def luminosity_of(summary: dict[str, Any]) -> Markup:
    """Return the luminosity function and the number of clusters as sentences; empty without a function."""
    found = summary.get("luminosity")
    if not found or found["turnover"] is None:
        return Markup("")
    bright, given = found["brighter"], found["assumed"]
    text = Markup("")
    if bright["n"] is not None:
        text = Markup(
            "The searched area contains <b>{} ± {}</b> globular clusters brighter than {} = {} (measured). "
        ).format(plain(bright["n"], 3), plain(bright["n_err"], 2), found["band"], f"{bright['mag']:.2f}")
    text += Markup("Their luminosity function peaks at {} ± {}, with a width of {} ± {} mag{}. ").format(
        f"{found['turnover']:.2f}",
        f"{found['turnover_err']:.2f}",
        f"{found['width']:.2f}",
        f"{found['width_err']:.2f}",
        " (given)" if found["fixed"] else "",
    )
    text += Markup("Extrapolated with this function, there are {} ± {} of all magnitudes").format(
        plain(found["n_total"], 3), plain(found["n_total_err"], 2)
    )
    if given is not None:
        text += Markup(
            "; with a turnover of {} and a width of {} there would be {}, and {} % more per 0.1 mag of turnover"
        ).format(
            f"{given['turnover']:.2f}",
            f"{given['width']:.2f}",
            plain(given["n"], 3),
            f"{10 * given['dlnn_dturnover']:.0f}",
        )
    return text + Markup(".")


def functions(material: Material) -> Drawing | None:
    """Draw counts against magnitude with the expected clusters and background; None without a function."""
    path = material.run.path / FILES.luminosity
    found = material.summary.get("luminosity")
    if not path.exists() or not found or found["turnover"] is None:
        return None
    table = rows_of(
        read_ecsv(path), "outer", "mag_lo", "mag_hi", "area_arcsec2", "n_found", "n_clusters", "n_background"
    )
    figure, axes = style.panel("Luminosity function", style.WIDE)
    edges = np.append(np.unique(table["mag_lo"]), table["mag_hi"].max())
    middle, step = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    handles: list[Artist | Container] = []
    for outer, label, (marker, colour) in (
        (False, "around the cluster", style.MARKERS[0]),
        (True, "in the outer field", style.MARKERS[1]),
    ):
        rows = table["outer"].astype(bool) == outer
        if not rows.any():
            continue
        counts, clusters, others = (
            np.histogram(table["mag_lo"][rows] + step / 2, edges, weights=table[name][rows].astype(float))[0]
            for name in ("n_found", "n_clusters", "n_background")
        )
        some = counts > 0
        handles.append(
            axes.errorbar(
                middle[some],
                counts[some],
                yerr=np.sqrt(counts[some]),
                color=colour,
                marker=marker,
                ls="",
                ms=4,
                elinewidth=0.8,
                label=f"found {label} ({int(counts.sum()):,})",
            )
        )
        handles += axes.plot(middle, clusters + others, color=colour, lw=1.3, label="expected")
        if others.any():
            handles += axes.plot(middle, others, color=colour, lw=1.1, ls=":", label="of these, background")
    axes.set_yscale("log")
    top = axes.get_ylim()[1]
    axes.set_ylim(0.5, top)
    axes.set_xlabel("listed AB magnitude (flat spectrum)")
    axes.set_ylabel(f"sources per {step:g} mag")
    style.legend(figure, handles, columns=3)
    words = (
        f"Sources by listed magnitude, and what a Gaussian luminosity function with its turnover at {found['band']} = "
        f"{found['turnover']:.2f} ± {found['turnover_err']:.2f} and a width of {found['width']:.2f} ± "
        f"{found['width_err']:.2f} mag predicts after detection. Artificial stars give the losses and the shifts of "
        "magnitude by noise and neighbours."
    )
    return Drawing("luminosity", figure, words, wide=True)
