"""Density and radial profile of any catalogue of sources, without images, by the methods of a run."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from astropy import units as u
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from tilegc.errors import ConfigError
from tilegc.radial.intensity import Fit, Sample
from tilegc.radial.profile_laws import Shape, fit_cored, fitted_shape
from tilegc.relation.prediction import Smoothed, smooth_counts
from tilegc.sky import SkyGrid

__all__ = ["CatalogueProfile", "profile_of"]

Floats = NDArray[np.float64]

FARTHEST = 10.0
"""Maximum distance of a source from the centre, degrees: radii are measured in the tangent plane."""

LEAST_SHARE = 0.2
"""Minimum fraction of an annulus that must lie in the footprint."""


@dataclass(frozen=True, eq=False)
class CatalogueProfile:
    """Density, radial profile and shape of a catalogue.

    Examples
    --------
    >>> draw = np.random.default_rng(1)
    >>> ra, dec = 49.95 + draw.normal(0, 0.01, 300), 41.51 + draw.normal(0, 0.01, 300)
    >>> found = tilegc.profile_of(ra, dec, centre=(49.95, 41.51))
    >>> len(found.annuli["n"]) > 3
    True
    """

    annuli: QTable
    """Columns r_lo, r_hi, area, n_gc, n and n_err (Poisson), with units."""
    xi: Floats
    """Centres of the columns of the map, arcsec east of the centre."""
    eta: Floats
    """Centres of the rows of the map, arcsec north of the centre."""
    density: Smoothed
    """Density of sources per arcsec^2 and its variance, (eta, xi)."""
    cored: Fit
    """Fit of peak (1 + (r / core)^2)^(-slope / 2) + floor to the positions."""
    elliptical: Fit
    """The same with elliptical radii."""
    shape: Shape
    """Axis ratio and position angle of the elliptical fit."""
    area: float
    """Area of the footprint, arcsec^2."""


def profile_of(
    ra: ArrayLike,
    dec: ArrayLike,
    *,
    centre: tuple[float, float],
    footprint: ArrayLike | None = None,
    edges: Sequence[float] = (0, 5, 10, 20, 30, 45, 60, 80, 100, 125, 150),
    resolution: float = 10.0,
    cell: float = 1.0,
) -> CatalogueProfile:
    """Return the density and the radial profile of a catalogue, with errors.

    Parameters
    ----------
    ra, dec : array_like
        Positions of the sources (n,), degrees, ICRS.
    centre : tuple of float
        Centre (ra, dec) from which radii are measured, degrees.
    footprint : array_like, optional
        Corners (ra, dec) of the polygon that was searched, (n, 2), degrees. The default is the convex hull of the
        sources, which is slightly too small, because no source lies exactly on the edge of the searched area.
    edges : sequence of float
        Edges of the annuli, arcsec.
    resolution : float
        Sigma of the Gaussian that smooths the density map, arcsec.
    cell : float
        Side of the cells with which areas are measured, arcsec.

    Returns
    -------
    CatalogueProfile
        Annuli, smoothed density map, fitted profiles and shape of the distribution.

    Raises
    ------
    ConfigError
        If there are too few sources to define an area, or if a position, an edge or a length is invalid.

    Examples
    --------
    >>> draw = np.random.default_rng(1)
    >>> radius, angle = 0.02 * draw.uniform(size=300) ** 1.5, draw.uniform(0, 2 * np.pi, 300)
    >>> ra, dec = 49.95 + radius * np.cos(angle) / np.cos(np.radians(41.51)), 41.51 + radius * np.sin(angle)
    >>> found = tilegc.profile_of(ra, dec, centre=(49.95, 41.51))
    >>> bool(found.annuli["n"][0] > found.annuli["n"][-1])
    True
    """
    if not (0 < cell < np.inf and 0 < resolution < np.inf):
        raise ConfigError("profile_of: cell and resolution must be finite and above 0 arcsec")
    _check_edges(edges)
    ra, dec = _positions(ra, dec)
    _check_centre(centre)
    grid = SkyGrid(*centre, cell)
    xi, eta = _on_the_plane(grid, ra, dec, centre, bounded=footprint is not None)
    corners = _corners(grid, xi, eta, footprint)
    inside = _within(corners, xi, eta) | (footprint is None)
    xi, eta = xi[inside], eta[inside]
    (left, low), (right, high) = np.floor(corners.min(axis=0) / cell), np.ceil(corners.max(axis=0) / cell)
    columns = (np.arange(left, right) + 0.5) * cell
    rows = (np.arange(low, high) + 0.5) * cell
    area = _areas(corners, columns, rows, cell)
    cell_xi, cell_eta = np.meshgrid(columns, rows)
    there = area > 0
    sample = Sample(xi, eta, np.ones(xi.size), cell_xi[there], cell_eta[there], area[there])
    elliptical = fit_cored(sample, elliptical=True)
    index = np.floor(np.stack([eta / cell - low, xi / cell - left])).astype(np.int64)
    index = np.clip(index, 0, np.array([rows.size, columns.size])[:, None] - 1)
    count = np.zeros(area.shape, np.int64)
    np.add.at(count, tuple(index), 1)
    whole = np.isfinite(elliptical.values).all()
    return CatalogueProfile(
        _annuli(sample, edges),
        columns,
        rows,
        smooth_counts(count, area, resolution / cell),
        fit_cored(sample),
        elliptical,
        fitted_shape(elliptical) if whole else Shape(*[np.nan] * 4),
        float(area.sum()),
    )


def _on_the_plane(
    grid: SkyGrid, ra: Floats, dec: Floats, centre: tuple[float, float], *, bounded: bool
) -> tuple[Floats, Floats]:
    """Return the offsets of the sources near the centre; without a footprint, `bounded`, they must all be near."""
    xi, eta = (np.atleast_1d(axis) for axis in grid.offsets(ra, dec))
    near = np.hypot(xi, eta) < 3600 * np.degrees(np.tan(np.radians(FARTHEST)))
    if not near.any():
        raise ConfigError(
            f"profile_of: no source within {FARTHEST:g} degrees of centre ({centre[0]:g}, {centre[1]:g}); "
            "give (ra, dec) of the centre in degrees"
        )
    if not bounded and not near.all():
        raise ConfigError(
            f"profile_of: {(~near).sum()} sources lie farther than {FARTHEST:g} degrees from the centre; give a "
            "footprint"
        )
    xi, eta = xi[near], eta[near]
    if xi.size < 3 and not bounded:
        raise ConfigError(f"profile_of: {xi.size} sources span no area; give a footprint")
    return xi, eta


def _positions(ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
    """Return the positions as two arrays of equal length."""
    try:
        x, y = (np.atleast_1d(np.asarray(axis, np.float64)) for axis in (ra, dec))
    except (TypeError, ValueError):
        raise ConfigError("profile_of: ra and dec must be numbers, in degrees") from None
    if x.ndim != 1 or x.shape != y.shape:
        raise ConfigError(
            f"profile_of: ra and dec must be lists of equal length, got {x.shape} and {y.shape}"
        )
    if not x.size:
        raise ConfigError("profile_of: the catalogue is empty; give at least one source")
    bad = ~(np.isfinite(x) & np.isfinite(y))
    if bad.any():
        raise ConfigError(
            f"profile_of: {bad.sum()} of {x.size} sources have no finite ra and dec (first: row {bad.argmax()}); "
            "leave them out"
        )
    bad = np.abs(y) > 90
    if bad.any():
        raise ConfigError(f"profile_of: dec[{bad.argmax()}] = {y[bad.argmax()]:g} is beyond 90 degrees")
    return x, y


def _check_centre(centre: tuple[float, float]) -> None:
    """Raise ConfigError if the centre is not a position on the sky."""
    values = np.asarray(centre, np.float64)
    if values.shape != (2,) or not (
        np.isfinite(values).all() and -180 <= values[0] <= 360 and abs(values[1]) <= 90
    ):
        raise ConfigError(
            f"profile_of: centre must be (ra, dec) in degrees, ra from -180 to 360 and dec from -90 to 90, not {centre}"
        )


def _check_edges(edges: Sequence[float]) -> None:
    """Raise ConfigError unless the edges of the annuli are non-negative and increase."""
    values = np.asarray(edges, np.float64)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all() or values[0] < 0:
        raise ConfigError("profile_of: edges must be at least two radii of 0 arcsec or more")
    if (np.diff(values) <= 0).any():
        raise ConfigError("profile_of: edges must increase")


def _corners(grid: SkyGrid, xi: Floats, eta: Floats, footprint: ArrayLike | None) -> Floats:
    if footprint is None:
        places = np.column_stack([xi, eta])
        return np.asarray(places[scipy.spatial.ConvexHull(places).vertices])
    given = np.asarray(footprint, np.float64)
    if given.ndim != 2 or given.shape[1] != 2 or len(given) < 3 or not np.isfinite(given).all():
        raise ConfigError("profile_of: footprint must have at least three corners (ra, dec) in degrees")
    return np.column_stack(grid.offsets(given[:, 0], given[:, 1]))


def _within(corners: Floats, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return which points lie inside a polygon or on its border.

    A ray from an interior point to the right crosses the sides an odd number of times.
    """
    inside, border = np.zeros(np.shape(x), bool), np.zeros(np.shape(x), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Points on the border are inside: the outermost sources define the footprint if none is given.
        across = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
        between = (np.minimum(x0, x1) <= x) & (x <= np.maximum(x0, x1))
        between &= (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1))
        border |= between & (np.abs(across) <= 1e-12 * ((x1 - x0) ** 2 + (y1 - y0) ** 2))
        if y0 == y1:
            continue  # a horizontal side is never crossed
        # Half-open in y, so that a ray through a corner crosses one of the two sides that meet there.
        crosses = (y0 <= y) != (y1 <= y)
        inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside | border


