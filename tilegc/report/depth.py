"""How deep the catalogue is: completeness against magnitude, from artificial stars."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from astropy.io import fits
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.container import Container

from tilegc.completeness.curves import LEVELS, curve
from tilegc.completeness.recovery_map import CELL
from tilegc.detection.noise.local_noise import ZONES
from tilegc.geometry import Box
from tilegc.io.tables import read_parquet
from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import plain
from tilegc.report.places import show, sky_axes
from tilegc.report.reading import Material, rows_of
from tilegc.run_folder.layout import map_name
from tilegc.schema import COMPLETENESS_MAP, FILES, StarFlag

__all__ = ["completeness", "completeness_map", "depth_of"]

NAMES: Final = ("deep", "usual", "shallow")
"""Zones of noise, as in `tilegc.detection.noise.local_noise.ZONES`."""

STYLES: Final = (":", "-", "--")

FEWEST: Final = 300
"""Stars of a zone from which its curve is drawn."""


def depth_of(summary: dict[str, Any]) -> Markup:
    """Return the depth of every field as a sentence; empty without artificial stars."""
    texts = []
    for name, field in summary["fields"].items():
        known = {
            band: found["m50"]
            for band, found in (field.get("depth") or {}).items()
            if found["m50"] is not None
        }
        if known:
            magnitudes = ", ".join(f"{band} {plain(value, 4)}" for band, value in known.items())
            texts.append(f"{magnitudes} in field {name}")
    if not texts:
        return Markup("")
    return Markup("Half of the point sources are detected at AB magnitude <b>{}</b>.").format(
        "; ".join(texts)
    )


def completeness(material: Material) -> Drawing | None:
    """Draw completeness against magnitude by field and zone of noise; None without artificial stars."""
    path = material.run.path / FILES.artificial
    if not path.exists():
        return None
    table = rows_of(read_parquet(path), "field", "mag_in", "recovered", "q", "noise", "flags")
    good = (table["flags"] & StarFlag.ON_MASK) == 0
    figure, axes = style.panel("Completeness", style.WIDE)
    handles: list[Artist | Container] = []
    for number, field in enumerate(material.fields):
        rows = good & (table["field"].astype(str) == field)
        if rows.sum() < FEWEST:
            continue
        _, colour = style.MARKERS[number % len(style.MARKERS)]
        noise = table["noise"]
        zone = np.searchsorted(np.array(ZONES) * np.median(noise[rows]), noise, side="right")
        for which, name in enumerate(NAMES):
            some = rows & (zone == which)
            if some.sum() < FEWEST:
                continue
            found = curve(table["mag_in"][some], table["recovered"][some].astype(bool), 1 / table["q"][some])
            known = found.count > 0
            handles.append(
                axes.errorbar(
                    found.magnitude[known],
                    found.recovered[known],
                    yerr=found.error[known],
                    color=colour,
                    ls=STYLES[which],
                    lw=1.4,
                    elinewidth=0.8,
                    label=f"field {field}: {name} noise",
                )
            )
    if not handles:
        return None
    for level in LEVELS:
        axes.axhline(level, color=style.FAINT, lw=0.6, alpha=0.5, zorder=0)
    axes.set_ylim(-0.02, 1.05)
    axes.set_xlabel("AB magnitude (flat spectrum)")
    axes.set_ylabel("completeness")
    style.legend(figure, handles, columns=3)
    words = (
        "Fraction of artificial stars that the run recovers. They are added one at a time, and weighted to be uniform "
        "over the unmasked area. Crowding keeps it below 1 even for bright sources. Lines: 50, 80 and 90 per cent."
    )
    return Drawing("completeness", figure, words, wide=True)


def completeness_map(material: Material, field: str) -> Drawing | None:
    """Draw where a field is complete at one magnitude; None without artificial stars."""
    path = material.run.path / map_name(field, COMPLETENESS_MAP)
    if not path.exists():
        return None
    with path.open("rb") as file, fits.open(file) as images:
        header, values = images[0].header, np.array(images[0].data, np.float64)
    if not np.isfinite(values).any():
        return None
    at = material.places[field]
    figure, axes = style.map_panel(f"Field {field}: completeness", at.aspect)
    drawn = show(
        axes,
        at,
        values,
        Box(0, 0, values.shape[0] * CELL, values.shape[1] * CELL),
        vmin=0.0,
        vmax=1.0,
        cmap=style.colour_map("viridis", "#e8eaed"),
        interpolation="nearest",
    )
    sky_axes(axes, at.bounds, material.kpc_per_arcsec)
    style.colour_bar(figure, drawn, f"completeness at AB magnitude {header['MAG']:.2f}")
    words = (
        f"Fraction of point sources of AB magnitude {header['MAG']:.2f} (flat spectrum) that the run detects, from "
        f"{header['NSTARS']:,} artificial stars within half a magnitude: a function of the noise, corrected by the "
        f"nearby stars with a Gaussian of {header['SMOOTH']:.2g} arcsec. Grey: masked."
    )
    return Drawing(f"completeness-{field}", figure, words)
