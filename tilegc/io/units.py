"""Conversion of image units to nJy per pixel; undeclared units are refused (algorithm.md, section 1)."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from astropy import units as u
from astropy.io import fits

from tilegc.errors import UnitError

__all__ = ["AB_ZERO_POINT_NJY", "Photometry", "flux_factor", "photometry", "zero_point_factor"]

AB_ZERO_POINT_NJY = 31.4
"""AB magnitude of 1 nJy, as DJA and the JWST handbook round it: 28.9 is then 10 nJy."""

_AGREE = 0.02
"""Relative difference up to which two statements of a header are one."""

_KNOWN = "a flux density such as nJy, uJy, 10.0*nanoJansky, or MJy/sr with PIXAR_SR"


@dataclass(frozen=True)
class Photometry:
    """What a count of a band is, who says so, and what in its header says otherwise."""

    factor: float
    """nJy per count."""
    origin: str
    """Which key gave it."""
    doubt: str = ""
    """What in the header contradicts it; empty where nothing does."""


def zero_point_factor(zero_point: float) -> float:
    """Return the nJy of one count of an image with this AB zero point.

    Rounded to 13 digits: the last bits of a power differ between CPUs, those of pixels may not.
    """
    return float(f"{10 ** ((AB_ZERO_POINT_NJY - zero_point) / 2.5):.13g}")


def flux_factor(header: fits.Header, where: str, *, zero_point: float | None = None) -> float:
    """Return the number that turns an image's values into nJy per pixel.

    Parameters
    ----------
    header
        Header of the image. Its `BUNIT` decides wherever it is one that is known: `10.0*nanoJansky` of
        grizli's mosaics wins over their `PIXAR_SR`, which there describes the detector's pixel.
    where
        File and role, for messages.
    zero_point
        AB magnitude of one count, used where `BUNIT` is absent or unknown.

    Raises
    ------
    UnitError
        Unit unknown and no zero point; `MJy/sr` without a positive `PIXAR_SR` and no zero point; a zero
        point that contradicts a known `BUNIT` by more than 1 per cent.
    """
    bunit = str(header.get("BUNIT", "")).strip()
    factor = _declared(bunit, header)
    if factor is None and zero_point is None:
        raise UnitError(f"{where}: {_unknown(bunit)}; give the band's zero_point (AB) in the run file")
    if factor is None:
        assert zero_point is not None
        return zero_point_factor(zero_point)
    if zero_point is not None and abs(zero_point_factor(zero_point) / factor - 1) > 0.01:
        raise UnitError(
            f"{where}: zero_point {zero_point:g} makes a count {zero_point_factor(zero_point):.5g} nJy, but"
            f" BUNIT {bunit!r} makes it {factor:.5g}; remove zero_point or correct the header"
        )
    return factor


def _declared(bunit: str, header: fits.Header) -> float | None:
    """Return the factor that the header itself declares, if any."""
    unit = _parse(bunit)
    if unit is None:
        return None
    for target in (u.nJy, u.nJy / u.pix):
        if unit.is_equivalent(target):
            return _decimal(unit.to(target))
    if unit.is_equivalent(u.nJy / u.sr):
        area = _pixel_steradian(header)
        return None if area is None else _decimal(unit.to(u.nJy / u.sr)) * area
    return None


def _parse(bunit: str) -> u.UnitBase | None:
    if not bunit:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return u.Unit(bunit)
        except (ValueError, TypeError):
            return None


def _decimal(factor: float) -> float:
    """Undo the rounding of unit conversions (1 uJy is 999.9999999999999 nJy by their arithmetic)."""
    return float(f"{factor:.14g}")


def _pixel_steradian(header: fits.Header) -> float | None:
    try:
        area = float(header.get("PIXAR_SR", math.nan))
    except (TypeError, ValueError):
        return None
    return area if math.isfinite(area) and area > 0 else None


def _unknown(bunit: str) -> str:
    unit = _parse(bunit)
    if unit is not None and unit.is_equivalent(u.nJy / u.sr):
        return f"unit {bunit!r} needs a positive PIXAR_SR (steradian per pixel) in the header"
    if not bunit:
        return f"no BUNIT in the header (known: {_KNOWN})"
    return f"unknown unit {bunit!r} (known: {_KNOWN})"


def photometry(header: fits.Header, factor: float, pixel_steradian: float) -> Photometry:
    """Compare the factor that is used with whatever else the header says of it.

    Parameters
    ----------
    header
        Header of the science image.
    factor
        nJy per count, of `flux_factor`.
    pixel_steradian
        Area of a pixel by the WCS.

    Returns
    -------
    Photometry
        PHOTFNU (Jy per count of grizli's and HST's mosaics) and, where the unit is per steradian, the WCS's pixel
        are compared.
    """
    bunit = str(header.get("BUNIT", "")).strip()
    per_area = _per_area(bunit)
    if _declared(bunit, header) is None:
        origin = "the run file's zero_point"
    else:
        origin = f"BUNIT {bunit}" + (" and PIXAR_SR" if per_area else "")
    doubts = []
    area = _pixel_steradian(header)
    if per_area and area is not None and abs(area / pixel_steradian - 1) > _AGREE:
        doubts.append(f"PIXAR_SR is {area / pixel_steradian:.3f} times the pixel's area by the WCS")
    fnu = header.get("PHOTFNU")
    if isinstance(fnu, float) and fnu > 0 and not per_area and abs(fnu * 1e9 / factor - 1) > _AGREE:
        doubts.append(f"PHOTFNU makes it {fnu * 1e9:.5g} nJy")
    return Photometry(factor, origin, "; ".join(doubts))


def _per_area(bunit: str) -> bool:
    unit = _parse(bunit)
    return unit is not None and unit.is_equivalent(u.nJy / u.sr)
