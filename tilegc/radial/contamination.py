"""How many of the sources are none of the cluster's, by every way there is (algorithm.md, section 12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilegc.io.convergence import Kappa
from tilegc.kernels.groups import groups
from tilegc.phases.partials import Table
from tilegc.radial.intensity import BLOCK, Fit
from tilegc.radial.magnification import SLOPE, SLOPE_ERR, count_factor, magnification
from tilegc.radial.masses import APERTURE
from tilegc.radial.profile import Contamination
from tilegc.radial.published import CONTAMINATION_PER_KPC2
from tilegc.skygrid.cell_sums import cell_of
from tilegc.skygrid.cells import SkyCells

__all__ = ["Component", "as_table", "behind", "budget", "published"]

STRONG = 5.0
"""Magnification near the core for which the thinning is quoted."""


@dataclass(frozen=True)
class Component:
    """One estimate; NaN where it cannot be made."""

    name: str
    n: float
    """Per arcsec^2; NaN for a mere factor."""
    err: float
    factor: float
    """By which lensing changes counts of the background; NaN where that is not what the row tells."""
    factor_err: float
    how: str
    """Its arithmetic in words and numbers, or why there is none."""


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
    outermost : Contamination
        As in Diego et al. 2026: all sources of the outermost annulus.
    floor : Fit
        Of the cored law to the positions: its floor.
    centre : int
        Position of the field that holds the cluster's centre; the others are control fields.
    thinned : tuple of float, optional
        Of `behind`; None without a convergence map.
    purity : ndarray, optional
        Probability of each counted source to be no peak of noise; None where no null map was made.
    """
    area = float(cells.good_area.sum(axis=0)[cells.kept].sum())
    found = [_noise(purity, area), _outermost(outermost), _floor(floor), *_control(cells, centre)]
    base = next((one for one in found[:2:-1] if np.isfinite(one.n)), found[1])
    return [*found, _strong(), _thinned(thinned, base)]


def published(kpc: float) -> Component:
    """Return the published contamination of Abell S1063, to stand beside that of a run of this cluster.

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
    """Count each field that does not hold the centre."""
    found = []
    for index, field in enumerate(cells.fields):
        if index == centre:
            continue
        here = cells.kept_of(index)
        area, count = cells.good_area[index][here], cells.n_gc[index][here]
        total = float(area.sum())
        name = f"control field {field}"
        if not total:
            found.append(Component(name, np.nan, np.nan, np.nan, np.nan, "no good area"))
            continue
        n = float(count.sum()) / total
        nearest = float(cells.radius[here].min())
        how = (
            f"{int(count.sum())} sources over {total:.0f} arcsec^2 at {nearest:.0f} arcsec and beyond; what the "
            "cluster still has there is counted as well"
        )
        found.append(Component(name, n, _block_error(cells, here, area, count, n), np.nan, np.nan, how))
    return found


def _block_error(cells: SkyCells, here: np.ndarray, area: np.ndarray, count: np.ndarray, n: float) -> float:
    """Return the error of a mean density from the scatter of blocks of 15 arcsec; Poisson with fewer than ten."""
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
    """Return by how much the lens changes the background's counts within the aperture, and the slope's error of it.

    Parameters
    ----------
    kappa : Kappa
    ra, dec : float
        The cluster's centre, degrees.
    """
    window, inside = kappa.circle(ra, dec, APERTURE)
    return count_factor(magnification(kappa.values)[window][inside])


def _thinned(thinned: tuple[float, float] | None, base: Component) -> Component:
    """Return the background seen through the lens within the aperture, over that beside it."""
    name = f"background within {APERTURE:g} arcsec"
    if thinned is None:
        return Component(name, np.nan, np.nan, np.nan, np.nan, "no convergence map in the run file")
    factor, error = thinned
    n = base.n * factor
    # relative errors, of the base and of the thinning, add in quadrature
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
