"""The lens models of a run: the map, its realisations on the sky grid, other maps, and where kappa peaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilegc.config import RunConfig
from tilegc.geometry import Box
from tilegc.io.convergence import Kappa, read_convergence
from tilegc.io.lens_ensemble import Ensemble, find_ensemble
from tilegc.sky import SkyGrid, pixel_to_world
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.maxima import local_maxima

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

__all__ = [
    "APERTURE",
    "LensModels",
    "Peak",
    "Realisations",
    "find_lens_models",
    "kappa_peaks",
    "realisations",
]

APERTURE = 60.0
"""Radius, arcsec, of the aperture masses, out to which the realisations of a lens model are read."""

PEAK_RADIUS = 60.0
"""Distance from the centre, arcsec, within which peaks of kappa are looked for."""

PEAK_SHARE = 0.5
"""Part of the highest that a peak must reach."""

PEAK_APART = 5.0
"""Distance, arcsec, within which a higher peak hides a lower one."""


@dataclass(frozen=True)
class LensModels:
    """What the run file's `convergence` names, read and found usable."""

    kappa: Kappa
    ensemble: Ensemble | None
    rivals: Mapping[str, Kappa]
    """Maps of `convergence.compare`, by name."""
    alternatives: Mapping[str, Kappa] = field(default_factory=dict)
    """Models of other families, `convergence.alternatives`, by name."""

    @property
    def scaling(self) -> float:
        """D_LS/D_S of the reference source redshift."""
        return self.kappa.scaling


@dataclass(frozen=True)
class Realisations:
    """Realisations of the lens model on a rectangle of the sky grid."""

    box: Box
    """Rows and columns of the sky grid's arrays (0 is their first cell, not the centre's)."""
    kappa: np.ndarray
    """float64 (realisation, eta, xi) over the box; NaN off a map."""


@dataclass(frozen=True)
class Peak:
    """A maximum of kappa."""

    xi: float
    """arcsec east of the cluster's centre, which is the brightest galaxy's."""
    eta: float
    kappa: float

    @property
    def offset(self) -> float:
        """Distance from the centre, arcsec."""
        return float(np.hypot(self.xi, self.eta))


def find_lens_models(config: RunConfig, cosmo: FlatLambdaCDM) -> LensModels | None:
    """Read the kappa map, its rivals, other families and, once each, its realisations; None without `convergence`.

    Raises
    ------
    ConvergenceError
        For the first that cannot be used.
    """
    conf = config.convergence
    if conf is None:
        return None
    redshift = config.cluster.redshift
    kappa = read_convergence(conf, cosmo, redshift)
    rivals = {
        rival.name: read_convergence(
            rival, cosmo, redshift, conf.reference_redshift, f"convergence.compare.{number}"
        )
        for number, rival in enumerate(conf.compare)
    }
    alternatives = {
        one.name: read_convergence(
            one, cosmo, redshift, conf.reference_redshift, f"convergence.alternatives.{number}"
        )
        for number, one in enumerate(conf.alternatives)
    }
    return LensModels(kappa, find_ensemble(conf, cosmo, redshift), rivals, alternatives)


def realisations(cells: SkyCells, ensemble: Ensemble, max_radius: float) -> Realisations:
    """Return all realisations at the centres of the sky grid's cells within a square about the centre.

    Parameters
    ----------
    cells : SkyCells
    ensemble : Ensemble
    max_radius : float
        Half the square's side, arcsec: the whole sky grid of a hundred maps would not fit into memory.
    """
    rows = np.flatnonzero(np.abs(cells.eta) <= max_radius)
    columns = np.flatnonzero(np.abs(cells.xi) <= max_radius)
    if not (rows.size and columns.size):
        return Realisations(Box(0, 0, 0, 0), np.zeros((len(ensemble), 0, 0)))
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    xi, eta = np.meshgrid(cells.xi[columns], cells.eta[rows])
    return Realisations(box, ensemble.at(*cells.grid.radec(xi, eta)))


def kappa_peaks(kappa: Kappa, grid: SkyGrid, radius: float = PEAK_RADIUS) -> list[Peak]:
    """Return the maxima of a map about the cluster's centre, highest first.

    A maximum is a pixel above its eight neighbours and half the highest value, at least 5 arcsec from a
    higher one; its place is that pixel's centre.
    """
    rows, columns = local_maxima(kappa.values)
    xi, eta = grid.offsets(*pixel_to_world(kappa.wcs, rows, columns))
    values = kappa.values[rows, columns]
    near = np.hypot(xi, eta) <= radius
    found: list[Peak] = []
    for i in np.flatnonzero(near)[np.argsort(-values[near], kind="stable")]:
        peak = Peak(float(xi[i]), float(eta[i]), float(values[i]))
        if found and peak.kappa < PEAK_SHARE * found[0].kappa:
            break
        if all(np.hypot(peak.xi - other.xi, peak.eta - other.eta) >= PEAK_APART for other in found):
            found.append(peak)
    return found
