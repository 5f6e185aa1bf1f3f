"""Counts of sources by annulus and magnitude, and what artificial stars say of how true magnitudes become counts.

A source of magnitude m is listed with another one, or not at all. Both follow from the stars: the sum of 1/q over
those of magnitude m in an annulus that were listed with magnitude k is the area of the annulus times the chance of
just that. No completeness is applied to any source, and no magnitude is corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.artificial import FieldStars, Prepared
from tilegc.completeness.draw import BRIGHTER
from tilegc.completeness.recovery_map import CELL
from tilegc.io.fits import FieldSource
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.photometry.columns import ZERO_POINT
from tilegc.sky import ClusterFrame, pixel_to_world, separation_arcsec

__all__ = ["GROUPS", "Annuli", "annuli_of", "place_of"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

EDGES: Final = (0, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 60, 80, 100, 120, 140, 170, 200, np.inf)
"""Edges of the annuli, arcsec; neighbours are joined where they hold few sources or stars."""

STARS: Final = 150
"""Listed stars of an annulus at the least."""

SOURCES: Final = 20
"""Sources of an annulus at the least."""

STEP: Final = 0.25
"""Width of the bins in listed magnitude."""

FINE: Final = 0.1
"""Width of the bins in true magnitude."""

MARGIN: Final = 0.5
"""Magnitudes below the bright end of the stars from which sources count."""

GROUPS: Final = 20
"""Groups of stars, left out one at a time to measure the error that their number causes."""


@dataclass(frozen=True, kw_only=True)
class Annuli:
    """Counts and stars of all fields; an annulus belongs to one field."""

    field: Int64
    """(j,): position of the field in the run file."""
    r_lo: Floats
    r_hi: Floats
    radius: Floats
    """(j,): arcsec; the last is the mean over its area."""
    area: Floats
    """(j,): searched area, arcsec^2."""
    outer: NDArray[np.bool_]
    """(j,): whether it belongs to the outer field, which tells the background."""
    edges: Floats
    """(k + 1,): listed magnitudes."""
    magnitude: Floats
    """(l,): middles of the bins in true magnitude."""
    counts: Int64
    """(j, k): sources."""
    seen: Floats
    """(group, j, k, l): area times the chance to be listed, arcsec^2 for a density per mag; the sum over groups is that
    of all stars."""


def annuli_of(
    context: Context,
    catalogue: Table,
    stars: Mapping[str, FieldStars],
    prepared: Mapping[str, Prepared],
    frame: ClusterFrame,
    band: str,
    outer_radius: float,
) -> Annuli | None:
    """Count the sources and the stars of all fields; None where there are too few.

    Parameters
    ----------
    context : Context
    catalogue : table
        Columns of `schema.CANDIDATES`.
    stars, prepared : mapping
        By field.
    frame : ClusterFrame
    band : str
        In which magnitudes are true ones; one that a field lacks stands for the flat spectrum.
    outer_radius : float
        Radius, arcsec, from which annuli belong to the outer field.
    """
    names = [name for name in context.names if name in stars and np.isfinite(prepared[name].population.limit)]
    if not names:
        return None
    low = min(prepared[name].population.limit for name in names) - BRIGHTER + MARGIN
    high = max(float(np.nanmax(_listed(stars[name], prepared[name]), initial=low)) for name in names)
    edges = np.arange(np.floor(low / STEP), np.ceil(high / STEP) + 1) * STEP
    true = [_true(stars[name], band) for name in names]
    first, last = (
        min(float(one.min(initial=99)) for one in true),
        max(float(one.max(initial=0)) for one in true),
    )
    if edges.size < 2 or not last > first:
        return None
    magnitude = np.asarray((np.arange(np.floor(first / FINE), np.ceil(last / FINE)) + 0.5) * FINE, np.float64)
    scale = _Scale(edges, magnitude, outer_radius, frame)
    parts = []
    for name, own in zip(names, true, strict=True):
        of_field = catalogue["field"] == name
        sources = {
            "mag": place_of(catalogue, prepared[name])[of_field],
            "r": catalogue["radius_arcsec"][of_field],
        }
        number = context.names.index(name)
        found = _of_field(context.source(name), stars[name], prepared[name], own, sources, scale)
        parts.append((np.full(found[0].size, number, np.int64), *found))
    # Stars are by group first; all else is by annulus.
    *columns, seen = [
        np.concatenate(part, axis=1 if number == 6 else 0)
        for number, part in enumerate(zip(*parts, strict=True))
    ]
    field, r_lo, r_hi, radius, area, counts = columns
    if not field.size:
        return None
    return Annuli(
        field=field,
        r_lo=r_lo,
        r_hi=r_hi,
        radius=radius,
        area=area,
        outer=r_lo >= outer_radius,
        edges=edges,
        magnitude=magnitude,
        counts=counts,
        seen=seen,
    )


def place_of(table: Table, one: Prepared) -> Floats:
    """Return the magnitudes with which sources are listed: those of a flat spectrum with their peak."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = ZERO_POINT - 2.5 * np.log10(
            table["peak"].astype(np.float64) / one.population.share.sum()
        )
    return found


