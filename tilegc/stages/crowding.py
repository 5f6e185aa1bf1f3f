"""How many sources are lost because a brighter one is too near: completeness against density.

Peaks are taken brightest first and blank what is within reach: random sequential adsorption of discs. The free
share of the plane at a covered share t is 1 - 4 t + 3.308 t^2 + 1.407 t^3 (Schaaf & Talbot 1989, J. Chem. Phys. 91,
4401), and its reciprocal, integrated up to the density that is seen, gives the density that there is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.stages.partials import Table
from tilegc.stages.psf import BandPsf
from tilegc.stages.setup import Setup

__all__ = ["MERGING", "of_profile", "retained", "zone"]

MERGING: Final = 1.35
"""Distance, over the PSF's FWHM, within which two points make one local maximum of the matched filter's map: the
mean over pairs of one luminosity function, measured with `benchmarks/depth.py`."""

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


def of_profile(setup: Setup, profile: Table, psfs: Mapping[str, tuple[BandPsf, ...]]) -> NDArray[np.float64]:
    """Return the share that is seen in every annulus of a profile (columns field and n_per_arcsec2)."""
    share = np.full(profile["field"].size, np.nan)
    detect = setup.config.detect
    for name in setup.names:
        fwhm = [band.psf.fwhm for band in psfs[name] if band.psf.fwhm > 0]
        merging = sum(fwhm) / len(fwhm) if fwhm and setup.config.recipe == "calibrated" else 0.0
        area = zone(detect.exclusion_radius, merging) * setup.source(name).pixel_area
        rows = profile["field"] == name
        share[rows] = retained(np.asarray(profile["n_per_arcsec2"], float)[rows], area)
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
        1 where nothing is seen; NaN beyond 0.5 of the plane covered, near the 0.547 at which no more fits.
    """
    seen = np.asarray(seen, np.float64)
    covered = seen * area / 4
    # the mean of 1 / free(t) from 0 to the covered share
    t = 0.5 * covered[..., None] * (_NODES + 1)
    free = 1 - 4 * t + 3.308 * t**2 + 1.407 * t**3
    crowded = covered > 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 / (0.5 * (_WEIGHTS / free).sum(axis=-1))
    return np.where(crowded, np.nan, share)
