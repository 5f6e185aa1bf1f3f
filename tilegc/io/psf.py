"""Point-spread functions from FITS files, as they are found: of any scale, sum and centre.

Known kinds: a plain two-dimensional image; a file with one extension a band; WebbPSF's, detector-sampled or
oversampled; a grid of PSFs in the format of photutils' `GriddedPSFModel`, of which the mean is taken. What
cannot be understood is refused, never guessed: above all an unknown pixel scale.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from tilegc.errors import InputError
from tilegc.io.atomic import write_bytes
from tilegc.io.hdus import open_bytes, scan
from tilegc.io.reading import LARGEST_IMAGE
from tilegc.kernels.psf import NativePsf, Psf, centroid, on_pixels
from tilegc.places import Place

__all__ = ["PsfFile", "inspect_psf", "read_psf", "write_psf"]

Floats = NDArray[np.float64]

SCALE_KEYS: Final = ("PIXSCL", "PIXELSCL", "PIXSCALE")
"""Header cards that give the pixel's side in arcsec."""

SCALES: Final = (5e-4, 0.5)
"""Pixels, arcsec, between which an image can be that of a PSF of NIRCam."""

WEBBPSF: Final = ("DET_DIST", "OVERDIST", "DET_SAMP", "OVERSAMP")
"""Extensions of one PSF in a file of WebbPSF (STPSF), the most like an observed one first."""

WHOLE: Final = (0.9, 1.0)
"""Sums between which an image is the share of the light that it holds, and not of an arbitrary scale."""

CORE: Final = 0.12
"""Radius, arcsec, round the peak in which the light's centroid is the centre."""

_FILTER = re.compile(r"F\d{3,4}[A-Z]\w?", re.IGNORECASE)


@dataclass(frozen=True)
class _Image:
    """One image of a file, with the cards of its own header and of the primary one."""

    name: str
    values: Floats
    header: fits.Header
    primary: fits.Header

    def card(self, key: str) -> object:
        """Return a card's value, the primary header's where the image's own lacks it; None without."""
        return self.header.get(key, self.primary.get(key))


@dataclass(frozen=True)
class PsfFile:
    """What a PSF file holds as it is found: `read_psf` mends it, other tools may not."""

    total: float
    """Sum of its pixels."""
    off_centre: float
    """Distance of its light's centroid from the middle of the image, pixels of the image."""
    scale: float
    """Side of its pixels, arcsec."""


def inspect_psf(path: str, *, band: str, psf_scale: float | None = None) -> PsfFile:
    """Return the sum and the centre of a PSF file as they are found.

    Parameters
    ----------
    path, band, psf_scale
        As of `read_psf`.

    Raises
    ------
    InputError
        As of `read_psf`.
    """
    where = f"{path} (psf of band {band})"
    image = _chosen(where, _images(path, where), band)
    own = psf_scale or _scale(where, image)
    values = _finite(where, image)
    y, x = centroid(values, max(2.5, CORE / own))
    middle = [(length - 1) / 2 for length in values.shape]
    return PsfFile(float(values.sum()), math.hypot(y - middle[0], x - middle[1]), own)


