"""Kappa of each cluster as the law of the other clusters predicts it from the counts, and how right that is.

The smoothed counts of a cluster are turned into kappa by the law that the other clusters of the sample lead to expect,
intrinsic scatter included. The cluster's own map is brought to the same resolution as what the counts would be if it
were right: kappa^c is smoothed with the good area, and the root is taken.

Kappa is a monotonic function of the counts, so that errors are judged where they are nearly normal: in counts. The
deviation of the smoothed counts from those that the map leads to expect, over its error, is the pull of a cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.io.maps import write_planes
from tilegc.places import Place
from tilegc.population.hierarchical import Normal
from tilegc.relation.prediction import KappaLaw, Smoothed, predict_kappa, smooth_counts
from tilegc.samples.measured import Measured
from tilegc.sky import header_text

__all__ = ["FOLDER", "RESOLUTION", "LeftOut", "left_out", "write_left_out"]

Floats = NDArray[np.float64]

FOLDER: Final = "left-out"
"""Directory of the maps, in that of the sample."""

RESOLUTION: Final = 6.0
"""Sigma of the smoothing, arcsec: some 10 sources lie under it at the depth of the tests' mock clusters."""

APART: Final = 2.5
"""Distance, in sigma of the smoothing, of the cells whose pulls count: nearer ones share most of their sources."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOut:
    """Prediction for one cluster; arrays are (eta, xi) on the sky grid of its run."""

    kappa: Floats
    """Predicted; NaN where too little was searched."""
    error: Floats
    map: Floats
    """The cluster's own kappa at the same resolution; NaN outside of the map."""
    pulls: Floats
    """Of cells that share few sources, within the reach of the map; (cell,)."""

    @property
    def rms(self) -> float:
        """Root mean square of the pulls; NaN without any."""
        return math.sqrt(float((self.pulls**2).mean())) if self.pulls.size else math.nan


def left_out(cluster: Measured, law: Normal, resolution: float = RESOLUTION) -> LeftOut:
    """Predict the kappa of a cluster.

    Parameters
    ----------
    cluster : Measured
        With a convergence map.
    law : Normal
        (ln alpha, c, f) as the other clusters predict it for this one.
    resolution : float
        Sigma of the smoothing, arcsec.
    """
    counts = cluster.counts
    assert counts is not None
    cells = cluster.cells
    ln_a, c, floor = counts.in_own_units(law.mean)
    turn = np.linalg.inv(counts.to_physical[0])
    covariance = turn @ law.covariance @ turn.T
    share = np.where(cluster.used, np.nan_to_num(cluster.recovery), 0.0)
    area = cells.good_area.sum(axis=0) * share
    number = np.where(area > 0, cells.n_gc.sum(axis=0), 0)
    sigma = resolution / cells.grid.pixel
    seen = smooth_counts(number, area, sigma)
    seen = Smoothed(seen.n, seen.variance * counts.inflation)
    own_law = KappaLaw(ln_a=float(ln_a), c=float(c), floor=float(floor), covariance=covariance)
    kappa, error, _ = predict_kappa(seen, own_law, 1.0, 1.0)
    power = _smoothed(np.maximum(np.nan_to_num(cells.kappa), 0.0) ** c, area, cells.kappa, sigma)
    pulls = _pulls(seen, area, power, own_law, counts.inflation, sigma)
    pulls[~(cells.radius * cluster.kpc_per_arcsec < cluster.reach)] = np.nan
    step = max(round(APART * sigma), 1)
    # From the centre outwards in both directions, so that the middle of the cluster is among them.
    first = [int(np.argmin(np.abs(axis))) % step for axis in (cells.eta, cells.xi)]
    chosen = pulls[first[0] :: step, first[1] :: step]
    return LeftOut(
        kappa=kappa, error=error, map=power ** (1.0 / c), pulls=chosen[np.isfinite(chosen)].astype(np.float64)
    )


def _smoothed(values: Floats, area: Floats, kappa: Floats, sigma: float) -> Floats:
    """Return the mean of a map over the good area under the kernel; NaN where the map does not fill it."""
    known = np.isfinite(kappa)
    # Counts and values are smoothed by one function: with area as weight, a sum of "counts" of value x area.
    weighted = np.where(known, area, 0.0)
    mean = smooth_counts(values * weighted, weighted, sigma).n
    there = smooth_counts(weighted, area, sigma).n
    return np.where(there > 0.9, mean, np.nan)


def _pulls(
    seen: Smoothed, area: Floats, power: Floats, law: KappaLaw, inflation: float, sigma: float
) -> Floats:
    """Return the deviation of the counts from those that map and law lead to expect, over its error."""
    a = math.exp(law.ln_a)
    expected = a * power + law.floor
    # The variance of the mean density under the kernel, per unit of density: at the expected density rather than at
    # the one seen, which would give places with few sources too small an error.
    unit = smooth_counts(area * 1e6, area, sigma).variance / 1e6
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_kappa = np.where(power > 0, np.log(np.maximum(power, 1e-300)) / law.c, 0.0)
        slopes = np.stack([a * power, a * power * ln_kappa, np.ones_like(power)])
        of_law = np.einsum("i...,ij,j...->...", slopes, law.covariance, slopes)
        pull: Floats = (seen.n - expected) / np.sqrt(np.maximum(expected, 0.0) * unit * inflation + of_law)
    return pull


def write_left_out(home: Place, found: Mapping[str, tuple[Measured, LeftOut]]) -> None:
    """Write `left-out/<cluster>.fits` for every cluster: predicted kappa, its error, and the map's own.

    Parameters
    ----------
    home : Place
        Directory of the sample.
    found : mapping of str to (Measured, LeftOut)
    """
    for name, (cluster, one) in found.items():
        cells = cluster.cells
        wcs = cells.grid.wcs(cells.i0, cells.j0)
        wcs.wcs.crpix = [one.kappa.shape[1] + 1 - wcs.wcs.crpix[0], wcs.wcs.crpix[1]]
        wcs.wcs.cdelt = [-wcs.wcs.cdelt[0], wcs.wcs.cdelt[1]]
        planes = [
            (label, np.ascontiguousarray(values[:, ::-1]).astype(np.float32), "", meaning)
            for label, values, meaning in (
                ("KAPPA", one.kappa, "predicted from the law of the other clusters"),
                ("ERROR", one.error, "its error: counts, law and intrinsic scatter"),
                ("MAP", one.map, "kappa of the cluster's map at the same resolution"),
            )
        ]
        meta = {
            "SIGMA": (RESOLUTION, "smoothing, arcsec"),
            "PULLRMS": (one.rms if one.pulls.size else -1.0, "rms"),
        }
        write_planes(home / FOLDER / f"{name}.fits", header_text(wcs), planes, meta)
