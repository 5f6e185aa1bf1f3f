"""PSF files of every kind come back normalised, centred and on the mosaic's pixels, or are refused."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tilegc.errors import InputError
from tilegc.io.psf import read_psf
from tilegc.kernels.psf import centroid, on_pixels

DATA = Path(os.environ.get("TILEGC_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SCALE = 0.03
SIGMA = 0.04
"""Of the Gaussian that stands for a PSF, arcsec."""


def gaussian(shape, centre, scale, sigma=SIGMA):
    y, x = np.indices(shape)
    return np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) * scale**2 / (2 * sigma**2))


def write(path, values, **cards):
    fits.PrimaryHDU(values, fits.Header(cards)).writeto(path)
    return str(path)


def expected(radius):
    image = gaussian((2 * radius + 1,) * 2, (radius, radius), SCALE)
    return image / image.sum()


@pytest.mark.parametrize(
    ("shape", "centre", "own", "factor"),
    [
        ((61, 61), (30.0, 30.0), 0.03, 1.0),
        ((60, 60), (29.5, 29.5), 0.02, 0.97),  # even: no middle pixel
        ((81, 75), (38.6, 40.3), 0.015, 15.6),
        ((41, 41), (20.3, 19.6), 0.04, 1e-9),
    ],
)
def test_any_sum_centre_and_scale(tmp_path, shape, centre, own, factor):
    path = write(tmp_path / "p.fits", factor * gaussian(shape, centre, own), PIXSCL=own)
    found = read_psf(path, SCALE, band="F200W")
    assert found.image.shape == (2 * found.radius + 1,) * 2
    assert found.image.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(
        found.image, expected(found.radius), atol=(0.035 if own > SCALE else 1.5e-3) * found.image.max()
    )
    assert found.fwhm * SCALE == pytest.approx(2.3548 * SIGMA, rel=0.05 if own > SCALE else 0.02)


def test_a_whole_file_is_used_and_light_beyond_a_radius_counted(tmp_path):
    path = write(tmp_path / "p.fits", gaussian((101, 101), (50, 50), 0.03), PIXELSCL=0.03)
    found = read_psf(path, SCALE, band="x")
    assert found.radius == 50
    assert found.within(2) == pytest.approx(expected(50)[48:53, 48:53].sum() - sum_corners(), rel=1e-6)


def sum_corners():
    image = expected(50)
    return sum(image[50 + dy, 50 + dx] for dy in range(-2, 3) for dx in range(-2, 3) if dy**2 + dx**2 > 4)


@pytest.mark.parametrize(
    "cards",
    [
        {"PIXSCALE": 0.02},
        {"CDELT1": -0.02 / 3600, "CDELT2": 0.02 / 3600},
        {"CD1_1": 0.0, "CD2_1": 0.02 / 3600},
        {"FOV": 61 * 0.02, "FOVPIXEL": 61},
    ],
)
def test_where_a_header_gives_the_scale(tmp_path, cards):
    path = write(tmp_path / "p.fits", gaussian((61, 61), (30, 30), 0.02), **cards)
    assert read_psf(path, SCALE, band="x").fwhm * SCALE == pytest.approx(2.3548 * SIGMA, rel=0.02)


def test_the_run_files_scale_wins(tmp_path):
    path = write(tmp_path / "p.fits", gaussian((61, 61), (30, 30), 0.02), PIXSCL=0.04)
    assert read_psf(path, SCALE, band="x", psf_scale=0.02).fwhm * SCALE == pytest.approx(
        2.3548 * SIGMA, rel=0.02
    )


def test_a_grid_of_psfs_gives_the_mean(tmp_path):
    planes = np.stack([gaussian((65, 65), (32, 32), 0.03, sigma) for sigma in (0.03, 0.05)])
    path = write(tmp_path / "g.fits", planes, NUMPSFS=2, PIXSCL=0.03)
    found = read_psf(path, SCALE, band="x").image
    mean = planes.mean(axis=0)
    np.testing.assert_allclose(found, mean / mean.sum(), atol=1e-6)


def test_an_oversampled_optical_psf_is_averaged_over_the_pixel(tmp_path):
    narrow = gaussian((201, 201), (100, 100), 0.0075, 0.02)
    values = {}
    for over in (1, 4):
        cards = {"PIXSCL": 0.0075, "OVERSAMP": over}
        values[over] = read_psf(write(tmp_path / f"{over}.fits", narrow, **cards), SCALE, band="x")
    offset = np.arange(-3, 4)[:, None] + (np.arange(101) - 50) / 101
    exact = np.exp(-((offset * SCALE) ** 2) / (2 * 0.02**2)).mean(axis=1)
    exact = np.outer(exact, exact) / np.outer(exact, exact).sum()
    middle = slice(values[4].radius - 3, values[4].radius + 4)
    np.testing.assert_allclose(values[4].image[middle, middle], exact, atol=0.01 * exact.max())
    assert values[1].fwhm < values[4].fwhm


def test_extensions_are_taken_by_the_bands_name(tmp_path):
    hdus = [fits.PrimaryHDU(header=fits.Header({"PIXSCALE": 0.03}))]
    hdus += [
        fits.ImageHDU(gaussian((41, 41), (20, 20), 0.03, s), name=n)
        for n, s in (("F115W", 0.03), ("F200W", 0.06))
    ]
    path = tmp_path / "three.fits"
    fits.HDUList(hdus).writeto(path)
    assert read_psf(str(path), SCALE, band="F200W").fwhm == pytest.approx(2.3548 * 2, rel=0.05)
    with pytest.raises(
        InputError, match=r"contains 2 images \(F115W, F200W\), none of which is named F090W; give one"
    ):
        read_psf(str(path), SCALE, band="F090W")


REFUSED = {
    "no scale": (gaussian((41, 41), (20, 20), 0.03), {}, r"gives no pixel scale .*give psf_scale"),
    "a scale of arcmin": (gaussian((41, 41), (20, 20), 0.03), {"PIXSCL": 3.0}, r"pixels of 3 arcsec"),
    "another filter": (
        gaussian((41, 41), (20, 20), 0.03),
        {"PIXSCL": 0.03, "FILTER": "NRCA3-F090W-CEERS"},
        r"of filter F090W by its header; give the PSF of F200W",
    ),
    "one axis": (np.ones(100), {"PIXSCL": 0.03}, r"an image of 100 pixels; expected two dimensions"),
    "a cube of anything": (np.ones((3, 41, 41)), {"PIXSCL": 0.03}, r"3 x 41 x 41 pixels"),
    "no light": (np.zeros((41, 41)), {"PIXSCL": 0.03}, r"has no flux"),
    "NaN": (np.full((41, 41), np.nan), {"PIXSCL": 0.03}, r"has no flux, or too many pixels"),
    "a peak in the corner": (
        gaussian((41, 41), (1, 1), 0.03),
        {"PIXSCL": 0.03},
        r"peak lies .* px from the border",
    ),
    "no peak": (
        1 + 0.1 * gaussian((41, 41), (20, 20), 0.03),
        {"PIXSCL": 0.03},
        r"no peak that falls to half",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_understood_is_refused_in_one_line(tmp_path, case):
    values, cards, message = REFUSED[case]
    path = write(tmp_path / "p.fits", values, **cards)
    with pytest.raises(InputError, match=message) as error:
        read_psf(path, SCALE, band="F200W")
    assert path in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"SIMPLE  =                    T" + b" " * 4000])
def test_files_that_are_no_fits(tmp_path, content):
    (tmp_path / "p.fits").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.fits"):
        read_psf(str(tmp_path / "p.fits"), SCALE, band="x")
    with pytest.raises(InputError, match="no such file"):
        read_psf(str(tmp_path / "none.fits"), SCALE, band="x")


def test_the_centroid_is_not_drawn_by_a_neighbour():
    image = gaussian((41, 41), (20.3, 19.8), 0.03) + 0.5 * gaussian((41, 41), (31, 30), 0.03)
    assert centroid(image, 4.0) == pytest.approx((20.3, 19.8), abs=0.02)
    with pytest.raises(ValueError, match="positive sum"):
        on_pixels(-image, (20, 20), 1.0, 5)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not here")
@pytest.mark.parametrize(
    ("name", "band", "own", "fwhm"),
    [  # FWHM in arcsec: NIRCam's, widened by the pixel on which the file was sampled
        ("psf_grizli40mas_smacs0723_nrca3_f200w", "F200W", None, 0.080),
        ("psf_grizli20mas_smacs0723_f090w", "F090W", None, 0.045),
        ("psf_empirical_ceers_f150w_moduleb_15mas", "F150W", 0.015, 0.062),
        ("psf_webbpsf_griddedpsf_nrca1_f115w_5x5", "F115W", None, 0.045),
        ("psf_webbpsf_nrca1_f115w_oversamp4", "F115W", None, 0.048),
        ("psf_webbpsf_as1063_31mas_f115w_f150w_f200w", "F200W", None, math.nan),
    ],
)
def test_real_files(name, band, own, fwhm):
    found = read_psf(str(DATA / f"psf/{name}.fits"), SCALE, band=band, psf_scale=own)
    assert found.image.sum() == pytest.approx(1, abs=1e-6)
    assert centroid(found.image, 4.0) == pytest.approx((found.radius, found.radius), abs=0.06)
    assert 0.8 < found.within(10) < 0.95
    if math.isfinite(fwhm):
        assert found.fwhm * SCALE == pytest.approx(fwhm, abs=0.005)