def read_psf(
    path: str,
    scale: float,
    *,
    band: str,
    psf_scale: float | None = None,
    psf_ee: tuple[float, float] | None = None,
) -> Psf:
    """Read the PSF of a band and bring it to a mosaic's pixels: normalised, centred, resampled.

    Parameters
    ----------
    path : str
        FITS file or URL. Its axes are taken to be the mosaic's: it is not turned.
    scale : float
        Pixel of the mosaic, arcsec.
    band : str
        Name of the band: an extension of this name is taken, a file that names another filter is refused.
    psf_scale : float, optional
        Pixel of the image, arcsec; by default what the header says.
    psf_ee : (float, float), optional
        A radius, arcsec, and the share of a point's light within it, to which the native PSF is scaled. By default a
        sum between 0.9 and 1 is that share of the light, and any other sum is all of it.

    Returns
    -------
    Psf
        As far as the image reaches; it is taken to hold all the light, however small it is.

    Raises
    ------
    InputError
        Absent, not FITS, without a usable image, of another filter, or of an unknown scale.
    """
    where = f"{path} (psf of band {band})"
    image = _chosen(where, _images(path, where), band)
    _require_filter(where, image, band)
    own = psf_scale or _scale(where, image)
    if not SCALES[0] <= own <= SCALES[1]:
        raise InputError(
            f"{where}: pixels of {own:g} arcsec; correct psf_scale in the run file or the header"
        )
    values = _finite(where, image)
    # From the core alone: diffraction spikes and asymmetric wings would shift the centroid of the whole image.
    centre = centroid(values, max(2.5, CORE / own))
    step = scale / own
    edge = min(*centre, values.shape[0] - 1 - centre[0], values.shape[1] - 1 - centre[1])
    if edge < 3 * step:
        raise InputError(
            f"{where}: its peak lies {edge:.1f} px from the border, but {3 * step:.1f} are needed; give a larger image"
        )
    # WebbPSF's oversampled images are optical; detector-sampled ones, and empirical PSFs, already contain the
    # pixel.
    oversampled = isinstance(image.card("OVERSAMP"), int) and image.card("OVERSAMP") != 1
    found = on_pixels(
        values, centre, step, integrate=oversampled and image.name not in {"DET_DIST", "DET_SAMP"}
    )
    # Catches images of galaxies and of empty sky, whose profile never falls to half.
    if not found.fwhm < found.radius:
        raise InputError(
            f"{where}: has no peak that falls to half its height within the image; give an image of a star"
        )
    total = float(values.sum())
    share = values if WHOLE[0] <= total <= WHOLE[1] else values / total
    if psf_ee is not None:
        # Scaled to a known encircled energy, because what lies beyond the image cannot be measured in it.
        share = share * (psf_ee[1] / _within(where, share, centre, psf_ee[0] / own))
    # On pixels finer than half the mosaic's nothing but the optics can have smeared it.
    return replace(found, native=NativePsf(share, centre, step, optical=own < 0.5 * scale))


def _within(where: str, image: Floats, centre: tuple[float, float], radius: float) -> float:
    """Return the light within a circle, its edge sampled at a fifth of a pixel."""
    edge = min(*centre, image.shape[0] - 1 - centre[0], image.shape[1] - 1 - centre[1])
    if radius > edge + 0.5:
        raise InputError(
            f"{where}: psf_ee.radius lies beyond its border; give a radius of at most {edge:.0f} of its pixels"
        )
    y, x = np.arange(image.shape[0]) - centre[0], np.arange(image.shape[1]) - centre[1]
    part = (np.arange(5) - 2) / 5
    inside = sum(
        ((y[:, None] + dy) ** 2 + (x + dx) ** 2 <= radius**2).astype(np.float64) for dy in part for dx in part
    )
    return float((image * inside).sum() / 25)


def write_psf(
    path: Place,
    psf: Psf,
    *,
    band: str,
    scale: float,
    origin: str,
    n_stars: int,
    fine: NativePsf | None = None,
) -> None:
    """Write a PSF as a FITS image that `read_psf` understands; the same PSF gives the same bytes.

    Parameters
    ----------
    path : Place
    psf : Psf
    band : str
    scale : float
        Its pixel, arcsec.
    origin : str
        given, stars or model.
    n_stars : int
        Of which it was measured.
    fine : NativePsf, optional
        What is to be added to the cubic spline through the image between its pixels. It is one row of the table `FINE`:
        a second image would be taken for another PSF.
    """
    cards = [
        ("EXTNAME", band, "band"),
        ("PIXSCL", scale, "[arcsec] pixel"),
        ("PSFORIG", origin, "given, stars (of this field) or model"),
        ("NSTARS", n_stars, "stars of which it was measured"),
        ("FWHM", round(psf.fwhm * scale, 6) if psf.fwhm > 0 else -1.0, "[arcsec] of the azimuthal mean"),
    ]
    content = io.BytesIO()
    hdus = fits.HDUList([fits.PrimaryHDU(psf.image.astype(np.float32), fits.Header(cards))])
    if fine is not None:
        side = fine.image.shape[0]
        column = fits.Column("FINE", f"{side * side}E", dim=f"({side},{side})", array=fine.image[None])
        step = fits.Header([("STEP", fine.step, "samples per pixel")])
        hdus.append(fits.BinTableHDU.from_columns([column], step, name="FINE"))
    hdus.writeto(content)
    write_bytes(path, content.getvalue())


