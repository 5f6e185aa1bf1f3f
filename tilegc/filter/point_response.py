"""What a point source looks like in the detection map of `recipe: calibrated`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.filter.band_noise import BandFilter
from tilegc.filter.matched import matched_difference
from tilegc.images.psfs import BandPsf
from tilegc.kernels.psf import resampled

__all__ = ["RADIUS", "point_response"]

RADIUS: Final = 14
"""Pixels about the source; farther out the response is below a thousandth."""


def point_response(bands: Sequence[BandFilter], psfs: Sequence[BandPsf]) -> NDArray[np.float64]:
    """Return the response to a point source of flat spectrum on the middle of a pixel, 1 at that pixel.

    Positive near the source, and negative in a ring about it, where the wide kernel finds its light and the narrow one
    does not.

    Parameters
    ----------
    bands : sequence of BandFilter
    psfs : sequence of BandPsf
        Of the same bands.

    Returns
    -------
    (2 `RADIUS` + 1, 2 `RADIUS` + 1) float64
    """
    total = np.zeros((2 * RADIUS + 1,) * 2)
    for band, one in zip(bands, psfs, strict=True):
        reach = RADIUS + band.kernels.radius
        image = resampled(one.psf.image, (one.psf.radius, one.psf.radius), 1.0, reach).astype(np.float32)
        response = matched_difference(image, np.ones(image.shape, np.bool_), band.kernels)
        inner = slice(band.kernels.radius, band.kernels.radius + 2 * RADIUS + 1)
        total += band.weight * response[inner, inner].astype(np.float64)
    scaled: NDArray[np.float64] = np.round(total / total[RADIUS, RADIUS], 6)
    return scaled
