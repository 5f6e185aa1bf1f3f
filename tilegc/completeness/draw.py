"""Where artificial stars are put, and how bright they are: drawn by a hash of their number, so that any run draws them.

Positions follow a mixture over cells of `CELL` pixels, even within each cell: the whole searched area, the smoothed
density of the catalogue, and the surroundings of the cluster's centre. Magnitudes are half even, half those of a
globular cluster luminosity function. The density of the draw is kept for every star (`q`), so that any mean over a
population of sources is a sum over stars of that population's density over `q`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.density.random import uniform
from tilegc.kernels.compiled import compiled

__all__ = ["CELL", "Places", "Population", "Stars", "draw", "places"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

CELL: Final = 64
"""Side, pixels, of the cells of the mixture."""

PARTS: Final = (0.4, 0.4, 0.2)
"""Shares of the mixture: even, as the catalogue, about the centre."""

BRIGHTER: Final = 3.5
FAINTER: Final = 2.0
"""Magnitudes about the limit within which stars are drawn. Sources up to 2 mag below the limit still matter: they are
many, and some are lifted above it by noise and neighbours."""

EVEN: Final = 0.5
"""Share of the magnitudes that are even over this range."""

NUMBERS: Final = 5
"""Uniform numbers of a star before those of its colours."""


@dataclass(frozen=True)
class Places:
    """The mixture of positions in one field."""

    chance: Floats
    """Of every cell that may hold stars, that one draw falls on it, masked pixels included."""
    row: Int64
    column: Int64
    """Of these cells."""
    density: Floats
    """Stars per pixel of the searched area in these cells, for one star in all."""
    draws: float
    """Draws for one star on the searched area: those on masked pixels are dropped."""


@dataclass(frozen=True)
class Population:
    """Magnitudes and colours that stars are drawn from."""

    limit: float
    """Magnitude (AB) of the field's limit."""
    turnover: float
    """Magnitude of the luminosity function's maximum; NaN: no redshift tells it, and all magnitudes are even."""
    width: float
    """Its standard deviation, mag."""
    share: Floats
    """Response of the detection map to 1 nJy in every band."""
    weight: Floats
    """Of every component of the colours."""
    mean: Floats
    """Magnitude of every band but the last less that of the last, (component, band - 1)."""
    root: Floats
    """Factor of their covariance, lower triangular, (component, band - 1, band - 1)."""


@dataclass(frozen=True)
class Stars:
    """Artificial stars of one field."""

    number: Int64
    """Of the draw; those that fall on masked pixels leave gaps."""
    y: Floats
    x: Floats
    magnitude: Floats
    """AB magnitude of the flat spectrum that would raise the detection map as much."""
    magnitudes: Floats
    """By band, (band, n)."""
    flux: Floats
    """nJy, (band, n), with the star's own photon noise."""
    position_density: Floats
    """Of the draw, per pixel."""
    magnitude_density: Floats
    """Of the draw, per mag."""


def places(
    area: Int64, sources: Int64, centre: tuple[float, float] | None, reach: float, light: Int64
) -> Places | None:
    """Return the mixture of positions of a field; None where nothing is searched.

    Parameters
    ----------
    area : (cell_y, cell_x) int64
        Searched pixels of each cell.
    sources : (cell_y, cell_x) int64
        Sources of the catalogue in it.
    centre : (float, float) or None
        Pixel (y, x) of the cluster's centre, which may lie off the field.
    reach : float
        Radius about it, pixels, of the part of the stars that is put there.
    light : (cell_y, cell_x) int64
        Pixels of each cell that are masked as bright or extended; the cells that have some stand in for the
        surroundings of a centre that the field does not hold.
    """
    has = area > 0
    if not has.any():
        return None
    counted, pixels = (_with_neighbours(values) for values in (sources, area))
    crowd = np.where(has, counted / np.maximum(pixels, 1), 0.0)
    special = np.zeros(area.shape, bool)
    if centre is not None:
        middle = (np.indices(area.shape) + 0.5) * CELL - 0.5
        special = has & (np.hypot(middle[0] - centre[0], middle[1] - centre[1]) < reach + CELL / 2)
    if not special.any():
        special = has & (light > 0)
    density = np.zeros(area.shape)
    for part, weight in zip(PARTS, (has.astype(float), crowd, special.astype(float)), strict=True):
        total = float((weight * area).sum())
        density += part * (weight / total if total > 0 else has / float(area.sum()))
    row, column = np.nonzero(has)
    own = density[has]
    return Places(own / own.sum(), row, column, own, float(own.sum()) * CELL * CELL)


