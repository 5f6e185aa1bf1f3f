"""How many sources are lost because a brighter one is too near: completeness against density.

Peaks are taken brightest first and blank what is within reach: random sequential adsorption of discs. The free
share of the plane at a covered share t is 1 - 4 t + 3.308 t^2 + 1.407 t^3 + ..., and vanishes as the cube of what is
left up to the jam (Schaaf & Talbot 1989, J. Chem. Phys. 91, 4401): with x = t / 0.547,
(1 + 0.812 x + 0.4258 x^2 + 0.0716 x^3) (1 - x)^3 does both. Its reciprocal, integrated up to the density that is seen,
gives the density that there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tilegc.config import DetectionConfig
from tilegc.images.psfs import BandPsf
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.skygrid.cells import SkyCells

__all__ = ["MERGING", "free", "of_cells", "of_profile", "retained", "zone", "zones"]

Floats = NDArray[np.float64]

MERGING: Final = 1.35
"""Distance, over the PSF's FWHM, within which two points make one local maximum of the matched filter's map: the
mean over pairs of one luminosity function, measured with `benchmarks/depth.py`."""

WIDTH: Final = 2.0
"""Standard deviation, arcsec, of the Gaussian that smooths the counts: the narrowest of the recipe's density. With n
per arcsec^2 it holds 50 n sources, whose scatter changes the share by less than 1 % wherever sources are hidden."""

JAM: Final = 0.547
"""Covered share at which no more discs fit."""

STEPS: Final = 64

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(STEPS)


def zone(exclusion: float, fwhm: float = 0.0) -> float:
    """Return the area, pixels, round a source in which no fainter one is seen.

    Parameters
    ----------
    exclusion : float
        Radius that a recorded peak blanks, pixels.
    fwhm : float
        Of the PSF, where only local maxima are recorded; 0 otherwise.
    """
    reach = int(exclusion)
    blanked = sum(
        1
        for dy in range(-reach, reach + 1)
        for dx in range(-reach, reach + 1)
        if dy * dy + dx * dx <= math.floor(exclusion * exclusion)
    )
    return max(float(blanked), math.pi * (MERGING * fwhm) ** 2)


def zones(
    context: Context, config: DetectionConfig, psfs: Mapping[str, tuple[BandPsf, ...]]
) -> tuple[float, ...]:
    """Return the zone round a source in every field, arcsec^2."""
    areas = []
    for name in context.names:
        fwhm = [band.psf.fwhm for band in psfs[name] if band.psf.fwhm > 0]
        merging = sum(fwhm) / len(fwhm) if fwhm and config.recipe == "calibrated" else 0.0
        areas.append(zone(config.detect.exclusion_radius, merging) * context.source(name).pixel_area)
    return tuple(areas)


def of_profile(names: tuple[str, ...], areas: tuple[float, ...], profile: Table) -> NDArray[np.float64]:
    """Return the share that is seen in every annulus of a profile (columns field and n_per_arcsec2)."""
    share = np.full(profile["field"].size, np.nan)
    for name, area in zip(names, areas, strict=True):
        rows = profile["field"] == name
        share[rows] = retained(np.asarray(profile["n_per_arcsec2"], float)[rows], area)
    return share


def of_cells(cells: SkyCells, areas: tuple[float, ...], brighter: NDArray[np.int64] | None = None) -> Floats:
    """Return the share of sources that is seen in every cell of the sky grid.

    From the counts alone, smoothed by a Gaussian of `WIDTH`: no convergence map enters.

    Parameters
    ----------
    cells : SkyCells
        With all sources of a sample.
    areas : tuple of float
        Zone round a source in each field, arcsec^2.
    brighter : int64 (field, eta, xi), optional
        Seen sources brighter than the sample. They hide some of it, and are not in it.

    Returns
    -------
    float64 (eta, xi)
        1 where there is no good area; NaN where so much of the plane is covered that the share is not known.
    """
    sigma = WIDTH / cells.grid.pixel

    def smooth(values: NDArray[Any]) -> Floats:
        result: Floats = gaussian_filter(values.astype(np.float64), sigma, mode="constant")
        return result

    good_area = cells.good_area
    weighted = np.zeros(cells.kappa.shape)
    for field, zone_area in enumerate(areas):
        here = good_area[field] > 0
        if not here.any():
            continue
        area = smooth(good_area[field])[here]  # Positive: every such cell counts itself.
        above = smooth(brighter[field])[here] / area if brighter is not None else np.zeros(area.size)
        seen = above + smooth(cells.n_gc[field])[here] / area
        share = retained(seen, zone_area)
        if brighter is not None:
            # Those that there are between the two limits: all down to the fainter less all down to the brighter.
            hidden = seen / share - above / retained(above, zone_area)
            share = np.divide(seen - above, hidden, out=share, where=hidden > 0)
        weighted[here] += good_area[field][here] * share
    total = good_area.sum(axis=0)
    mean: Floats = np.divide(weighted, total, out=np.ones(total.shape), where=total > 0)
    return mean


def free(covered: Floats) -> Floats:
    """Return the share of the plane in which one more disc finds room, where this share is covered."""
    x = covered / JAM
    share: Floats = (1 + 0.812 * x + 0.4258 * x**2 + 0.0716 * x**3) * (1 - x) ** 3
    return share


def retained(seen: NDArray[np.float64], area: float) -> NDArray[np.float64]:
    """Return the share of sources that is seen where so many are seen.

    Parameters
    ----------
    seen : float64
        Density of recorded sources, per unit area.
    area : float
        Zone round a source in which no fainter one is seen, in the same unit.

    Returns
    -------
    float64
        1 where nothing is seen; NaN beyond 0.5 of the plane covered, near the jam.
    """
    seen = np.asarray(seen, np.float64)
    covered = seen * area / 4
    crowded = covered > 0.5
    # the mean of 1 / free(t) from 0 to the covered share, node by node: a sky grid has millions of cells
    mean = np.zeros(covered.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
            t = 0.5 * (node + 1) * covered
            mean += 0.5 * weight / free(t)
        share: Floats = np.where(crowded, np.nan, np.where(covered > 0, 1 / mean, 1.0))
    return share
