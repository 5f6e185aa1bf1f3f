"""Foreground extinction by the dust of the Milky Way, in the bands of JWST and HST.

The law is that of Cardelli, Clayton & Mathis (1989, ApJ 345, 245, eqs. 1 to 3): A(lambda) / A(V) = a(x) + b(x) / R_V
with x = 1 / lambda in inverse micrometres, taken at the pivot wavelength of a band. Beyond 3.3 micrometres its power
law is extrapolated; extinction is below 0.06 A(V) there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tilegc.config import Extinction
from tilegc.errors import ConfigError

__all__ = ["PIVOTS", "extinctions", "over_av"]

PIVOTS: Final = {
    "F070W": 0.704,
    "F090W": 0.901,
    "F115W": 1.154,
    "F140M": 1.404,
    "F150W": 1.501,
    "F150W2": 1.671,
    "F162M": 1.626,
    "F182M": 1.845,
    "F200W": 1.990,
    "F210M": 2.093,
    "F250M": 2.503,
    "F277W": 2.786,
    "F300M": 2.996,
    "F322W2": 3.247,
    "F335M": 3.365,
    "F356W": 3.563,
    "F360M": 3.621,
    "F410M": 4.092,
    "F430M": 4.280,
    "F444W": 4.421,
    "F460M": 4.624,
    "F480M": 4.834,
    "F336W": 0.336,
    "F390W": 0.392,
    "F435W": 0.433,
    "F438W": 0.433,
    "F475W": 0.475,
    "F555W": 0.536,
    "F606W": 0.592,
    "F625W": 0.631,
    "F775W": 0.769,
    "F814W": 0.805,
    "F850LP": 0.903,
    "F105W": 1.055,
    "F110W": 1.153,
    "F125W": 1.249,
    "F140W": 1.392,
    "F160W": 1.537,
}
"""Pivot wavelengths, micrometres: NIRCam (JWST User Documentation), ACS and WFC3 (instrument handbooks)."""

OPTICAL_A: Final = (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999)
OPTICAL_B: Final = (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002)
"""Coefficients of their eqs. 3a and 3b, in powers of x - 1.82."""


def extinctions(given: Extinction | None, bands: Iterable[str]) -> dict[str, float]:
    """Return the extinction of every band, mag; nothing where the run file asks for no correction.

    Raises
    ------
    ConfigError
        If that of a band does not follow from what is given.
    """
    if given is None:
        return {}
    found = {}
    for band in bands:
        if given.bands is not None:
            if band not in given.bands:
                raise ConfigError(f"photometry.extinction.bands: no extinction of {band}; add it")
            found[band] = given.bands[band]
            continue
        if band not in PIVOTS:
            raise ConfigError(
                f"photometry.extinction: the wavelength of band {band} is not known; give the extinction of every band "
                f"instead, as bands: {{{band}: magnitudes, ...}}"
            )
        # Extinction by band, A(V), or E(B-V): the run file gives one of the three, which its validation
        # ensures.
        av = given.av if given.av is not None else given.rv * (given.ebv or 0.0)
        found[band] = av * over_av(PIVOTS[band], given.rv)
    return found


def over_av(wavelength: float, rv: float = 3.1) -> float:
    """Return A(lambda) / A(V).

    Parameters
    ----------
    wavelength : float
        Micrometres, at least 0.3: the ultraviolet part of the law is not here.
    rv : float
        R_V = A(V) / E(B-V).

    Raises
    ------
    ValueError
        If the wavelength is shorter.

    Examples
    --------
    >>> round(over_av(0.55), 2), round(over_av(2.2), 3)
    (1.0, 0.114)
    """
    x = 1.0 / wavelength
    if x > 3.3:
        raise ValueError(f"{wavelength:g} micrometres is in the ultraviolet, where the law is not known here")
    # The infrared branch of the law; the optical polynomial would diverge here.
    if x < 1.1:
        return float((0.574 - 0.527 / rv) * x**1.61)
    y = x - 1.82
    a, b = (sum(c * y**n for n, c in enumerate(terms)) for terms in (OPTICAL_A, OPTICAL_B))
    return float(a + b / rv)
