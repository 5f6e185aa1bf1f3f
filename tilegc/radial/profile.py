"""Radial profiles round the cluster's centre, and the contamination far from it (algorithm.md, section 12)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from tilegc.skygrid.cells import SkyCells

__all__ = ["EDGES", "Contamination", "profile"]

EDGES = (
    1, 2, 3, 5, 7, 10, 13, 17, 22, 28, 35, 43, 52, 60, 75, 100, 115, 130, 150, 175, 200, 225, 250,
)  # fmt: skip
"""Default edges of the annuli, arcsec."""

ANNULUS_AREA = 20.0
"""Good area, arcsec^2, below which an annulus is left out."""

CONTAMINATION_AREA = 200.0
"""Good area, arcsec^2, that the annulus of the contamination must have."""

BLOCK = 15.0
"""Side, arcsec, of the blocks on the sky whose scatter enters the contamination's error."""


@dataclass(frozen=True)
class Contamination:
    """Sources that do not belong to the cluster, per arcsec^2, from the outermost annulus; NaN: none reaches."""

    n: float
    err: float
    """Poisson error and the scatter of the annulus's blocks, in quadrature."""
    r_lo: float
    r_hi: float


def profile(
    cells: SkyCells, edges: tuple[float, ...], count: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], Contamination]:
    """Count sources and average the maps in annuli, field by field.

    Parameters
    ----------
    cells : SkyCells
    edges : tuple of float
        arcsec, rising.
    count : int64 (field, eta, xi), optional
        Sources per cell; those of the catalogue where not given.

    Returns
    -------
    dict
        Columns of `schema.PROFILE`; annuli with enough good area only.
    Contamination
    """
    sources = cells.n_gc if count is None else count
    annulus = np.searchsorted(edges, cells.radius, side="right") - 1
    annulus[cells.radius >= edges[-1]] = -1
    contamination = _contamination(cells, edges, annulus, sources)
    sky_level = _outermost_light(cells, edges, annulus)
    rows = []
    for field, name in enumerate(cells.fields):
        kept, inside = cells.kept_of(field), cells.inside_of(field)
        for number, (r_lo, r_hi) in enumerate(itertools.pairwise(edges)):
            here = kept & (annulus == number)
            area = float(cells.good_area[field][here].sum())
            if area < ANNULUS_AREA:
                continue
            n = int(sources[field][here].sum())
            rows.append(
                (
                    name,
                    r_lo,
                    r_hi,
                    area,
                    n,
                    n / area,
                    np.sqrt(n) / area,
                    n / area - contamination.n,
                    _mean(cells.kappa[here]),
                    _mean(cells.light[field][here]) - sky_level,
                    _mean(cells.rho[field][inside & (annulus == number)]),
                )
            )
    names = ("field", "r_lo", "r_hi", "area_arcsec2", "n_gc", "n_per_arcsec2", "n_err", "n_corrected")
    columns = zip(*rows, strict=True) if rows else [()] * 11
    table = {
        name: np.array(values)
        for name, values in zip((*names, "kappa", "light", "rho"), columns, strict=True)
    }
    return table, contamination


def _contamination(
    cells: SkyCells, edges: tuple[float, ...], annulus: np.ndarray, sources: np.ndarray
) -> Contamination:
    """Return the density of sources in the outermost annulus that is large enough, all fields together."""
    kept = cells.kept
    areas, counts = cells.good_area.sum(axis=0), sources.sum(axis=0)
    for number in range(len(edges) - 2, -1, -1):
        here = kept & (annulus == number)
        area = float(areas[here].sum())
        if area < CONTAMINATION_AREA:
            continue
        total = int(counts[here].sum())
        n = total / area
        poisson = np.sqrt(total) / area
        block = _blocks(cells)[here]
        block_area = np.bincount(block, areas[here])
        block_count = np.bincount(block, counts[here])
        used = np.count_nonzero(block_area)
        scatter = 0.0
        if used > 1:
            excess = block_count - n * block_area
            scatter = float(np.sqrt((excess**2).sum() * used / (used - 1)) / area)
        return Contamination(n, float(np.hypot(poisson, scatter)), edges[number], edges[number + 1])
    return Contamination(np.nan, np.nan, np.nan, np.nan)


def _blocks(cells: SkyCells) -> np.ndarray:
    """Return the number of the block on the sky in which each cell's centre lies (eta, xi)."""
    row = np.floor(cells.eta / BLOCK).astype(np.int64)
    column = np.floor(cells.xi / BLOCK).astype(np.int64)
    row, column = row - row.min(initial=0), column - column.min(initial=0)
    number: np.ndarray = row[:, None] * (int(column.max(initial=0)) + 1) + column[None, :]
    return number


def _outermost_light(cells: SkyCells, edges: tuple[float, ...], annulus: np.ndarray) -> float:
    """Return the mean light of the outermost annulus with enough area, the zero of the light's profile."""
    for number in range(len(edges) - 2, -1, -1):
        here = [cells.kept_of(field) & (annulus == number) for field in range(len(cells.fields))]
        area = sum(float(cells.good_area[field][inside].sum()) for field, inside in enumerate(here))
        if area >= ANNULUS_AREA:
            return _mean(np.concatenate([cells.light[field][inside] for field, inside in enumerate(here)]))
    return np.nan


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan
