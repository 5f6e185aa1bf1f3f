"""Photometry of a run: from the candidates' peaks to positions, total fluxes, magnitudes and what may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.config import Photometry
from tilegc.detection.threshold import Selection
from tilegc.engine import FieldTiles
from tilegc.images.psfs import STARS_BESIDE, BandPsf, field_psfs
from tilegc.kernels.psf import Psf
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.photometry.columns import ZERO_POINT, band_columns
from tilegc.photometry.extinction import extinctions
from tilegc.photometry.fit import FieldFit, fit_fields
from tilegc.photometry.other_bands import measure_others
from tilegc.photometry.results import Measured
from tilegc.photometry.sources import FieldSources
from tilegc.photometry.stamps import splines
from tilegc.schema import Flag, photometry_columns
from tilegc.sky import ClusterFrame, pixel_to_world, separation_arcsec

__all__ = ["band_names", "measured_names", "photometry", "typical_depth"]

Floats = NDArray[np.float64]

PARTIAL: Final = 0.8
"""Share of the stamp's information below which a source is flagged."""

POOR: Final = 3.0
"""Chi from which it is no single point."""


def photometry(
    context: Context,
    settings: Photometry | None,
    frame: ClusterFrame,
    selection: Selection,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    given: Mapping[str, Mapping[str, Psf]],
) -> Measured:
    """Return a selection whose candidates and catalogue have positions and fluxes; the same one where it is off.

    Parameters
    ----------
    context : Context
    settings : Photometry or None
        None: photometry is off.
    frame : ClusterFrame
    selection : Selection
        Its candidates are all fitted at once, field by field.
    psfs : mapping
        Of every field's bands.
    given : mapping
        The user's PSFs, those of the bands that are only measured among them.
    """
    if settings is None:
        return Measured(selection=selection)
    found, fits = measure(context, selection.candidates, psfs, settings, frame)
    if context.others:
        # Bands that are only measured are fields like any others, with tiles and stores of their own: nothing
        # below needs to know the difference.
        mosaics = replace(context, fields=context.others, others=())
        # Stars are found in every one of them: no recipe is without a PSF here.
        others = field_psfs(mosaics, "calibrated", given, STARS_BESIDE)
        found = measure_others(context, found, settings, others)
    for band, magnitudes in extinctions(settings.extinction, measured_names(context)).items():
        # Corrected magnitudes stand beside the measured ones and never in their place: the dust map is the
        # user's.
        found[f"mag0_{band}"] = found[f"mag_{band}"] - magnitudes
    rows = selection.catalogue["id"]
    catalogue = {name: column[rows] for name, column in found.items()}
    return Measured(selection=replace(selection, candidates=found, catalogue=catalogue), fits=fits)


def measure(
    context: Context,
    candidates: Table,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    settings: Photometry,
    frame: ClusterFrame,
) -> tuple[Table, dict[str, FieldFit]]:
    """Return candidates with sub-pixel positions and the columns of `schema.photometry_columns`, and the fits."""
    n = candidates["id"].size
    columns = photometry_columns(
        measured_names(context), settings.apertures, corrected=settings.extinction is not None
    )
    table = dict(candidates)
    for column in columns:
        table[column.name] = np.zeros(n, np.int32) if column.dtype == "int32" else np.full(n, np.nan)
    rows = {
        field.source.name: np.flatnonzero(candidates["field"] == field.source.name)
        for field in context.fields
    }
    searched = [field for field in context.fields if rows[field.source.name].size]
    if not searched:
        return table, {}
    fitted = fit_fields(
        context.engine,
        searched,
        {field.source.name: _sources(field, candidates, rows) for field in searched},
        {field.source.name: splines(psfs[field.source.name], field.source.scale) for field in searched},
        {field.source.name: np.asarray(settings.apertures) / field.source.scale for field in searched},
    )
    for field in searched:
        name = field.source.name
        _enter(table, rows[name], fitted[name], field)
    table["radius_arcsec"] = separation_arcsec(table["ra"], table["dec"], frame.ra, frame.dec)
    table["radius_kpc"] = table["radius_arcsec"] * frame.kpc_per_arcsec
    return table, fitted


def typical_depth(table: Table, name: str, bands: tuple[str, ...]) -> dict[str, float]:
    """Return, by band, the magnitude (AB) of five times the median error of a field's fluxes; NaN without any.

    Most candidates are faint, so that this is the depth for points among the field's own neighbours and confusion.
    """
    rows = table["field"] == name
    found = {}
    for band in bands:
        errors = table[f"flux_err_{band}"][rows]
        errors = errors[np.isfinite(errors) & (errors > 0)]
        found[band] = float(ZERO_POINT - 2.5 * np.log10(5 * np.median(errors))) if errors.size else np.nan
    return found


def band_names(context: Context) -> tuple[str, ...]:
    """Return the names of the bands of all fields, in run-file order."""
    return tuple(dict.fromkeys(name for field in context.fields for name in field.source.band_names))


def measured_names(context: Context) -> tuple[str, ...]:
    """Return the names of all bands with fluxes: those of the fields, then those that are only measured."""
    return *band_names(context), *(name for one in context.others for name in one.source.band_names)


def _sources(field: FieldTiles, candidates: Table, rows: Mapping[str, NDArray[np.int64]]) -> FieldSources:
    own = rows[field.source.name]
    return FieldSources(
        candidates["y_peak"][own].astype(np.int64),
        candidates["x_peak"][own].astype(np.int64),
        field.source.shape,
        np.zeros((own.size, 2)),
        np.zeros((len(field.source.bands), own.size)),
    )


def _enter(table: Table, rows: NDArray[np.int64], fit: FieldFit, field: FieldTiles) -> None:
    """Put the fit of one field into its rows."""
    own: dict[str, Floats] = {"y": fit.y, "x": fit.x, "y_err": fit.error[:, 0], "x_err": fit.error[:, 1]}
    own["ra"], own["dec"] = pixel_to_world(field.source.wcs, fit.y, fit.x)
    flags = np.zeros(rows.size, np.int32)
    flags[fit.moved] |= Flag.MOVED
    flags[fit.close] |= Flag.CLOSE
    light, others, total = np.zeros(rows.size), np.zeros(rows.size), np.zeros(rows.size)
    for name, band in zip(field.source.band_names, fit.bands, strict=True):
        own |= {f"{key}_{name}": column for key, column in band_columns(band).items()}
        missing = np.isnan(band.flux)
        with np.errstate(invalid="ignore"):
            flags[missing] |= Flag.UNFITTED
            flags[~missing & (band.good < PARTIAL)] |= Flag.PARTIAL
            flags[band.flux <= 0] |= Flag.NEGATIVE
            flags[band.chi > POOR] |= Flag.POOR
        # Negative fluxes count as no light, or two noise fluctuations of opposite sign would make an infinite
        # crowding.
        light += np.where(missing, 0.0, band.flux).clip(0.0)
        total += np.where(missing, 0.0, band.flux)
        others += np.nan_to_num(band.neighbours).clip(0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own["crowding"] = np.where(light > 0, others / light, np.nan)
        flags[own["crowding"] > 1] |= Flag.CROWDED
    flags[total <= 0] |= Flag.IMPOSSIBLE
    for key, column in own.items():
        # Columns may be shared with the table that the caller holds.
        table[key] = table[key].copy()
        table[key][rows] = column
    table["flags"] = table["flags"].copy()
    table["flags"][rows] = flags
