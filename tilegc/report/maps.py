"""Maps of a field: mosaic, detections, inpainted sources, density and its error (after Diego et al. 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.places import circle, show, sky_axes
from tilegc.report.reading import Material, block_means, column
from tilegc.schema import Bit

__all__ = ["APERTURE", "core", "decades", "density", "errors", "mosaic", "sources"]

APERTURE: Final = 60.0
"""Radius in arcsec of the aperture for which masses are given."""

CORE: Final = 10.0
"""Side of the close-up in arcsec."""


def mosaic(material: Material, field: str) -> Drawing:
    """Draw the summed bands of a field with its mask in colour and its detections."""
    at = material.places[field]
    figure, axes = style.map_panel(f"Field {field}: mosaic, mask and detections", at.aspect)
    picture = block_means(material.mosaic(field, "light"))
    box = _covered(picture.values.shape, picture.factor)
    low, high = _range(picture.values)
    show(
        axes,
        at,
        _stretch(picture.values, low, high),
        box,
        cmap=style.colour_map("gray_r"),
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    used = _overlay(material, field, axes)
    xi, eta = material.points(material.catalogue, field)
    axes.plot(xi, eta, ls="", marker=".", ms=_dot(xi.size), mew=0, color=style.BLUE, alpha=0.7, zorder=5)
    sky_axes(axes, at.bounds, _kpc(material))
    handles: list[Line2D | Patch] = [_dots(style.BLUE, f"detected ({xi.size:,})")]
    handles += [Patch(facecolor=style.BITS[bit][1], alpha=0.75, label=style.BITS[bit][0]) for bit in used]
    style.map_legend(figure, handles)
    return Drawing(
        f"mosaic-{field}",
        figure,
        "Sum of the bands (grey, asinh stretch, averaged to the size of the page), with the catalogued sources "
        "and the mask: no peak is recorded under a coloured area.",
    )


def core(material: Material) -> Drawing:
    """Draw the detection map around the cluster centre at full resolution, with the catalogued sources."""
    field = material.central
    at = material.places[field]
    # A square aligned with north needs a larger cutout of a rotated mosaic.
    turned = float(np.abs(at.matrix[0, :2]).sum()) / at.scale
    box = at.window(0.0, 0.0, CORE * turned)
    figure, axes = style.map_panel(f"Field {field}: detection map, close-up", at.aspect)
    dataset = material.run.field(field)
    values = dataset["detection"].isel(y=slice(box.y0, box.y1), x=slice(box.x0, box.x1)).to_numpy()
    mask = dataset["mask"].isel(y=slice(box.y0, box.y1), x=slice(box.x0, box.x1)).to_numpy()
    threshold = material.summary["fields"][field]["threshold"]
    keep = (threshold or 0.0) * material.config.detect.keep
    top = 2 * keep if keep > 0 else float(np.nanmax(np.abs(values), initial=1.0))
    drawn = show(
        axes,
        at,
        values,
        box,
        cmap=style.colour_map("gray_r", "#c9ced4"),
        vmin=-top / 2,
        vmax=top,
        interpolation="nearest",
    )
    bits = [bit for bit in style.BITS if bit is not Bit.NO_DATA and (mask & bit.value).any()]
    show(axes, at, _tints(mask, bits, 0.35), box, interpolation="nearest")
    xi, eta = material.points(material.catalogue, field)
    wide = at.bounds_of(box)
    middle = (wide[0] + wide[1]) / 2, (wide[2] + wide[3]) / 2
    across, along = (
        min(length, wide[k + 1] - wide[k]) / 2 for k, length in ((0, CORE), (2, CORE * min(at.aspect, 1.0)))
    )
    bounds = (middle[0] - across, middle[0] + across, middle[1] - along, middle[1] + along)
    near = (xi > bounds[0]) & (xi < bounds[1]) & (eta > bounds[2]) & (eta < bounds[3])
    axes.plot(xi[near], eta[near], ls="", marker="o", ms=7, mfc="none", mec=style.BLUE, mew=1.0)
    sky_axes(axes, bounds, _kpc(material))
    style.colour_bar(figure, drawn, "detection map (nJy per pixel)")
    ring = Line2D(
        [], [], ls="", marker="o", ms=7, mfc="none", mec=style.BLUE, label=f"detected ({near.sum():,})"
    )
    style.map_legend(
        figure,
        [ring, *(Patch(facecolor=style.BITS[bit][1], alpha=0.5, label=style.BITS[bit][0]) for bit in bits)],
    )
    limit = f"; the faintest recorded peak has {keep:.3g} nJy" if keep else ""
    return Drawing(
        "core",
        figure,
        f"The doubly filtered sum of the bands at full resolution, in the {CORE:g} arcsec around the cluster "
        f"centre{limit}. Each circle is a catalogued source.",
    )


def sources(material: Material, field: str) -> Drawing:
    """Draw the detected sources and one realisation of the inpainted ones."""
    at = material.places[field]
    figure, axes = style.map_panel(f"Field {field}: detected and inpainted sources", at.aspect)
    picture = material.censuses[field].picture
    box = _covered(picture.values.shape, picture.factor)
    grey = np.where(picture.values == 0, 1.0, np.where(picture.values & Bit.NO_DATA.value, 0.72, 0.9))
    show(axes, at, grey, box, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    table = material.inpainted
    first = table[column(table, "realisation") == 0]
    xi, eta = material.points(material.catalogue, field)
    filled_xi, filled_eta = material.points(first, field)
    dot = _dot(max(xi.size, filled_xi.size))
    axes.plot(xi, eta, ls="", marker=".", ms=dot, mew=0, color=style.BLUE, zorder=4)
    axes.plot(filled_xi, filled_eta, ls="", marker=".", ms=dot, mew=0, color=style.VERMILLION, zorder=5)
    handles: list[Line2D | Patch] = [
        _dots(style.BLUE, f"detected ({xi.size:,})"),
        _dots(style.VERMILLION, f"inpainted ({filled_xi.size:,})"),
        Patch(facecolor="#e5e5e5", label="masked"),
        Patch(facecolor="#b8b8b8", label="no data"),
    ]
    if at.distance(0.0, 0.0) < APERTURE < at.reach():
        circle(axes, APERTURE)
        handles.append(
            Line2D([], [], color=style.VERMILLION, ls=(0, (5, 3)), lw=1.1, label=f"{APERTURE:g} arcsec")
        )
    sky_axes(axes, at.bounds, _kpc(material))
    style.map_legend(figure, handles)
    return Drawing(
        f"sources-{field}",
        figure,
        "Catalogued sources and, in areas hidden by masks, those of one of the "
        f"{material.config.inpaint.realisations} random realisations, drawn from the local density. "
        "The edge of the field is masked but not filled.",
    )


def density(material: Material, field: str) -> Drawing | None:
    """Draw the local density of detected sources; None if it is zero everywhere."""
    picture = block_means(material.mosaic(field, "density"))
    edge = (material.censuses[field].picture.values & (Bit.NO_DATA | Bit.EDGE).value) != 0
    values = np.where(edge, np.nan, picture.values)
    if not (values > 0).any():
        return None
    at = material.places[field]
    figure, axes = style.map_panel(f"Field {field}: density of detected sources", at.aspect)
    box = _covered(values.shape, picture.factor)
    low, high = decades(values[values > 0], 0.02)
    drawn = show(
        axes,
        at,
        np.maximum(values, low),
        box,
        norm=LogNorm(low, high),
        cmap=style.colour_map("viridis", "#e8eaed"),
        interpolation="nearest",
    )
    sky_axes(axes, at.bounds, _kpc(material))
    style.colour_bar(figure, drawn, "sources per arcsec²")
    return Drawing(
        f"density-{field}",
        figure,
        "Catalogued sources per arcsec² of good area, smoothed with a Gaussian of 2 arcsec (or a wider one where "
        "little good area is left). Masked areas are inpainted at this density. The edge is left out.",
    )


def errors(material: Material, field: str) -> Drawing | None:
    """Draw the relative error of the local density; None if there is none."""
    dataset = material.run.field(field)
    if "density_error" not in dataset:
        return None
    picture, scatter = (block_means(material.mosaic(field, name)) for name in ("density", "density_error"))
    edge = (material.censuses[field].picture.values & (Bit.NO_DATA | Bit.EDGE).value) != 0
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(edge | ~(picture.values > 0), np.nan, 100 * scatter.values / picture.values)
    if not np.isfinite(share).any():
        return None
    at = material.places[field]
    figure, axes = style.map_panel(f"Field {field}: error of the density", at.aspect)
    low, high = (min(float(np.nanpercentile(share, part)), 100.0) for part in (1, 99))
    drawn = show(
        axes,
        at,
        share,
        _covered(share.shape, picture.factor),
        vmin=low,
        vmax=high,
        cmap=style.colour_map("cividis", "#e8eaed"),
        interpolation="nearest",
    )
    sky_axes(axes, at.bounds, _kpc(material))
    style.colour_bar(figure, drawn, "error of the density (per cent)")
    return Drawing(
        f"density-error-{field}",
        figure,
        "Poisson error of the density above, in per cent of the density: large where there are few sources or little "
        "good area. The errors of neighbouring pixels are correlated.",
    )


def _kpc(material: Material) -> float:
    return material.kpc_per_arcsec


def _covered(shape: tuple[int, ...], factor: int) -> Box:
    return Box(0, 0, shape[0] * factor, shape[1] * factor)


def _dot(count: int) -> float:
    """Return the size of a dot in points, small enough that a large number of dots still shows a pattern."""
    return float(np.clip(90 / np.sqrt(max(count, 1)), 1.1, 5.0))


def _dots(colour: str, label: str) -> Line2D:
    return Line2D([], [], ls="", marker=".", ms=7, mew=0, color=colour, label=label)


def _range(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return sky level and noise of a picture; 0 and 1 if it is empty."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    middle = float(np.median(finite))
    return middle, 1.4826 * float(np.median(np.abs(finite - middle))) or 1.0


def _stretch(values: NDArray[np.floating], level: float, noise: float) -> NDArray[np.floating]:
    """Scale a picture to 0..1 with an asinh that is linear near the noise."""
    scaled = np.arcsinh((values - level) / (2 * noise))
    finite = scaled[np.isfinite(scaled)]
    top = float(np.percentile(finite, 99.8)) if finite.size else 1.0
    stretched: NDArray[np.floating] = (scaled + 0.7) / (max(top, 1.0) + 0.7)
    return stretched


def _overlay(material: Material, field: str, axes: Axes) -> list[Bit]:
    """Tint the masked pixels, and return the bits that occur."""
    census = material.censuses[field]
    used = [bit for bit in style.BITS if census.bits[bit]]
    tint = _tints(census.picture.values, used, 0.6)
    show(
        axes,
        material.places[field],
        tint,
        _covered(tint.shape, census.picture.factor),
        interpolation="nearest",
    )
    return used


def _tints(mask: NDArray[np.uint8], bits: Sequence[Bit], alpha: float) -> NDArray[np.float32]:
    """Return a mask as RGBA, in the colour of the last of its bits in `bits`; transparent where none is set."""
    table = np.zeros((256, 4), np.float32)
    values = np.arange(256)
    for bit in bits:
        table[(values & bit.value) != 0] = to_rgba(style.BITS[bit][1], alpha)
    tints: NDArray[np.float32] = table[mask]
    return tints


def decades(positive: NDArray[np.floating], least: float) -> tuple[float, float]:
    """Return limits for a logarithmic scale: the faint end, at least `least` times the maximum, and the maximum."""
    if not positive.size:
        return 0.1, 1.0
    high = float(np.percentile(positive, 99.9))
    low = max(float(np.percentile(positive, 1)), least * high)
    return (low, high) if low < high else (0.1 * high, high)
