"""Radial profiles around the cluster centre (algorithm.md, section 12)."""

from __future__ import annotations

import itertools

import numpy as np

from tilegc.radial.contamination import Contamination, outermost_annulus
from tilegc.skygrid.cells import SkyCells

__all__ = ["ANNULUS_AREA", "EDGES", "profile"]

EDGES = (
    1, 2, 3, 5, 7, 10, 13, 17, 22, 28, 35, 43, 52, 60, 75, 100, 115, 130, 150, 175, 200, 225, 250,
)  # fmt: skip
"""Default edges of the annuli in arcsec."""

ANNULUS_AREA = 20.0
"""Minimum good area of an annulus in arcsec^2."""


def profile(
    cells: SkyCells, edges: tuple[float, ...], count: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], Contamination]:
    """Count sources and average maps in annuli, field by field.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    edges : tuple of float
        Edges of the annuli in arcsec, increasing.
    count : int64 (field, eta, xi), optional
        Sources per cell; by default those of the catalogue.

    Returns
    -------
    dict
        Columns of `schema.PROFILE`; only annuli with sufficient good area.
    Contamination
        Contamination from the outermost annulus.
    """
    sources = cells.n_gc if count is None else count
    annulus = np.searchsorted(edges, cells.radius, side="right") - 1
    annulus[cells.radius >= edges[-1]] = -1
    contamination = outermost_annulus(cells, edges, annulus, sources)
    sky_level = _outermost_light(cells, edges, annulus)
    rows = []
    for field, name in enumerate(cells.fields):
        kept, inside = cells.kept_of(field), cells.inside_of(field)
        for number, (r_lo, r_hi) in enumerate(itertools.pairwise(edges)):
            inside_annulus = kept & (annulus == number)
            area = float(cells.good_area[field][inside_annulus].sum())
            if area < ANNULUS_AREA:
                continue
            n = int(sources[field][inside_annulus].sum())
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
                    _mean(cells.kappa[inside_annulus]),
                    _mean(cells.light[field][inside_annulus]) - sky_level,
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


def _outermost_light(cells: SkyCells, edges: tuple[float, ...], annulus: np.ndarray) -> float:
    """Return the mean light in the outermost annulus with sufficient area: the zero point of the light."""
    for number in range(len(edges) - 2, -1, -1):
        inside_annulus = [cells.kept_of(field) & (annulus == number) for field in range(len(cells.fields))]
        area = sum(float(cells.good_area[field][inside].sum()) for field, inside in enumerate(inside_annulus))
        if area >= ANNULUS_AREA:
            return _mean(
                np.concatenate([cells.light[field][inside] for field, inside in enumerate(inside_annulus)])
            )
    return np.nan


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan
