"""The WCS of an image whose pixels are blocks of another's."""

from __future__ import annotations

import re

from astropy.io import fits

from tilegc.sky.astrometry import header_text, wcs_from_text

__all__ = ["binned"]


def binned(text: str, factor: int) -> str:
    """Return the WCS of an image in blocks of `factor` x `factor` pixels, the first of which begins at pixel (0, 0).

    Parameters
    ----------
    text : str
        Header text of the whole image, as `tilegc.sky.wcs_from_text` takes it.
    factor : int

    Returns
    -------
    str
        As `tilegc.sky.header_text` gives it; distortions (SIP) are those of the whole image.

    Raises
    ------
    AstrometryError
        If the text has no celestial WCS.
    """
    header = fits.Header.fromstring(header_text(wcs_from_text(text)))
    for axis in "12":
        header[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - 0.5) / factor + 0.5
        header[f"CDELT{axis}"] = header.get(f"CDELT{axis}", 1.0) * factor
    for key in list(header):
        # A_p_q multiplies u^p v^q, and gives pixels: both are now counted in blocks.
        power = re.fullmatch(r"[AB]P?_(\d)_(\d)", key)
        if power is not None:
            header[key] *= float(factor) ** (int(power[1]) + int(power[2]) - 1)
    return str(header.tostring(padding=False))
