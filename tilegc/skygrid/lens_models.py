"""The lens models of a run: the map, its realisations on the sky grid, maps to compare, and the peaks of kappa."""

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
"""Maximum distance in arcsec of a peak of kappa from the cluster centre."""

PEAK_SHARE = 0.5
"""Minimum height of a peak as a fraction of the highest."""

PEAK_APART = 5.0
"""Distance in arcsec within which a higher peak supersedes a lower one."""


@dataclass(frozen=True)
class LensModels:
    """The lens models named in the section `convergence` of the run file, read and validated."""

    kappa: Kappa
    ensemble: Ensemble | None
    rivals: Mapping[str, Kappa]
    """Maps of `convergence.compare`, by name."""
    alternatives: Mapping[str, Kappa] = field(default_factory=dict)
    """Models of other families, `convergence.alternatives`, by name."""

    @property
    def scaling(self) -> float:
        """D_LS/D_S for the reference source redshift."""
        return self.kappa.scaling


@dataclass(frozen=True)
class Realisations:
    """Realisations of the lens model on a rectangle of the sky grid."""

    box: Box
    """Rows and columns of the arrays of the sky grid (0 is the first cell, not that of the centre)."""
    kappa: np.ndarray
    """float64 (realisation, eta, xi) over the box; NaN outside the map."""


@dataclass(frozen=True)
class Peak:
    """A maximum of kappa."""

    xi: float
    """Offset in arcsec east of the cluster centre, the position of the brightest galaxy."""
    eta: float
    kappa: float

    @property
    def offset(self) -> float:
        """Distance from the cluster centre in arcsec."""
        return float(np.hypot(self.xi, self.eta))


def find_lens_models(config: RunConfig, cosmo: FlatLambdaCDM) -> LensModels | None:
    """Read the kappa map, other maps and families, and each realisation once; None without a `convergence` section.

    Raises
    ------
    ConvergenceError
        For the first map that cannot be used.
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
    """Return all realisations at the cell centres of the sky grid, within a square around the cluster centre.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    ensemble : Ensemble
        Realisations of the lens model.
    max_radius : float
        Half the side of the square in arcsec: the whole sky grid of a hundred maps would not fit into memory.
    """
    rows = np.flatnonzero(np.abs(cells.eta) <= max_radius)
    columns = np.flatnonzero(np.abs(cells.xi) <= max_radius)
    if not (rows.size and columns.size):
        return Realisations(Box(0, 0, 0, 0), np.zeros((len(ensemble), 0, 0)))
    box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    xi, eta = np.meshgrid(cells.xi[columns], cells.eta[rows])
    return Realisations(box, ensemble.at(*cells.grid.radec(xi, eta)))


def kappa_peaks(kappa: Kappa, grid: SkyGrid, radius: float = PEAK_RADIUS) -> list[Peak]:
    """Return the maxima of a map around the cluster centre, highest first.

    A maximum is a pixel above its eight neighbours, at least half as high as the highest, and at least 5 arcsec from
    any higher maximum; its position is the centre of that pixel.
    """
    rows, columns = local_maxima(kappa.values)
    xi, eta = grid.offsets(*pixel_to_world(kappa.wcs, rows, columns))
    values = kappa.values[rows, columns]
    near = np.hypot(xi, eta) <= radius
    peaks: list[Peak] = []
    # Highest first, so that every peak is compared with the higher ones that were kept.
    for i in np.flatnonzero(near)[np.argsort(-values[near], kind="stable")]:
        peak = Peak(float(xi[i]), float(eta[i]), float(values[i]))
        if peaks and peak.kappa < PEAK_SHARE * peaks[0].kappa:
            break
        if all(np.hypot(peak.xi - other.xi, peak.eta - other.eta) >= PEAK_APART for other in peaks):
            peaks.append(peak)
    return peaks
