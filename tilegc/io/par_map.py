"""The convergence map of a Lenstool parameter file, evaluated on a grid about the file's reference position."""

from __future__ import annotations

from typing import Final

import numpy as np
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits

from tilegc import config
from tilegc.errors import ConvergenceError
from tilegc.io.lens_files import LensImage, first_bytes
from tilegc.io.lenstool import LenstoolModel, read_par
from tilegc.sky import header_text, pixel_to_world, tangent_cards, wcs_from_text

__all__ = ["HALF_WIDTH", "PIXEL", "read_par_map"]

PIXEL: Final = 0.25
"""Side of a pixel, arcsec: that of the published maps, and below the sky grid's."""

HALF_WIDTH: Final = 110.0
"""Half the side of the map, arcsec: more than any law reaches, and no lensed image holds a model beyond."""

LARGEST: Final = 1 << 26
"""Bytes of the largest parameter file that is read."""


def read_par_map(conf: config.LensMap) -> LensImage:
    """Read a Lenstool model and return its convergence at D_LS/D_S = 1.

    Parameters
    ----------
    conf : tilegc.config.LensMap
        Its `par` is the path or URL of the file, its `frame` the frame of the positions in it, and `without` names
        potentials that are left out.

    Raises
    ------
    ConvergenceError
        If the file cannot be read, or a part of its mass is described in a way that is not understood.
    """
    assert conf.par is not None
    model = _less(read_par(conf.par, _text(conf.par)), conf.without)
    ra, dec = model.ra, model.dec
    # A `.par` file does not name its frame. The map is laid out in ICRS like all others; positions are turned
    # back below, because the model is evaluated in the frame in which its galaxies' positions were measured.
    if conf.frame == "fk5":
        centre = SkyCoord(ra, dec, unit="deg", frame=FK5(equinox="J2000")).icrs
        ra, dec = float(centre.ra.deg), float(centre.dec.deg)
    side = 2 * round(HALF_WIDTH / PIXEL)
    middle = (side + 1) / 2
    cards = fits.Header(tangent_cards(ra, dec, reference=(middle, middle), step=(-PIXEL, PIXEL)))
    text = header_text(wcs_from_text(cards.tostring()))
    y, x = np.indices((side, side))
    places = pixel_to_world(text, y, x)
    if conf.frame == "fk5":
        turned = SkyCoord(*places, unit="deg", frame="icrs").transform_to(FK5(equinox="J2000"))
        places = np.asarray(turned.ra.deg), np.asarray(turned.dec.deg)
    return LensImage(model.kappa(*places), cards, text, conf.par)


def _less(model: LenstoolModel, names: tuple[str, ...]) -> LenstoolModel:
    """Return a model without some of its potentials.

    Raises
    ------
    ConvergenceError
        If a name is not in the file, or no potential is left.
    """
    known = {part.name for part in model.potentials}
    missing = [name for name in names if name not in known]
    if missing:
        raise ConvergenceError(
            f"{model.path}: convergence.without: no potential is called {missing[0]!r}; the first are called "
            f"{', '.join([part.name for part in model.potentials][:5])}"
        )
    if known <= set(names):
        raise ConvergenceError(f"{model.path}: convergence.without leaves no potential; give fewer names")
    return model.without(names)


def _text(path: str) -> str:
    content = first_bytes(path, LARGEST + 1)
    if len(content) > LARGEST or b"\0" in content[:4096]:
        raise ConvergenceError(
            f"convergence: {path}: is not a text file; par expects a Lenstool parameter file (best.par); give "
            "FITS maps as path"
        )
    return content.decode("utf-8", errors="replace")
