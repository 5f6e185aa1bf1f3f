"""The page: what was found, in words, tables and figures, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tilegc.config import dump
from tilegc.report import style
from tilegc.report.answer import NO_GOOD, NOT_COVERED, lead, no_kappa, problems, relation_missing
from tilegc.report.arithmetic import Step, arithmetic
from tilegc.report.assumptions import NO_EVIDENCE, PAPER, assumption_rows, map_changes
from tilegc.report.audit import audit_rows, counted
from tilegc.report.drawing import Drawn
from tilegc.report.embedding import data_url
from tilegc.report.goodness import excess_rows, verdict
from tilegc.report.key_numbers import boxes_index, comparison_missing, key_numbers
from tilegc.report.law_tables import likelihood_rows, ranking_rows, sensitivity_rows
from tilegc.report.masked import HEAD as MASKED_HEAD
from tilegc.report.masked import area_rows
from tilegc.report.numbers import DASH, plain, share, with_error, with_power
from tilegc.report.planted import limit, planted_rows, profile_rows, shares
from tilegc.report.purity import HEAD, noise_rows
from tilegc.report.radial import contamination_rows, law_rows, mass_rows
from tilegc.report.reading import Material, rows_of
from tilegc.schema import FILES, Bit

__all__ = ["page"]

ORIGINS: Final = {"given": "given", "stars": "the field's stars", "model": "a model"}

STAGES: Final = {
    "ingest_s": "reading the images",
    "audit_s": "audit",
    "mask_s": "masks",
    "detect_s": "filter and peaks",
    "completeness_s": "artificial stars",
    "luminosity_s": "luminosity function",
    "density_s": "density and inpainting",
    "compare_s": "sky grid, relation and profiles",
    "report_s": "figures and report",
    "total_s": "all",
}


Cell = str | Markup


def page(material: Material, drawings: Mapping[str, Sequence[Drawn]]) -> str:
    """Return the page as HTML with embedded figures.

    Parameters
    ----------
    material : Material
        Data of the run.
    drawings : mapping of str to sequence of Drawn
        Figures by section.
    """
    environment = Environment(
        loader=PackageLoader("tilegc.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary = material.summary
    return environment.get_template("report.html.j2").render(
        cluster=material.config.cluster,
        title=_title(material),
        summary=summary,
        lead=lead(material),
        audit=audit_rows(summary["audit"]),
        audit_counts=counted(summary["audit"]),
        found=key_numbers(material),
        fields=_fields(material),
        bits=[style.BITS[bit][0] for bit in Bit],
        masks=_masks(material),
        masked_head=MASKED_HEAD,
        masked_rows=area_rows(material),
        noise_head=HEAD,
        noise_rows=noise_rows(material),
        psfs=_psfs(material),
        not_points=sum(field["n_not_points"] for field in summary["fields"].values()),
        points_only=material.config.detect.shape == "auto",
        crowding=_crowding(material),
        relation_missing=relation_missing(material),
        steps=_steps(material),
        laws=law_rows(material),
        contamination=contamination_rows(material),
        masses=mass_rows(material),
        planted=planted_rows(material),
        profile_rows=profile_rows(material),
        timing=_timing(summary.get("timing") or {}),
        run_file=dump(material.config),
        drawings=drawings,
        images={drawing.name: data_url(drawing.png) for part in drawings.values() for drawing in part},
        problems=problems(material),
        files=FILES,
        viewer=(material.run.path / FILES.view / "index.html").exists(),
        dash=DASH,
        keep=material.config.detect.keep,
        local_limit=material.config.local_threshold,
        alpha=material.config.density.alpha,
        softening=material.config.density.softening,
        comparison_missing=comparison_missing(material),
        limit=limit(material),
        likelihood=likelihood_rows(material),
        boxes_index=boxes_index(material),
        goodness=verdict(material),
        assumptions=assumption_rows(material),
        map_changes=map_changes(material),
        paper=PAPER,
        no_evidence=NO_EVIDENCE,
        excesses=excess_rows(material),
        ranking=ranking_rows(material),
        sensitivity=sensitivity_rows(material),
        beyond=_beyond(material),
        shares=shares(material),
    )


def _title(material: Material) -> str:
    """Return the page's title."""
    if material.config.cluster.known:
        return f"{material.config.cluster.name}: globular clusters and dark matter"
    return "Compact sources in fields without a cluster"