def _areas(corners: Floats, columns: Floats, rows: Floats, cell: float) -> Floats:
    """Return the area of each cell that lies inside the polygon, from 16 points per cell."""
    share = np.zeros((rows.size, columns.size))
    for dy, dx in itertools.product((-0.375, -0.125, 0.125, 0.375), repeat=2):
        x, y = np.meshgrid(columns + dx * cell, rows + dy * cell)
        share += _within(corners, x, y)
    return np.asarray(share / 16 * cell**2)


def _annuli(sample: Sample, edges: Sequence[float]) -> QTable:
    rows = []
    for r_lo, r_hi in itertools.pairwise(edges):
        ring = sample.ring(r_lo, r_hi)
        area = float(ring.area.sum())
        if area < LEAST_SHARE * np.pi * (r_hi**2 - r_lo**2):
            continue
        n = ring.xi.size
        rows.append((r_lo, r_hi, area, n, n / area, np.sqrt(n) / area))
    columns = zip(*rows, strict=True) if rows else [()] * 6
    names = ("r_lo", "r_hi", "area", "n_gc", "n", "n_err")
    table = QTable({name: np.array(values, np.float64) for name, values in zip(names, columns, strict=True)})
    table["n_gc"] = table["n_gc"].astype(np.int64)
    for name, unit in (
        ("r_lo", u.arcsec),
        ("r_hi", u.arcsec),
        ("area", u.arcsec**2),
        ("n", u.arcsec**-2),
        ("n_err", u.arcsec**-2),
    ):
        table[name] = table[name] * unit
    return table