def _with_neighbours(values: Int64) -> Int64:
    """Return the sums over each cell and the eight about it."""
    padded = np.pad(values, 1)
    rows, columns = values.shape
    parts = [padded[j : j + rows, i : i + columns] for j in range(3) for i in range(3)]
    total: Int64 = np.sum(parts, axis=0)
    return total


def draw(
    where: Places, population: Population, photons: Floats, *, seed: int, stream: int, first: int, last: int
) -> Stars:
    """Return the stars of some draws.

    Parameters
    ----------
    where : Places
    population : Population
    photons : (band,) float64
        Variance of a star's flux by its own photons, nJy^2 per nJy.
    seed, stream : int
        Of the run, and of the field.
    first, last : int
        Draws first to last - 1.
    """
    bands = population.share.size
    u = np.empty((last - first, NUMBERS + 2 * bands))
    _uniforms(seed, stream, first, u)
    cell = np.searchsorted(np.cumsum(where.chance), u[:, 0]).clip(0, where.row.size - 1)
    y = (where.row[cell] + u[:, 1]) * CELL - 0.5
    x = (where.column[cell] + u[:, 2]) * CELL - 0.5
    magnitude, density = _magnitudes(population, u[:, 3], u[:, 4])
    magnitudes = magnitude + _colours(population, u[:, NUMBERS : NUMBERS + bands])
    flux = 10 ** (-0.4 * (magnitudes - 31.4))
    noise = scipy.special.ndtri(u[:, NUMBERS + bands :]).T
    flux = (flux + np.sqrt(photons[:, None] * flux) * noise).clip(0.0)
    return Stars(np.arange(first, last), y, x, magnitude, magnitudes, flux, where.density[cell], density)


def _magnitudes(population: Population, kind: Floats, u: Floats) -> tuple[Floats, Floats]:
    """Return magnitudes and the density of their draw."""
    low, high = population.limit - BRIGHTER, population.limit + FAINTER
    if np.isnan(population.turnover):
        return low + u * (high - low), np.full(u.size, 1 / (high - low))
    below, above = (
        scipy.special.ndtr((edge - population.turnover) / population.width) for edge in (low, high)
    )
    bell = population.turnover + population.width * scipy.special.ndtri(below + u * (above - below))
    found = np.where(kind < EVEN, low + u * (high - low), np.clip(bell, low, high))
    z = (found - population.turnover) / population.width
    peak = population.width * np.sqrt(2 * np.pi) * (above - below)
    return found, EVEN / (high - low) + (1 - EVEN) * np.exp(-0.5 * z * z) / peak


def _colours(population: Population, u: Floats) -> Floats:
    """Return the magnitude of every band less the star's own, (band, n)."""
    bands = population.share.size
    colour = np.zeros((bands, u.shape[0]))
    if bands > 1:
        component = np.searchsorted(np.cumsum(population.weight), u[:, 0]).clip(0, population.weight.size - 1)
        normal = scipy.special.ndtri(u[:, 1:])
        spread = np.einsum("nij,nj->ni", population.root[component], normal)
        colour[:-1] = (population.mean[component] + spread).T
    share = population.share / population.share.sum()
    level: Floats = 2.5 * np.log10((share[:, None] * 10 ** (-0.4 * colour)).sum(axis=0))
    return colour + level


@compiled
def _uniforms(seed: int, stream: int, first: int, out: Floats) -> None:
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[k, j] = uniform(seed, stream, first + k, j, 0)
