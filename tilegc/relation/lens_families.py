"""What the family of the lens model does to the law: the largest error of the whole chain.

Free-form and parametric models of one cluster agree on the images that they were made from and differ between them:
for Abell 2744 (GRALE v4, CATS v3.1) ln kappa differs by 0.30, root mean square, within 40 arcsec, over lengths of 7
arcsec. Range maps of one family do not show this. Where the run file has models of other families the law is fitted
with each, on the same cells; where it has none, a difference of the published size is put on the run's own map in
many ways. Either of two families is then taken to be off by 1 / sqrt(2) of their difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.io.convergence import Kappa
from tilegc.relation.counts import Law
from tilegc.relation.counts_law import fit_law
from tilegc.relation.families import Families, Family
from tilegc.relation.floors import FLAT, Floor
from tilegc.relation.sky_counts import box_counts
from tilegc.skygrid.cells import SkyCells

__all__ = ["LENGTH", "OWN", "lens_families"]

Floats = NDArray[np.float64]

OWN: Final = "kappa"
"""Name of the run's own map."""

LENGTH: Final = 7.0
"""Scale, arcsec, of the assumed difference between families: its correlation is exp(-d^2 / (2 LENGTH^2))."""

DRAWS: Final = 16
SEED: Final = 20260221

LEAST: Final = 4
"""Draws that must give a law for a guess."""


def lens_families(
    cells: SkyCells,
    side: float,
    max_radius: float,
    *,
    kept: NDArray[np.bool_],
    recovery: Floats,
    light: Floats | None,
    alternatives: Mapping[str, Kappa],
    assumed_rms: float,
    floor: Floor = FLAT,
) -> Families | None:
    """Fit the law with each family's map, or with the run's own map changed as families differ.

    Parameters
    ----------
    cells : SkyCells
    side, max_radius : float
        Side of the boxes, and radius within which kappa is used, arcsec.
    kept : ndarray of bool (eta, xi)
        Cells that the law counts.
    recovery : ndarray of float64 (eta, xi)
        Probability that a source is recorded.
    light : ndarray of float64 (eta, xi), optional
        Light of galaxies, where the law has a term for it.
    alternatives : mapping of str to Kappa
        Maps of other families, by name.
    assumed_rms : float
        Scatter of ln kappa between two families that is assumed where there are none; 0: nothing is assumed.
    floor : Floor
        How the floor of the law depends on position.

    Returns
    -------
    Families or None
        None where there is nothing to compare, or no law with the run's own map.
    """

    def law(kappa: Floats, begin: Law | None = None) -> Law:
        data = box_counts(
            replace(cells, kappa=kappa),
            side,
            max_radius,
            kept=kept & common,
            recovery=recovery,
            light=light,
            floor=floor,
        )
        return fit_law(data, begin=begin)

    common = np.isfinite(cells.kappa)
    near = cells.radius < max_radius
    if not near.any():
        return None
    maps = {name: _on_cells(cells, kappa, near) for name, kappa in alternatives.items()}
    for values in maps.values():
        # The far sky is no map's: there it only has to stay in the prior on the floor.
        common = common & (np.isfinite(values) | ~near)
    own = law(cells.kappa)
    if not (own.found and own.free[1]):
        return None
    members = [_family(OWN, own, 0.0)]
    inside = near & kept & common & (cells.kappa > 0)
    if maps:
        members += [
            _family(name, law(values, own), _rms(values, cells.kappa, inside))
            for name, values in maps.items()
        ]
        return _summed(members, guess=False, rms=max(one.ln_kappa_rms for one in members))
    if not assumed_rms:
        return None
    draws = np.random.Generator(np.random.PCG64(SEED))
    share = assumed_rms / np.sqrt(2.0)
    for number in range(DRAWS):
        change = np.exp(share * _field(draws, cells.kappa.shape, LENGTH / cells.grid.pixel, near))
        values = np.where(near, cells.kappa * change, cells.kappa)
        members.append(_family(f"draw {number}", law(values, own), _rms(values, cells.kappa, inside)))
    return _summed(members, guess=True, rms=assumed_rms)


def _on_cells(cells: SkyCells, kappa: Kappa, near: NDArray[np.bool_]) -> Floats:
    """Return a map at the cells near the centre; the run's own kappa elsewhere."""
    values = cells.kappa.copy()
    rows, columns = np.nonzero(near)
    values[rows, columns] = kappa.at(*cells.grid.radec(cells.xi[columns], cells.eta[rows]))
    return values


def _field(
    draws: np.random.Generator, shape: tuple[int, ...], length: float, near: NDArray[np.bool_]
) -> Floats:
    """Return a Gaussian field of mean 0 and standard deviation 1 over the cells near the centre; 0 elsewhere."""
    rows, columns = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    # White noise through a Gaussian of length / sqrt(2) correlates as exp(-d^2 / (2 length^2)).
    sigma = length / np.sqrt(2.0)
    pad = int(np.ceil(4 * sigma))
    size = tuple(part.stop - part.start + 2 * pad for part in box)
    smooth = scipy.ndimage.gaussian_filter(draws.normal(size=size), sigma)[pad:-pad, pad:-pad]
    result = np.zeros(shape)
    result[box] = smooth
    # A factor that all kappa have in common changes the amplitude of a law and not its power.
    here = result[near]
    result[near] = (here - here.mean()) / here.std()
    return np.where(near, result, 0.0)


def _rms(values: Floats, own: Floats, inside: NDArray[np.bool_]) -> float:
    """Return the scatter of ln kappa between two maps, where both are positive."""
    there = inside & (values > 0)
    return float(np.log(values[there] / own[there]).std()) if there.any() else np.nan


def _family(name: str, law: Law, rms: float) -> Family:
    # A power on its bound is no measurement.
    found = law.found and bool(law.free[1])
    a, c, floor = (law.a, law.c, law.floor) if found else (np.nan, np.nan, np.nan)
    return Family(name=name, a=a, c=c, floor=floor, ln_kappa_rms=rms)


def _summed(members: list[Family], *, guess: bool, rms: float) -> Families:
    own, others = members[0], members[1:]
    c = np.array([one.c for one in others])
    c = c[np.isfinite(c)]
    enough = c.size >= (LEAST if guess else 1)
    size = _central if guess else _root_mean_square
    return Families(
        members=tuple(members),
        guess=guess,
        c_err=size(c - own.c) if enough else np.nan,
        index_err=size(1.0 / c - own.index) if enough else np.nan,
        ln_kappa_rms=rms,
    )


def _root_mean_square(differences: Floats) -> float:
    return float(np.sqrt((differences**2).mean()))


def _central(differences: Floats) -> float:
    """Return the size below which 68.3 % of the differences lie.

    In a small field one draw in sixteen may flatten kappa so far that its law has next to no slope: a root mean
    square would be that draw's alone.
    """
    return float(np.quantile(np.abs(differences), 0.683))
