"""Conversion of image units to nJy per pixel; undeclared units are refused (algorithm.md, section 1)."""

from __future__ import annotations

import contextlib
import math
import re
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

_KNOWN = "a flux density such as nJy, uJy or 10.0*nanoJansky; MJy/sr; DN/s with PHOTMJSR; ELECTRONS/S with PHOTFLAM"

_LIGHT_ANGSTROM = 2.99792458e18
"""Speed of light, angstrom per second."""

_JANSKY_CGS = 1e23
"""Jy per erg / s / cm2 / Hz."""

_WORD = re.compile(r"[A-Za-z]+")

_SPELLINGS = {
    name.casefold(): unit
    for unit, names in {
        "nJy": ["njy", "nanojansky", "nanojanskys"],
        "uJy": ["ujy", "microjansky", "microjanskys"],
        "Jy": ["jy", "jansky", "janskys"],
        "MJy": ["megajansky", "megajanskys"],
        "sr": ["sr", "steradian", "steradians", "ster"],
        "pix": ["pix", "pixel", "pixels"],
        "electron": ["electron", "electrons"],
        "count": ["count", "counts", "cts"],
        "DN": ["dn"],
        "s": ["s", "sec", "secs", "second", "seconds"],
    }.items()
    for name in names
}
"""Words of units in any case. What differs by case alone is not here: see `_respelt`."""


@dataclass(frozen=True)
class Photometry:
    """What a count of a band is, who says so, and what in its header says otherwise."""

    factor: float
    """nJy per count."""
    origin: str
    """Which key gave it."""
    doubt: str = ""
    """What in the header contradicts it; empty where nothing does."""
    note: str = ""
    """What had to be assumed; empty where the header says everything."""


def zero_point_factor(zero_point: float) -> float:
    """Return the nJy of one count of an image with this AB zero point.

    Rounded to 13 digits: the last bits of a power differ between CPUs, those of pixels may not.
    """
    return float(f"{10 ** ((AB_ZERO_POINT_NJY - zero_point) / 2.5):.13g}")


def photometry(
    header: fits.Header,
    where: str,
    *,
    zero_point: float | None = None,
    pixel_steradian: float | None = None,
) -> Photometry:
    """Return the number that turns an image's values into nJy per pixel, and how sure it is.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the image. Its `BUNIT` decides wherever it is one that is known: `10.0*nanoJansky` of
        grizli's mosaics wins over their `PIXAR_SR`, which there describes the detector's pixel.
    where : str
        File and role, for messages.
    zero_point : float, optional
        AB magnitude of one count, used where `BUNIT` is absent or unknown.
    pixel_steradian : float, optional
        Area of a pixel by the WCS: stands in for a missing `PIXAR_SR`, and is compared with a given one.

    Raises
    ------
    UnitError
        Unit unknown and no zero point; a unit per steradian without an area of the pixel and no zero point; a zero
        point that contradicts a known `BUNIT` by more than 1 per cent.

    Notes
    -----
    Counts per second are converted by the keys that their pipelines write: `PHOTMJSR`, MJy/sr of one DN/s (JWST); or
    `PHOTFLAM`, erg/s/cm2/A of one electron or count per second, at the pivot wavelength `PHOTPLAM` in A (HST Data
    Handbook), as f_nu = PHOTFLAM PHOTPLAM^2 / c.
    """
    declared = _declared(header, pixel_steradian)
    if declared is None and zero_point is None:
        raise UnitError(f"{where}: {_unknown(header)}; give the band's zero_point (AB) in the run file")
    if declared is None:
        assert zero_point is not None
        return Photometry(zero_point_factor(zero_point), "the run file's zero_point")
    if zero_point is not None and abs(zero_point_factor(zero_point) / declared.factor - 1) > 0.01:
        raise UnitError(
            f"{where}: zero_point {zero_point:g} makes a count {zero_point_factor(zero_point):.5g} nJy, but"
            f" {declared.origin} makes it {declared.factor:.5g}; remove zero_point or correct the header"
        )
    return declared


def flux_factor(
    header: fits.Header,
    where: str,
    *,
    zero_point: float | None = None,
    pixel_steradian: float | None = None,
) -> float:
    """Return the nJy per count of `photometry` alone."""
    return photometry(header, where, zero_point=zero_point, pixel_steradian=pixel_steradian).factor


