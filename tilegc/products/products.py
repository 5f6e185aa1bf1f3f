"""Products of a run: tables, maps, the store of the sky grid, and the summary."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tilegc.config import RunConfig
from tilegc.density.density_map import resolutions
from tilegc.density.trend import Convergence
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.shapes import POINT
from tilegc.detection.threshold import Selection
from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import Box
from tilegc.images import audits as audit
from tilegc.images.psfs import BandPsf
from tilegc.io import store
from tilegc.io.atomic import write_bytes
from tilegc.io.exports import write_fits_table, write_short, write_votable
from tilegc.io.maps import write_map
from tilegc.io.psf import write_psf
from tilegc.io.tables import write_ecsv, write_parquet, write_regions
from tilegc.mask import masked_area
from tilegc.phases.context import Context
from tilegc.photometry.catalogue import band_names, typical_depth
from tilegc.places import Place
from tilegc.planted import Planted
from tilegc.products import warnings
from tilegc.products.exporting import REGION_RADIUS, listed_columns
from tilegc.radial import contamination, mass_table
from tilegc.radial.contamination import Component
from tilegc.radial.intensity import Fit
from tilegc.radial.mass_table import Line
from tilegc.radial.masses import Masses
from tilegc.radial.profile import Contamination
from tilegc.radial.published import is_as1063
from tilegc.radial.radial_laws import Radial
from tilegc.relation.boxes import Boxes, Comparison, Relation
from tilegc.relation.kernel import KernelStatistics
from tilegc.relation.likelihood import CountsRelation, describe
from tilegc.run_folder import RunFolder
from tilegc.schema import (
    ARRAYS,
    AUDIT,
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
    SKY_GRID,
    STARS,
    VERSION,
)
from tilegc.sky import cosmology, kpc_per_arcsec
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.lens_models import LensModels, Peak

__all__ = [
    "Results",
    "summarise",
    "write_catalogue",
    "write_maps",
    "write_noise",
    "write_sky_grid",
    "write_summary",
    "write_tables",
]


ROWS = 512
"""Rows of a map that are held at a time."""

BOX = ("xi", "eta", "area", "count", "kappa")

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Results:
    """What a run found, in the driver's memory."""

    noise: Mapping[str, Noise]
    selection: Selection
    inpainted: Table
    convergence: Mapping[str, Convergence]
    """Of the inpainting, by field."""
    cells: SkyCells
    relation: Relation | None
    """None without a kappa map."""
    counts: CountsRelation | None
    """The likelihood of counts given kappa; None without a kappa map."""
    comparison: Comparison | None
    kernel: KernelStatistics | None
    """Errors of the comparison and the best kernel; None without a kappa map."""
    ranking: Table | None
    sensitivity: Table | None
    profile: Table
    contamination: Contamination
    radial: Radial
    budget: list[Component]
    masses: Masses
    mass_lines: list[Line]
    lens: tuple[LensModels, list[Peak]] | None
    planted: Planted | None
    """None unless the run file names a truth table."""
    audit: tuple[audit.Line, ...]
    psfs: Mapping[str, tuple[BandPsf, ...]]
    """Of every field's bands: what shapes, and the calibrated filter, are measured with."""
    masked: Mapping[str, np.ndarray]
    """By field, pixels by annulus and value of the mask, int64 (annulus, 256)."""
    masked_edges: np.ndarray
    """Edges of these annuli, arcsec."""
    stars: Table
    """Columns of `schema.STARS`: what is masked for the wings of bright stars."""

    @property
    def candidates(self) -> Table:
        """The peaks >= T."""
        return self.selection.candidates

    @property
    def catalogue(self) -> Table:
        """The sources: the peaks >= keep x T."""
        return self.selection.catalogue


