"""Estimates of the contamination: how many sources do not belong to the cluster (algorithm.md, section 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilegc.io.convergence import Kappa
from tilegc.kernels.groups import groups
from tilegc.kernels.magnification import SLOPE, SLOPE_ERR, count_factor, magnification
from tilegc.phases.partials import Table
from tilegc.radial.intensity import BLOCK, Fit
from tilegc.radial.masses import APERTURE
from tilegc.radial.published import CONTAMINATION_PER_KPC2
from tilegc.skygrid.cell_sums import cell_of
from tilegc.skygrid.cells import SkyCells

__all__ = ["Component", "Contamination", "as_table", "behind", "budget", "outermost_annulus", "published"]

STRONG = 5.0
"""Magnification, typical of the core, for which the depletion of the background is quoted."""

CONTAMINATION_AREA = 200.0
"""Minimum good area of the annulus of the contamination in arcsec^2."""


@dataclass(frozen=True)
class Contamination:
    """Density of sources in the outermost annulus, none of which belongs to the cluster; NaN if it is too small."""

    n: float
    err: float
    """Poisson error and scatter between blocks in the annulus, in quadrature."""
    r_lo: float
    r_hi: float


@dataclass(frozen=True)
class Component:
    """One estimate of the contamination; NaN where it cannot be made."""

    name: str
    n: float
    """Sources per arcsec^2; NaN for an estimate that is only a factor."""
    err: float
    factor: float
    """Factor by which lensing changes the counts of background sources; NaN for other estimates."""
    factor_err: float
    how: str
    """The arithmetic in words and numbers, or why there is no estimate."""


def budget(
    cells: SkyCells,
    outermost: Contamination,
    floor: Fit,
    centre: int,
    thinned: tuple[float, float] | None,
    purity: np.ndarray | None,
) -> list[Component]:
    """Return every estimate of the contamination.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    outermost : Contamination
        As in Diego et al. 2026: all sources of the outermost annulus.
    floor : Fit
        Cored law fitted to the positions, with its floor.
    centre : int
        Index of the field that contains the cluster centre; the others are control fields. Below 0 there is no cluster,
        and all are.
    thinned : tuple of float, optional
        Result of `behind`; None without a convergence map.
    purity : ndarray, optional
        Probability of each source not to be a noise peak; None if no null map was made.
    """
    area = float(cells.good_area.sum(axis=0)[cells.kept].sum())
    estimates = [_noise(purity, area), _outermost(outermost), _floor(floor), *_control(cells, centre)]
    if centre < 0:
        return estimates
    base = next((estimate for estimate in estimates[:2:-1] if np.isfinite(estimate.n)), estimates[1])
    return [*estimates, _strong(), _thinned(thinned, base)]


def published(kpc: float) -> Component:
    """Return the published contamination of Abell S1063, for comparison with a run of the same cluster.

    Parameters
    ----------
    kpc : float
        kpc per arcsec.
    """
    n = CONTAMINATION_PER_KPC2 * kpc**2
    how = f"{CONTAMINATION_PER_KPC2:g} per kpc^2 x ({kpc:.4f} kpc per arcsec)^2, no measurement of this run"
    return Component("published for AS1063", n, np.nan, np.nan, np.nan, how)


def _noise(purity: np.ndarray | None, area: float) -> Component:
    name = "noise peaks"
    if purity is None or not area:
        return Component(name, np.nan, np.nan, np.nan, np.nan, "no null map: sources carry no purity")
    false = float((1.0 - purity[np.isfinite(purity)]).sum())
    how = f"sum of (1 - purity) over {purity.size} sources = {false:.1f}, over {area:.0f} arcsec^2"
    return Component(name, false / area, np.sqrt(false) / area, np.nan, np.nan, how)


def _outermost(level: Contamination) -> Component:
    name = "outermost annulus"
    if not np.isfinite(level.n):
        return Component(name, np.nan, np.nan, np.nan, np.nan, "no annulus has 200 arcsec^2 of good area")
    how = f"all sources between {level.r_lo:g} and {level.r_hi:g} arcsec over their good area"
    return Component(name, level.n, level.err, np.nan, np.nan, how)


def _floor(floor: Fit) -> Component:
    name = "floor of the profile"
    if not np.isfinite(floor["floor"]):
        return Component(name, np.nan, np.nan, np.nan, np.nan, "too few sources to fit a profile")
    how = "f of peak (1 + (r / core)^2)^(-slope / 2) + f by the sources' positions, error from blocks of 15 arcsec"
    error = floor.robust_error("floor")
    if "floor" in floor.at_bound:
        how += "; at its lower bound: the profile still falls at the fields' edge"
    return Component(name, floor["floor"], error, np.nan, np.nan, how)


def _control(cells: SkyCells, centre: int) -> list[Component]:
    """Return the density in each field that does not contain the centre."""
    estimates = []
    for index, field in enumerate(cells.fields):
        if index == centre:
            continue
        here = cells.kept_of(index)
        area, count = cells.good_area[index][here], cells.n_gc[index][here]
        total = float(area.sum())
        name = f"control field {field}"
        if not total:
            estimates.append(Component(name, np.nan, np.nan, np.nan, np.nan, "no good area"))
            continue
        n = float(count.sum()) / total
        nearest = float(cells.radius[here].min())
        how = f"{int(count.sum())} sources over {total:.0f} arcsec^2"
        if centre >= 0:
            how += f" at {nearest:.0f} arcsec and beyond; what the cluster still has there is counted as well"
        estimates.append(Component(name, n, _block_error(cells, here, area, count, n), np.nan, np.nan, how))
    return estimates


def outermost_annulus(
    cells: SkyCells, edges: tuple[float, ...], annulus: np.ndarray, sources: np.ndarray
) -> Contamination:
    """Return the density of sources in the outermost annulus with sufficient area, all fields together."""
    kept = cells.kept
    areas, counts = cells.good_area.sum(axis=0), sources.sum(axis=0)
    for number in range(len(edges) - 2, -1, -1):
        inside_annulus = kept & (annulus == number)
        area = float(areas[inside_annulus].sum())
        if area < CONTAMINATION_AREA:
            continue
        total = int(counts[inside_annulus].sum())
        n = total / area
        poisson = np.sqrt(total) / area
        block = _blocks(cells)[inside_annulus]
        block_area = np.bincount(block, areas[inside_annulus])
        block_count = np.bincount(block, counts[inside_annulus])
        used = np.count_nonzero(block_area)
        scatter = 0.0
        if used > 1:
            excess = block_count - n * block_area
            scatter = float(np.sqrt((excess**2).sum() * used / (used - 1)) / area)
        return Contamination(n, float(np.hypot(poisson, scatter)), edges[number], edges[number + 1])
    return Contamination(np.nan, np.nan, np.nan, np.nan)


def _blocks(cells: SkyCells) -> np.ndarray:
    """Return the number of the block on the sky that contains the centre of each cell, (eta, xi)."""
    row = np.floor(cells.eta / BLOCK).astype(np.int64)
    column = np.floor(cells.xi / BLOCK).astype(np.int64)
    row, column = row - row.min(initial=0), column - column.min(initial=0)
    number: np.ndarray = row[:, None] * (int(column.max(initial=0)) + 1) + column[None, :]
    return number


def _block_error(cells: SkyCells, here: np.ndarray, area: np.ndarray, count: np.ndarray, n: float) -> float:
    """Return the error of a mean density from the scatter of blocks of 15 arcsec; with fewer than ten, Poisson."""
    rows, columns = np.nonzero(here)
    used, block = groups(cell_of(cells.eta[rows], BLOCK), cell_of(cells.xi[columns], BLOCK))
    if used < 10:
        return float(np.sqrt(count.sum()) / area.sum())
    excess = np.bincount(block, count - n * area, used)
    return float(np.sqrt((excess**2).sum() * used / (used - 1)) / area.sum())


def _strong() -> Component:
    factor, error = count_factor(STRONG)
    how = f"{STRONG:g}^(2.5 x {SLOPE:g} - 1), s = {SLOPE:g} +- {SLOPE_ERR:g}"
    return Component(f"background at magnification {STRONG:g}", np.nan, np.nan, factor, error, how)


def behind(kappa: Kappa, ra: float, dec: float) -> tuple[float, float]:
    """Return the change of background counts by the lens within the aperture, and its error from that of the slope.

    Parameters
    ----------
    kappa : Kappa
        Convergence map.
    ra, dec : float
        Cluster centre in degrees.
    """
    window, inside = kappa.circle(ra, dec, APERTURE)
    return count_factor(magnification(kappa.values)[window][inside])


def _thinned(thinned: tuple[float, float] | None, base: Component) -> Component:
    """Return the lensed background within the aperture, relative to the unlensed background."""
    name = f"background within {APERTURE:g} arcsec"
    if thinned is None:
        return Component(name, np.nan, np.nan, np.nan, np.nan, "no convergence map in the run file")
    factor, error = thinned
    n = base.n * factor
    # Add the relative errors of the background and of the factor in quadrature.
    err = float(np.hypot(base.err * factor, base.n * error))
    how = (
        f"{base.name} x mean of mu^(2.5 s - 1), mu from kappa and its shear at the reference redshift, "
        f"s = {SLOPE:g} +- {SLOPE_ERR:g}"
    )
    return Component(name, n, err, factor, error, how)


def as_table(found: Sequence[Component], kpc: float) -> Table:
    """Return the columns of `schema.CONTAMINATION`."""
    n, err = (np.array([getattr(one, name) for one in found], np.float64) for name in ("n", "err"))
    return {
        "component": np.array([one.name for one in found]),
        "per_arcsec2": n,
        "per_arcsec2_err": err,
        "per_kpc2": n / kpc**2,
        "per_kpc2_err": err / kpc**2,
        "factor": np.array([one.factor for one in found]),
        "factor_err": np.array([one.factor_err for one in found]),
        "how": np.array([one.how for one in found]),
    }
