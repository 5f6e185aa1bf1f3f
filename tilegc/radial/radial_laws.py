"""Sources, kappa, light and rho against radius over all fields: annuli, laws and shapes (algorithm.md, section 12).

Annuli are circular, and elliptical with the ellipse fitted to the sources. Laws are fitted to the positions of the
sources, not to annuli.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.kernels.groups import groups
from tilegc.phases.partials import Table
from tilegc.radial.contamination import Contamination
from tilegc.radial.intensity import Fit, Sample
from tilegc.radial.profile import ANNULUS_AREA
from tilegc.radial.profile_laws import Shape, elliptical_radius, fit_cored, fit_nfw, fit_ring, fitted_shape
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.lens_models import Realisations

__all__ = ["LAWS", "MAPS", "RINGS", "Radial", "fitted", "radial", "sample_of", "shapes_of_map"]

LAWS: Final = ("elliptical", "nfw", "cored")
"""Laws fitted to the sources, the slowest fit first."""

MAPS: Final = ("kappa", "light", "rho")
"""Maps whose shapes are compared with that of the sources."""

RINGS = (3.0, 8.0, 15.0, 25.0, 40.0, 60.0)
"""Edges in arcsec of the annuli in which shapes are measured."""

RING_SOURCES = 50
"""Minimum number of sources for the shape of an annulus."""

FINENESS = 15.0
"""Minimum ratio of radius to side of the cells with which areas are summed."""

COARSE = (8, 4, 2)
"""Sides, in cells of the sky grid, of the squares into which cells are joined far out, where the law hardly varies."""


@dataclass(frozen=True)
class Radial:
    """Results that depend on radius."""

    annuli: Table
    """Columns of `schema.RADIAL`."""
    shapes: Table
    """Columns of `schema.SHAPE`."""
    cored: Fit
    elliptical: Fit
    nfw: Fit
    shape: Shape
    """Shape of the elliptical fit."""


def radial(
    cells: SkyCells,
    sources: Table,
    edges: tuple[float, ...],
    contamination: Contamination,
    fits: Mapping[str, Fit],
    shapes: Mapping[str, Table],
    members: Realisations | None = None,
) -> Radial:
    """Measure everything that depends on radius, all fields together.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    sources : table
        Columns field, ra, dec (deg) of the sources counted in `cells`.
    edges : tuple of float
        Edges of the annuli in arcsec.
    contamination : Contamination
        Subtracted in `n_corrected`.
    fits : mapping
        Result of `fitted` for every name in `LAWS`.
    shapes : mapping
        Result of `shapes_of_map` for every name in `MAPS`.
    members : Realisations, optional
        Realisations of the lens model, whose scatter is the error of kappa.
    """
    elliptical = fits["elliptical"]
    e1, e2 = (elliptical[name] if np.isfinite(elliptical[name]) else 0.0 for name in ("e1", "e2"))
    xi, eta = np.meshgrid(cells.xi, cells.eta)
    rows = [
        row
        for geometry, radius in (("circle", cells.radius), ("ellipse", elliptical_radius(xi, eta, e1, e2)))
        for row in _annuli(cells, geometry, radius, edges, contamination, members)
    ]
    names = (
        "geometry",
        "r_lo",
        "r_hi",
        "r_mean",
        "area_arcsec2",
        "n_gc",
        "n_per_arcsec2",
        "n_err",
        "n_corrected",
        "n_corrected_err",
        "kappa",
        "kappa_err",
        "light",
        "rho",
    )
    floor = elliptical["floor"] if np.isfinite(elliptical["floor"]) else 0.0
    parts = [_shapes("sources", sample_of(cells, sources), floor), *(shapes[name] for name in MAPS)]
    return Radial(
        _table(names, rows),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        fits["cored"],
        elliptical,
        fits["nfw"],
        fitted_shape(elliptical) if np.isfinite(elliptical.values).all() else Shape(*[np.nan] * 4),
    )


def fitted(name: str, cells: SkyCells, sources: Table) -> Fit:
    """Fit one of `LAWS` to the positions of the sources; parameters as for `radial`."""
    sample = sample_of(cells, sources)
    return fit_nfw(sample) if name == "nfw" else fit_cored(sample, elliptical=name == "elliptical")


def shapes_of_map(name: str, cells: SkyCells) -> Table:
    """Return axis ratio and position angle of one of `MAPS` in rings around the centre: rows of `schema.SHAPE`."""
    values = {"kappa": lambda: cells.kappa, "light": lambda: _light(cells), "rho": lambda: _rho(cells)}[
        name
    ]()
    known = cells.kept & np.isfinite(values) & (values > 0)
    area = cells.good_area.sum(axis=0)
    xi, eta, part, weight = _gathered(cells, np.where(known, area, 0.0), np.where(known, area * values, 0.0))
    return _shapes(name, Sample(xi, eta, weight, xi, eta, part), 0.0)


def sample_of(cells: SkyCells, sources: Table) -> Sample:
    """Return the sources in cells with sufficient area, and the good area, in larger squares far out."""
    use = cells.kept_at(sources["ra"], sources["dec"])
    use &= cells.owned(sources["ra"], sources["dec"], sources["field"])
    xi, eta = cells.grid.offsets(sources["ra"][use], sources["dec"][use])
    area = np.where(cells.kept, cells.good_area.sum(axis=0), 0.0)
    return Sample(xi, eta, np.ones(xi.size), *_gathered(cells, area))


def _annuli(
    cells: SkyCells,
    geometry: str,
    radius: np.ndarray,
    edges: tuple[float, ...],
    contamination: Contamination,
    members: Realisations | None,
) -> Iterator[tuple[object, ...]]:
    kept, area, count = cells.kept, cells.good_area.sum(axis=0), cells.n_gc.sum(axis=0)
    light, rho = _light(cells), _rho(cells)
    for r_lo, r_hi in itertools.pairwise(edges):
        ring = (radius >= r_lo) & (radius < r_hi)
        inside_annulus = kept & ring
        good = float(area[inside_annulus].sum())
        if good < ANNULUS_AREA:
            continue
        n = int(count[inside_annulus].sum())
        error = np.sqrt(n) / good
        yield (
            geometry,
            r_lo,
            r_hi,
            float((radius[inside_annulus] * area[inside_annulus]).sum()) / good,
            good,
            n,
            n / good,
            error,
            n / good - contamination.n,
            float(np.hypot(error, contamination.err)),
            _mean(cells.kappa[inside_annulus]),
            _scatter(members, inside_annulus),
            _mean(light[inside_annulus]),
            _mean(rho[ring]),
        )


def _scatter(members: Realisations | None, here: np.ndarray) -> float:
    """Return the standard deviation of the means of the realisations; NaN if they do not cover the annulus."""
    if members is None:
        return np.nan
    box = members.box
    inside = here[box.y0 : box.y1, box.x0 : box.x1]
    if not inside.any() or inside.sum() < here.sum():
        return np.nan
    means = [_mean(layer[inside]) for layer in members.kappa]
    return float(np.std(means, ddof=1))


def _shapes(tracer: str, sample: Sample, floor: float) -> Table:
    """Return axis ratio and position angle of a tracer in rings around the centre."""
    rows: list[tuple[object, ...]] = []
    counted = tracer == "sources"
    for r_lo, r_hi in itertools.pairwise(RINGS):
        ring = sample.ring(r_lo, r_hi)
        whole_ring = np.pi * (r_hi**2 - r_lo**2)
        if ring.area.sum() < 0.5 * whole_ring or (counted and ring.weight.sum() < RING_SOURCES):
            continue
        ring_fit = fit_ring(sample, r_lo, r_hi, floor)
        if ring_fit.at_bound or not np.isfinite(ring_fit.values).all():
            continue
        shape = fitted_shape(ring_fit)
        rows.append(
            (
                tracer,
                r_lo,
                r_hi,
                float(ring_fit.n) if counted else np.nan,
                ring_fit["slope"],
                shape.axis_ratio,
                shape.axis_ratio_err if counted else np.nan,
                shape.position_angle,
                shape.position_angle_err if counted else np.nan,
            )
        )
    names = (
        "tracer",
        "r_lo",
        "r_hi",
        "n_gc",
        "slope",
        "axis_ratio",
        "axis_ratio_err",
        "position_angle",
        "position_angle_err",
    )
    return _table(names, rows)


def _light(cells: SkyCells) -> np.ndarray:
    """Return the light minus that of the farthest tenth of the cells, (eta, xi); NaN without sufficient good area."""
    kept = cells.kept
    owner = (
        np.take_along_axis(cells.light, cells.owner[None], axis=0)[0] if kept.size else np.zeros(kept.shape)
    )
    known = kept & np.isfinite(owner)
    if not known.any():
        return np.full(kept.shape, np.nan)
    far = known & (cells.radius >= np.quantile(cells.radius[known], 0.9))
    return np.where(known, owner - _mean(owner[far]), np.nan)


def _rho(cells: SkyCells) -> np.ndarray:
    """Return the kernel sum of the field that owns each cell; NaN if less than half of the cell is inside."""
    if not cells.kappa.size:
        return np.zeros(cells.kappa.shape)
    owner = cells.owner[None]
    rho = np.take_along_axis(cells.rho, owner, axis=0)[0]
    inside = np.take_along_axis(cells.inside_area, owner, axis=0)[0] >= 0.5 * cells.grid.pixel**2
    return np.where(inside, rho, np.nan)


def _gathered(cells: SkyCells, area: np.ndarray, *sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return positions and sums of cells with area, in larger squares the farther out.

    A square is used as a whole if its side is below a fifteenth of its distance; its position is the centroid of its
    area.
    """
    pixel = cells.grid.pixel
    rows, columns = np.nonzero(area > 0)
    part = area[rows, columns]
    xi, eta = cells.xi[columns], cells.eta[rows]
    step = np.ones(rows.size, np.int64)
    for side in COARSE:
        j, i = (rows + cells.j0) // side, (columns + cells.i0) // side
        near = np.hypot((np.abs(i + 0.5) - 0.5) * side * pixel, (np.abs(j + 0.5) - 0.5) * side * pixel)
        step = np.where((step == 1) & (near >= FINENESS * side * pixel), side, step)
    j, i = (rows + cells.j0) // step, (columns + cells.i0) // step
    size, group = groups(step, j, i)
    total = np.bincount(group, part, size)
    places = (np.bincount(group, part * axis, size) / total for axis in (xi, eta))
    return (*places, total, *(np.bincount(group, one[rows, columns], size) for one in sums))


def _table(names: tuple[str, ...], rows: list[tuple[object, ...]]) -> Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: np.array(values) for name, values in zip(names, columns, strict=True)}


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan
