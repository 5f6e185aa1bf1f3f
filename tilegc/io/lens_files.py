"""FITS files of lens modellers: read whole, whatever packs them, and the image with a place on the sky chosen.

HFF maps carry both CD and CDELT, GLAFIC writes cubes whose planes are different quantities on linear axes in
arcsec, Lenstool and WSLAP+ plain images.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import warnings
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from tilegc import config
from tilegc.errors import AstrometryError, ConvergenceError, InputError, one_line
from tilegc.io.reading import LARGEST_IMAGE
from tilegc.places import opened
from tilegc.sky import header_text, tangent_cards, wcs_from_text

__all__ = ["LensImage", "first_bytes", "read_image", "refuse_other_quantities"]

Floats = NDArray[np.float64]

KAPPA_NAME: Final = re.compile(r"kappa|converg", re.IGNORECASE)

OTHER_NAME: Final = re.compile(r"deflect|gamma|shear|magnif|potential|(?:^|[_-])psi(?:[_-]|$)", re.IGNORECASE)
"""What other products of a lens model are called."""

NEGATIVE: Final = (-0.3, 0.1)
"""A convergence below the first of these on more than the second, a share of the pixels, is none."""

HIGHEST_MEDIAN: Final = 20.0
"""No cluster's convergence is above this on half of a map; magnitudes of deflections, in arcsec, are."""


@dataclass(frozen=True, eq=False)
class LensImage:
    """One image of a file."""

    values: Floats
    """float64 (y, x); NaN: no data."""
    header: fits.Header
    wcs: str
    """Header text of its celestial WCS."""
    path: str

    @property
    def unit(self) -> str:
        """Text of BUNIT; empty where there is none."""
        return str(self.header.get("BUNIT", "")).strip()


def read_image(path: str, conf: config.LensMap) -> LensImage:
    """Read the image of a file that has a place on the sky, one called kappa or convergence before others.

    Parameters
    ----------
    path : str
        Path or URL of a FITS file, also packed with gzip or bzip2.
    conf : tilegc.config.LensMap
        Its `plane` chooses one of a cube, its `origin` places linear axes on the sky.

    Raises
    ------
    ConvergenceError
        If the file cannot be read whole, or holds no image with a celestial WCS and data.
    """
    found = _images(path, conf.plane)
    if not found:
        raise ConvergenceError(f"convergence: {path}: contains no two-dimensional image")
    named = {"kappa", "convergence"}
    # A stable sort: images named kappa first, the others in the order of the file.
    ranked = sorted(found, key=lambda item: str(item[1].get("EXTNAME", "")).strip().lower() not in named)
    why: AstrometryError | None = None
    for image, header in ranked:
        try:
            text = header_text(wcs_from_text(_placed(header, conf.origin).tostring()))
        except AstrometryError as error:
            # The first image's reason is reported, if none of them has a place on the sky.
            why = why or error
            continue
        values = np.asarray(image, np.float64)
        # Infinities, which some codes write on critical lines, mean no data like NaN.
        values[~np.isfinite(values)] = np.nan
        if np.isnan(values).all():
            raise ConvergenceError(f"convergence: {path}: the map has no data: every pixel is NaN")
        return LensImage(values, header, text, path)
    hint = "" if conf.origin else " (linear axes in arcsec: say with convergence.origin where (0, 0) lies)"
    raise ConvergenceError(f"convergence: {path}: {why}{hint}")


def _placed(header: fits.Header, origin: config.Origin | None) -> fits.Header:
    """Return a header whose linear axes, arcsec, x to the west and y to the north, are a tangent plane."""
    if origin is None or str(header.get("CTYPE1", "")).startswith(("RA", "GLON", "ELON")):
        return header
    reference, step = [], []
    for axis in ("1", "2"):
        side = float(header.get(f"CDELT{axis}", header.get(f"CD{axis}_{axis}", 1.0)))
        # the pixel at which the linear coordinate is 0
        zero = float(header.get(f"CRPIX{axis}", 1.0)) - float(header.get(f"CRVAL{axis}", 0.0)) / side
        reference.append(zero)
        step.append(side)
    return fits.Header(
        tangent_cards(origin.ra, origin.dec, reference=(reference[0], reference[1]), step=(-step[0], step[1]))
    )


def _images(path: str, plane: int | None) -> list[tuple[NDArray[Any], fits.Header]]:
    """Return every image of two (or more, all but two of length 1) dimensions with its header."""
    content = _content(path)
    if not content.startswith(b"SIMPLE  ="):
        raise ConvergenceError(f"convergence: {path}: not a FITS file")
    # A truncated file does not raise in astropy: it warns, and fills the rest with zeros, which would pass for
    # a convergence.
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            with fits.open(io.BytesIO(content)) as hdus:
                # read here: remarks come when data are touched
                found = [
                    (np.array(hdu.data), hdu.header.copy())
                    for hdu in hdus
                    if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2 and hdu.data is not None
                ]
        except Exception as error:  # noqa: BLE001  (a damaged header raises nearly anything in astropy)
            raise ConvergenceError(
                f"convergence: {path}: truncated or damaged FITS ({one_line(error)}): fetch it again"
            ) from None
    if any("truncated" in str(remark.message) for remark in remarks):
        raise ConvergenceError(f"convergence: {path}: truncated, its end is missing: fetch it again")
    images = []
    cube: tuple[int, ...] = ()
    for data, header in found:
        image = data.reshape([side for side in data.shape if side != 1]) if data.ndim > 2 else data
        if image.ndim == 3 and plane is not None:
            if plane > len(image):
                raise ConvergenceError(f"convergence.plane: {path} has {len(image)} planes, not {plane}")
            image = image[plane - 1]
        if image.ndim == 2 and image.size:
            images.append((image, header))
        elif image.ndim == 3:
            cube = image.shape
    if not images and cube:
        raise ConvergenceError(
            f"convergence: {path}: contains no two-dimensional image, but a cube of {cube[0]} planes: "
            "set convergence.plane to the plane of kappa (from 1)"
        )
    return images


def first_bytes(path: str, count: int) -> bytes:
    """Return at most `count` bytes from the beginning of a lens model's file; errors are those of the convergence."""
    try:
        with opened(path) as file:
            return bytes(file.read(count))
    except InputError as error:
        raise ConvergenceError(f"convergence: {error}") from None
    except Exception as error:  # noqa: BLE001  (each remote file system has its own errors)
        raise ConvergenceError(f"convergence: {path}: cannot be read ({one_line(error)})") from None


def _content(path: str) -> bytes:
    """Return the unpacked bytes of a file, up to `LARGEST_IMAGE`."""
    # One byte beyond the limit tells a file that is too large without reading the rest of it.
    content = first_bytes(path, LARGEST_IMAGE + 1)
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST_IMAGE + 1)
        elif content.startswith(b"BZh"):
            content = bz2.BZ2File(io.BytesIO(content)).read(LARGEST_IMAGE + 1)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ConvergenceError(
            f"convergence: {path}: truncated or damaged ({one_line(error)}): fetch it again"
        ) from None
    if len(content) > LARGEST_IMAGE:
        raise ConvergenceError(
            f"convergence: {path}: larger than {LARGEST_IMAGE >> 30} GiB unpacked; resample or cut the map"
        )
    return content


def refuse_other_quantities(image: LensImage, *, weak_lensing: bool = False) -> None:
    """Refuse what is no convergence where unit, name or values tell: deflections, shears, surface densities.

    Parameters
    ----------
    image : LensImage
    weak_lensing : bool
        Whether noise may make values negative.

    Raises
    ------
    ConvergenceError
    """
    _check_unit(image.path, image.unit)
    # Names are tested before values: a deflection map in arcsec can have the range of a convergence.
    names = [image.path.rstrip("/").rpartition("/")[2]]
    names += [str(image.header.get(key, "")) for key in ("EXTNAME", "QUANTITY", "OBJECT")]
    other = next((name for name in names if OTHER_NAME.search(name)), None)
    if other is not None and not any(KAPPA_NAME.search(name) for name in names):
        raise ConvergenceError(
            f"convergence: {image.path}: by its name ({other!r}) it is not a convergence: give the kappa map"
            + (", or both deflections as convergence.deflection" if "deflect" in other.lower() else "")
        )
    values = image.values[np.isfinite(image.values)]
    if not values.any():
        raise ConvergenceError(
            f"convergence: {image.path}: all values of the map are zero; give the kappa map"
        )
    share = float((values < NEGATIVE[0]).mean())
    if share > NEGATIVE[1] and not weak_lensing:
        raise ConvergenceError(
            f"convergence: {image.path}: {100 * share:.0f} % of its values are below {NEGATIVE[0]:g} (lowest "
            f"{values.min():.3g}), so it is not a convergence; give the kappa map, or deflections as "
            "convergence.deflection"
        )
    if (middle := float(np.median(values))) > HIGHEST_MEDIAN:
        raise ConvergenceError(
            f"convergence: {image.path}: half of its values are above {middle:.3g}, so it is not a convergence; "
            "give the kappa map"
        )


def _check_unit(path: str, text: str) -> None:
    """Refuse deflections, potentials, surface densities and images; a unit that says nothing is let pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            unit = units.Unit(text)
        except (ValueError, TypeError):
            return
    # Refused by dimension, not by spelling: any unit that converts to one of these is a different quantity.
    light = (units.Jy, units.Jy / units.sr, units.electron / units.s, units.count)
    others = (units.arcsec, units.kpc, units.Msun, units.Msun / units.kpc**2, *light)
    if any(unit.is_equivalent(other) for other in others):
        raise ConvergenceError(
            f"convergence: {path}: its unit is {text!r}, but a convergence has none; give the kappa map"
        )