def _beyond(material: Material) -> Markup | None:
    """Return a paragraph on the error of beta, the best-fitting kernel, and the correlation at fixed radius."""
    comparison = material.summary["comparison"]
    if not comparison or comparison.get("beta_err") is None or comparison["kernel"]["alpha"] is None:
        return None
    kernel, beyond = comparison["kernel"], comparison["beyond_radius"]
    words = Markup(
        "Resampling blocks of 15 arcsec, and recomputing ρ each time, gives β = {}, Pearson {} and Spearman {}. The "
        "kernel that fits κ best has α = {} and s = {} arcsec. In sectors not used for the fit it explains a fraction "
        "{} of the variance of κ, the default kernel a fraction {} (negative: worse than a constant). "
    ).format(
        with_error(comparison["beta"], comparison["beta_err"]),
        with_error(comparison["pearson"], comparison["pearson_err"]),
        with_error(comparison["spearman"], comparison["spearman_err"]),
        with_error(kernel["alpha"], kernel["alpha_err"]),
        with_error(kernel["softening_arcsec"], kernel["softening_err"]),
        plain(kernel["score_held_out"]),
        plain(kernel["given_score_held_out"]),
    )
    if beyond["correlation"] is None or beyond["null_std"] is None:
        return words
    return words + Markup(
        "After subtracting elliptical averages, counts and κ correlate with a coefficient of {}. Counts that only "
        "depend on radius would give {}, and reach the measured value by chance in {} of cases."
    ).format(
        plain(beyond["correlation"], 2),
        with_error(beyond["null_mean"], beyond["null_std"]),
        share(beyond["p_value"]),
    )


def _fields(material: Material) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, field in material.summary["fields"].items():
        noiseless = NO_GOOD if not field["good_area_arcsec2"] else "no noise"
        height, width = field["shape"]
        rows.append(
            [
                name,
                f"{height} × {width}",
                plain(field["good_area_arcsec2"], 4),
                share(field["masked_fraction"], "no data"),
                share(field["no_data_fraction"]),
                with_power(field["sigma"], noiseless),
                with_power(field["threshold"], noiseless),
                f"{field['n_candidates']:,}",
                f"{field['n_detected']:,}",
                f"{field['n_inpainted']:,.1f}",
                _iterated(material, field["inpainting"]),
            ]
        )
    return rows


def _iterated(material: Material, inpainting: Mapping[str, Any]) -> Cell:
    """Return the number of fits of the trend used for inpainting and the last change, or why it was not iterated."""
    config = material.config
    if inpainting["iterations"]:
        change = inpainting["last_change"]
        return f"{inpainting['iterations']} fits" + (
            "" if change is None else f", last change {plain(change, 2)}"
        )
    if config.inpaint_iterations:
        return "not iterated (no trend)"
    if not config.cluster.known:
        return "not iterated (no cluster)"
    why = f"recipe: {config.recipe}" if config.inpaint.iterations == "auto" else "iterations: 0"
    return f"not iterated ({why})"


def _masks(material: Material) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name in material.fields:
        census = material.censuses[name]
        total = max(census.pixels, 1)
        rows.append([name, *(share(census.bits[bit] / total) for bit in Bit), share(census.good / total)])
    return rows


def _psfs(material: Material) -> list[list[Cell]]:
    """Return the PSFs: one row per field and band, with its origin and width."""
    return [
        [
            name,
            band,
            plain(psf["fwhm_arcsec"], 3) if psf["fwhm_arcsec"] else DASH,
            ORIGINS[psf["origin"]],
            f"{psf['n_stars']:,}" if psf["n_stars"] else DASH,
        ]
        for name, field in material.summary["fields"].items()
        for band, psf in field["psf"].items()
    ]


def _crowding(material: Material) -> str | None:
    """Return the fraction of sources hidden where they are densest; None if there is no annulus."""
    table = rows_of(material.profile, "r_lo", "r_hi", "n_per_arcsec2", "crowding")
    recovered = np.where(np.isfinite(table["crowding"]), table["crowding"], np.inf)
    if not recovered.size or not np.isfinite(recovered.min()):
        return None
    row = int(np.argmin(recovered))
    return (
        f"{100 * (1 - recovered[row]):.1f} % where they are densest ({table['n_per_arcsec2'][row]:.2g} per arcsec², "
        f"{table['r_lo'][row]:g} to {table['r_hi'][row]:g} arcsec from the centre)"
    )


def _steps(material: Material) -> list[Step]:
    return arithmetic(material, no_kappa(material, NOT_COVERED))


def _timing(timing: Mapping[str, float | None]) -> list[tuple[str, str]]:
    return [
        (label, f"{seconds:,.1f}")
        for key, label in STAGES.items()
        if (seconds := timing.get(key)) is not None and np.isfinite(seconds)
    ]
