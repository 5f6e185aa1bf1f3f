"""The point-spread functions that `recipe: calibrated` filters with, band by band."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from astropy.io import fits
from matplotlib.artist import Artist
from matplotlib.colors import LogNorm
from matplotlib.container import Container
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.reading import Material
from tilegc.schema import FILES

__all__ = ["images"]

FAINTEST: Final = 1e-4
"""Lower end of the colour scale relative to the peak."""

LINES: Final = (style.BLUE, style.GREEN, style.ORANGE, style.VERMILLION, style.PURPLE, style.SKY)

REACH: Final = 0.5
"""Radius in arcsec at which images and profiles end."""

PANEL: Final = 1.75
"""Side of an image in inches."""

Floats = NDArray[np.float64]


def images(material: Material) -> Drawing | None:
    """Draw the PSF of every field and band next to its profile; None for `recipe: diego2026`, which uses none."""
    if material.config.recipe != "calibrated":
        return None
    fields = [name for name in material.fields if material.summary["fields"][name]["psf"]]
    columns = max((len(material.summary["fields"][name]["psf"]) for name in fields), default=0)
    if not columns:
        return None
    size = (PANEL * columns + 3.4, (PANEL + 0.55) * len(fields) + 0.7)
    figure = Figure(figsize=size, dpi=style.DPI, facecolor="white", layout="constrained")
    panels = figure.subplots(len(fields), columns + 1, squeeze=False, width_ratios=[1.0] * columns + [1.5])
    norm, colours, shown = LogNorm(FAINTEST, 1.0), style.colour_map("magma", "black"), None
    for row, name in enumerate(fields):
        bands = material.summary["fields"][name]["psf"]
        profile = style.dressed(panels[row, -1], f"Field {name}: profiles")
        handles: list[Artist | Container] = []
        for axes, (number, (band, information)) in zip(panels[row], enumerate(bands.items()), strict=False):
            values, scale = _read(material, name, band)
            side = values.shape[0] * scale / 2
            style.dressed(axes, band)
            shown = axes.imshow(
                np.maximum(values, FAINTEST / 10),
                origin="lower",
                norm=norm,
                cmap=colours,
                interpolation="nearest",
                extent=(-side, side, -side, side),
            )
            axes.set(xlim=(-min(side, REACH), min(side, REACH)), ylim=(-min(side, REACH), min(side, REACH)))
            stars = (
                f"{information['n_stars']} stars"
                if information["origin"] == "stars"
                else information["origin"]
            )
            axes.set_xlabel(stars, fontsize=style.SMALL)
            radius, mean = _profile(values)
            handles += profile.plot(
                radius * scale,
                mean,
                color=LINES[number % len(LINES)],
                ls=("-", "--", "-.", ":")[number % 4],
                lw=1.4,
                label=f"{band}: FWHM {information['fwhm_arcsec']:.3f}″"
                if information["fwhm_arcsec"]
                else band,
            )
        for axes in panels[row, len(bands) : columns]:
            axes.set_axis_off()
        profile.set_yscale("log")
        profile.set(ylim=(FAINTEST, 1.5), xlim=(0, REACH))
        profile.set_xlabel("arcsec")
        profile.legend(handles=handles, fontsize=style.SMALL - 1.5, frameon=False)
    assert shown is not None
    bar = figure.colorbar(
        shown, ax=panels[:, :columns].ravel().tolist(), location="bottom", shrink=0.5, aspect=40
    )
    bar.set_label("relative to the peak", fontsize=style.SMALL, color=style.INK)
    bar.ax.tick_params(which="both", labelsize=style.SMALL)
    words = (
        "The point-spread functions with which the bands are filtered, in arcsec, and their azimuthal means. Measured "
        "PSFs are medians of the brightest isolated point sources; negative values have the colour of the faintest."
    )
    return Drawing("psf", figure, words, wide=True)


def _read(material: Material, field: str, band: str) -> tuple[Floats, float]:
    """Return a PSF relative to its peak, and its pixel scale in arcsec."""
    content = (material.run.path / FILES.psf / f"{field}_{band}.fits").read_bytes()
    with fits.open(io.BytesIO(content)) as hdus:
        values = np.asarray(hdus[0].data, np.float64)
        return values / values.max(), float(hdus[0].header["PIXSCL"])


def _profile(values: Floats) -> tuple[Floats, Floats]:
    """Return radius in pixels and azimuthal mean of a PSF in rings one pixel wide."""
    middle = (values.shape[0] - 1) / 2
    y, x = np.indices(values.shape) - middle
    ring = np.rint(np.hypot(y, x)).astype(int)
    count = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), values.ravel()) / count
    rings = np.arange(int(middle) + 1)
    return rings.astype(np.float64), mean[rings]
