"""Products of a run: tables, maps, the store of the sky grid, and the summary."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilegc.completeness.results import Completed
from tilegc.completeness.tables import DETECTION, depth
from tilegc.config import RunConfig
from tilegc.density.density_map import resolutions
from tilegc.density.results import Mapped
from tilegc.detection.results import Detected
from tilegc.detection.shapes import POINT
from tilegc.detection.threshold import Selection
from tilegc.engine import FieldTiles, Unit
from tilegc.filter.results import Filtered
from tilegc.geometry import Box
from tilegc.images import audits as audit
from tilegc.images.results import Audited
from tilegc.io import store
from tilegc.io.atomic import write_bytes
from tilegc.io.exports import write_fits_table, write_short, write_votable
from tilegc.io.maps import write_map
from tilegc.io.psf import write_psf
from tilegc.io.tables import write_ecsv, write_parquet, write_regions
from tilegc.mask import masked_area
from tilegc.mask.results import Masked
from tilegc.phases.context import Context
from tilegc.phases.phase import Results
from tilegc.photometry.catalogue import band_names, typical_depth
from tilegc.photometry.results import Measured
from tilegc.places import Place
from tilegc.planted import Planted
from tilegc.products import warnings
from tilegc.products.exporting import REGION_RADIUS, listed_columns
from tilegc.radial import contamination, mass_table
from tilegc.radial.contamination import Component
from tilegc.radial.intensity import Fit
from tilegc.radial.published import is_as1063
from tilegc.radial.results import Profiled
from tilegc.relation.boxes import Relation
from tilegc.relation.kernel import KernelStatistics
from tilegc.relation.likelihood import CountsRelation, describe
from tilegc.relation.results import Related
from tilegc.run_folder import RunFolder
from tilegc.schema import (
    ARRAYS,
    AUDIT,
    COMPLETENESS,
    CONTAMINATION,
    FILES,
    INPAINTED,
    MASKED,
    MASSES,
    PATTERN,
    PROFILE,
    PURITY,
    RADIAL,
    RANKING,
    RELATION,
    SCHEMA_VERSION,
    SENSITIVITY,
    SHAPE,
    STARS,
    VERSION,
    artificial_columns,
)
from tilegc.sky import cosmology, kpc_per_arcsec
from tilegc.skygrid.lens_models import LensModels, Peak
from tilegc.skygrid.results import Gridded

__all__ = [
    "summarise",
    "write_catalogue",
    "write_maps",
    "write_noise",
    "write_summary",
    "write_tables",
]


ROWS = 512
"""Rows of a map that are held at a time."""

Table = dict[str, np.ndarray]


def write_catalogue(context: Context, config: RunConfig, folder: RunFolder, results: Results) -> None:
    """Write candidates and catalogue, the latter in every format, and the artificial stars that tell of them."""
    recipe, selection, stars = {"recipe": config.recipe}, results[Measured].selection, results.get(Completed)
    candidates, catalogue = selection.candidates, selection.catalogue
    settings, bands = config.photometry_settings, band_names(context)
    apertures = None if settings is None else settings.apertures
    listed = listed_columns(bands, apertures, stars=stars is not None)
    if stars is not None:
        candidates, catalogue = stars.joined(candidates), stars.joined(catalogue)
        write_parquet(folder.path / FILES.artificial, artificial_columns(bands), stars.artificial, recipe)
        write_ecsv(folder.path / FILES.completeness, COMPLETENESS, stars.depths, recipe)
    write_parquet(folder.path / FILES.candidates, listed, candidates, recipe)
    write_parquet(folder.path / FILES.catalogue, listed, catalogue, recipe)
    write_ecsv(folder.path / FILES.catalogue_ecsv, listed, catalogue, recipe)
    write_votable(folder.path / FILES.catalogue_votable, listed, catalogue, recipe)
    write_fits_table(folder.path / FILES.catalogue_fits, listed, catalogue, recipe)
    write_short(folder.path / FILES.gc, listed, catalogue, recipe)
    regions = folder.path / FILES.catalogue_regions
    write_regions(regions, catalogue["ra"], catalogue["dec"], REGION_RADIUS, meta=recipe)


def write_tables(context: Context, config: RunConfig, folder: RunFolder, results: Results) -> None:
    """Write catalogue, candidates, inpainted, relation and profile."""
    recipe = {"recipe": config.recipe}
    write_catalogue(context, config, folder, results)
    drawn = {column.name: results[Mapped].inpainted[column.name] for column in INPAINTED}
    write_parquet(folder.path / FILES.inpainted, INPAINTED, drawn, recipe)
    related = results.get(Related)
    for path, columns, table in (
        (FILES.relation, RELATION, None if related is None else related.binned.bins),
        (FILES.ranking, RANKING, None if related is None else related.ranking),
        (FILES.sensitivity, SENSITIVITY, None if related is None else related.sensitivity),
    ):
        empty = {column.name: np.zeros(0) for column in columns}
        write_ecsv(folder.path / path, columns, empty if table is None else table, recipe)
    write_ecsv(folder.path / FILES.profile, PROFILE, results[Profiled].profile, recipe)
    for name, bands in results[Filtered].psfs.items():
        for found in bands:
            write_psf(
                folder.psf(name, found.band), found.psf, band=found.band, scale=context.source(name).scale,
                origin=found.origin, n_stars=found.n_stars,
            )  # fmt: skip
    write_ecsv(folder.path / FILES.radial, RADIAL, results[Profiled].radial.annuli, recipe)
    write_ecsv(folder.path / FILES.shape, SHAPE, results[Profiled].radial.shapes, recipe)
    write_ecsv(folder.path / FILES.masses, MASSES, mass_table.as_table(results[Profiled].mass_lines), recipe)
    kpc = kpc_per_arcsec(cosmology(config.cosmology), config.cluster.redshift)
    estimates = contamination.as_table(_estimates(config, results, kpc), kpc)
    write_ecsv(folder.path / FILES.contamination, CONTAMINATION, estimates, recipe)
    purities = [results[Measured].selection.purities[name].table for name in context.names]
    write_ecsv(folder.path / FILES.purity, PURITY, _joined(purities), recipe)
    patterns = [results[Measured].selection.patterns[name].table for name in context.names]
    write_ecsv(folder.path / FILES.pattern, PATTERN, _joined(patterns), recipe)
    pixel_area = {name: context.source(name).pixel_area for name in context.names}
    masked = masked_area.by_radius(results[Masked].counts, results[Masked].edges, pixel_area)
    write_ecsv(folder.path / FILES.masked, MASKED, masked, recipe)
    write_ecsv(folder.path / FILES.stars, STARS, results[Masked].stars, recipe)
    write_ecsv(folder.path / FILES.audit, AUDIT, audit.columns(results[Audited].lines), recipe)


def _joined(tables: list[Table]) -> Table:
    """Return the rows of several tables, one after the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def write_noise(context: Context, results: Results) -> None:
    """Write the local noise of every field into its store."""
    for field in context.fields:
        local = results[Measured].selection.local[field.source.name]
        store.write(field.store, "noise", Box(0, 0, *local.values.shape), local.values)
        if local.map.expected:
            store.write(field.store, "noise_factor", Box(0, 0, *local.map.lattice.shape), local.map.lattice)


