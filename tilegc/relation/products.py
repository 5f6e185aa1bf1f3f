"""Products of the phase `relation`: the store of the sky grid, the tables, and the laws in summary.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilegc.deferred import Deferred
from tilegc.io import store
from tilegc.io.maps import write_planes
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.relation.boxes import Boxes
from tilegc.relation.goodness import SCALES, Goodness
from tilegc.relation.kernel import KernelStatistics
from tilegc.relation.likelihood import describe
from tilegc.relation.limit_trend import LIMITS, Trend, limit_trend
from tilegc.relation.results import Related
from tilegc.schema import (
    ASSUMPTIONS,
    CUMULATIVE,
    EXCESSES,
    FILES,
    GOODNESS,
    RANKING,
    RELATION,
    SCHEMA_VERSION,
    SENSITIVITY,
    SKY_GRID,
)
from tilegc.sky import SkyGrid, header_text
from tilegc.skygrid.results import Gridded

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = Deferred("xarray")

__all__ = ["summarise", "write", "write_sky_grid"]

NAMED: Final = 0.05
"""Probability up to which an excess or a deficit is counted in the summary."""

BOX: Final = ("xi", "eta", "area", "count", "kappa")
"""What is stored of the boxes."""


def write_sky_grid(recipe: str, path: str, sky: Gridded, in_boxes: Boxes | None) -> None:
    """Write the sky grid, and the boxes of the relation, as store/sky-grid.zarr; coordinates are arcsec.

    Parameters
    ----------
    recipe, path : str
        Recipe of the run; path of the store.
    sky : Gridded
    in_boxes : Boxes or None
        None without a convergence map.
    """
    cells = sky.cells
    values = {array.name: getattr(cells, array.name, np.zeros(0, array.dtype)) for array in SKY_GRID}
    if in_boxes is not None:
        values |= {f"box_{name}": getattr(in_boxes, name) for name in BOX}
    light = np.zeros(cells.kappa.shape) if sky.light is None else sky.light
    values |= {"recovery": sky.recovery, "in_law": sky.counting, "galaxy_light": light}
    dataset = xr.Dataset(
        {
            array.name: (array.dims, values[array.name], {"units": array.unit, "long_name": array.meaning})
            for array in SKY_GRID
        },
        coords={
            "eta": ("eta", cells.eta, {"units": "arcsec"}),
            "xi": ("xi", cells.xi, {"units": "arcsec"}),
        },
        attrs={
            "schema": SCHEMA_VERSION,
            "recipe": recipe,
            "fields": list(cells.fields),
            "pixel_area_arcsec2": cells.pixel_area.tolist(),
            "cell_arcsec": cells.grid.pixel,
            "j0": cells.j0,
            "i0": cells.i0,
            "ra": cells.grid.ra,
            "dec": cells.grid.dec,
        },
    )
    store.write_dataset(path, dataset)


def write(out: Output, results: Results) -> None:
    """Write the tables of the relation, without a row where there is no convergence map, and the map of residuals."""
    found = results.get(Related)
    out.ecsv(FILES.relation, RELATION, None if found is None else found.binned.bins)
    out.ecsv(FILES.ranking, RANKING, None if found is None else found.ranking)
    out.ecsv(FILES.sensitivity, SENSITIVITY, None if found is None else found.sensitivity)
    out.ecsv(FILES.assumptions, ASSUMPTIONS, None if found is None else found.assumptions)
    good = None if found is None else found.goodness
    out.ecsv(FILES.goodness, GOODNESS, None if good is None else good.tests)
    out.ecsv(FILES.cumulative, CUMULATIVE, None if good is None else good.curves)
    out.ecsv(FILES.excesses, EXCESSES, None if good is None else _on_sky(out, good))
    if good is not None:
        _write_residuals(out, good)


def _on_sky(out: Output, good: Goodness) -> dict[str, np.ndarray]:
    """Return the table of excesses with positions on the sky."""
    cluster = out.config.cluster
    ra, dec = SkyGrid(cluster.ra, cluster.dec, 1.0).radec(good.peaks["xi"], good.peaks["eta"])
    return good.peaks | {"ra": ra, "dec": dec}


def _write_residuals(out: Output, good: Goodness) -> None:
    """Write maps/law_residuals.fits: the significance of the residuals, one image per scale; east is to the right."""
    cluster = out.config.cluster
    wcs = SkyGrid(cluster.ra, cluster.dec, good.side).wcs(good.first[1], good.first[0])
    planes = [
        (
            f"RESIDUAL{scale:g}",
            values.astype(np.float32),
            "",
            f"significance of residuals, FWHM {scale:g} arcsec",
        )
        for scale, values in zip(SCALES, good.maps, strict=True)
    ]
    write_planes(
        out.place(FILES.residual_map),
        header_text(wcs),
        planes,
        {"RECIPE": (out.config.recipe, "recipe of the run")},
    )


def summarise(out: Output, results: Results) -> Part:
    """Return the law, and the comparison of rho with kappa; None for both without a convergence map."""
    found = results.get(Related)
    if found is None:
        return Part(run={"relation": None, "comparison": None})
    comparison = found.comparison
    likeness = {
        "beta": null(comparison.beta),
        "pearson": null(comparison.pearson),
        "spearman": null(comparison.spearman),
        "residual_rms": null(comparison.residual_rms),
        **_kernel(found.kernel),
    }
    law = {**_law(found, out.config.relation.box), "limit_trend": _trend(limit_trend(found.sensitivity))}
    law["map"] = dict(found.changes)
    law["goodness"] = found.goodness and _goodness(found.goodness)
    return Part(run={"relation": law, "comparison": likeness})


def _law(found: Related, box: float) -> dict[str, Any]:
    """Return the law of the likelihood, or that of the boxes where it found none; both stand beside it."""
    measured = np.isfinite(found.counts.index)
    method, headline = ("likelihood", found.counts) if measured else ("boxes", found.binned)
    names = ("amplitude", "amplitude_err", "index", "index_err")
    return {
        "method": method,
        **{name: null(getattr(headline, name)) for name in names},
        "index_err_total": null(found.counts.index_err_total) if measured else None,
        "box_arcsec": box,
        "boxes": {name: null(getattr(found.binned, name)) for name in names},
        "likelihood": describe(found.counts),
    }


def _trend(found: Trend) -> dict[str, Any]:
    """Return b above several limits in signal-to-noise."""
    return {
        "samples": list(LIMITS),
        "index": [null(value) for value in found.index],
        "index_err": [null(value) for value in found.index_err],
        "chi2": null(found.chi2),
        "degrees_of_freedom": len(LIMITS) - 1,
        "sigma": null(found.sigma),
    }


def _goodness(found: Goodness) -> dict[str, Any]:
    """Return how probable the residuals of the law are, and the least probable of them."""
    tests, peaks = found.tests, found.peaks
    worst = int(np.argmin(tests["p_value"]))
    return {
        "p_value": found.p_value,
        "p_value_clumped": found.p_value_clumped,
        "simulated_skies": found.skies,
        "least_probable": {
            "statistic": str(tests["statistic"][worst]),
            "scale_arcsec": null(tests["scale"][worst]),
        },
        "n_excesses": int(((peaks["kind"] == "excess") & (peaks["p_value"] <= NAMED)).sum()),
        "n_deficits": int(((peaks["kind"] == "deficit") & (peaks["p_value"] <= NAMED)).sum()),
    }


def _kernel(found: KernelStatistics) -> dict[str, Any]:
    """Return errors of the comparison, the best kernel, and what radius alone does not explain."""
    errors, kernel, beyond = found.errors, found.kernel, found.beyond
    return {
        "beta_err": null(errors.beta),
        "pearson_err": null(errors.pearson),
        "spearman_err": null(errors.spearman),
        "kernel": {
            "alpha": null(kernel.alpha),
            "alpha_err": null(kernel.alpha_err),
            "softening_arcsec": null(kernel.softening),
            "softening_err": null(kernel.softening_err),
            "score_held_out": null(kernel.score),
            "given_score_held_out": null(kernel.given_score),
            "score_fitted": null(kernel.fitted_score),
        },
        "beyond_radius": {
            "correlation": null(beyond.correlation),
            "null_mean": null(beyond.null_mean),
            "null_std": null(beyond.null_std),
            "p_value": null(beyond.p_value),
            "turned_std": null(beyond.turned_std),
            "axis_ratio": null(beyond.ellipse.axis_ratio),
            "position_angle_deg": null(beyond.ellipse.position_angle),
        },
    }
