"""Artificial stars of a run: drawn, put into every field one at a time, and listed with what became of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness import recovery
from tilegc.completeness.colours import Mixture, deconvolved, flat
from tilegc.completeness.draw import CELL, Places, Population, Stars, draw, places
from tilegc.completeness.injection import AREA, InjectParams, TileShare, inject_pass, shares
from tilegc.completeness.kept import BATCH, KeptStars, key_of
from tilegc.completeness.recovery_map import CELL as FINE
from tilegc.completeness.responses import Responses, responses
from tilegc.config import DetectionConfig
from tilegc.detection.peaks import at_least
from tilegc.detection.shape_ratios import ShapeTables
from tilegc.detection.threshold import Selection, is_local, keep
from tilegc.engine import FieldTiles, run_pass
from tilegc.filter.detection_map import FilterParams
from tilegc.geometry import Tile
from tilegc.images.psfs import BandPsf
from tilegc.kernels.peaks import reach_of
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, stacked
from tilegc.photometry.columns import ZERO_POINT
from tilegc.photometry.stamps import splines
from tilegc.sky import ClusterFrame, pixel_to_world, separation_arcsec, world_to_pixel

__all__ = ["MOST", "PER_ARCSEC2", "FieldStars", "Prepared", "inject", "prepare", "searched_area"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

PER_ARCSEC2: Final = 20.0
"""Stars per arcsec^2 of searched area, where the run file gives no number."""

MOST: Final = 200_000
"""Stars of a field at the most, where the run file gives no number."""

FLOOR: Final = 2.5
"""Signal-to-noise from which a candidate below the limit counts as one that a star may lift above it."""

CORE: Final = 10.0
"""Radius, arcsec, about the cluster's centre in which a part of the stars is put."""

TRUSTED: Final = 0.5
"""Share of its peak that a source's fitted flux must reach to count as its flux."""

COLOURED: Final = 15.0
"""Signal-to-noise in every band from which sources tell the population's colours."""

TURNOVER: Final = (32.7, 0.348)
"""Turnover of the luminosity function, AB mag, at this redshift; it only shapes the draw, and its density is stored."""
WIDTH: Final = 1.25
"""Width of the luminosity function, mag."""


@dataclass(frozen=True)
class Prepared:
    """What the stars of one field are drawn from and judged by."""

    params: InjectParams
    where: Places | None
    """None: nothing is searched."""
    population: Population
    photons: Floats
    sources: tuple[Int64, Int64, Floats, NDArray[np.bool_]]
    area: Int64
    """Pixels on which stars are put, by cells of `tilegc.completeness.recovery_map.CELL` pixels."""

    @property
    def searched(self) -> int:
        """Pixels on which stars are put."""
        return int(self.area.sum())


@dataclass(frozen=True)
class FieldStars:
    """The stars of one field and what became of them; columns by star, in the order of their numbers."""

    table: Table
    wanted: int
    """Stars that were asked for; about as many were put in."""
    magnitudes: tuple[str, ...]
    """Bands, in the order of `mag_in`."""


