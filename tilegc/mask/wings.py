"""The wings of bright stars: how much of a star's light falls on a pixel far from it, and how bright the star is.

Wings are the azimuthal median of the PSF, which spikes and neighbours do not move. Where no PSF is given, or beyond
its border, they are those of NIRCam: the median over four bands and three fields of the PSFs that the grizli library
ships (WebbPSF with in-flight wavefronts, drizzled), per arcsec^2, to 1.94 arcsec, from there on falling with the
fourth power of the distance, as they do from 1.2 arcsec on. Beyond 2 micron they are stretched with the wavelength.

Spikes stand out of the wings. Where a PSF file shows them, `spikes` has their light, as it lies about the star.

A star's flux is read off rings round it, each the median of its pixels over what the PSF has there, so that the middle
may be saturated or have no data at all. What has a middle is a point if that holds the light that a point's does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.kernels.psf import Psf
from tilegc.kernels.psf_model import stretch

__all__ = [
    "BACKGROUND",
    "RADIUS",
    "REACH",
    "RINGS",
    "STEPS",
    "Glare",
    "Rings",
    "disc_radius",
    "inside_glare",
    "ring_shares",
    "rings",
    "spikes",
    "star_flux",
    "wings",
]

Floats = NDArray[np.float64]

RADII: Final = (0.12, 0.16, 0.20, 0.28, 0.40, 0.52, 0.64, 0.80, 1.0, 1.2, 1.4, 1.6, 1.8, 1.94)
"""Distances, arcsec, at which the table is."""

WINGS: Final = (
    2.2,
    0.76,
    0.43,
    0.22,
    0.081,
    0.038,
    0.021,
    0.011,
    0.0050,
    0.0023,
    0.0014,
    0.00081,
    0.00050,
    0.00037,
)
"""Share of a star's light per arcsec^2 at these distances, azimuthal median."""

POWER: Final = 4.0
"""By which power of the distance they fall beyond the table."""

JOIN: Final = 3.0
"""Factor by which the border of a PSF file may differ from NIRCam's wings for these to follow it."""

SPIKE: Final = 2.0
"""Brightness of a spike over that of the wings at its distance."""

STEPS: Final = 4
"""Entries of a table of wings in one pixel of distance."""

REACH: Final = 400
"""Pixels to which wings are followed."""

RINGS: Final = ((5, 7), (7, 10), (10, 14), (14, 19), (19, 25), (25, 32))
"""Inner and outer radius, pixels, of the rings that tell a star's flux, the pixels with in <= d < out."""

BACKGROUND: Final = (40, 48)
"""The ring that tells what lies behind the star, and of which it has a share as well."""

RADIUS: Final = BACKGROUND[1]
"""Distance in pixels (along y or x) to which `rings` looks."""

CORE2: Final = 9
"""Squared radius, pixels, of the core."""

WHOLE: Final = 0.8
"""Share of a ring's pixels that must have data."""

POINT: Final = 0.5
"""Least share of a point's flux in its core: points have 0.6 to 0.75 by their rings, galaxies less than 0.3."""

ALIKE: Final = 2.0
"""Factor by which the fluxes of rings about something without a core may differ if it is a point."""


def wings(band: str, scale: float, psf: Psf | None) -> Floats:
    """Return the share of a star's light on a pixel, at every 1 / `STEPS` of a pixel of distance.

    Parameters
    ----------
    band : str
        Its name, of which the wavelength is known.
    scale : float
        Side of a pixel, arcsec.
    psf : Psf, optional
        On these pixels. Wings follow it to its border, or to `REACH`, and go on as NIRCam's do from the brightness
        there.

    Returns
    -------
    (STEPS * REACH + 1,) float64
        Never rising.
    """
    wide = stretch(band)
    distance = np.maximum(np.arange(STEPS * REACH + 1) / STEPS * scale / wide, RADII[0])
    # In logarithms, in which a power law is a straight line between two entries.
    table = np.exp(np.interp(np.log(distance), np.log(RADII), np.log(WINGS)))
    found = table * (np.maximum(distance, RADII[-1]) / RADII[-1]) ** -POWER * (scale / wide) ** 2
    if psf is not None:
        offset = np.arange(-psf.radius, psf.radius + 1)
        # Rings of one pixel: fewer pixels would make the median noisy, wider rings would flatten the core.
        nearest = np.floor(np.hypot(offset[:, None], offset) + 0.5).astype(np.int64)
        reach = min(psf.radius, REACH)
        middle = np.array([np.median(psf.image[nearest == d]) for d in range(reach + 1)])
        inside = STEPS * reach
        given = np.interp(np.arange(inside + 1) / STEPS, np.arange(reach + 1), middle)
        # A file may end in a rim of zeros, or of noise.
        joined = found * min(max(float(given[-1]) / float(found[inside]), 1 / JOIN), JOIN)
        found = np.concatenate([given, joined[inside + 1 :]])
    # In single precision the last bits of a machine's logarithm do not show.
    return np.maximum.accumulate(found[::-1])[::-1].astype(np.float32).astype(np.float64)