def _images(path: str, where: str) -> list[_Image]:
    """Return all images of a file."""
    # Whatever is missing has its line, and nothing is unpacked before its size is known.
    # `scan` reads headers alone: a tiny gzip file may unpack to terabytes.
    total = sum(math.prod(hdu.shape) * 8 for hdu in scan(path))
    if total > LARGEST_IMAGE:
        raise InputError(f"{where}: larger than {LARGEST_IMAGE >> 30} GiB unpacked; not a PSF")
    with open_bytes(path) as stream:
        try:
            with fits.open(stream, memmap=False, lazy_load_hdus=False) as hdus:
                primary = hdus[0].header
                return [
                    _Image(hdu.name, np.asarray(hdu.data, np.float64), hdu.header, primary)
                    for hdu in hdus
                    if isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)
                    and hdu.data is not None
                ]
        except (OSError, ValueError, TypeError, fits.VerifyError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{where}: cannot be read as FITS ({reason}); give a FITS image") from None


def _chosen(where: str, images: list[_Image], band: str) -> _Image:
    """Return the image of the band as two dimensions."""
    flat = [_flattened(where, image) for image in images]
    if not flat:
        raise InputError(f"{where}: contains no image; give a FITS image of the PSF")
    named = [image for image in flat if image.name.upper() == band.upper()]
    webbpsf = [image for name in WEBBPSF for image in flat if image.name == name]
    if len(flat) > 1 and not named and not webbpsf:
        names = ", ".join(image.name or "?" for image in flat[:8])
        raise InputError(
            f"{where}: contains {len(flat)} images ({names}), none of which is named {band}; give one of them"
        )
    return (named or webbpsf or flat)[0]


def _flattened(where: str, image: _Image) -> _Image:
    """Return an image without axes of one pixel; of a grid of PSFs the mean."""
    values = image.values
    # Some files have axes of length one.
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and image.card("NUMPSFS") == len(values):
        values = values.mean(axis=0)
    if values.ndim != 2 or min(values.shape) < 5:
        axes = " x ".join(map(str, image.values.shape))
        raise InputError(
            f"{where}: an image of {axes} pixels; expected two dimensions of at least 5, or a grid of PSFs with "
            "NUMPSFS in its header"
        )
    return _Image(image.name, values, image.header, image.primary)


def _require_filter(where: str, image: _Image, band: str) -> None:
    """Refuse a file that names a filter, and not this one."""
    wanted, given = _FILTER.search(band), _FILTER.search(str(image.card("FILTER") or ""))
    if wanted and given and wanted[0].upper() != given[0].upper():
        raise InputError(f"{where}: is of filter {given[0]} by its header; give the PSF of {wanted[0]}")


def _scale(where: str, image: _Image) -> float:
    """Return the pixel's side in arcsec by the header."""
    # From the most explicit card to the most general one. Nothing is assumed: a PSF on the wrong scale gives a
    # matched filter that looks right and is wrong.
    for key in SCALE_KEYS:
        value = image.card(key)
        if isinstance(value, int | float) and value > 0:
            return float(value)
    fov = image.card("FOV")
    if isinstance(fov, int | float) and fov > 0 and image.card("FOVPIXEL") is not None:
        return float(fov) / int(image.values.shape[1])
    for keys in (("CDELT1", "CDELT2"), ("CD1_1", "CD2_1")):
        parts = [image.header.get(key, 0.0) for key in keys]
        if all(isinstance(part, int | float) for part in parts) and any(parts):
            degrees = abs(parts[0]) if keys[0] == "CDELT1" else math.hypot(*parts)
            arcsec: float = 3600.0 * float(degrees)
            return arcsec
    raise InputError(
        f"{where}: its header gives no pixel scale (PIXSCL, PIXELSCL or CDELT1); give psf_scale (arcsec) in the"
        " run file"
    )


def _finite(where: str, image: _Image) -> Floats:
    """Return the pixels, 0 where they are not finite."""
    good = np.isfinite(image.values)
    values = np.where(good, image.values, 0.0)
    if good.mean() < 0.9 or not values.sum() > 0 or not values.max() > 0:
        raise InputError(
            f"{where}: has no flux, or too many pixels that are not finite; give an image of the PSF"
        )
    return values
