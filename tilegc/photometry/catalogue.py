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
from tilegc.images.psfs import STACK, BandPsf
from tilegc.images.stars import REACH as STARS_REACH
from tilegc.kernels.psf_model import model
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.photometry.fit import BandFit, FieldFit, fit_fields
from tilegc.photometry.sources import FieldSources
from tilegc.photometry.spline_psf import SplinePsf, from_image
from tilegc.schema import Flag, photometry_columns
from tilegc.sky import ClusterFrame, pixel_to_world, separation_arcsec

__all__ = ["RADII", "ZERO_POINT", "band_names", "photometry", "splines", "stamp_radius", "typical_depth"]

Floats = NDArray[np.float64]

ZERO_POINT: Final = 31.4
"""AB magnitude of 1 nJy."""

REACH: Final = 0.31
"""Radius of a stamp, arcsec: it holds 0.88 of a point's light; what lies beyond is nearly flat, and goes to the sky."""

RADII: Final = (8, 14)
"""Least and largest radius of a stamp, pixels; two sky cells must hold one."""

WINGS: Final = 1.25
"""Radius, arcsec, out to which the model's light is counted as a point's total."""

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
) -> Selection:
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
    """
    if settings is None:
        return selection
    found = measure(context, selection.candidates, psfs, settings, frame)
    rows = selection.catalogue["id"]
    return replace(
        selection, candidates=found, catalogue={name: column[rows] for name, column in found.items()}
    )


def stamp_radius(scale: float) -> int:
    """Return the radius of stamps, pixels, on pixels of `scale` arcsec."""
    return int(min(max(round(REACH / scale), RADII[0]), RADII[1]))


def splines(bands: tuple[BandPsf, ...], scale: float) -> tuple[SplinePsf, ...]:
    """Return the PSFs of a field's bands at any sub-pixel position, scaled to a point's total flux."""
    return tuple(_spline(band, scale) for band in bands)


def _spline(band: BandPsf, scale: float) -> SplinePsf:
    native = band.psf.native
    if native is not None:
        return from_image(
            native.image, native.centre, native.step, stamp_radius(scale), average=native.optical
        )
    image = band.psf.image
    if band.origin == "stars":
        # Stars are stacked above the brightness of their stamps' borders, so that the stack lacks the wings and a
        # pedestal under all of it. Both are those of the model, which follows the published encircled energies.
        whole = model(band.band, scale, round(WINGS / scale)).image
        offset = np.arange(whole.shape[0]) - whole.shape[0] // 2
        distance = np.maximum(np.abs(offset)[:, None], np.abs(offset))
        level = float(np.median(whole[(distance == STARS_REACH) | (distance == STARS_REACH - 1)]))
        inside = distance <= STACK
        share = float((whole[inside] - level).sum())
        wide = whole.copy()
        wide[inside] = (image * share + level).ravel()
        image = wide
    middle = image.shape[0] // 2
    return from_image(image, (middle, middle), 1.0, stamp_radius(scale), average=False)


def measure(
    context: Context,
    candidates: Table,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    settings: Photometry,
    frame: ClusterFrame,
) -> Table:
    """Return candidates with sub-pixel positions and the columns of `schema.photometry_columns`."""
    n = candidates["id"].size
    columns = photometry_columns(band_names(context), settings.apertures)
    table = dict(candidates)
    for column in columns:
        table[column.name] = np.zeros(n, np.int32) if column.dtype == "int32" else np.full(n, np.nan)
    rows = {
        field.source.name: np.flatnonzero(candidates["field"] == field.source.name)
        for field in context.fields
    }
    searched = [field for field in context.fields if rows[field.source.name].size]
    if not searched:
        return table
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
    return table


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
        own |= {f"{key}_{name}": column for key, column in _of_band(band).items()}
        missing = np.isnan(band.flux)
        with np.errstate(invalid="ignore"):
            flags[missing] |= Flag.UNFITTED
            flags[~missing & (band.good < PARTIAL)] |= Flag.PARTIAL
            flags[band.flux <= 0] |= Flag.NEGATIVE
            flags[band.chi > POOR] |= Flag.POOR
        light += np.where(missing, 0.0, band.flux).clip(0.0)
        total += np.where(missing, 0.0, band.flux)
        others += np.nan_to_num(band.neighbours).clip(0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own["crowding"] = np.where(light > 0, others / light, np.nan)
        flags[own["crowding"] > 1] |= Flag.CROWDED
    flags[total <= 0] |= Flag.IMPOSSIBLE
    for key, column in own.items():
        table[key] = table[key].copy()
        table[key][rows] = column
    table["flags"] = table["flags"].copy()
    table["flags"][rows] = flags


def _of_band(band: BandFit) -> dict[str, Floats]:
    """Return the columns of one band, without the band's name; magnitudes are those of positive fluxes alone."""
    with np.errstate(divide="ignore", invalid="ignore"):
        positive = np.where(band.flux > 0, band.flux, np.nan)
        magnitude = ZERO_POINT - 2.5 * np.log10(positive)
        error = 2.5 / np.log(10) * band.flux_err / positive
    return {
        "flux": band.flux,
        "flux_err": band.flux_err,
        "mag": magnitude,
        "mag_err": error,
        "chi": band.chi,
        "sky": band.sky,
        "good": band.good,
        **{f"aperture{k + 1}": band.apertures[:, k] for k in range(band.apertures.shape[1])},
    }
