"""Maps of the kernel sum and the convergence on the sky grid, and their comparison (algorithm.md, section 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.maps import decades
from tilegc.report.numbers import plain
from tilegc.report.places import circle, sky_axes
from tilegc.report.reading import Material

__all__ = ["convergence", "histogram", "kernel_sum", "residual"]

HALF: Final = 0.5
"""Minimum fraction of a cell without mask bits 1 and 2 (algorithm.md, section 9)."""

BINS: Final = 90

LEVELS: Final = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0)
"""Contour levels of kappa and of beta rho."""

OFF: Final = "#e8eaed"
"""Colour of sky that was not observed."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Compared:
    kappa: Floats
    scaled: Floats
    """Scaled kernel sum, beta rho."""
    use: NDArray[np.bool_]
    """Cells from which beta was measured."""


def _beta(material: Material) -> float | None:
    comparison = material.summary["comparison"]
    return comparison["beta"] if comparison else None


def _compared(material: Material) -> _Compared | None:
    """Return both maps on the sky grid; None if beta could not be measured."""
    beta = _beta(material)
    if beta is None:
        return None
    field = material.central
    rho, kappa = material.of_sky("rho", field), material.sky["kappa"].to_numpy()
    pixel = np.atleast_1d(material.sky.attrs["pixel_area_arcsec2"])[material.fields.index(field)]
    area = material.of_sky("n_inside", field) * pixel
    inside = area >= HALF * material.grid.pixel**2
    use = (
        inside
        & np.isfinite(kappa)
        & np.isfinite(rho)
        & (material.radius < material.config.relation.max_radius)
    )
    return _Compared(kappa, beta * rho, use)


def kernel_sum(material: Material) -> Drawing | None:
    """Draw rho with contours of rho and of kappa, at the same levels if beta is known.

    Return None if rho is zero everywhere.
    """
    field = material.central
    values = np.where(material.of_sky("n_pixels", field) > 0, material.of_sky("rho", field), np.nan)
    if not (values > 0).any():
        return None
    unit = f"ρ (arcsec$^{{-{material.config.density.alpha:g}}}$)"
    figure = _sky_map(material, values, f"Field {field}: kernel sum ρ", unit)
    words = "Contours are spaced by factors of two."
    if _beta(material) is not None:
        words = "Contours of β ρ and (labelled) κ are at the same levels: where they coincide, sources follow mass."
    return Drawing(f"rho-{field}", figure, f"Kernel sum of detected and inpainted sources. {words}")


def convergence(material: Material) -> Drawing | None:
    """Draw the convergence map in the area of the central field, with the same contours; None without data."""
    kappa = material.sky["kappa"].to_numpy()
    observed = np.where(material.of_sky("n_pixels", material.central) > 0, kappa, np.nan)
    if not np.isfinite(observed).any() or material.config.convergence is None:
        return None
    reference = material.config.convergence.reference_redshift
    figure = _sky_map(material, observed, "Convergence κ", f"κ for sources at z = {reference:g}")
    return Drawing(
        "kappa", figure, "The convergence map of the run file on the sky grid, with the same contours."
    )


def _sky_map(material: Material, values: Floats, title: str, unit: str) -> Figure:
    at = material.places[material.central]
    figure, axes = style.map_panel(title, at.aspect)
    positive = values[np.isfinite(values) & (values > 0)]
    drawn = axes.imshow(
        np.where(values > 0, values, np.nan),
        origin="lower",
        extent=material.extent,
        norm=LogNorm(*decades(positive, 0.02)),
        cmap=style.colour_map("viridis", OFF),
        interpolation="nearest",
    )
    handles = _contours(material, axes, np.isfinite(values))
    sky_axes(axes, at.bounds, material.kpc_per_arcsec)
    style.colour_bar(figure, drawn, unit)
    style.map_legend(figure, handles)
    return figure