@dataclass(frozen=True)
class _Map:
    tiles: FieldTiles
    name: str
    path: Place
    recipe: str
    resolution: str | None
    """What is said of it in the header; None: the pixels'."""


def write_maps(
    context: Context, config: RunConfig, folder: RunFolder, only: Collection[str] | None = None
) -> None:
    """Write the FITS images of every field that the run file asks for, one task each; of these `only` some."""
    resolution = resolutions(config)
    units = [
        Unit(f"{field.source.name}/{name}", field.grid.field.size,
             _Map(field, name, folder.map(field.source.name, name), config.recipe, resolution.get(name)))
        for field in context.fields
        for name in config.outputs
        if only is None or name in only
    ]  # fmt: skip
    if units:
        context.engine.run("maps", _map_unit, units)


def _map_unit(common: None, task: _Map) -> None:  # noqa: ARG001
    source = task.tiles.source
    array = next(array for array in ARRAYS if array.name == task.name)

    height, width = source.shape
    rows = (
        store.read(task.tiles.store, task.name, Box(y0, 0, min(y0 + ROWS, height), width))
        for y0 in range(0, height, ROWS)
    )
    meta = {"FIELD": (source.name, "name of the field"), "RECIPE": (task.recipe, "recipe of the run")}
    if task.resolution is not None:
        meta["RESOL"] = (task.resolution, "arcsec")
    write_map(
        task.path, source.wcs, rows, shape=source.shape, dtype=array.dtype, unit=array.unit,
        name=task.name.upper(), meaning=array.meaning, meta=meta,
    )  # fmt: skip


