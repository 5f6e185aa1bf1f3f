"""Ranking of the kappa map of a run among other maps: `convergence.compare`, itself transformed, the light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.io.convergence import Kappa
from tilegc.relation.map_transforms import smoothed, transforms
from tilegc.relation.rank_statistics import MapLikelihood, difference_error, position_likelihood
from tilegc.skygrid.cells import SkyCells

__all__ = ["OWN", "rank_maps"]

Floats = NDArray[np.float64]
Table = dict[str, np.ndarray]

OWN: Final = "kappa"
"""Name in the table of the run's own map."""

LIGHT_SIGMA: Final = 2.0
"""Sigma in arcsec of the Gaussian that smooths the light, because single pixels are noisy."""

DARK: Final = 0.1
"""Quantile of the light that is taken as its zero: the sky between the galaxies."""

COVERED: Final = 0.9
"""Minimum fraction of the compared cells that a map must cover."""


def rank_maps(
    cells: SkyCells,
    kappa: Kappa,
    rivals: Mapping[str, Kappa],
    max_radius: float,
    recovery: Floats | None = None,
) -> Table:
    """Rank maps by the conditional likelihood of the positions of the sources within `max_radius` arcsec.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    kappa : Kappa
        The run's own map.
    rivals : mapping of str to Kappa
        Other maps of the same mass, by name.
    max_radius : float
        Radius in arcsec.
    recovery : float64 (eta, xi), optional
        Probability that a source is recorded, the same for all maps; NaN excludes a cell. By default 1.

    Returns
    -------
    dict
        Columns of `schema.RANKING`, the most likely map first, those that do not cover the sky last; all are compared
        on the cells covered by all.
    """
    rows, columns = (np.flatnonzero(np.abs(axis) <= max_radius) for axis in (cells.eta, cells.xi))
    part = (
        slice(rows[0], rows[-1] + 1) if rows.size else slice(0),
        slice(columns[0], columns[-1] + 1) if columns.size else slice(0),
    )
    xi, eta = np.meshgrid(cells.xi[part[1]], cells.eta[part[0]])

    def at(given: Kappa) -> Floats:
        return given.at(*cells.grid.radec(xi, eta))

    maps = {OWN: cells.kappa[part]}
    maps |= transforms(
        lambda east, north: kappa.at(*cells.grid.radec(east, north)), xi, eta, cells.grid.pixel
    )
    maps["light"] = _light(cells)[part]
    maps |= {name if name not in maps else f"{name} (compared)": at(rival) for name, rival in rivals.items()}
    area = (cells.good_area.sum(axis=0) * (1.0 if recovery is None else recovery))[part]
    use = cells.kept[part] & (np.hypot(xi, eta) < max_radius) & (area > 0) & np.isfinite(maps[OWN])
    compared = {
        name: values
        for name, values in maps.items()
        if use.any() and np.isfinite(values[use]).mean() >= COVERED
    }
    for values in compared.values():
        use &= np.isfinite(values)
    count = cells.n_gc.sum(axis=0)[part][use].astype(np.float64)
    found = {name: position_likelihood(values[use], area[use], count) for name, values in compared.items()}
    order = sorted(found, key=lambda name: -found[name].ln_likelihood)
    lines = [
        _row(number + 1, name, found[name], found[OWN], count, float(area[use].sum()))
        for number, name in enumerate(order)
    ]
    none = np.nan
    lines += [(-1, name, none, none, none, none, none, 0, 0.0, False) for name in maps if name not in found]
    names = (
        "rank",
        "map",
        "ln_likelihood",
        "delta",
        "delta_err",
        "c",
        "uniform",
        "n_sources",
        "area_arcsec2",
        "c_at_bound",
    )
    table = {name: np.array(column) for name, column in zip(names, zip(*lines, strict=True), strict=True)}
    table["map"] = table["map"].astype(object)
    return table


def _row(
    rank: int,
    name: str,
    one: MapLikelihood,
    own: MapLikelihood,
    count: Floats,
    area: float,
) -> tuple[int, str, float, float, float, float, float, int, float, bool]:
    error = difference_error(one, own, count) if name != OWN else 0.0
    return (
        rank,
        name,
        one.ln_likelihood,
        one.ln_likelihood - own.ln_likelihood,
        error,
        one.c,
        one.uniform,
        int(count.sum()),
        area,
        one.at_bound,
    )


def _light(cells: SkyCells) -> Floats:
    """Return the light of all fields, smoothed, with gaps filled and the sky between galaxies at zero."""
    seen = np.isfinite(cells.light)
    weight = np.where(seen, cells.good_area, 0.0)
    total = (np.where(seen, cells.light, 0.0) * weight).sum(axis=0)
    area = weight.sum(axis=0)
    light = np.divide(total, area, out=np.full(area.shape, np.nan), where=area > 0)
    smooth = smoothed(light, LIGHT_SIGMA / cells.grid.pixel)
    if not np.isfinite(smooth).any():
        return smooth
    return smooth - float(np.nanquantile(smooth, DARK))
