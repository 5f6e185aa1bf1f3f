"""Products of the phase `radial`: profiles, laws, contamination and masses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.radial import contamination, mass_table
from tilegc.radial.contamination import Component
from tilegc.radial.intensity import Fit
from tilegc.radial.masses import Masses
from tilegc.radial.published import is_as1063
from tilegc.radial.radial_laws import Radial
from tilegc.radial.results import Profiled
from tilegc.schema import CONTAMINATION, FILES, MASSES, PROFILE, RADIAL, SHAPE
from tilegc.skygrid.lens_models import LensModels, Peak

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write profile.ecsv, radial.ecsv, shape.ecsv, masses.ecsv and contamination.ecsv."""
    found = results[Profiled]
    out.ecsv(FILES.profile, PROFILE, found.profile)
    out.ecsv(FILES.radial, RADIAL, found.radial.annuli)
    out.ecsv(FILES.shape, SHAPE, found.radial.shapes)
    out.ecsv(FILES.masses, MASSES, mass_table.as_table(found.mass_lines))
    estimates = contamination.as_table(_estimates(out, found), out.kpc_per_arcsec)
    out.ecsv(FILES.contamination, CONTAMINATION, estimates)


def summarise(out: Output, results: Results) -> Part:
    """Return contamination, laws of radius, masses and the lens model."""
    found, kpc = results[Profiled], out.kpc_per_arcsec
    level = found.contamination
    return Part(
        run={
            "contamination": {
                "per_kpc2": null(level.n / kpc**2),
                "err": null(level.err / kpc**2),
                "r_lo_arcsec": null(level.r_lo),
                "r_hi_arcsec": null(level.r_hi),
            },
            "contamination_budget": {one.name: _component(one, kpc) for one in _estimates(out, found)},
            "radial": _radial(found.radial),
            "mass": _masses(found.masses),
            "lens": None if found.lens is None else _lens(found.lens, found.peaks),
        }
    )


def _estimates(out: Output, found: Profiled) -> list[Component]:
    """Return all estimates of the contamination, and what is published where the run is of that cluster."""
    published = [contamination.published(out.kpc_per_arcsec)] if is_as1063(out.config) else []
    return [*found.budget, *published]


def _radial(found: Radial) -> dict[str, Any]:
    """Return the laws of radius, and the shape of the elliptical one."""
    return {
        "cored": _law(found.cored),
        "elliptical": _law(found.elliptical),
        "nfw": _law(found.nfw),
        "axis_ratio": null(found.shape.axis_ratio),
        "axis_ratio_err": null(found.shape.axis_ratio_err),
        "position_angle_deg": null(found.shape.position_angle),
        "position_angle_err_deg": null(found.shape.position_angle_err),
    }


def _masses(found: Masses) -> dict[str, Any]:
    """Return the masses, Msun."""
    return {
        "sigma_cr_msun_per_kpc2": null(found.sigma_cr),
        "mean_kappa_within_60arcsec": null(found.mean_kappa),
        "lens_within_60arcsec_msun": null(found.lens),
        # Without a cluster there is no aperture, and no share of it either.
        "n_gc_within_60arcsec": None if math.isnan(found.coverage) else found.n_gc_aperture,
        "coverage_within_60arcsec": null(found.coverage),
        "virial_from_counts_msun": null(found.virial_from_counts),
        "gc_total_from_ratio_msun": null(found.gc_from_ratio),
        "mean_gc_msun": null(found.mean_gc),
    }


def _component(one: Component, kpc: float) -> dict[str, float | None]:
    return {
        "per_kpc2": null(one.n / kpc**2),
        "err": null(one.err / kpc**2),
        "factor": null(one.factor),
        "factor_err": null(one.factor_err),
    }


def _law(found: Fit) -> dict[str, Any]:
    """Return a fit's parameters with both errors and both covariances, rows in the parameters' order."""
    return {
        "parameters": list(found.names),
        "values": [null(value) for value in found.values],
        "err": [null(found.error(name)) for name in found.names],
        "robust_err": [null(found.robust_error(name)) for name in found.names],
        "covariance": [[null(value) for value in row] for row in found.covariance],
        "robust_covariance": [[null(value) for value in row] for row in found.robust],
        "log_likelihood": null(found.log_likelihood),
        "n": found.n,
        "at_bound": list(found.at_bound),
    }


def _lens(models: LensModels, peaks: Sequence[Peak]) -> dict[str, Any]:
    """Return how the map was scaled, and where it peaks."""
    first = peaks[0] if peaks else None
    return {
        "scaling_in": models.kappa.scaling_in,
        "scaling": models.kappa.scaling,
        "factor": models.kappa.factor,
        "n_realisations": len(models.ensemble) if models.ensemble else 0,
        "compared": sorted(models.rivals),
        "peak_offset_arcsec": first and first.offset,
        "peaks": [
            {"xi_arcsec": peak.xi, "eta_arcsec": peak.eta, "offset_arcsec": peak.offset, "kappa": peak.kappa}
            for peak in peaks
        ],
    }
