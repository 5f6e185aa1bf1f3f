"""Deflection maps: kappa is half their divergence.

What a modeller's x and y mean, pixels' axes or the sky's, no file says; but only the right reading is free of
curl, so it is measured. The sign is that of a mass.
"""

from __future__ import annotations

import re
import warnings
from typing import Final

import numpy as np
from astropy import units
from numpy.typing import NDArray

from tilegc import config
from tilegc.errors import ConvergenceError
from tilegc.io.divergence import along_sky, half_divergence
from tilegc.io.lens_files import LensImage, read_image
from tilegc.sky import pixel_scale, wcs_from_text

__all__ = ["read_deflection"]

Floats = NDArray[np.float64]

MOST_CURL: Final = 0.1
"""Root mean square of the curl over that of the divergence up to which a field is a deflection."""

PIXELS: Final = re.compile(r"pix(el)?s?[_-]?deflect|deflect\w*[_-]pix", re.IGNORECASE)
"""Names of maps in pixels, of which a header without BUNIT says nothing."""


def read_deflection(conf: config.LensMap) -> LensImage:
    """Read both components of a deflection field and return half its divergence as an image of kappa.

    Parameters
    ----------
    conf : tilegc.config.LensMap
        With `deflection`.

    Raises
    ------
    ConvergenceError
        If a file cannot be used, the two are not of one grid, the unit is unknown, or they are no deflections.
    """
    assert conf.deflection is not None
    first, second = (read_image(path, conf) for path in conf.paths)
    # Derivatives are taken on one pixel grid; resampling one component first would create curl.
    if first.values.shape != second.values.shape or first.wcs != second.wcs:
        raise ConvergenceError(
            f"convergence.deflection: {first.path} and {second.path} are not on the same pixel grid; give x and "
            "y of the same model"
        )
    jacobian = wcs_from_text(first.wcs).pixel_scale_matrix * 3600.0
    x, y = (image.values * _arcsec(image, conf.deflection.unit) for image in (first, second))
    kappa = _kappa(first.path, second.path, x, y, np.asarray(jacobian, np.float64))
    return LensImage(kappa, first.header, first.wcs, first.path)


def _kappa(path_x: str, path_y: str, x: Floats, y: Floats, jacobian: Floats) -> Floats:
    curl, kappa = _least_curl(x, y, jacobian)
    if not curl < MOST_CURL:
        # Components given in the wrong order have a large curl, too, and are the most common mistake: named in
        # the message.
        swapped = _least_curl(y, x, jacobian)[0] < MOST_CURL
        remedy = "x and y are exchanged: exchange them" if swapped else "give the two maps of one model"
        raise ConvergenceError(
            f"convergence.deflection: {path_x} and {path_y} are not a deflection field: their curl is "
            f"{curl:.2g} of their divergence, but that of a lens is zero; {remedy}"
        )
    # beta = theta - alpha, or + alpha: mass is positive
    return np.asarray(kappa if np.nanmean(kappa) > 0 else -kappa)


def _least_curl(x: Floats, y: Floats, jacobian: Floats) -> tuple[float, Floats]:
    """Return kappa in the reading that has least curl, and that curl over the divergence, root mean squares."""
    found = []
    for _, east, north in along_sky(x, y, jacobian):
        kappa, curl = half_divergence(east, north, jacobian)
        both = np.isfinite(kappa) & np.isfinite(curl)
        power = float((kappa[both] ** 2).sum())
        found.append((float(np.sqrt((curl[both] ** 2).sum() / power)) if power > 0 else np.inf, kappa))
    return min(found, key=lambda item: item[0])


def _arcsec(image: LensImage, declared: str | None) -> float:
    """Return what one unit of a deflection map is in arcsec."""
    text = declared or image.unit
    scale = pixel_scale(wcs_from_text(image.wcs))
    if text.lower() in {"pixel", "pixels", "pix"}:
        return scale
    if not text:
        if PIXELS.search(image.path.rpartition("/")[2]):
            raise ConvergenceError(
                f"convergence.deflection: {image.path}: its name indicates pixels, but its header has no unit; "
                "set convergence.deflection.unit (pixel or arcsec)"
            )
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            return float(units.Unit(text).to(units.arcsec))
        except (ValueError, TypeError, units.UnitConversionError):
            raise ConvergenceError(
                f"convergence.deflection: {image.path}: its unit {text!r} is not an angle; set "
                "convergence.deflection.unit (arcsec, arcmin, deg, rad or pixel)"
            ) from None
