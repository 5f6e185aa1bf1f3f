"""Planted sources compared with detected ones, as rows of tables; for simulated skies only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tilegc.report.answer import NO_KAPPA, relation_missing
from tilegc.report.numbers import DASH, missing, plain, share, with_error, with_power
from tilegc.report.reading import Material, rows_of

__all__ = ["limit", "planted_rows", "profile_rows", "shares"]

Cell = str | Markup


def planted_rows(material: Material) -> list[list[Cell]] | None:
    """Return the planted and the measured values of the relation; None for a real sky."""
    truth = material.truth
    if truth is None:
        return None
    relation = (material.summary["relation"] or {}).get("boxes") or {}
    why = relation_missing(material) or "no fit"
    no_fit = NO_KAPPA if material.config.convergence is None else "no fit"
    names = {"index": Markup("Index b of κ = A n<sup>b</sup>, binned"), "amplitude": "Amplitude A, binned"}
    law = truth.get("law") or {}
    return [
        *_headline(material, law.get("index")),
        *_binned(relation, truth, names, law, why, no_fit),
    ]


def _headline(material: Material, planted: float | None) -> list[list[Cell]]:
    """Return the row of the headline, which estimates the planted law itself; empty if either is not known."""
    relation = material.summary["relation"] or {}
    if planted is None or relation.get("method") != "likelihood" or relation["index"] is None:
        return []
    error = relation.get("index_err_total") or relation["index_err"]
    return [
        [
            Markup("Index b, headline (likelihood), ± its whole error"),
            with_error(relation["index"], error, ""),
            missing("not binned"),
            f"{planted:.3g}",
            f"{abs(relation['index'] - planted) / error:.1f} σ" if error else missing(),
        ]
    ]


def _binned(
    relation: Mapping[str, Any],
    truth: Mapping[str, Any],
    names: Mapping[str, Cell],
    law: Mapping[str, float],
    why: str,
    no_fit: str,
) -> list[list[Cell]]:
    """Return the rows of the binned fit, which noise biases alike for detected and for planted sources."""
    return [
        [
            name,
            with_error(relation.get(key), relation.get(f"{key}_err"), why),
            with_error(truth[key], truth[f"{key}_err"], no_fit),
            f"{law[key]:.3g}" if law else missing(),
            _apart(relation, truth, key),
        ]
        for key, name in names.items()
    ]


def limit(material: Material) -> Markup:
    """Return the summed flux in nJy above which planted sources are counted, or a dash."""
    truth = material.truth
    return with_power(truth["flux_limit_nJy"] if truth else None)


def shares(material: Material) -> list[list[Cell]]:
    """Return the fraction of planted sources that were detected, and of detected sources that were planted."""
    truth = material.truth
    if truth is None:
        return []
    none = "none above the limit" if not truth["n_planted"] else "too few"
    return [
        ["Planted above the limit", f"{truth['n_planted']:,}", "in the area that this run searched"],
        [
            "Detected above the limit",
            f"{truth['n_found']:,}",
            "in the same area, including false detections",
        ],
        [
            "Completeness",
            share(truth["completeness"], none),
            "for planted sources of at least twice the limit",
        ],
        [
            "Index, detected minus planted",
            with_error(truth["index_difference"], truth["index_difference_err"], none),
            "with its error from the same resamples of the boxes",
        ],
        [
            "Purity",
            share(truth["purity"], none),
            "of the catalogue: within reach of a planted source above a third of the limit",
        ],
        ["Response", with_power(truth["response"], none), "peak of the detection map over total flux"],
    ]


def _apart(measured: Mapping[str, Any], planted: Mapping[str, Any], key: str) -> Cell:
    """Return the difference of the two values in units of the error of the measured one."""
    value, error, other = measured.get(key), measured.get(f"{key}_err"), planted[key]
    if value is None or not error or other is None:
        return missing()
    return f"{abs(value - other) / error:.1f} σ"


def profile_rows(material: Material) -> list[list[Cell]]:
    """Return measured and planted counts, annulus by annulus."""
    truth = material.truth
    if truth is None:
        return []
    planted = truth["profile"]
    there = {
        (name, r_lo): (count, n)
        for name, r_lo, count, n in zip(
            planted["field"], planted["r_lo"], planted["n_gc"], planted["n_per_arcsec2"], strict=True
        )
    }
    found = rows_of(
        material.profile, "field", "r_lo", "r_hi", "area_arcsec2", "n_gc", "n_per_arcsec2", "n_err"
    )
    rows: list[list[Cell]] = []
    for field, r_lo, r_hi, area, count, n, error in zip(*found.values(), strict=True):
        planted_count, planted_n = there.get((str(field), float(r_lo)), (0, 0.0))
        ratio = with_error(n / planted_n, error / planted_n) if planted_n and count else missing()
        rows.append(
            [
                str(field),
                f"{r_lo:g}{DASH}{r_hi:g}",
                plain(area, 4),
                f"{count:,}",
                f"{planted_count:,}",
                ratio,
            ]
        )
    return rows