def summarise(
    context: Context, config: RunConfig, lens: LensModels | None, results: Results
) -> dict[str, Any]:
    """Return the content of summary.json, but for `timing`; null stands for what could not be measured."""
    cells = results[Gridded].cells
    scale = kpc_per_arcsec(cosmology(config.cosmology), config.cluster.redshift)
    related, masses = results.get(Related), results[Profiled].masses
    comparison = related and related.comparison
    realisations = config.inpaint.realisations
    return {
        "schema": SCHEMA_VERSION,
        "version": VERSION,
        "recipe": config.recipe,
        "cluster": {
            "name": config.cluster.name or None,
            "redshift": _null(config.cluster.redshift),
            "kpc_per_arcsec": _null(scale),
        },
        "fields": {
            name: _field(context, config, results, index, name)
            for index, name in enumerate(context.names)
        },
        "n_detected": len(results[Measured].selection.catalogue["y_peak"]),
        "n_inpainted": len(results[Mapped].inpainted["y"]) / realisations,
        "relation": related and _relation(config, related.binned, related.counts),
        "comparison": comparison and {
            "beta": _null(comparison.beta),
            "pearson": _null(comparison.pearson),
            "spearman": _null(comparison.spearman),
            "residual_rms": _null(comparison.residual_rms),
            **(_kernel(related.kernel) if related else {}),
        },
        "contamination": {
            "per_kpc2": _null(results[Profiled].contamination.n / scale**2),
            "err": _null(results[Profiled].contamination.err / scale**2),
            "r_lo_arcsec": _null(results[Profiled].contamination.r_lo),
            "r_hi_arcsec": _null(results[Profiled].contamination.r_hi),
        },
        "contamination_budget": {one.name: _component(one, scale) for one in _estimates(config, results, scale)},
        "radial": {
            "cored": _law(results[Profiled].radial.cored), "elliptical": _law(results[Profiled].radial.elliptical),
            "nfw": _law(results[Profiled].radial.nfw),
            "axis_ratio": _null(results[Profiled].radial.shape.axis_ratio),
            "axis_ratio_err": _null(results[Profiled].radial.shape.axis_ratio_err),
            "position_angle_deg": _null(results[Profiled].radial.shape.position_angle),
            "position_angle_err_deg": _null(results[Profiled].radial.shape.position_angle_err),
        },
        "mass": {
            "sigma_cr_msun_per_kpc2": _null(masses.sigma_cr),
            "mean_kappa_within_60arcsec": _null(masses.mean_kappa),
            "lens_within_60arcsec_msun": _null(masses.lens),
            "n_gc_within_60arcsec": masses.n_gc_aperture if config.cluster.known else None,
            "coverage_within_60arcsec": _null(masses.coverage),
            "virial_from_counts_msun": _null(masses.virial_from_counts),
            "gc_total_from_ratio_msun": _null(masses.gc_from_ratio),
            "mean_gc_msun": _null(masses.mean_gc),
        },
        "lens": lens and _lens(lens, results[Profiled].peaks),
        "truth": _planted(results[Planted]) if Planted in results else None,
        "audit": list(audit.rows(results[Audited].lines)),
        "warnings": warnings.rows(
            (
                *warnings.on_audit(results[Audited].lines),
                *(warnings.on_ranking(related.ranking) if related else ()),
                *warnings.on_edges(config, {name: _edge_share(context, results, name) for name in context.names}),
                *warnings.on_detection(
                    config,
                    results[Detected].noises,
                    results[Measured].selection,
                    {one.source.name: one.source.band_names for one in context.fields},
                ),
            )
        ),
        "sky_grid": {"kept_area_arcsec2": _null(float(cells.good_area.sum(axis=0)[cells.kept].sum()))},
    }  # fmt: skip


