"""Masses with their arithmetic written out (Diego et al. 2026, section 5; algorithm.md, section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from tilegc.radial.masses import APERTURE, GC_TO_LENS, VIRIAL_PER_GC
from tilegc.report.numbers import missing, plain, power
from tilegc.report.reading import Material

__all__ = ["SUN", "Step", "arithmetic"]

SUN: Final = Markup("M<sub>☉</sub>")


@dataclass(frozen=True)
class Step:
    """One line of the calculation."""

    name: str
    formula: Markup
    numbers: Markup
    """The same with the numbers of this run; empty if one of them is missing."""
    result: Markup
    remark: str = ""


def arithmetic(material: Material, reason: str) -> list[Step]:
    """Return the masses, line by line; `reason` explains why those that require kappa are missing."""
    summary, mass = material.summary, material.summary["mass"]
    if summary["cluster"]["kpc_per_arcsec"] is None:
        return []
    scale = float(summary["cluster"]["kpc_per_arcsec"])
    radius = APERTURE * scale
    inside, total = mass["n_gc_within_60arcsec"], summary["n_detected"]
    lens, gc = mass["lens_within_60arcsec_msun"], mass["gc_total_from_ratio_msun"]
    return [
        Step(
            "Lensing mass within 60 arcsec",
            Markup("⟨κ⟩ × Σ<sub>cr</sub> × π R²"),
            Markup("{} × {} {} kpc<sup>−2</sup> × π × ({} kpc)²").format(
                power(mass["mean_kappa_within_60arcsec"]),
                power(mass["sigma_cr_msun_per_kpc2"], 4),
                SUN,
                plain(radius, 4),
            )
            if lens is not None
            else Markup(""),
            _mass(lens, reason),
            f"R is 60 arcsec, at {plain(scale, 4)} kpc per arcsec. Mean κ and Σ refer to the same source redshift, on "
            "which their product does not depend.",
        ),
        Step(
            "Virial mass from the counts",
            Markup("N<sub>GC</sub> × {} {}").format(power(VIRIAL_PER_GC, 1), SUN),
            Markup("{:,} × {} {}").format(total, power(VIRIAL_PER_GC, 1), SUN),
            _mass(mass["virial_from_counts_msun"], ""),
            "A lower limit: the relation holds for all globular clusters within the virial radius, but only those "
            "brighter than the threshold, outside the masks and inside these fields are counted. Contamination acts in "
            "the opposite direction.",
        ),
        Step(
            "Mass in globular clusters within 60 arcsec",
            Markup("{} × M<sub>lens</sub>").format(power(GC_TO_LENS, 2)),
            Markup("{} × {} {}").format(power(GC_TO_LENS, 2), power(lens), SUN)
            if lens is not None
            else Markup(""),
            _mass(gc, reason),
            "The prediction from the mean ratio of nearby galaxies and clusters. It does not use the counts.",
        ),
        Step(
            "Mean mass of a globular cluster",
            Markup("M<sub>GC</sub> / N<sub>GC</sub>(&lt; 60 arcsec)"),
            Markup("{} {} / {:,}").format(power(gc), SUN, inside)
            if gc is not None and inside
            else Markup(""),
            _mass(mass["mean_gc_msun"], _no_mean(reason, mass)),
            f"{_searched(mass)}An upper limit, because globular clusters too faint to be counted share the same "
            "mass. Contamination acts in the opposite direction.",
        ),
    ]


def _no_mean(reason: str, mass: Mapping[str, Any]) -> str:
    """Return the reason why there is no mean mass."""
    if mass["gc_total_from_ratio_msun"] is None:
        return reason
    if not mass["n_gc_within_60arcsec"]:
        return "no sources within 60 arcsec"
    coverage = mass.get("coverage_within_60arcsec")
    return "" if coverage is None else f"only {100 * coverage:.0f} % of the aperture was searched"


def _searched(mass: Mapping[str, Any]) -> str:
    """Return the searched fraction of the aperture as a sentence; empty for older runs without this entry."""
    coverage = mass.get("coverage_within_60arcsec")
    return "" if coverage is None else f"{100 * coverage:.0f} % of the aperture was searched. "


def _mass(value: float | None, reason: str) -> Markup:
    return missing(reason) if value is None else Markup("{} {}").format(power(value), SUN)