def write_catalogue(context: Context, config: RunConfig, folder: RunFolder, selection: Selection) -> None:
    """Write candidates and catalogue, the latter in every format."""
    recipe, catalogue = {"recipe": config.recipe}, selection.catalogue
    settings = config.photometry_settings
    listed = listed_columns(band_names(context), None if settings is None else settings.apertures)
    write_parquet(folder.path / FILES.candidates, listed, selection.candidates, recipe)
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
    write_catalogue(context, config, folder, results.selection)
    drawn = {column.name: results.inpainted[column.name] for column in INPAINTED}
    write_parquet(folder.path / FILES.inpainted, INPAINTED, drawn, recipe)
    bins = results.relation.bins if results.relation else {column.name: np.zeros(0) for column in RELATION}
    write_ecsv(folder.path / FILES.relation, RELATION, bins, recipe)
    for path, columns, table in (
        (FILES.ranking, RANKING, results.ranking), (FILES.sensitivity, SENSITIVITY, results.sensitivity),
    ):  # fmt: skip
        empty = {column.name: np.zeros(0) for column in columns}
        write_ecsv(folder.path / path, columns, empty if table is None else table, recipe)
    write_ecsv(folder.path / FILES.profile, PROFILE, results.profile, recipe)
    for name, bands in results.psfs.items():
        for found in bands:
            write_psf(
                folder.psf(name, found.band), found.psf, band=found.band, scale=context.source(name).scale,
                origin=found.origin, n_stars=found.n_stars,
            )  # fmt: skip
    write_ecsv(folder.path / FILES.radial, RADIAL, results.radial.annuli, recipe)
    write_ecsv(folder.path / FILES.shape, SHAPE, results.radial.shapes, recipe)
    write_ecsv(folder.path / FILES.masses, MASSES, mass_table.as_table(results.mass_lines), recipe)
    kpc = kpc_per_arcsec(cosmology(config.cosmology), config.cluster.redshift)
    estimates = contamination.as_table(_estimates(config, results, kpc), kpc)
    write_ecsv(folder.path / FILES.contamination, CONTAMINATION, estimates, recipe)
    purities = [results.selection.purities[name].table for name in context.names]
    write_ecsv(folder.path / FILES.purity, PURITY, _joined(purities), recipe)
    patterns = [results.selection.patterns[name].table for name in context.names]
    write_ecsv(folder.path / FILES.pattern, PATTERN, _joined(patterns), recipe)
    pixel_area = {name: context.source(name).pixel_area for name in context.names}
    masked = masked_area.by_radius(results.masked, results.masked_edges, pixel_area)
    write_ecsv(folder.path / FILES.masked, MASKED, masked, recipe)
    write_ecsv(folder.path / FILES.stars, STARS, results.stars, recipe)
    write_ecsv(folder.path / FILES.audit, AUDIT, audit.columns(results.audit), recipe)