def spikes(profiles: Sequence[Floats], psfs: Sequence[Psf | None], growth: int) -> NDArray[np.float32] | None:
    """Return the share of a star's light on every pixel of its spikes, the mean of the bands.

    Parameters
    ----------
    profiles : sequence of float64
        From `wings`, one a band.
    psfs : sequence of Psf or None
        Of the same bands, on the mosaic's pixels and turned as the mosaic is. A band without one, and what lies
        beyond its border, has its wings instead.
    growth : int
        Every pixel has the most of those within so many pixels.

    Returns
    -------
    (2 r + 1, 2 r + 1) float32 or None
        About the star's own pixel, r the radius of the largest PSF, at most `REACH`; 0 where nothing is `SPIKE` times
        as bright as the wings. None without any PSF.
    """
    given = [psf for psf in psfs if psf is not None]
    if not given:
        return None
    radius = min(max(psf.radius for psf in given), REACH)
    offset = np.arange(-radius, radius + 1)
    place = np.floor(STEPS * np.hypot(offset[:, None], offset) + 0.5).astype(np.int64)
    place = np.minimum(place, STEPS * REACH)
    light, smooth = np.zeros(place.shape), np.zeros(place.shape)
    for profile, psf in zip(profiles, psfs, strict=True):
        band = profile[place]
        smooth += band
        if psf is not None:
            reach = min(psf.radius, radius)
            own, cut = (slice(middle - reach, middle + reach + 1) for middle in (radius, psf.radius))
            band[own, own] = psf.image[cut, cut]
        # Bands with and without a PSF file are averaged alike, so that spikes of one band show only as much as
        # they add.
        light += band
    near = np.arange(-growth, growth + 1)
    shown = np.where(light >= SPIKE * smooth, light / len(psfs), 0.0)
    grown = scipy.ndimage.maximum_filter(shown, footprint=near[:, None] ** 2 + near**2 <= growth**2)
    return np.asarray(grown, np.float32)


_OFFSET: Final = np.arange(-RADIUS, RADIUS + 1)
_DISTANCE2: Final = (_OFFSET[:, None] ** 2 + _OFFSET**2).ravel()
"""Squared distance from its middle of every pixel of a stamp."""


def _between(low: int, high: int) -> NDArray[np.int64]:
    """Return the flat indices of a stamp's pixels with low <= d^2 < high."""
    distance2 = _DISTANCE2
    return np.flatnonzero((distance2 >= low) & (distance2 < high))


_CORE: Final = _between(0, CORE2 + 1)
_RINGS: Final = tuple(_between(low * low, high * high) for low, high in (*RINGS, BACKGROUND))
"""The background's last."""


@dataclass(frozen=True)
class Rings:
    """The light of something bright: in its core and in rings round it."""

    core: float
    """Sum of the pixels of the core; NaN where one of them has no data."""
    medians: Floats
    """(len(RINGS) + 1,) of the pixels in every ring, the background's last; NaN where too few have data."""


def rings(light: NDArray[np.float32], y: int, x: int) -> Rings:
    """Measure the light of something bright at a pixel of an image.

    Parameters
    ----------
    light : (ny, nx) float32
        nJy per pixel; NaN: no data. What lies outside of the image has no data.
    y, x : int
        The pixel, in the image.
    """
    stamp = np.full((2 * RADIUS + 1, 2 * RADIUS + 1), np.float32(np.nan))
    top, left = y - RADIUS, x - RADIUS
    part = light[max(top, 0) : y + RADIUS + 1, max(left, 0) : x + RADIUS + 1]
    rows, columns = max(-top, 0), max(-left, 0)
    stamp[rows : rows + part.shape[0], columns : columns + part.shape[1]] = part
    medians = np.full(len(_RINGS), np.nan)
    # A stamp of fixed size with NaN outside of the image: indices of rings are computed once for all stars.
    pixels = stamp.ravel()
    for number, ring in enumerate(_RINGS):
        values = pixels[ring]
        good = values[np.isfinite(values)]
        if good.size >= (WHOLE if number < len(RINGS) else 1 / 3) * values.size:
            # The median ignores neighbours and spikes as long as they take less than half of a ring.
            medians[number] = np.median(good)
    return Rings(math.fsum(pixels[_CORE].tolist()), medians)


