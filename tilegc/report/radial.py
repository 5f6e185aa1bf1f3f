"""Radial laws over all fields, shapes of the tracers, and tables of contamination and masses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from tilegc.radial.profile_laws import cored, nfw_surface_density
from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import DASH, error_text, missing, power, typeset, with_error, with_power
from tilegc.report.reading import Material, Table, rows_of

__all__ = ["contamination_rows", "law_rows", "laws", "mass_rows", "shapes"]

TRACERS: Final = (
    ("sources", "sources", "o", style.BLUE, "-"),
    ("kappa", "κ", "s", style.INK, "--"),
    ("rho", "ρ", "D", style.GREEN, "-."),
    ("light", "light", "^", style.ORANGE, ":"),
)

UNITS: Final = {"kpc arcsec-1": "kpc/arcsec", "Msun kpc-2": "M☉ kpc⁻²", "Msun": "M☉"}

Cell = str | Markup


def laws(material: Material) -> Drawing | None:
    """Draw sources per arcsec^2 in circular annuli over all fields, and the laws fitted to their positions.

    Return None if no annulus contains a source, or nothing was fitted.
    """
    table = rows_of(material.run.radial, "geometry", "r_mean", "n_gc", "n_per_arcsec2", "n_err")
    rows = (table["geometry"].astype(str) == "circle") & (table["n_gc"] > 0)
    fits = material.summary["radial"]
    if not rows.any() or fits["cored"]["values"][0] is None:
        return None
    radius, n, error = table["r_mean"][rows], table["n_per_arcsec2"][rows], table["n_err"][rows]
    figure, axes = style.log_panel("Laws fitted to the positions of the sources")
    style.measured(axes, radius, n, error, color=style.BLUE, label="counted, all fields")
    along = np.geomspace(radius.min() / 1.2, radius.max() * 1.2, 200)
    peak, core, slope, floor = fits["cored"]["values"][:4]
    model = cored(along, math.exp(peak), math.exp(core), slope)
    axes.plot(along, model + floor, color=style.INK, lw=1.6, label="cored power law + floor")
    if floor > 0:
        axes.plot(along, model, color=style.INK, lw=1.0, ls=":", label="cored power law alone")
    if fits["nfw"]["values"][0] is not None:
        at_rs, rs, nfw_floor = fits["nfw"]["values"]
        halo = math.exp(at_rs) * nfw_surface_density(along / math.exp(rs)) + nfw_floor
        axes.plot(along, halo, color=style.VERMILLION, lw=1.6, ls="--", label="NFW + floor")
    axes.set_xlim(along[0], along[-1])
    axes.set_ylim(n.min() / 2.5, n.max() * 2)
    axes.set_xlabel("distance from the centre (arcsec)")
    axes.set_ylabel("sources per arcsec²")
    style.finish(figure, axes)
    return Drawing(
        "laws",
        figure,
        "Sources per arcsec² of good area in annuli over all fields, with Poisson errors. The curves are "
        "fitted to the positions of the individual sources, not to these points.",
        wide=True,
    )


def shapes(material: Material) -> Drawing | None:
    """Draw axis ratio and position angle of every tracer against radius; None if there are none."""
    table = rows_of(
        material.run.shape,
        "tracer",
        "r_lo",
        "r_hi",
        "axis_ratio",
        "axis_ratio_err",
        "position_angle",
        "position_angle_err",
    )
    if not table["r_lo"].size:
        return None
    figure = Figure(figsize=(style.WIDE[0], 5.6), dpi=170, facecolor="white", layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.set_title("Shape against radius", loc="left", fontsize=style.TEXT + 0.5, fontweight="bold")
    middle = _middle(table)
    for name, label, marker, colour, line in TRACERS:
        rows = table["tracer"].astype(str) == name
        for axes, key in ((upper, "axis_ratio"), (lower, "position_angle")):
            values, error = table[key][rows], table[f"{key}_err"][rows]
            if key == "position_angle":
                values = middle + (values - middle + 90.0) % 180.0 - 90.0
            radius = np.sqrt(table["r_lo"][rows] * table["r_hi"][rows])
            axes.errorbar(
                radius,
                values,
                yerr=np.where(np.isfinite(error), error, 0.0) if name == "sources" else None,
                ls=line,
                lw=1.3,
                marker=marker,
                ms=5.5,
                color=colour,
                capsize=2,
                elinewidth=1.1,
                label=label,
            )
    upper.set_ylim(0, 1.05)
    upper.set_ylabel("axis ratio", fontsize=style.TEXT)
    lower.set_ylabel("position angle (deg, E of N)", fontsize=style.TEXT)
    lower.set_xlabel("distance from the centre (arcsec)", fontsize=style.TEXT)
    lower.set_xscale("log")
    lower.set_xlim(table["r_lo"].min(), table["r_hi"].max())
    style.plain_ticks(lower.xaxis)
    for axes in (upper, lower):
        axes.tick_params(which="both", labelsize=style.SMALL, direction="in", top=True, right=True)
    style.legend(figure, upper.get_legend_handles_labels()[0], columns=4)
    return Drawing(
        "shape",
        figure,
        "Axis ratio and position angle of ellipses around the centre, fitted ring by ring together with the slope "
        "within the ring. Only the sources have error bars; the maps come without errors.",
        wide=True,
    )


def _middle(table: Table) -> float:
    """Return the mean position angle of all points, around which angles are unwrapped."""
    twice = np.radians(2 * table["position_angle"])
    return float(np.degrees(np.arctan2(np.sin(twice).mean(), np.cos(twice).mean())) / 2) % 180.0


def law_rows(material: Material) -> list[list[Cell]]:
    """Return the fits: law, central density, scale, slope, floor, axis ratio, position angle."""
    fits = material.summary["radial"]
    rows: list[list[Cell]] = []
    for key, label in (("cored", "cored power law"), ("elliptical", "cored power law, elliptical")):
        law = fits[key]
        rows.append(
            [
                label,
                _exp(law, "ln_peak"),
                _exp(law, "ln_core"),
                _plain(law, "slope"),
                _plain(law, "floor"),
                with_error(fits["axis_ratio"], fits["axis_ratio_err"])
                if key == "elliptical"
                else Markup(DASH),
                with_error(fits["position_angle_deg"], fits["position_angle_err_deg"])
                if key == "elliptical"
                else Markup(DASH),
            ]
        )
    nfw = fits["nfw"]
    rows.append(
        [
            "NFW, projected",
            _exp(nfw, "ln_at_rs"),
            _exp(nfw, "ln_rs"),
            Markup(DASH),
            _plain(nfw, "floor"),
            Markup(DASH),
            Markup(DASH),
        ]
    )
    return rows


def _of(law: Mapping[str, Any], name: str) -> tuple[float | None, float | None]:
    at = law["parameters"].index(name)
    error = law["robust_err"][at]
    return law["values"][at], law["err"][at] if error is None else error


def _plain(law: Mapping[str, Any], name: str) -> Markup:
    value, error = _of(law, name)
    if value is not None and error is None:
        return Markup("{}, at its bound").format(with_power(value))
    return with_error(value, error, "too few sources")


def _exp(law: Mapping[str, Any], name: str) -> Markup:
    """Return a parameter that was fitted as a logarithm."""
    value, error = _of(law, name)
    if value is None:
        return missing("too few sources")
    return with_error(math.exp(value), None if error is None else math.exp(value) * error)


def contamination_rows(material: Material) -> list[list[Cell]]:
    """Return every estimate of the contamination."""
    names = (
        "component",
        "per_arcsec2",
        "per_arcsec2_err",
        "per_kpc2",
        "per_kpc2_err",
        "factor",
        "factor_err",
        "how",
    )
    table = rows_of(material.run.contamination, *names)
    rows: list[list[Cell]] = []
    for values in zip(*(table[name] for name in names), strict=True):
        component, n, n_err, kpc, kpc_err, factor, factor_err, how = values
        rows.append(
            [
                str(component),
                typeset(str(how)),
                _either(n, n_err),
                _either(kpc, kpc_err),
                _either(factor, factor_err),
            ]
        )
    return rows


def mass_rows(material: Material) -> list[list[Cell]]:
    """Return masses and checks with their arithmetic."""
    table = rows_of(material.run.masses, "quantity", "value", "err", "unit", "arithmetic")
    rows: list[list[Cell]] = []
    for quantity, value, error, unit, how in zip(*table.values(), strict=True):
        rows.append(
            [
                typeset(str(quantity)),
                typeset(str(how)),
                _scaled(value, error),
                UNITS.get(str(unit), str(unit)),
            ]
        )
    return rows


def _either(value: float, error: float) -> Markup:
    return with_error(float(value), float(error)) if np.isfinite(value) else Markup(DASH)


def _scaled(value: float, error: float) -> Markup:
    """Return value ± error, with a common power of ten if the value is large."""
    if not np.isfinite(value):
        return Markup(DASH)
    if not np.isfinite(error) or error <= 0 or abs(value) < 1e5:
        return with_error(value, error) if np.isfinite(error) else power(value, 4)
    exponent = math.floor(math.log10(abs(value)))
    digits: Sequence[str] = error_text(value / 10**exponent, error / 10**exponent).split(" ")
    return Markup("({})&nbsp;×&nbsp;10<sup>{}</sup>").format("\N{NO-BREAK SPACE}".join(digits), exponent)
