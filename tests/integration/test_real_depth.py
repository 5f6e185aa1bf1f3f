"""A real mosaic whose depth steps by a factor of 3: detections are sources, as its sign-flipped image shows."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

import tilegc
from tilegc.kernels.masks import grow

LIMIT = 5.0


@pytest.fixture(scope="module")
def uds(real_data):
    """Return detections of the image and of its negative, and where the depth is small."""
    bands, weights = {}, {}
    for band in ("f115w", "f444w"):
        stem = str(real_data / "images" / f"uds_jwst_nircam_{band}_40mas")
        bands[band.upper()] = 10 * fits.getdata(f"{stem}_sci.fits.gz").astype(np.float32)
        weights[band.upper()] = fits.getdata(f"{stem}_wht.fits.gz").astype(np.float32) / 100
    return bands, weights


@pytest.mark.slow
@pytest.mark.parametrize("names", [("F115W",), ("F115W", "F444W")])
def test_few_sources_of_the_flipped_image(uds, names):
    """Outside the mask and 12 px from anything above S/N 25: at most 3 per cent, or 10 if that is more."""
    bands, weights = ({name: planes[name] for name in names} for planes in uds)
    settings = {"wht": weights, "scale": 0.04, "recipe": "calibrated", "mask": {"edge": 1.0}}
    found = tilegc.detect_in(bands, **settings)
    flipped = tilegc.detect_in({name: -image for name, image in bands.items()}, **settings)
    bright = np.zeros(found.mask.shape, bool)
    strong = found.candidates["snr"] > 25
    bright[found.candidates["y_peak"][strong], found.candidates["x_peak"][strong]] = True
    clear = (found.mask == 0) & ~grow(bright, 12.0)

    def counted(table):
        return int(clear[table["y_peak"], table["x_peak"]].sum())

    positive, negative = counted(found.catalogue), counted(flipped.catalogue)
    assert positive > 30
    assert negative <= max(0.03 * positive, 10), (positive, negative)
    purity = found.catalogue["purity"]
    assert np.nanmean(purity) > 0.98
    # Purity does not fall with signal-to-noise, up to the brightest.
    brightest = np.argsort(found.catalogue["snr"])[-5:]
    assert (purity[brightest] > 0.99).all()
