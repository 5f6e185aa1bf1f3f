"""The fit of one band as columns of the catalogue."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.photometry.fit import BandFit

__all__ = ["ZERO_POINT", "band_columns", "magnitudes"]

Floats = NDArray[np.float64]

ZERO_POINT: Final = 31.4
"""AB magnitude of 1 nJy."""


def magnitudes(flux: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return AB magnitudes of fluxes in nJy, and their errors; NaN where a flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # A flux of zero or less has no magnitude; its flux and error are in the table.
        positive = np.where(flux > 0, flux, np.nan)
        return ZERO_POINT - 2.5 * np.log10(positive), 2.5 / np.log(10) * error / positive


def band_columns(band: BandFit) -> dict[str, Floats]:
    """Return the columns of one band, without the band's name; magnitudes are those of positive fluxes alone."""
    magnitude, error = magnitudes(band.flux, band.flux_err)
    return {
        "flux": band.flux,
        "flux_err": band.flux_err,
        "mag": magnitude,
        "mag_err": error,
        "chi": band.chi,
        "sky": band.sky,
        "good": band.good,
        **{f"aperture{k + 1}": band.apertures[:, k] for k in range(band.apertures.shape[1])},
    }
