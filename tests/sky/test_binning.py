"""The WCS of a binned image gives the centre of every block the same position as in the original image."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from tilegc.sky import binned, pixel_to_world


def wcs_text(distorted: bool) -> str:
    header = fits.Header()
    kind = "-SIP" if distorted else ""
    header["CTYPE1"], header["CTYPE2"] = f"RA---TAN{kind}", f"DEC--TAN{kind}"
    header["CRVAL1"], header["CRVAL2"] = 342.18322, -44.53091
    header["CRPIX1"], header["CRPIX2"] = 517.5, -3.25
    header["CD1_1"], header["CD1_2"] = -8.3e-06, 1.2e-07
    header["CD2_1"], header["CD2_2"] = 1.2e-07, 8.3e-06
    if distorted:
        header["A_ORDER"], header["B_ORDER"] = 2, 2
        header["A_2_0"], header["B_1_1"], header["B_0_2"] = 3e-6, -2e-6, 1e-6
    return header.tostring()


@pytest.mark.parametrize("distorted", [False, True])
@pytest.mark.parametrize("factor", [2, 16])
def test_middles_of_blocks(factor, distorted):
    text = wcs_text(distorted)
    y, x = (axis.ravel() for axis in np.indices((7, 9), dtype=float))
    expected = pixel_to_world(text, (y + 0.5) * factor - 0.5, (x + 0.5) * factor - 0.5)
    found = pixel_to_world(binned(text, factor), y, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