def _declared(header: fits.Header, on_sky: float | None) -> Photometry | None:
    """Return what the header itself declares, if anything."""
    bunit = _bunit(header)
    unit = _parse(bunit)
    if unit is None:
        return None
    for target in (u.nJy, u.nJy / u.pix):
        if unit.is_equivalent(target):
            factor = _decimal(unit.to(target))
            fnu = _positive(header, "PHOTFNU")
            wrong = fnu is not None and abs(fnu * 1e9 / factor - 1) > _AGREE
            doubt = f"PHOTFNU makes it {fnu * 1e9:.5g} nJy" if wrong and fnu is not None else ""
            return Photometry(factor, f"BUNIT {bunit}", doubt)
    if unit.is_equivalent(u.nJy / u.sr):
        return _per_area(_decimal(unit.to(u.nJy / u.sr)), f"BUNIT {bunit}", header, on_sky)
    surface = _positive(header, "PHOTMJSR")
    if unit == u.DN / u.s and surface is not None:
        return _per_area(_decimal(surface * 1e15), f"BUNIT {bunit}, PHOTMJSR", header, on_sky)
    flam, pivot = _positive(header, "PHOTFLAM"), _positive(header, "PHOTPLAM")
    if unit in {u.electron / u.s, u.count / u.s} and flam is not None and pivot is not None:
        nanojansky = flam * pivot * pivot / _LIGHT_ANGSTROM * _JANSKY_CGS * 1e9
        return Photometry(_decimal(nanojansky), f"BUNIT {bunit}, PHOTFLAM and PHOTPLAM")
    return None


def _per_area(
    per_steradian: float, origin: str, header: fits.Header, on_sky: float | None
) -> Photometry | None:
    """Return the flux of a pixel from a surface brightness, nJy/sr, by the header's area or that of the WCS."""
    area = _positive(header, "PIXAR_SR")
    if area is None:
        if on_sky is None:
            return None
        note = "no PIXAR_SR in the header: the pixel's area is that of the WCS"
        return Photometry(per_steradian * on_sky, f"{origin} and the WCS", note=note)
    wrong = on_sky is not None and abs(area / on_sky - 1) > _AGREE
    doubt = f"PIXAR_SR is {area / on_sky:.3f} times the pixel's area by the WCS" if wrong and on_sky else ""
    return Photometry(per_steradian * area, f"{origin} and PIXAR_SR", doubt)


def _bunit(header: fits.Header) -> str:
    return str(header.get("BUNIT", "")).strip()


def _parse(bunit: str) -> u.UnitBase | None:
    """Return a unit as astropy spells it, or in another spelling that can only mean one thing."""
    for text in (bunit, _respelt(bunit)):
        if not text:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ValueError, TypeError):
                return u.Unit(text)
    return None


def _respelt(bunit: str) -> str:
    """Return a unit with its words as astropy spells them; as it is where a word is not known.

    `MJY` in capitals is a megajansky, since headers in capitals have no way to write it otherwise and milli-janskys per
    steradian do not occur; `mjy` may be either, stays as it is, and so is refused.
    """
    words = {
        word: "MJy" if word in {"MJY", "Mjy", "MJy"} else _SPELLINGS.get(word.casefold(), word)
        for word in _WORD.findall(bunit)
    }
    return _WORD.sub(lambda word: words[word.group()], bunit)


def _decimal(factor: float) -> float:
    """Undo the rounding of unit conversions (1 uJy is 999.9999999999999 nJy by their arithmetic)."""
    return float(f"{factor:.14g}")


def _positive(header: fits.Header, key: str) -> float | None:
    """Return a positive, finite number of a header; None where there is none."""
    try:
        value = float(header.get(key, math.nan))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _unknown(header: fits.Header) -> str:
    bunit = _bunit(header)
    unit = _parse(bunit)
    if unit is not None and unit.is_equivalent(u.nJy / u.sr):
        return f"unit {bunit!r} needs a positive PIXAR_SR (steradian per pixel) in the header"
    if unit is not None and unit == u.DN / u.s:
        return f"unit {bunit!r} needs a positive PHOTMJSR in the header"
    if unit is not None and unit in {u.electron / u.s, u.count / u.s}:
        return f"unit {bunit!r} needs PHOTFLAM and PHOTPLAM in the header"
    if not bunit:
        return f"no BUNIT in the header (known: {_KNOWN})"
    return f"unknown unit {bunit!r} (known: {_KNOWN})"
