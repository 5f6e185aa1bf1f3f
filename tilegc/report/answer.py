"""The first screen of the report: the results in a few sentences, and problems that may affect them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from tilegc.config import Cluster
from tilegc.report.arithmetic import SUN
from tilegc.report.audit import audit_rows
from tilegc.report.depth import depth_of
from tilegc.report.families import largest
from tilegc.report.luminosity import luminosity_of
from tilegc.report.numbers import plain, share, with_error, with_power
from tilegc.report.reading import Material

__all__ = [
    "NOT_COVERED",
    "NO_GOOD",
    "NO_KAPPA",
    "Problem",
    "any_good",
    "lead",
    "no_kappa",
    "problems",
    "relation_missing",
]

NO_KAPPA: Final = "no convergence map in the run file"
NO_GOOD: Final = "no good pixels"
NOT_COVERED: Final = "the convergence map does not cover the aperture"

SERIOUS: Final = ("wrong", "look")
"""Verdicts of the audit that appear on the first screen."""


@dataclass(frozen=True)
class Problem:
    """A problem that may affect a result."""

    field: str
    """Name of the field; empty if it concerns the whole run."""
    text: str
    remedy: str
    verdict: str
    """Either `wrong` or `look`."""


def any_good(material: Material) -> bool:
    """Return whether any field has a good pixel."""
    return any(field["good_area_arcsec2"] > 0 for field in material.summary["fields"].values())


def no_kappa(material: Material, otherwise: str) -> str:
    """Return the reason why a number that requires kappa is missing."""
    if material.config.convergence is None:
        return NO_KAPPA
    return otherwise if any_good(material) else NO_GOOD


def relation_missing(material: Material) -> str | None:
    """Return the reason why there is no index; None if there is one."""
    relation = material.summary["relation"]
    if relation is not None and relation["index"] is not None:
        return None
    if material.config.convergence is not None and any_good(material) and not material.summary["n_detected"]:
        return "no sources were detected"
    return no_kappa(
        material, "neither the likelihood nor the binned fit, with fewer than two bins, gives one"
    )


def lead(material: Material) -> list[Markup]:
    """Return the results in a few sentences: counts and purity, the law with its total error, and the mass."""
    summary, cluster = material.summary, material.config.cluster
    area = sum(field["good_area_arcsec2"] for field in summary["fields"].values())
    fields = f"{len(material.fields)} fields" if len(material.fields) > 1 else "one field"
    if not area:
        return [Markup("No pixel of {} can be searched: all are masked or have no data.").format(fields)]
    return [
        Markup("<b>{:,} point sources</b> were detected in {} arcmin² of unmasked sky{}, in {}{}.").format(
            summary["n_detected"],
            plain(area / 3600, 3),
            _around(cluster),
            fields,
            _purity(summary["fields"]),
        ),
        *([depth] if (depth := depth_of(summary)) else []),
        *([number] if (number := luminosity_of(summary)) else []),
        *_law(summary["relation"]),
        *_mass(summary["mass"]),
    ]


def _around(cluster: Cluster) -> Markup:
    """Return around which cluster the sky lies, as part of a sentence."""
    if not cluster.known:
        return Markup(" without a cluster in the run file")
    return Markup(" around {} (z&nbsp;=&nbsp;{:g})").format(cluster.name, cluster.redshift)


def _purity(fields: Mapping[str, Any]) -> Markup:
    """Return the mean purity of the catalogue as the end of a sentence; empty if no field has one."""
    known = [
        (field["purity"], field["n_detected"]) for field in fields.values() if field.get("purity") is not None
    ]
    count = sum(n for _, n in known)
    if not count:
        return Markup("")
    mean = sum(purity * n for purity, n in known) / count
    return Markup("; {} of them are expected to be real rather than noise peaks").format(share(mean))


def _law(relation: Mapping[str, Any] | None) -> list[Markup]:
    """Return the relation with its statistical and systematic errors in one sentence."""
    if not relation or relation["index"] is None:
        return []
    index = Markup("b = {}").format(with_error(relation["index"], relation["index_err"]))
    fit = relation.get("likelihood") or {}
    # b = 1 / c, so an error of c becomes an error of b when multiplied by b^2.
    systematic = fit.get("c_err_systematic")
    if relation.get("method") == "likelihood" and systematic is not None:
        error = systematic * relation["index"] ** 2
        total = relation.get("index_err_total") or math.hypot(relation["index_err"], error)
        # Families of lens models are compared in b, so the total may exceed what the error of c implies.
        error = math.sqrt(max(total**2 - relation["index_err"] ** 2, 0.0)) or error
        term = largest(fit)
        most = "" if term is None else f"; the largest part is {term}"
        value = Markup("<b>{}</b> (statistical) ± {} (systematic{}), ± {} in total").format(
            index, plain(error, 2), most, plain(total, 2)
        )
    else:
        value = Markup("<b>{}</b> (statistical error only)").format(index)
    if relation["index"] > 0:
        return [Markup("The convergence follows their density as κ = A n<sup>b</sup> with {}.").format(value)]
    return [
        Markup("The convergence does not rise with their density: κ = A n<sup>b</sup> with {}.").format(value)
    ]


def _mass(mass: Mapping[str, Any]) -> list[Markup]:
    """Return the mass within 60 arcsec, the sources there, and the fraction of the aperture that was searched."""
    if mass["lens_within_60arcsec_msun"] is None:
        return []
    coverage = mass.get("coverage_within_60arcsec")
    searched = (
        Markup("") if coverage is None else Markup(", of which {} was searched").format(share(coverage))
    )
    return [
        Markup(
            "The convergence map contains {} {} within 60 arcsec of the centre; {:,} of the "
            "sources lie in this aperture{}."
        ).format(with_power(mass["lens_within_60arcsec_msun"]), SUN, mass["n_gc_within_60arcsec"], searched)
    ]


def problems(material: Material) -> list[Problem]:
    """Return the warnings of the run and the problems of the images, the most serious first."""
    summary = material.summary
    found = [
        Problem(
            str(one.get("field") or ""),
            one["text"].rstrip("."),
            (one.get("remedy") or "").rstrip("."),
            "wrong",
        )
        for one in summary.get("warnings") or ()
    ]
    for row in audit_rows(summary["audit"]):
        if row.verdict in SERIOUS:
            text = f"{row.name}: {row.finding}"
            found.append(Problem(row.field, text, "; ".join(row.remedies), row.verdict))
    return sorted(found, key=lambda one: SERIOUS.index(one.verdict))