def _listed(field: FieldStars, one: Prepared) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = ZERO_POINT - 2.5 * np.log10(field.table["value"] / one.population.share.sum())
    return np.where(field.table["recovered"], found, np.nan)


def _true(field: FieldStars, band: str) -> Floats:
    if band in field.magnitudes:
        return np.asarray(field.table["mag_in"][field.magnitudes.index(band)], np.float64)
    return np.asarray(field.table["mag"], np.float64)


@dataclass(frozen=True)
class _Scale:
    """What all fields are binned by."""

    edges: Floats
    magnitude: Floats
    outer_radius: float
    frame: ClusterFrame


def _of_field(
    source: FieldSource, field: FieldStars, one: Prepared, true: Floats, sources: Table, scale: _Scale
) -> tuple[NDArray[Any], ...]:
    """Return the annuli of one field: radii, area, counts and stars."""
    table, edges, magnitude = field.table, scale.edges, scale.magnitude
    listed = _listed(field, one)
    inside = (sources["mag"] >= edges[0]) & (sources["mag"] < edges[-1])
    star = (listed >= edges[0]) & (listed < edges[-1])
    bounds = _joined(sources["r"][inside], table["radius_arcsec"][star], scale.outer_radius)
    inside &= sources["r"] < bounds[-1]
    star &= table["radius_arcsec"] < bounds[-1]
    n, k, m = len(bounds) - 1, edges.size - 1, magnitude.size
    rows, columns = np.nonzero(one.area)
    at = pixel_to_world(source.wcs, (rows + 0.5) * CELL - 0.5, (columns + 0.5) * CELL - 0.5)
    apart = separation_arcsec(*at, scale.frame.ra, scale.frame.dec)
    pixels = one.area[rows, columns] * source.pixel_area
    ring = np.searchsorted(bounds, apart, side="right") - 1
    area = np.bincount(ring, pixels, n)[:n]
    radius = np.bincount(ring, pixels * apart, n)[:n] / np.maximum(area, 1e-9)
    counts = np.zeros((n, k), np.int64)
    row = np.searchsorted(bounds, sources["r"][inside], side="right") - 1
    np.add.at(counts, (row, np.searchsorted(edges, sources["mag"][inside], side="right") - 1), 1)
    seen = np.zeros((GROUPS, n, k, m))
    place = (
        table["number"][star] % GROUPS,
        np.searchsorted(bounds, table["radius_arcsec"][star], side="right") - 1,
        np.searchsorted(edges, listed[star], side="right") - 1,
        np.clip(((true[star] - magnitude[0]) / FINE + 0.5).astype(np.int64), 0, m - 1),
    )
    np.add.at(seen, place, 1 / (table["q"][star] * max(table["q"].size, 1)))
    # Where no star was listed nothing is known, and where no source was, there is nothing to explain.
    held = (counts.sum(axis=1) > 0) & (seen.sum(axis=(0, 2, 3)) > 0)
    kept = [values[held] for values in (bounds[:-1], bounds[1:], radius, area, counts)]
    return *kept, seen[:, held]


def _joined(sources: Floats, stars: Floats, outer_radius: float) -> Floats:
    """Return the edges of annuli that all hold enough sources and stars, none of them on both sides of a radius.

    On either side the last annulus takes what is left over.
    """
    found = [0.0]
    inside = [float(edge) for edge in EDGES[1:] if edge < outer_radius]
    outside = [float(edge) for edge in EDGES[1:] if edge > outer_radius]
    for part in ([*inside, outer_radius], outside):
        begun = len(found)
        for edge in part:
            held = [((values >= found[-1]) & (values < edge)).sum() for values in (sources, stars)]
            if held[0] >= SOURCES and held[1] >= STARS:
                found.append(edge)
        if len(found) > begun:
            found[-1] = part[-1]
        elif part[-1] == outer_radius:
            found.append(outer_radius)
    return np.array(found)