def prepare(
    context: Context,
    config: DetectionConfig,
    selection: Selection,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    filtering: Mapping[str, FilterParams],
    tables: Mapping[str, ShapeTables],
    frame: ClusterFrame,
    distance_modulus: float = 0.0,
    *,
    flat_colours: bool = False,
) -> dict[str, Prepared]:
    """Return, by field, what its stars are drawn from and judged by.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    selection : Selection
        With photometry, where that is on: fluxes and colours come from it.
    psfs, filtering, tables : mapping
        By field, as detection had them.
    frame : ClusterFrame
    distance_modulus : float
        Of the cluster, less that of the redshift for which `TURNOVER` is given.
    flat_colours : bool
        Whether the stars have the same flux in every band; else they have the colours of the sources.
    """
    cells = run_pass(context.engine, AREA, context.fields, {name: k for k, name in enumerate(context.names)})
    found = {}
    for index, field in enumerate(context.fields):
        name = field.source.name
        spread = splines(psfs[name], field.source.scale)
        answer = responses(filtering[name], spread)
        threshold, local = selection.thresholds[name], selection.local[name]
        limit = at_least(config.detect.keep * threshold.value)
        level = 1.0 if is_local(config) else local.median
        floor = min(np.float32(FLOOR * level), limit)
        limits = recovery.Limits(
            limit, floor, reach_of(config.detect.exclusion_radius), config.recipe == "calibrated"
        )
        params = InjectParams(
            filtering[name],
            answer,
            selection.limiting(name) if is_local(config) else None,
            limits,
            recovery.Shapes(tables[name], config.detect.shape == "auto"),
        )
        sources = _sources(selection, name, field.source.band_names, answer, config.detect.keep)
        fine = _on_cells(cells, index, "area", field)
        area, light = _coarse(fine), _coarse(_on_cells(cells, index, "light", field))
        counts = np.zeros(area.shape, np.int64)
        np.add.at(counts, (sources[0][sources[3]] // CELL, sources[1][sources[3]] // CELL), 1)
        y, x = world_to_pixel(field.source.wcs, np.array([frame.ra]), np.array([frame.dec]))
        centre = (float(y[0]), float(x[0])) if np.isfinite(y[0]) and np.isfinite(x[0]) else None
        where = places(area, counts, centre, CORE / field.source.scale, light)
        typical = float(limit) * (local.median if is_local(config) else 1.0)
        if not np.isfinite(typical) or not typical > 0:
            where = None
        total = float(answer.share.sum())
        mixture, photons = _population(selection, field.source.band_names)
        if flat_colours:
            mixture = flat(len(field.source.band_names) - 1)
        root = np.linalg.cholesky(mixture[2] + 1e-12 * np.eye(mixture[2].shape[-1])).astype(np.float64)
        population = Population(
            _magnitude(typical / total) if where is not None else np.nan,
            TURNOVER[0] + distance_modulus,
            WIDTH,
            answer.share,
            mixture[0],
            mixture[1],
            root,
        )
        found[name] = Prepared(params, where, population, photons, sources, fine)
    return found


def searched_area(prepared: Prepared, pixel_area: float) -> float:
    """Return the area, arcsec^2, on which the stars of a field are put."""
    return prepared.searched * pixel_area


def _magnitude(flux: float) -> float:
    return float(ZERO_POINT - 2.5 * np.log10(flux))


def _on_cells(cells: Table, index: int, key: str, field: FieldTiles) -> Int64:
    rows, columns = (-(-side // FINE) for side in field.source.shape)
    total = np.zeros((rows, columns), np.int64)
    on = cells["field"] == index
    np.add.at(total, (cells["row"][on], cells["column"][on]), cells[key][on])
    return total


def _coarse(fine: Int64) -> Int64:
    """Return sums over the cells of the mixture, each of which holds whole cells of the map."""
    factor = CELL // FINE
    whole = np.pad(fine, [(0, -side % factor) for side in fine.shape])
    rows, columns = (side // factor for side in whole.shape)
    total: Int64 = whole.reshape(rows, factor, columns, factor).sum(axis=(1, 3))
    return total


def _sources(
    selection: Selection,
    name: str,
    bands: tuple[str, ...],
    answer: Responses,
    factor: float,
) -> tuple[Int64, Int64, Floats, NDArray[np.bool_]]:
    """Return a field's peaks above the limit: y, x, flux in the unit of the detection map, and which are listed."""
    table = keep(selection.candidates, {name: selection.thresholds[name]}, factor)
    flux = table["peak"].astype(np.float64)
    if all(f"flux_{band}" in table for band in bands):
        fitted = sum(share * table[f"flux_{band}"] for share, band in zip(answer.share, bands, strict=True))
        # Of two sources too close to be told apart the fit may give one next to nothing, or less: its peak stands then.
        flux = np.where(fitted >= TRUSTED * flux, fitted, flux)
    listed = np.isin(table["id"], selection.catalogue["id"])
    return table["y_peak"].astype(np.int64), table["x_peak"].astype(np.int64), flux, listed


def _population(selection: Selection, bands: tuple[str, ...]) -> tuple[Mixture, Floats]:
    """Return the colours of the sources of all fields, and the variance that their photons add to their fluxes."""
    table = selection.catalogue
    photons = np.zeros(len(bands))
    if not all(f"flux_{band}" in table for band in bands):
        return flat(len(bands) - 1), photons
    rows = table["flags"] == 0
    flux = np.stack([table[f"flux_{band}"][rows] for band in bands])
    error = np.stack([table[f"flux_err_{band}"][rows] for band in bands])
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = flux / error
        magnitude, noise = -2.5 * np.log10(flux), (2.5 / np.log(10) / snr) ** 2
    for b in range(len(bands)):
        faint, bright = snr[b] < COLOURED, snr[b] > 3 * COLOURED
        if faint.sum() >= 20 and bright.sum() >= 20:
            excess = (error[b][bright] ** 2 - np.median(error[b][faint] ** 2)) / flux[b][bright]
            photons[b] = max(float(np.median(excess)), 0.0)
    some = (snr > COLOURED).all(axis=0)
    colours = (magnitude[:-1] - magnitude[-1])[:, some].T
    covariance = np.repeat(noise[-1][some][:, None, None], len(bands) - 1, axis=1).repeat(
        len(bands) - 1, axis=2
    )
    for b in range(len(bands) - 1):
        covariance[:, b, b] += noise[b][some]
    return deconvolved(colours, covariance), photons


def inject(
    context: Context,
    prepared: Mapping[str, Prepared],
    frame: ClusterFrame,
    *,
    stars: int | None,
    seed: int,
    kept: KeptStars | None = None,
) -> dict[str, FieldStars]:
    """Put stars into every field, and return what became of them.

    Parameters
    ----------
    context : Context
    prepared : mapping
        Of `prepare`.
    frame : ClusterFrame
    stars : int, optional
        On the searched area of each field; `PER_ARCSEC2` of it by default, at most `MOST`.
    seed : int
    kept : KeptStars, optional
        Stars of these fields whose fate is known already, and where that of the others is kept.
    """
    found = {}
    for field in context.fields:
        one = prepared[field.source.name]
        if one.where is None:
            continue
        wanted = stars
        if wanted is None:
            wanted = int(min(PER_ARCSEC2 * searched_area(one, field.source.pixel_area), MOST))
        last = round(wanted * one.where.draws)
        begin = 0
        parts: list[Table] = []
        while begin < last or not parts:
            end, table = _batch(context, field, one, (begin, last), seed, kept)
            parts.append(table)
            begin = end
        drawn = _draw(field, one, seed, 0, last)
        found[field.source.name] = _listed(field, drawn, wanted, parts, frame)
    return found


def _draw(field: FieldTiles, one: Prepared, seed: int, first: int, last: int) -> Stars:
    assert one.where is not None
    stream = zlib.crc32(field.source.name.encode())
    return draw(one.where, one.population, one.photons, seed=seed, stream=stream, first=first, last=last)


def _batch(
    context: Context,
    field: FieldTiles,
    one: Prepared,
    span: tuple[int, int],
    seed: int,
    kept: KeptStars | None,
) -> tuple[int, Table]:
    """Return where a batch that begins with a draw ends, and what becomes of its stars, by number."""
    name, (first, last) = field.source.name, span
    for end in [] if kept is None else kept.ends(name, first, last):
        key = key_of(_draw(field, one, seed, first, end), one.params, one.sources)
        known = kept.read(name, first, end, key) if kept is not None else None
        if known is not None:
            return end, known
    end = min(last, (first // BATCH + 1) * BATCH)
    stars = _draw(field, one, seed, first, end)
    own = shares(field.grid, stars, _reference(one, stars), one.sources, one.params.halo)
    parts: list[Table] = []
    run_pass(
        context.engine,
        inject_pass({name: one.params}),
        [field],
        {name: one.params},
        gather=parts.append,
        own=_own(own),
    )
    found = stacked(parts)
    assert found is not None  # a field has a tile
    order = np.argsort(found["number"], kind="stable")
    found = {column: values[order] for column, values in found.items()}
    if kept is not None and end > first:
        kept.write(name, first, end, key_of(stars, one.params, one.sources), found)
    return end, found


def _own(shares_of: list[TileShare]) -> Callable[[FieldTiles, Tile], TileShare]:
    return lambda _, tile: shares_of[tile.index]


def _reference(one: Prepared, stars: Stars) -> Floats:
    total: Floats = (one.population.share[:, None] * stars.flux).sum(axis=0)
    return total


def _listed(
    field: FieldTiles, stars: Stars, wanted: int, parts: list[Table], frame: ClusterFrame
) -> FieldStars:
    """Return the stars of a field in the order of their numbers."""
    found = stacked(parts)
    assert found is not None  # there is a batch
    rows = found["number"]
    y, x = stars.y[rows], stars.x[rows]
    ra, dec = pixel_to_world(field.source.wcs, y, x)
    area = field.source.pixel_area
    table = {
        **found,
        "y_in": y,
        "x_in": x,
        "ra": ra,
        "dec": dec,
        "radius_arcsec": separation_arcsec(ra, dec, frame.ra, frame.dec),
        "mag": stars.magnitude[rows],
        "mag_in": stars.magnitudes[:, rows],
        "flux_in": stars.flux[:, rows],
        "q": stars.position_density[rows] / area * stars.magnitude_density[rows],
        "recovered": found["verdict"] == recovery.FOUND,
    }
    return FieldStars(table, wanted, field.source.band_names)