def _field(context: Context, config: RunConfig, results: Results, index: int, name: str) -> dict[str, Any]:
    source, cells, noise = context.source(name), results[Gridded].cells, results[Detected].noises[name]
    n_pixels = source.shape[0] * source.shape[1]
    with_data = int(cells.n_pixels[index].sum())
    return {
        "shape": list(source.shape),
        "good_area_arcsec2": noise.n_good * source.pixel_area,
        # Of the pixels with data; null where there are none.
        "masked_fraction": 1 - noise.n_good / with_data if with_data else None,
        "no_data_fraction": 1 - with_data / n_pixels,
        "masked": masked_area.shares(results[Masked].counts[name], source.pixel_area),
        "sigma": _null(noise.sigma),
        "threshold": _null(results[Measured].selection.typical[name]),
        "psf": {
            band.band: {
                "fwhm_arcsec": _null(band.psf.fwhm * source.scale),
                "origin": band.origin,
                "n_stars": band.n_stars,
            }
            for band in results[Filtered].psfs[name]
        },
        "n_not_points": int(
            (
                (results[Measured].selection.candidates["field"] == name)
                & (results[Measured].selection.candidates["shape"] != POINT)
            ).sum()
        ),
        "n_candidates": int((results[Measured].selection.candidates["field"] == name).sum()),
        "n_detected": int((results[Measured].selection.catalogue["field"] == name).sum()),
        "n_inpainted": int((results[Mapped].inpainted["field"] == name).sum()) / config.inpaint.realisations,
        "inpainting": {
            "iterations": results[Mapped].convergence[name].iterations,
            "last_change": _null(results[Mapped].convergence[name].change),
        },
        "depth": _depth(results, name),
        "photometry": _photometry(context, config, results, name),
        **_limits(results[Measured].selection, name),
    }


def _edge_share(context: Context, results: Results, name: str) -> float | None:
    """Return the share of a field's pixels with data that the edge mask takes."""
    shares = masked_area.shares(results[Masked].counts[name], context.source(name).pixel_area)
    return shares["edge"]["fraction"]


def _depth(results: Results, name: str) -> dict[str, dict[str, float | None]] | None:
    """Return the magnitudes at which a field is 50, 80 and 90 per cent complete, by band; None without stars."""
    stars = results.get(Completed)
    if stars is None or name not in stars.stars:
        return None
    found = depth(stars.depths, name)
    return {
        band: {key: _null(value) for key, value in levels.items()}
        for band, levels in found.items()
        if band != DETECTION
    }


def _photometry(context: Context, config: RunConfig, results: Results, name: str) -> dict[str, Any] | None:
    """Return the depth of every band of a field; None where photometry is off."""
    if config.photometry_settings is None:
        return None
    depth = typical_depth(results[Measured].selection.candidates, name, context.source(name).band_names)
    return {band: {"mag_5sigma": _null(value)} for band, value in depth.items()}


def _limits(selection: Selection, name: str) -> dict[str, Any]:
    """Return what is known of one field's noise and threshold."""
    noise, limit = selection.local[name], selection.thresholds[name]
    pure = selection.catalogue["purity"][selection.catalogue["field"] == name]
    known = pure[np.isfinite(pure)]
    return {
        "local_noise": _null(noise.median),
        "local_noise_lo": _null(noise.values[noise.good > 0].min(initial=np.inf)),
        "local_noise_hi": _null(noise.values[noise.good > 0].max(initial=-np.inf)),
        "noise_over_err": _null(noise.over_error),
        "common_noise": _null(noise.common),
        "null_maps": noise.counts.draws // 2 if noise.balance.patterns else 0,
        "null_balance": list(noise.balance.scales),
        "threshold_snr": _null(limit.value if limit.local else limit.value / noise.median),
        "threshold_chosen": limit.chosen,
        "threshold_reason": limit.reason,
        "purity": _null(float(known.mean()) if known.size else np.nan),
        "pattern_onset_snr": selection.patterns[name].onset or None,
    }


