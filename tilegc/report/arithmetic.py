"""Masses with their arithmetic written out (Diego et al. 2026, section 5; algorithm.md, section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from tilegc.report.numbers import missing, plain, power
from tilegc.report.reading import Material

__all__ = ["APERTURE", "GC_TO_LENS", "SUN", "VIRIAL_PER_GC", "Step", "arithmetic"]

APERTURE: Final = 60.0
"""Radius of the aperture, arcsec."""
VIRIAL_PER_GC: Final = 5e9
"""Virial mass per globular cluster, Msun."""
GC_TO_LENS: Final = 2.9e-5
"""Mass in globular clusters over lensing mass."""

SUN: Final = Markup("M<sub>☉</sub>")


@dataclass(frozen=True)
class Step:
    """One line of the arithmetic."""

    name: str
    formula: Markup
    numbers: Markup
    """The same with the run's numbers; empty where one is missing."""
    result: Markup
    remark: str = ""


def arithmetic(material: Material, reason: str) -> list[Step]:
    """Return the masses, line by line; `reason` says why those that need kappa are missing, if they are."""
    summary, mass = material.summary, material.summary["mass"]
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
    """Return why there is no mean mass."""
    if mass["gc_total_from_ratio_msun"] is None:
        return reason
    if not mass["n_gc_within_60arcsec"]:
        return "no source within 60 arcsec"
    return f"only {100 * mass['coverage_within_60arcsec']:.0f} % of the aperture was searched"


def _searched(mass: Mapping[str, Any]) -> str:
    """Return which part of the aperture was searched, as a sentence; empty for runs that do not say."""
    coverage = mass.get("coverage_within_60arcsec")
    return "" if coverage is None else f"{100 * coverage:.0f} % of the aperture was searched. "


def _mass(value: float | None, reason: str) -> Markup:
    return missing(reason) if value is None else Markup("{} {}").format(power(value), SUN)
