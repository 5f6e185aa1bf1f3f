"""Magnitudes of the artificial stars that are found: each is measured as a source of the catalogue is.

The stars' verdicts come from the linear detection map (`injection`); here every found star is put into the bands
themselves, and its flux, position and sky are fitted together with the sources about it (`photometry.one_more`).
What comes out less what went in is the response of the photometry: its bias, its scatter, and whether the errors in
the catalogue are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.artificial import FieldStars, Prepared
from tilegc.engine import FieldTiles, Pass, run_pass
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.kernels.compiled import PLAIN
from tilegc.kernels.lattice import bilinear_at
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, stacked
from tilegc.photometry.fit import ROUNDS, FieldFit
from tilegc.photometry.flux_errors import sky_variance
from tilegc.photometry.noise_cells import CELL
from tilegc.photometry.normal_matrix import stamps
from tilegc.photometry.one_more import Added, Answers, Scene, answers, measure_one_by_one
from tilegc.photometry.passes import READS, FitParams, bands_of, left_of
from tilegc.photometry.sources import TileSources

__all__ = ["FLUXES", "star_fluxes"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

HALO: Final = 56
"""Pixels round a core: a star's patch, the stamps that reach it, and whole blocks of errors about it."""

KEYS: Final = tuple(Answers._fields)


@dataclass(frozen=True)
class FluxParams:
    """What the tiles of a field need to know."""

    fit: FitParams
    light: Floats
    """Splines of the stars' light, (band, s, s, m, m)."""
    reach: Int64
    """Within which a peak blanks others, pixels."""


@dataclass(frozen=True)
class TileStars:
    """Stars whose peaks a tile owns, in the field's pixels, and the sources about it."""

    number: Int64
    y: Floats
    x: Floats
    flux: Floats
    """nJy, (band, n)."""
    peak_y: Int64
    peak_x: Int64
    sources: TileSources


def _rule(window: Window, tile: Tile, params: tuple[FluxParams, TileStars]) -> tuple[dict[str, Any], Table]:
    """Measure the stars whose peaks lie in a core."""
    field, share = params
    bands, count = len(field.fit.psfs), share.number.size
    found = answers(bands, count)
    if count:
        scene = _scene(window, tile, field, share.sources)
        row, column = np.floor(share.y + 0.5).astype(np.int64), np.floor(share.x + 0.5).astype(np.int64)
        y0, x0 = tile.window.y0, tile.window.x0
        added = Added(
            row - y0,
            column - x0,
            share.y - row,
            share.x - column,
            np.ascontiguousarray(share.flux),
            share.peak_y - y0,
            share.peak_x - x0,
        )
        measure_one_by_one(scene, added, field.light, field.reach, ROUNDS, found)
    columns = {f"{key}_{b}": getattr(found, key)[b] for key in KEYS for b in range(bands)}
    return {}, {"number": share.number, **columns}


def _scene(window: Window, tile: Tile, field: FluxParams, near: TileSources) -> Scene:
    """Return what the fit of the sources left of a window."""
    fit = field.fit
    points = near.points(tile, fit.shape, HALO)
    near = near.near(tile, HALO)
    left, weight = [], []
    for n, ((sci, w, _), psf) in enumerate(zip(bands_of(window, tile, fit), fit.psfs, strict=True)):
        left.append(left_of(sci, n, points, near, stamps(points, psf), fit, tile))
        weight.append(w)
    place: NDArray[np.int32] = np.full(weight[0].shape, -1, np.int32)
    y, x = near.y_peak - tile.window.y0, near.x_peak - tile.window.x0
    inside = (y >= 0) & (y < place.shape[0]) & (x >= 0) & (x < place.shape[1])
    place[y[inside], x[inside]] = np.flatnonzero(inside)
    row, column, dy, dx = points.arrays()
    return Scene(
        np.require(np.stack(left), np.float32, PLAIN),
        np.require(np.stack(weight), np.float32, PLAIN),
        place,
        row,
        column,
        dy,
        dx,
        np.require(near.flux, np.float64, PLAIN),
        np.stack([psf.table for psf in fit.psfs]),
    )


FLUXES: Final = Pass("completeness: fluxes", READS, HALO, (), _rule, bytes_per_pixel=132.0)


def star_fluxes(
    context: Context,
    fits: Mapping[str, FieldFit],
    prepared: Mapping[str, Prepared],
    stars: Mapping[str, FieldStars],
) -> dict[str, tuple[Floats, Floats]]:
    """Return flux and error of the stars of every field, nJy, (band, n) each; NaN for those that are not found.

    Parameters
    ----------
    context : Context
    fits : mapping
        Of the sources, by field; stars of other fields are not measured.
    prepared, stars : mapping
        By field.
    """
    found = {}
    for field in context.fields:
        name = field.source.name
        if name not in stars:
            continue
        table = stars[name].table
        shape = len(field.source.bands), table["number"].size
        flux, error = np.full(shape, np.nan), np.full(shape, np.nan)
        rows = np.flatnonzero(table["recovered"])
        if name in fits and rows.size:
            one = prepared[name].params
            measured = _measured(
                context,
                field,
                fits[name],
                FluxParams(fits[name].params, one.responses.light, one.limits.reach),
                _tile_stars(field, fits[name], table, rows),
            )
            peaks = table["y"][rows], table["x"][rows]
            for band, of_band in enumerate(fits[name].bands):
                scale = bilinear_at(of_band.noise, *peaks, CELL).astype(np.float64)
                part = {key: measured[f"{key}_{band}"] for key in KEYS}
                sky = sky_variance(part["diagonal"], part["white"], part["weight"], part["growth"])
                photons = of_band.gain * part["flux"].clip(0.0) * part["photons"] * part["white"] ** 2
                flux[band, rows] = part["flux"]
                error[band, rows] = np.sqrt(scale * scale * sky + photons)
        found[name] = flux, error
    return found


def _tile_stars(field: FieldTiles, fit: FieldFit, table: Table, rows: Int64) -> list[TileStars]:
    """Return the found stars of every tile, by their number."""
    grid = field.grid
    tile = (table["y"][rows] // grid.size) * grid.counts[1] + table["x"][rows] // grid.size
    order = np.argsort(tile, kind="stable")
    ends = np.searchsorted(tile[order], np.arange(1, len(grid)))
    return [
        TileStars(
            part,
            table["y_in"][part],
            table["x_in"][part],
            table["flux_in"][:, part],
            table["y"][part],
            table["x"][part],
            fit.sources.of(grid.tile(index, 0).core),
        )
        for index, part in enumerate(np.split(rows[order], ends))
    ]


def _measured(
    context: Context, field: FieldTiles, fit: FieldFit, params: FluxParams, own: list[TileStars]
) -> Table:
    """Return the answers for the found stars of a field, in their order."""
    step = FLUXES
    if all(fit.params.with_wht):
        step = Pass(
            step.name, tuple(name for name in READS if name != "err"), HALO, (), _rule, bytes_per_pixel=132.0
        )
    parts: list[Table] = []
    name = field.source.name
    run_pass(
        context.engine,
        step,
        [field],
        {name: params},
        gather=parts.append,
        own=lambda _, tile: own[tile.index],
    )
    found = stacked(parts)
    assert found is not None  # a field has a tile
    order = np.argsort(found["number"], kind="stable")
    return {key: column[order] for key, column in found.items()}
