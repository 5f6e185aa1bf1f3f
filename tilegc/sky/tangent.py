"""Cards of a tangent plane, for images that have no header of their own."""

from __future__ import annotations

__all__ = ["tangent_cards"]


def tangent_cards(
    ra: float, dec: float, *, reference: tuple[float, float], step: tuple[float, float]
) -> dict[str, str | float]:
    """Return the FITS cards of a tangent plane (TAN, ICRS) whose axes run along right ascension and declination.

    Values and not a header, because a card of FITS holds 20 characters and would round the last digits of a step: who
    writes them decides.

    Parameters
    ----------
    ra, dec : float
        Position of the reference pixel, degrees, ICRS.
    reference : (float, float)
        Reference pixel (x, y), counted from 1 as FITS does.
    step : (float, float)
        Arcsec per pixel along x and y; negative where an axis runs to the west or south.

    Returns
    -------
    dict
        Value of each card by its keyword, in the order in which they are to be written.
    """
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRPIX1": reference[0],
        "CRPIX2": reference[1],
        "CRVAL1": ra,
        "CRVAL2": dec,
        "CDELT1": step[0] / 3600.0,
        "CDELT2": step[1] / 3600.0,
        "RADESYS": "ICRS",
    }