def _joined(tables: list[Table]) -> Table:
    """Return the rows of several tables, one after the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def write_noise(context: Context, results: Results) -> None:
    """Write the local noise of every field into its store."""
    for field in context.fields:
        local = results.selection.local[field.source.name]
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


def write_sky_grid(
    recipe: str, path: str, cells: SkyCells, boxes: Boxes | None, recovery: np.ndarray, counting: np.ndarray,
    light: np.ndarray | None,
) -> None:  # fmt: skip
    """Write the sky grid, and the boxes of the relation, as store/sky-grid.zarr; coordinates are arcsec.

    Parameters
    ----------
    recipe, path : str
        Recipe of the run; path of the store.
    cells : SkyCells
    boxes : Boxes, optional
        None without a convergence map.
    recovery : ndarray
        Share of sources that is seen, (eta, xi); NaN where it is not known.
    counting : ndarray of bool
        Cells that the likelihoods of positions count, and the law without galaxies' light, (eta, xi).
    light : ndarray, optional
        Of galaxies, (eta, xi); None where the law has no term for it.
    """
    in_boxes = {} if boxes is None else {f"box_{name}": getattr(boxes, name) for name in BOX}
    values = {
        array.name: getattr(cells, array.name, np.zeros(0, array.dtype)) for array in SKY_GRID
    } | in_boxes
    light = np.zeros(cells.kappa.shape) if light is None else light
    values |= {"recovery": recovery, "in_law": counting, "galaxy_light": light}
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
            "schema": SCHEMA_VERSION, "recipe": recipe, "fields": list(cells.fields),
            "pixel_area_arcsec2": cells.pixel_area.tolist(), "cell_arcsec": cells.grid.pixel,
            "j0": cells.j0, "i0": cells.i0, "ra": cells.grid.ra, "dec": cells.grid.dec,
        },
    )  # fmt: skip
    store.write_dataset(path, dataset)


def summarise(context: Context, config: RunConfig, results: Results) -> dict[str, Any]:
    """Return the content of summary.json, but for `timing`; null stands for what could not be measured."""
    cells = results.cells
    scale = kpc_per_arcsec(cosmology(config.cosmology), config.cluster.redshift)
    relation, comparison, masses = results.relation, results.comparison, results.masses
    realisations = config.inpaint.realisations
    return {
        "schema": SCHEMA_VERSION,
        "version": VERSION,
        "recipe": config.recipe,
        "cluster": {"name": config.cluster.name, "redshift": config.cluster.redshift, "kpc_per_arcsec": scale},
        "fields": {
            name: _field(context, config, results, index, name)
            for index, name in enumerate(context.names)
        },
        "n_detected": len(results.catalogue["y_peak"]),
        "n_inpainted": len(results.inpainted["y"]) / realisations,
        "relation": relation and results.counts and _relation(config, relation, results.counts),
        "comparison": comparison and {
            "beta": _null(comparison.beta),
            "pearson": _null(comparison.pearson),
            "spearman": _null(comparison.spearman),
            "residual_rms": _null(comparison.residual_rms),
            **(_kernel(results.kernel) if results.kernel else {}),
        },
        "contamination": {
            "per_kpc2": _null(results.contamination.n / scale**2),
            "err": _null(results.contamination.err / scale**2),
            "r_lo_arcsec": _null(results.contamination.r_lo),
            "r_hi_arcsec": _null(results.contamination.r_hi),
        },
        "contamination_budget": {one.name: _component(one, scale) for one in _estimates(config, results, scale)},
        "radial": {
            "cored": _law(results.radial.cored), "elliptical": _law(results.radial.elliptical),
            "nfw": _law(results.radial.nfw),
            "axis_ratio": _null(results.radial.shape.axis_ratio),
            "axis_ratio_err": _null(results.radial.shape.axis_ratio_err),
            "position_angle_deg": _null(results.radial.shape.position_angle),
            "position_angle_err_deg": _null(results.radial.shape.position_angle_err),
        },
        "mass": {
            "sigma_cr_msun_per_kpc2": _null(masses.sigma_cr),
            "mean_kappa_within_60arcsec": _null(masses.mean_kappa),
            "lens_within_60arcsec_msun": _null(masses.lens),
            "n_gc_within_60arcsec": masses.n_gc_aperture,
            "coverage_within_60arcsec": masses.coverage,
            "virial_from_counts_msun": _null(masses.virial_from_counts),
            "gc_total_from_ratio_msun": _null(masses.gc_from_ratio),
            "mean_gc_msun": _null(masses.mean_gc),
        },
        "lens": results.lens and _lens(*results.lens),
        "truth": results.planted and _planted(results.planted),
        "audit": list(audit.rows(results.audit)),
        "warnings": warnings.rows(
            (
                *warnings.on_audit(results.audit),
                *warnings.on_edges(config, {name: _edge_share(context, results, name) for name in context.names}),
                *warnings.on_detection(
                    config,
                    results.noise,
                    results.selection,
                    {one.source.name: one.source.band_names for one in context.fields},
                ),
            )
        ),
        "sky_grid": {"kept_area_arcsec2": _null(float(cells.good_area.sum(axis=0)[cells.kept].sum()))},
    }  # fmt: skip


def _field(context: Context, config: RunConfig, results: Results, index: int, name: str) -> dict[str, Any]:
    source, cells, noise = context.source(name), results.cells, results.noise[name]
    n_pixels = source.shape[0] * source.shape[1]
    with_data = int(cells.n_pixels[index].sum())
    return {
        "shape": list(source.shape),
        "good_area_arcsec2": noise.n_good * source.pixel_area,
        # Of the pixels with data; null where there are none.
        "masked_fraction": 1 - noise.n_good / with_data if with_data else None,
        "no_data_fraction": 1 - with_data / n_pixels,
        "masked": masked_area.shares(results.masked[name], source.pixel_area),
        "sigma": _null(noise.sigma),
        "threshold": _null(results.selection.typical[name]),
        "psf": {
            band.band: {
                "fwhm_arcsec": _null(band.psf.fwhm * source.scale),
                "origin": band.origin,
                "n_stars": band.n_stars,
            }
            for band in results.psfs[name]
        },
        "n_not_points": int(
            ((results.candidates["field"] == name) & (results.candidates["shape"] != POINT)).sum()
        ),
        "n_candidates": int((results.candidates["field"] == name).sum()),
        "n_detected": int((results.catalogue["field"] == name).sum()),
        "n_inpainted": int((results.inpainted["field"] == name).sum()) / config.inpaint.realisations,
        "inpainting": {
            "iterations": results.convergence[name].iterations,
            "last_change": _null(results.convergence[name].change),
        },
        "photometry": _photometry(context, config, results, name),
        **_limits(results.selection, name),
    }


def _edge_share(context: Context, results: Results, name: str) -> float | None:
    """Return the share of a field's pixels with data that the edge mask takes."""
    shares = masked_area.shares(results.masked[name], context.source(name).pixel_area)
    return shares["edge"]["fraction"]


def _photometry(context: Context, config: RunConfig, results: Results, name: str) -> dict[str, Any] | None:
    """Return the depth of every band of a field; None where photometry is off."""
    if config.photometry_settings is None:
        return None
    depth = typical_depth(results.candidates, name, context.source(name).band_names)
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
    return [*results.budget, *([contamination.published(kpc)] if is_as1063(config) else [])]


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


def _lens(models: LensModels, peaks: list[Peak]) -> dict[str, Any]:
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
