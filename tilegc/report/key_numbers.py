"""The key numbers of a run: the first table of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from tilegc.report.answer import NO_GOOD, NOT_COVERED, any_good, no_kappa, relation_missing
from tilegc.report.arithmetic import SUN
from tilegc.report.numbers import DASH, missing, plain, power, with_error
from tilegc.report.reading import Material
from tilegc.schema import FILES, METHODS

__all__ = ["Row", "boxes_index", "comparison_missing", "key_numbers"]

Cell = str | Markup


@dataclass(frozen=True)
class Row:
    """One quantity in a table."""

    label: Cell
    value: Cell
    unit: Cell = ""
    note: Cell = ""
    """Explanation, or the reason why the value is missing."""
    file: str = FILES.summary
    """File of the run with this number."""


def _row(
    label: Cell, value: Markup | None, unit: Cell, note: Cell, why: str, file: str = FILES.summary
) -> Row:
    return Row(label, value, unit, note, file) if value is not None else Row(label, DASH, "", why, file)


def comparison_missing(material: Material) -> str | None:
    """Return the reason why there is no beta; None if there is one."""
    comparison = material.summary["comparison"]
    if comparison is not None and comparison["beta"] is not None:
        return None
    return no_kappa(material, "no cell has both, or no sources were detected")


def key_numbers(material: Material) -> list[Row]:
    """Return the rows of the first table: counts, the law, contamination and masses, each with its file."""
    summary = material.summary
    relation, comparison = summary["relation"] or {}, summary["comparison"] or {}
    level, mass = summary["contamination"], summary["mass"]
    no_index = relation_missing(material) or ""
    no_beta = comparison_missing(material) or ""
    no_mass = no_kappa(material, NOT_COVERED)
    no_level = "no annulus has 200 arcsec² of good area" if any_good(material) else NO_GOOD
    source = f" at source redshift {_reference(material):g}" if material.config.convergence else ""
    annulus = ""
    if level["r_lo_arcsec"] is not None:
        annulus = f"all sources between {level['r_lo_arcsec']:g} and {level['r_hi_arcsec']:g} arcsec"
    beta = Markup("arcsec<sup>{:g}</sup>").format(material.config.density.alpha)
    index = Markup("κ = A n<sup>b</sup>, n in sources per arcsec²{}; {}").format(
        source, METHODS.get(relation.get("method", ""), "")
    )
    lens = mass["lens_within_60arcsec_msun"]
    counted = [
        Row(
            "Sources detected",
            f"{summary['n_detected']:,}",
            "",
            "in the catalogue, all fields",
            FILES.catalogue,
        ),
        Row(
            "Sources inpainted",
            f"{summary['n_inpainted']:,.1f}",
            "",
            "in masked areas; mean over realisations",
            FILES.inpainted,
        ),
    ]
    if not material.config.cluster.known:
        return counted
    return [
        *counted,
        _row("Index b", _error(relation, "index"), "", index, no_index),
        _row("Amplitude A", _error(relation, "amplitude"), "", "κ at one source per arcsec²", no_index),
        _row("β", _power(comparison.get("beta")), beta, "κ = β ρ, fitted cell by cell", no_beta),
        _row("Pearson, Spearman", _pair(comparison), "", "correlation of κ and ρ, cell by cell", no_beta),
        _row(
            "Contamination",
            _error(level, "per_kpc2", "err"),
            Markup("kpc<sup>−2</sup>"),
            annulus,
            no_level,
            FILES.contamination,
        ),
        _row(
            "Mean κ within 60 arcsec",
            _power(mass["mean_kappa_within_60arcsec"]),
            "",
            source.strip(),
            no_mass,
            FILES.masses,
        ),
        *_peak(summary.get("lens")),
        _row(
            "Lensing mass within 60 arcsec",
            _power(lens),
            SUN,
            "from the convergence map",
            no_mass,
            FILES.masses,
        ),
        Row(
            "Sources within 60 arcsec",
            f"{mass['n_gc_within_60arcsec']:,}",
            "",
            _counted_in(mass.get("coverage_within_60arcsec")),
            FILES.masses,
        ),
        _row(
            "Virial mass from counts",
            _power(mass["virial_from_counts_msun"]),
            SUN,
            "a lower limit (see Masses)",
            "",
            FILES.masses,
        ),
    ]


def _counted_in(coverage: float | None) -> str:
    """Return what the count within the aperture is of."""
    seen = "" if coverage is None else f"{100 * coverage:.0f} % of the aperture was searched; "
    return f"{seen}not corrected for masks or completeness"


def _peak(lens: Mapping[str, Any] | None) -> list[Row]:
    """Return the row on the position of the peak of kappa; empty if there is no map or no peak."""
    if not lens or lens["peak_offset_arcsec"] is None:
        return []
    others = len(lens["peaks"]) - 1
    note = "distance of the highest κ peak from the centre, the position of the brightest galaxy"
    if others:
        farther = ", ".join(f"{peak['offset_arcsec']:.0f}" for peak in lens["peaks"][1:])
        note += f"; other peaks above half of its height at {farther} arcsec"
    return [Row("Offset of κ", plain(lens["peak_offset_arcsec"], 2), "arcsec", note)]


def boxes_index(material: Material) -> Markup:
    """Return the index of the binned fit."""
    boxes = (material.summary["relation"] or {}).get("boxes") or {}
    return _error(boxes, "index") or missing()


def _reference(material: Material) -> float:
    return material.config.convergence.reference_redshift if material.config.convergence else np.nan


def _power(value: float | None) -> Markup | None:
    return None if value is None else power(value)


def _error(values: Mapping[str, Any], key: str, error: str | None = None) -> Markup | None:
    if values.get(key) is None:
        return None
    return with_error(values[key], values[error or f"{key}_err"])


def _pair(comparison: Mapping[str, Any]) -> Markup | None:
    first, second = comparison.get("pearson"), comparison.get("spearman")
    if first is None or second is None:
        return None
    return Markup("{}, {}").format(plain(first, 2), plain(second, 2))
