"""FITS maps compared with astropy: the image is preserved, and only the content determines the bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.errors import AstrometryError
from tilegc.io.maps import write_map


def wcs_text(**more):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 342.18322, -44.53091
    header["CRPIX1"], header["CRPIX2"] = 17.5, -3.25
    header["CD1_1"], header["CD1_2"] = -8.3e-06, 1.2e-07
    header["CD2_1"], header["CD2_2"] = 1.2e-07, 8.3e-06
    header["RADESYS"] = "ICRS"
    for key, value in more.items():
        header[key.replace("_", "-")] = value
    return header.tostring()


def write(path, image, bands=None, **more):
    arguments = {"unit": "nJy", "name": "detection", "dtype": image.dtype, "shape": image.shape} | more
    write_map(path, wcs_text(), iter([image]) if bands is None else bands, **arguments)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (720, 1)])
def test_the_image_comes_back(tmp_path, dtype, shape):
    image = (np.random.default_rng(2).normal(size=shape) * 50 + 100).astype(dtype)
    write(tmp_path / "m.fits", image, meta={"RECIPE": ("diego2026", "which recipe made it"), "K": (2.5, "")})
    with fits.open(tmp_path / "m.fits") as hdus:
        hdus.verify("exception")
        assert len(hdus) == 1
        assert hdus[0].data.dtype == image.dtype.newbyteorder(">")
        np.testing.assert_array_equal(hdus[0].data, image)
        header = hdus[0].header
        assert (header["EXTNAME"], header["BUNIT"], header["RECIPE"], header["K"]) == (
            "detection",
            "nJy",
            "diego2026",
            2.5,
        )
        y, x = np.mgrid[0:40:7, 0:50:9]
        expected = WCS(fits.Header.fromstring(wcs_text())).all_pix2world(x, y, 0)
        np.testing.assert_allclose(WCS(header).all_pix2world(x, y, 0), expected, rtol=0, atol=1e-11)
    assert (tmp_path / "m.fits").stat().st_size % 2880 == 0


@given(cuts=st.sets(st.integers(1, 59), max_size=8))
@settings(max_examples=20, deadline=None)
def test_bands_of_rows_do_not_show(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("maps")
    image = np.arange(60 * 7, dtype=np.float32).reshape(60, 7)
    write(folder / "whole.fits", image)
    write(folder / "bands.fits", image, iter(np.split(image, sorted(cuts))))
    assert (folder / "whole.fits").read_bytes() == (folder / "bands.fits").read_bytes()


def test_twice_written_is_the_same_bytes_without_dates_or_paths(tmp_path):
    image = np.ones((5, 6), np.float32)
    for name in ("one", "another"):
        arguments = {"shape": image.shape, "dtype": "float32", "unit": "", "name": "rho"}
        text = wcs_text(DATE="2026-01-01", DATE_OBS="2022-09-22", MJD_OBS=59844.0, FILENAME="secret.fits")
        write_map(tmp_path / f"{name}.fits", text, [image], **arguments)
    content = (tmp_path / "one.fits").read_bytes()
    assert content == (tmp_path / "another.fits").read_bytes()
    for word in (
        b"DATE",
        b"MJD",
        b"CHECKSUM",
        b"DATASUM",
        b"secret",
        b"HISTORY",
        b"COMMENT",
        b"WCSLIB",
        str(tmp_path).encode(),
    ):
        assert word not in content
    image[2, 3] = np.nextafter(np.float32(1), np.float32(2))
    write_map(tmp_path / "one.fits", wcs_text(), [image], **arguments)
    assert (tmp_path / "one.fits").read_bytes() != content


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_nan_is_one_nan_and_the_callers_array_is_not_touched(tmp_path, order):
    odd = np.frombuffer(struct.pack("<I", 0xFFC0_0123) * 6, "<f4").astype(f"{order}f4").reshape(2, 3)
    before = odd.tobytes()
    assert np.isnan(odd).all()
    write(tmp_path / "odd.fits", odd)
    write(tmp_path / "plain.fits", np.full((2, 3), np.nan, np.float32))
    assert odd.tobytes() == before
    assert (tmp_path / "odd.fits").read_bytes() == (tmp_path / "plain.fits").read_bytes()
    assert b"\x7f\xc0\x00\x00" * 6 in (tmp_path / "odd.fits").read_bytes()


@pytest.mark.parametrize(
    "bands",
    [
        [np.zeros((3, 4), "f4")],
        [np.zeros((3, 4), "f4"), np.zeros((3, 4), "f4")],
        [np.zeros((5, 3), "f4")],
        [np.zeros(5, "f4")],
    ],
)
def test_bands_that_do_not_make_up_the_image_are_refused_and_leave_nothing(tmp_path, bands):
    with pytest.raises(ValueError, match="map detection"):
        write(tmp_path / "m.fits", np.zeros((5, 4), "f4"), bands)
    assert list(tmp_path.iterdir()) == []


def test_what_fits_cannot_say_is_refused(tmp_path):
    image = np.zeros((2, 2), "f4")
    with pytest.raises(ValueError, match="keyword"):
        write(tmp_path / "m.fits", image, meta={"TOO_LONG_KEY": (1, "")})
    with pytest.raises(ValueError, match="no images of bool"):
        write(tmp_path / "m.fits", np.zeros((2, 2), bool))
    with pytest.raises(TypeError):
        write(tmp_path / "m.fits", image, dtype="uint8")
    with pytest.raises(AstrometryError):
        write_map(tmp_path / "m.fits", "", [image], shape=(2, 2), dtype="f4", unit="", name="m")
    assert list(tmp_path.iterdir()) == []


def test_long_comments_are_cut_without_a_remark(tmp_path):
    image = np.zeros((2, 2), "f4")
    write(tmp_path / "m.fits", image, meaning="a very long line – " * 10, meta={"A": (1.5, "long " * 30)})
    with fits.open(tmp_path / "m.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].header.comments["EXTNAME"].startswith("a very long line ? a very")
        assert hdus[0].header["A"] == 1.5