def ring_shares(profile: Floats) -> Floats:
    """Return what a star of unit flux has as median in every ring, that of the background last.

    Parameters
    ----------
    profile : float64
        From `wings`.
    """
    places = [np.floor(STEPS * np.sqrt(_DISTANCE2[ring]) + 0.5).astype(np.int64) for ring in _RINGS]
    return np.array([float(np.median(profile[place])) for place in places])


def star_flux(found: Rings, shares: Floats) -> float:
    """Return the flux of a star from the light round it; NaN where that is no point's.

    Parameters
    ----------
    found : Rings
    shares : (len(RINGS) + 1,) float64
        From `ring_shares`.

    Returns
    -------
    float
        Of the innermost ring, in the unit of a pixel's light; where the core lacks data, of the second one that has
        them, since the rim of a saturated core is damaged.
    """
    behind = math.isfinite(found.medians[-1])
    background, share = (found.medians[-1], shares[-1]) if behind else (0.0, 0.0)
    # The background ring has its share of the star, too: solving both equations at once removes it.
    fluxes = (found.medians[:-1] - background) / (shares[:-1] - share)
    with_data = np.flatnonzero(np.isfinite(fluxes))
    if math.isfinite(found.core):
        first = with_data[:1]
        if not first.size or not fluxes[first[0]] > 0 or found.core < POINT * fluxes[first[0]]:
            return math.nan
        return float(fluxes[first[0]])
    # Rings of a point give the same flux; those of a galaxy with a hole in it rise or fall outwards.
    told = fluxes[with_data[1:4]]
    if told.size < 2 or not told.min() > 0 or told.max() > ALIKE * told.min():
        return math.nan
    return float(told[0])


def disc_radius(flux: float, profile: Floats, limit: float) -> float:
    """Return the distance, pixels, to which a star's wings are as bright as a limit; 0 where they never are."""
    above = np.flatnonzero(flux * profile >= limit)
    return float(above[-1]) / STEPS if above.size else 0.0


@dataclass(frozen=True)
class Glare:
    """What of a field's bright stars is masked."""

    discs: tuple[tuple[int, int, int], ...] = ()
    """Middle (y, x) in the field and largest squared distance, pixels: integers, so that any tile decides alike."""
    least: tuple[float, ...] = ()
    """Of each star, the share of its light from which a pixel of its spikes is masked."""
    spikes: NDArray[np.float32] | None = None
    """From `spikes`; None: discs alone."""


def inside_glare(glare: Glare, y0: int, x0: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels of a tile lie in the glare of any star, (ny, nx) bool.

    Parameters
    ----------
    glare : Glare
    y0, x0 : int
        Field coordinates of the tile's first pixel.
    shape : (int, int)
    """
    found = np.zeros(shape, np.bool_)
    for y, x, reach2 in glare.discs:
        # Only the rows and columns that a disc can touch: most tiles have none of a field's stars.
        reach = math.isqrt(reach2)
        rows = np.arange(max(y - reach, y0), min(y + reach + 1, y0 + shape[0]))
        columns = np.arange(max(x - reach, x0), min(x + reach + 1, x0 + shape[1]))
        if rows.size and columns.size:
            near = (rows[:, None] - y) ** 2 + (columns - x) ** 2 <= reach2
            found[rows[0] - y0 : rows[-1] + 1 - y0, columns[0] - x0 : columns[-1] + 1 - x0] |= near
    if glare.spikes is not None:
        radius = glare.spikes.shape[0] // 2
        for (y, x, _), least in zip(glare.discs, glare.least, strict=True):
            top, left = y - radius - y0, x - radius - x0  # of the star's stamp, in the tile
            part = found[
                max(top, 0) : max(y + radius + 1 - y0, 0), max(left, 0) : max(x + radius + 1 - x0, 0)
            ]
            stamp = glare.spikes[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
            part |= stamp >= np.float32(least)
    return found
