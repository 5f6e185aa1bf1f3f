"""The PSFs of bands as photometry needs them: at any sub-pixel position, on stamps, scaled to a point's total flux."""

from __future__ import annotations

from typing import Final

import numpy as np

from tilegc.images.psfs import STACK, BandPsf
from tilegc.images.stars import REACH as STARS_REACH
from tilegc.kernels.psf_model import model, within
from tilegc.photometry.spline_psf import SplinePsf, from_image

__all__ = ["RADII", "splines", "stamp_radius"]

REACH: Final = 0.31
"""Radius of a stamp, arcsec: it holds 0.88 of a point's light; what lies beyond is nearly flat, and goes to the sky."""

RADII: Final = (8, 14)
"""Least and largest radius of a stamp, pixels; two sky cells must hold one."""

WINGS: Final = 1.25
"""Radius, arcsec, out to which the model's wings are laid round a measured core."""


def stamp_radius(scale: float) -> int:
    """Return the radius of stamps, pixels, on pixels of `scale` arcsec."""
    return int(min(max(round(REACH / scale), RADII[0]), RADII[1]))


def splines(bands: tuple[BandPsf, ...], scale: float) -> tuple[SplinePsf, ...]:
    """Return the PSFs of a field's bands at any sub-pixel position, scaled to a point's total flux."""
    return tuple(_spline(band, scale) for band in bands)


def _spline(band: BandPsf, scale: float) -> SplinePsf:
    native = band.psf.native
    if native is not None:
        return from_image(
            native.image, native.centre, native.step, stamp_radius(scale), average=native.optical
        )
    # A model on pixels has unit sum wherever it ends. A point's total includes the light beyond: 2 to 4 per cent at
    # `WINGS`, in the published encircled energies that the model follows.
    image, share = band.psf.image, 1.0
    if band.origin == "model":
        image = image * within(band.band, (image.shape[0] // 2 + 0.5) * scale)
    if band.origin == "stars":
        # Stars are stacked above the brightness of their stamps' borders, so that the stack lacks the wings and a
        # pedestal under all of it. Both are those of the model, which follows the published encircled energies.
        whole = model(band.band, scale, round(WINGS / scale)).image
        whole = whole * within(band.band, (round(WINGS / scale) + 0.5) * scale)
        offset = np.arange(whole.shape[0]) - whole.shape[0] // 2
        distance = np.maximum(np.abs(offset)[:, None], np.abs(offset))
        level = float(np.median(whole[(distance == STARS_REACH) | (distance == STARS_REACH - 1)]))
        inside = distance <= STACK
        share = float((whole[inside] - level).sum())
        wide = whole.copy()
        wide[inside] = (image * share + level).ravel()
        image = wide
    middle, radius = image.shape[0] // 2, stamp_radius(scale)
    found = from_image(image, (middle, middle), 1.0, radius, average=False)
    if band.fine is None:
        return found
    fine = from_image(band.fine.image, band.fine.centre, band.fine.step, radius, average=False)
    return SplinePsf(found.table + share * fine.table, radius)
