"""The kernel sum against convergence, cell by cell (Diego et al. 2026, figs. 7 and 8; DESIGN 3.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import plain
from tilegc.report.places import circle, sky_axes
from tilegc.report.reading import Material

__all__ = ["histogram", "residual"]

HALF: Final = 0.5
"""Share of a cell that must be without the bits 1 and 2 (DESIGN 3.9)."""

BINS: Final = 90

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Compared:
    kappa: Floats
    scaled: Floats
    """beta rho."""
    use: NDArray[np.bool_]
    """Cells that entered beta."""


def _compared(material: Material) -> _Compared | None:
    """Return both maps on the sky grid; None where no beta could be measured."""
    beta = (material.summary["comparison"] or {}).get("beta")
    if beta is None:
        return None
    field = material.central
    rho, kappa = material.of_sky("rho", field), material.sky["kappa"].to_numpy()
    pixel = np.atleast_1d(material.sky.attrs["pixel_area_arcsec2"])[material.fields.index(field)]
    area = material.of_sky("n_inside", field) * pixel
    inside = area >= HALF * material.grid.pixel**2
    use = inside & np.isfinite(kappa) & np.isfinite(rho) & (material.radius < material.config.relation.max_radius)
    return _Compared(kappa, beta * rho, use)


def histogram(material: Material) -> Drawing | None:
    """Draw kappa against beta rho, cell by cell; None where they could not be compared."""
    compared = _compared(material)
    if compared is None or not compared.use.any():
        return None
    figure, axes = style.panel("Convergence against scaled kernel sum")
    x, y = compared.scaled[compared.use], compared.kappa[compared.use]
    low = float(min(x.min(), y.min(), 0.0))
    high = 1.03 * float(np.percentile(np.concatenate([x, y]), 99.95))
    counts, *_ = np.histogram2d(y, x, BINS, ((low, high), (low, high)))
    drawn = axes.imshow(
        np.where(counts > 0, counts, np.nan), origin="lower", extent=(low, high, low, high),
        norm=LogNorm(1, max(float(counts.max()), 2.0)), cmap=style.colour_map("cividis_r"), interpolation="nearest",
    )  # fmt: skip
    axes.plot([low, high], [low, high], color=style.VERMILLION, lw=1.4, ls=(0, (5, 2)))
    axes.set_xlabel("β ρ")
    axes.set_ylabel("κ")
    style.colour_bar(figure, axes, drawn, f"cells of {material.grid.pixel:g} × {material.grid.pixel:g} arcsec")
    style.legend(figure, [Line2D([], [], color=style.VERMILLION, lw=1.4, ls=(0, (5, 2)), label="κ = β ρ")])
    summary = material.summary["comparison"]
    numbers = [f"β = {plain(summary['beta'])}"]
    numbers += [
        f"{label} {plain(summary[key], 2)}"
        for key, label in (("pearson", "Pearson"), ("spearman", "Spearman"), ("residual_rms", "rms residual"))
        if summary.get(key) is not None
    ]
    return Drawing(
        "comparison", figure,
        f"Cells of field {material.central} within {material.config.relation.max_radius:g} arcsec of the centre, "
        f"outside the edge: {', '.join(numbers)}. One factor β is all that is fitted.",
    )  # fmt: skip


def residual(material: Material) -> Drawing | None:
    """Draw the map of kappa - beta rho; None where they could not be compared."""
    compared = _compared(material)
    if compared is None or not compared.use.any():
        return None
    figure, axes = style.panel("Residual κ − β ρ")
    left = np.where(compared.use, compared.kappa - compared.scaled, np.nan)
    limit = max(float(np.percentile(np.abs(left[compared.use]), 99)), 1e-9)
    drawn = axes.imshow(
        left, origin="lower", extent=material.extent, cmap=style.colour_map("RdBu_r", "#e8eaed"), vmin=-limit, vmax=limit,
        interpolation="nearest",
    )  # fmt: skip
    radius = material.config.relation.max_radius
    west, east, south, north = material.places[material.central].bounds
    bounds = (max(west, -1.08 * radius), min(east, 1.08 * radius), max(south, -1.08 * radius), min(north, 1.08 * radius))
    circle(axes, radius, "")
    sky_axes(axes, bounds, float(material.summary["cluster"]["kpc_per_arcsec"]))
    style.colour_bar(figure, axes, drawn, "κ − β ρ")
    return Drawing(
        "residual", figure,
        "Red: more convergence than the sources tell of; blue: less. The dashed circle bounds the cells that are "
        "compared.",
    )  # fmt: skip
