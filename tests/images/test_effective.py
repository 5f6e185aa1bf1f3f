"""The effective PSF between pixels, from stars at all places in their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy.special import erf

from tilegc.images.effective import correction
from tilegc.images.psfs import BandPsf, _median
from tilegc.images.stars import REACH
from tilegc.io.psf import read_psf, write_psf
from tilegc.kernels.psf_model import model
from tilegc.photometry.spline_psf import SplinePsf
from tilegc.photometry.stamps import splines

SCALE = 0.03
SIGMA = (0.45, 1.6)
"""Pixels: a core that whole pixels undersample, and a halo."""
SHARE = (0.75, 0.25)


def light(dy: float, dx: float, reach: int) -> np.ndarray:
    """Return two Gaussians, integrated over pixels."""
    edges = np.arange(-reach, reach + 2) - 0.5
    image = np.zeros((2 * reach + 1,) * 2)
    for sigma, share in zip(SIGMA, SHARE, strict=True):
        down, across = (np.diff(0.5 * erf((edges - at) / sigma / np.sqrt(2))) for at in (dy, dx))
        image += share * np.outer(down, across)
    return image


def stars(n: int, noise: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    flux = rng.uniform(50, 500, n)
    clean = np.array([f * light(*rng.uniform(-0.5, 0.5, 2), REACH) for f in flux])
    return clean + rng.normal(0, noise, clean.shape)


def worst(psf: SplinePsf) -> float:
    """Return the largest error of stamps of unit flux in the core."""
    errors = []
    for dy in (-0.45, -0.2, 0.0, 0.3):
        for dx in (-0.5, -0.1, 0.25):
            reach = psf.radius
            core = np.s_[reach - 3 : reach + 4, reach - 3 : reach + 4]
            found, true = psf.image(dy, dx)[core], light(dy, dx, reach)[core]
            errors.append(np.abs(found / found.sum() - true / true.sum()).max())
    return max(errors)


@pytest.mark.parametrize(("n", "noise", "better"), [(200, 0.05, 4.0), (40, 0.3, 2.5), (9, 0.3, 1.3)])
def test_stars_tell_what_their_median_lacks(n, noise, better):
    median, count, fine = _median(stars(n, noise))
    before = splines((BandPsf("F090W", median, "stars", count),), SCALE)[0]
    after = splines((BandPsf("F090W", median, "stars", count, fine),), SCALE)[0]
    assert worst(before) > 0.015
    assert worst(after) < worst(before) / better


def test_the_correction_has_no_flux_and_no_shift():
    _, _, fine = _median(stars(100, 0.1))
    offset = np.arange(fine.image.shape[0]) - fine.centre[0]
    assert abs(fine.image.sum()) < 2e-3
    assert abs((fine.image.sum(axis=0) * offset).sum() / fine.step) < 2e-3
    assert abs((fine.image.sum(axis=1) * offset).sum() / fine.step) < 2e-3
    assert np.abs(fine.image).sum() > 0.03


def test_a_median_that_is_right_stays_as_it_is():
    rng = np.random.default_rng(2)
    wide = model("F200W", 0.015, 30).image  # twice as many pixels across the core
    stamps = np.array(
        [f * wide[30 - REACH : 31 + REACH, 30 - REACH : 31 + REACH] for f in rng.uniform(50, 500, 30)]
    )
    fine = correction(stamps, wide)
    assert np.abs(fine.image).max() * 16 < 1e-3 * wide.max()


# STScI JDox, "NIRCam point spread functions": encircled energy within 0.2 and 0.3 arcsec.
PUBLISHED = {
    "F090W": (0.835, 0.889),
    "F115W": (0.844, 0.882),
    "F150W": (0.839, 0.878),
    "F200W": (0.832, 0.875),
}


@pytest.mark.parametrize("band", PUBLISHED)
@pytest.mark.parametrize("origin", ["model", "stars"])
def test_light_within_apertures_is_that_published(band, origin):
    whole = model(band, SCALE, 60)
    psf, count, fine = model(band, SCALE, 40), 0, None
    if origin == "stars":
        middle = np.s_[60 - REACH : 61 + REACH, 60 - REACH : 61 + REACH]
        psf, count, fine = _median(np.stack([whole.image[middle]] * 20) * 100)
    found = splines((BandPsf(band, psf, origin, count, fine),), SCALE)[0]
    for radius, share in zip((0.2, 0.3), PUBLISHED[band], strict=True):
        assert found.share(radius / SCALE) == pytest.approx(share, rel=0.015)


def test_a_file_holds_the_correction(tmp_path):
    median, count, fine = _median(stars(30, 0.1))
    path = tmp_path / "psf.fits"
    write_psf(path, median, band="F115W", scale=SCALE, origin="stars", n_stars=count, fine=fine)
    with fits.open(path) as hdus:
        assert hdus["FINE"].header["STEP"] == fine.step
        np.testing.assert_allclose(hdus["FINE"].data["FINE"][0], fine.image, atol=1e-6)
    # As the PSF of another run the file is the image alone.
    again = read_psf(str(path), SCALE, band="F115W")
    assert again.fwhm == pytest.approx(median.fwhm, rel=1e-3)