def _contours(material: Material, axes: Axes, shown: NDArray[np.bool_]) -> list[Line2D]:
    """Draw contours of rho and of kappa, and return their handles for the legend."""
    rho = np.where(shown, material.of_sky("rho", material.central), np.nan)
    kappa = np.where(shown, material.sky["kappa"].to_numpy(), np.nan)
    beta = _beta(material)
    xi, eta = material.sky["xi"].to_numpy(), material.sky["eta"].to_numpy()
    top = float(np.nanmax(rho, initial=0.0))
    own: Floats = np.array(LEVELS) / beta if beta else top / 2.0 ** np.arange(5.0, 0.0, -1.0)
    handles = []
    if _crosses(rho, own):
        axes.contour(xi, eta, rho, levels=own, colors=style.ORANGE, linewidths=0.9)
        handles.append(Line2D([], [], color=style.ORANGE, lw=1.6, label="β ρ" if beta else "ρ"))
    if _crosses(kappa, np.array(LEVELS)):
        dashes = [(0, (4, 2))]
        lines = axes.contour(xi, eta, kappa, levels=LEVELS, colors="white", linewidths=1.3, linestyles=dashes)
        axes.clabel(lines, fontsize=style.SMALL - 1.5, fmt="%g")
        handles.append(Line2D([], [], color="#9aa0a6", lw=1.6, ls=dashes[0], label="κ (white)"))
    return handles


def _crosses(values: Floats, levels: Floats) -> bool:
    """Return whether any level lies within the range of the values: drawing absent contours raises a warning."""
    finite = values[np.isfinite(values)]
    return bool(
        finite.size and min(values.shape) > 1 and ((levels > finite.min()) & (levels < finite.max())).any()
    )


def histogram(material: Material) -> Drawing | None:
    """Draw a histogram of kappa against beta rho, cell by cell; None if they could not be compared."""
    compared = _compared(material)
    if compared is None or not compared.use.any():
        return None
    figure, axes = style.map_panel("Convergence against scaled kernel sum")
    x, y = compared.scaled[compared.use], compared.kappa[compared.use]
    low = float(min(x.min(), y.min(), 0.0))
    high = 1.03 * float(np.percentile(np.concatenate([x, y]), 99.95))
    counts, *_ = np.histogram2d(y, x, BINS, ((low, high), (low, high)))
    drawn = axes.imshow(
        np.where(counts > 0, counts, np.nan),
        origin="lower",
        extent=(low, high, low, high),
        norm=LogNorm(1, max(float(counts.max()), 2.0)),
        cmap=style.colour_map("cividis_r"),
        interpolation="nearest",
    )
    axes.plot([low, high], [low, high], color=style.VERMILLION, lw=1.4, ls=(0, (5, 2)))
    axes.set_xlabel("β ρ")
    axes.set_ylabel("κ")
    style.colour_bar(figure, drawn, f"cells of {material.grid.pixel:g} × {material.grid.pixel:g} arcsec")
    style.map_legend(
        figure, [Line2D([], [], color=style.VERMILLION, lw=1.4, ls=(0, (5, 2)), label="κ = β ρ")]
    )
    summary = material.summary["comparison"]
    numbers = [f"β = {plain(summary['beta'])}"]
    numbers += [
        f"{label} {plain(summary[key], 2)}"
        for key, label in (("pearson", "Pearson"), ("spearman", "Spearman"), ("residual_rms", "rms residual"))
        if summary.get(key) is not None
    ]
    return Drawing(
        "comparison",
        figure,
        f"Cells of field {material.central} within {material.config.relation.max_radius:g} arcsec of the centre, "
        f"outside the edge: {', '.join(numbers)}. The factor β is the only fitted parameter.",
    )


def residual(material: Material) -> Drawing | None:
    """Draw the map of kappa - beta rho; None if they could not be compared."""
    compared = _compared(material)
    if compared is None or not compared.use.any():
        return None
    figure, axes = style.map_panel("Residual κ − β ρ")
    left = np.where(compared.use, compared.kappa - compared.scaled, np.nan)
    limit = max(float(np.percentile(np.abs(left[compared.use]), 99)), 1e-9)
    drawn = axes.imshow(
        left,
        origin="lower",
        extent=material.extent,
        cmap=style.colour_map("RdBu_r", OFF),
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    radius = material.config.relation.max_radius
    west, east, south, north = material.places[material.central].bounds
    bounds = (
        max(west, -1.08 * radius),
        min(east, 1.08 * radius),
        max(south, -1.08 * radius),
        min(north, 1.08 * radius),
    )
    circle(axes, radius)
    sky_axes(axes, bounds, material.kpc_per_arcsec)
    style.colour_bar(figure, drawn, "κ − β ρ")
    words = "Red: more convergence than the sources predict; blue: less."
    if radius < material.places[material.central].reach():
        words += " The comparison uses the cells within the dashed circle."
    return Drawing("residual", figure, words)
