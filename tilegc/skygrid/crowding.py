"""Completeness against density: sources that are lost because a brighter one is too near.

Peaks are selected brightest first, and each excludes fainter ones within its reach: random sequential adsorption of
discs. At a covered fraction t the free fraction of the plane is 1 - 4 t + 3.308 t^2 + 1.407 t^3 + ..., and near the
jamming limit it vanishes as the cube of the distance from the limit (Schaaf & Talbot 1989, J. Chem. Phys. 91, 4401).
With x = t / 0.547 the expression (1 + 0.812 x + 0.4258 x^2 + 0.0716 x^3) (1 - x)^3 has both properties. Its
reciprocal, integrated up to the observed density, gives the true density.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.config import DetectionConfig
from tilegc.images.psfs import BandPsf
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.skygrid.cells import SkyCells

__all__ = ["MERGING", "free", "of_cells", "of_profile", "retained", "zone", "zones"]

Floats = NDArray[np.float64]

MERGING: Final = 1.35
"""Distance, in units of the FWHM of the PSF, within which two points merge into one local maximum of the
matched-filter map: the mean over pairs from one luminosity function, measured with `benchmarks/depth.py`."""

WIDTH: Final = 2.0
"""Standard deviation in arcsec of the Gaussian that smooths the counts: the narrowest one of the recipe's density. At
n sources per arcsec^2 it contains 50 n sources; their scatter changes the completeness by less than 1 % wherever
sources are hidden."""

JAM: Final = 0.547
"""Jamming limit: the covered fraction at which no more discs fit."""

STEPS: Final = 64

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(STEPS)


def zone(exclusion: float, fwhm: float = 0.0) -> float:
    """Return the area in pixels around a source in which no fainter one can be detected.

    Parameters
    ----------
    exclusion : float
        Radius in pixels that a recorded peak excludes.
    fwhm : float
        FWHM of the PSF in pixels if only local maxima are recorded, otherwise 0.
    """
    reach = int(exclusion)
    blanked = sum(
        1
        for dy in range(-reach, reach + 1)
        for dx in range(-reach, reach + 1)
        if dy * dy + dx * dx <= math.floor(exclusion * exclusion)
    )
    # Whichever is larger hides fainter sources: the exclusion by rule, or the merging of two peaks into one
    # maximum.
    return max(float(blanked), math.pi * (MERGING * fwhm) ** 2)


def zones(
    context: Context, config: DetectionConfig, psfs: Mapping[str, tuple[BandPsf, ...]]
) -> tuple[float, ...]:
    """Return the exclusion area around a source in every field in arcsec^2."""
    areas = []
    for name in context.names:
        fwhm = [band.psf.fwhm for band in psfs[name] if band.psf.fwhm > 0]
        # The detection map mixes the bands; so does the width of its peaks.
        merging = sum(fwhm) / len(fwhm) if fwhm and config.recipe == "calibrated" else 0.0
        areas.append(zone(config.detect.exclusion_radius, merging) * context.source(name).pixel_area)
    return tuple(areas)


def of_profile(names: tuple[str, ...], areas: tuple[float, ...], profile: Table) -> NDArray[np.float64]:
    """Return the completeness in every annulus of a profile (columns field and n_per_arcsec2)."""
    share = np.full(profile["field"].size, np.nan)
    for name, area in zip(names, areas, strict=True):
        rows = profile["field"] == name
        share[rows] = retained(np.asarray(profile["n_per_arcsec2"], float)[rows], area)
    return share


def of_cells(cells: SkyCells, areas: tuple[float, ...], brighter: NDArray[np.int64] | None = None) -> Floats:
    """Return the completeness due to crowding in every cell of the sky grid.

    It is computed from the counts alone, smoothed with a Gaussian of `WIDTH`; no convergence map enters.

    Parameters
    ----------
    cells : SkyCells
        Sky grid with all sources of a sample.
    areas : tuple of float
        Exclusion area of a source in each field in arcsec^2.
    brighter : int64 (field, eta, xi), optional
        Detected sources that are brighter than the sample: they hide part of it, but do not belong to it.

    Returns
    -------
    float64 (eta, xi)
        1 where there is no good area; NaN where too much of the plane is covered for an estimate.
    """
    sigma = WIDTH / cells.grid.pixel

    def smooth(values: NDArray[Any]) -> Floats:
        result: Floats = scipy.ndimage.gaussian_filter(values.astype(np.float64), sigma, mode="constant")
        return result

    good_area = cells.good_area
    weighted = np.zeros(cells.kappa.shape)
    for field, zone_area in enumerate(areas):
        good = good_area[field] > 0
        if not good.any():
            continue
        area = smooth(good_area[field])[good]  # positive: every such cell contributes to its own mean
        # Brighter sources hide fainter ones, never the other way: the order of selection is that of brightness.
        above = smooth(brighter[field])[good] / area if brighter is not None else np.zeros(area.size)
        observed = above + smooth(cells.n_gc[field])[good] / area
        share = retained(observed, zone_area)
        if brighter is not None:
            # The true number between the two limits: all down to the fainter limit minus all down to the brighter
            # one.
            hidden = observed / share - above / retained(above, zone_area)
            share = np.divide(observed - above, hidden, out=share, where=hidden > 0)
        weighted[good] += good_area[field][good] * share
    total = good_area.sum(axis=0)
    mean: Floats = np.divide(weighted, total, out=np.ones(total.shape), where=total > 0)
    return mean


def free(covered: Floats) -> Floats:
    """Return the fraction of the plane in which one more disc fits, for a given covered fraction."""
    x = covered / JAM
    share: Floats = (1 + 0.812 * x + 0.4258 * x**2 + 0.0716 * x**3) * (1 - x) ** 3
    return share


def retained(seen: NDArray[np.float64], area: float) -> NDArray[np.float64]:
    """Return the completeness at an observed density.

    Parameters
    ----------
    seen : float64
        Density of recorded sources per unit area.
    area : float
        Exclusion area of a source in the same unit.

    Returns
    -------
    float64
        1 at density zero; NaN above a covered fraction of 0.5, near the jamming limit.
    """
    seen = np.asarray(seen, np.float64)
    covered = seen * area / 4
    crowded = covered > 0.5
    # Mean of 1 / free(t) from 0 to the covered fraction, one quadrature node at a time: a sky grid has millions of
    # cells.
    mean = np.zeros(covered.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
            t = 0.5 * (node + 1) * covered
            mean += 0.5 * weight / free(t)
        share: Floats = np.where(crowded, np.nan, np.where(covered > 0, 1 / mean, 1.0))
    return share