def _estimates(config: RunConfig, results: Results, kpc: float) -> list[Component]:
    """Return all estimates of the contamination, and what is published where the run is of that cluster."""
    published = [contamination.published(kpc)] if is_as1063(config) else []
    return [*results[Profiled].budget, *published]


def _component(one: Component, kpc: float) -> dict[str, float | None]:
    return {
        "per_kpc2": _null(one.n / kpc**2), "err": _null(one.err / kpc**2),
        "factor": _null(one.factor), "factor_err": _null(one.factor_err),
    }  # fmt: skip


def _law(found: Fit) -> dict[str, Any]:
    """Return a fit's parameters with both errors and both covariances, rows in the parameters' order."""
    return {
        "parameters": list(found.names),
        "values": [_null(value) for value in found.values],
        "err": [_null(found.error(name)) for name in found.names],
        "robust_err": [_null(found.robust_error(name)) for name in found.names],
        "covariance": [[_null(value) for value in row] for row in found.covariance],
        "robust_covariance": [[_null(value) for value in row] for row in found.robust],
        "log_likelihood": _null(found.log_likelihood),
        "n": found.n,
        "at_bound": list(found.at_bound),
    }


def _relation(config: RunConfig, binned: Relation, counts: CountsRelation) -> dict[str, Any]:
    """Return the relation: that of the likelihood, of the boxes where it found none; both stand beside it."""
    method, headline = ("likelihood", counts) if np.isfinite(counts.index) else ("boxes", binned)
    law = {
        name: _null(getattr(headline, name)) for name in ("amplitude", "amplitude_err", "index", "index_err")
    }
    bins = {
        name: _null(getattr(binned, name)) for name in ("amplitude", "amplitude_err", "index", "index_err")
    }
    total = _null(counts.index_err_total) if method == "likelihood" else None
    return {
        "method": method,
        **law,
        "index_err_total": total,
        "box_arcsec": config.relation.box,
        "boxes": bins,
        "likelihood": describe(counts),
    }


def _kernel(found: KernelStatistics) -> dict[str, Any]:
    """Return errors of the comparison, the best kernel, and what radius alone does not explain."""
    errors, kernel, beyond = found.errors, found.kernel, found.beyond
    return {
        "beta_err": _null(errors.beta), "pearson_err": _null(errors.pearson), "spearman_err": _null(errors.spearman),
        "kernel": {
            "alpha": _null(kernel.alpha), "alpha_err": _null(kernel.alpha_err),
            "softening_arcsec": _null(kernel.softening), "softening_err": _null(kernel.softening_err),
            "score_held_out": _null(kernel.score), "given_score_held_out": _null(kernel.given_score),
            "score_fitted": _null(kernel.fitted_score),
        },
        "beyond_radius": {
            "correlation": _null(beyond.correlation), "null_mean": _null(beyond.null_mean),
            "null_std": _null(beyond.null_std), "p_value": _null(beyond.p_value),
            "turned_std": _null(beyond.turned_std), "axis_ratio": _null(beyond.ellipse.axis_ratio),
            "position_angle_deg": _null(beyond.ellipse.position_angle),
        },
    }  # fmt: skip


def _lens(models: LensModels, peaks: Sequence[Peak]) -> dict[str, Any]:
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


def _planted(planted: Planted) -> dict[str, Any]:
    return {
        "response": _null(planted.response),
        "flux_limit_nJy": _null(planted.flux_limit),
        "n_planted": planted.n,
        "n_found": planted.n_found,
        "completeness": _null(planted.completeness),
        "purity": _null(planted.purity),
        "index": _null(planted.relation.index),
        "index_err": _null(planted.relation.index_err),
        "index_difference": _null(planted.index_difference),
        "index_difference_err": _null(planted.index_difference_err),
        "amplitude": _null(planted.relation.amplitude),
        "amplitude_err": _null(planted.relation.amplitude_err),
        "profile": {
            name: [_null(v) if isinstance(v, float) else v for v in planted.profile[name].tolist()]
            for name in ("field", "r_lo", "r_hi", "area_arcsec2", "n_gc", "n_per_arcsec2", "n_apart")
        },
    }


def write_summary(path: Place, summary: Mapping[str, Any]) -> None:
    """Write summary.json; a NaN in it is an error."""
    write_bytes(path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())


def _null(value: float) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
