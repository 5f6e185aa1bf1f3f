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
from tilegc.stages.partials import Table
from tilegc.stages.psf import BandPsf

__all__ = ["POINT", "field_tables", "judge"]

POINT: Final = "point"

EXTENDED: Final = 0.4
"""Concentration below which a source is extended, however bright: halfway to twice the PSF's width; blends of two
points are above."""

ELONGATED: Final = 0.5
"""Roundness above which a source is a piece of something long."""

SIGMAS: Final = 4.0
"""Standard deviations of white noise that a number must miss a point's by; the mosaic's is a fifth more."""

RADIUS: Final = 10
"""Pixels of the mean PSF, from the middle to the border."""


def field_tables(psfs: Mapping[str, tuple[BandPsf, ...]]) -> dict[str, ShapeTables]:
    """Return the tables of every field: those of the mean PSF of its bands, as `light` is their sum."""
    return {name: shape_tables(_mean([band.psf for band in bands])) for name, bands in psfs.items()}


def judge(candidates: Table, tables: Mapping[str, ShapeTables]) -> np.ndarray:
    """Return what each candidate is by its shape: point, extended or elongated; what cannot be measured is a point.

    Parameters
    ----------
    candidates : table
        Columns field, snr, roundness and concentration.
    tables : mapping of str to ShapeTables
        Of every field.
    """
    verdict = np.full(candidates["snr"].size, POINT, dtype=object)
    for name, table in tables.items():
        rows = candidates["field"] == name
        snr = np.maximum(candidates["snr"], 1e-9)
        with np.errstate(invalid="ignore"):
            wide = candidates["concentration"] < np.minimum(EXTENDED, 1 - SIGMAS * table.noise / snr)
            long = candidates["roundness"] > np.maximum(ELONGATED, SIGMAS * table.line_noise / snr)
        verdict[rows & wide] = "extended"
        verdict[rows & long] = "elongated"
    return verdict


def _mean(psfs: list[Psf]) -> Psf:
    total = np.zeros((2 * RADIUS + 1,) * 2)
    for psf in psfs:
        total += resampled(psf.image, (psf.radius, psf.radius), 1.0, RADIUS)
    return quantised(total)
