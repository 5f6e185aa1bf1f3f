"""Shapes of the candidates, and which of them `recipe: calibrated` leaves out of the catalogue.

`concentration` and `roundness` (`tilegc.kernels.shapes`) scatter with the noise: a source is called extended or
elongated where they miss a point's values by more than the noise at its signal-to-noise lets one point in a thousand
miss them, and by more than pixel phase, colour and neighbours do at any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from tilegc.kernels.psf import Psf, quantised, resampled
from tilegc.kernels.shapes import ShapeTables, shape_tables
from tilegc.stages.psf import BandPsf

__all__ = ["field_tables"]

RADIUS: Final = 10
"""Pixels of the mean PSF, from the middle to the border."""


def field_tables(psfs: Mapping[str, tuple[BandPsf, ...]]) -> dict[str, ShapeTables]:
    """Return the tables of every field: those of the mean PSF of its bands, as `light` is their sum."""
    return {name: shape_tables(_mean([band.psf for band in bands])) for name, bands in psfs.items()}


def _mean(psfs: list[Psf]) -> Psf:
    total = np.zeros((2 * RADIUS + 1,) * 2)
    for psf in psfs:
        total += resampled(psf.image, (psf.radius, psf.radius), 1.0, RADIUS)
    return quantised(total)
