"""The value of one count: declared units and their remedies, nothing guessed."""

from __future__ import annotations

import math

import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.errors import UnitError
from tilegc.io.units import flux_factor, photometry, zero_point_factor


def header(**cards) -> fits.Header:
    return fits.Header(cards)


@pytest.mark.parametrize(
    ("bunit", "factor"),
    [
        ("nJy", 1.0),
        ("uJy", 1e3),
        ("microJansky", 1e3),
        ("mJy", 1e6),
        ("Jy", 1e9),
        ("uJy/pixel", 1e3),
        ("nJy pix-1", 1.0),
        ("10.0*nanoJansky", 10.0),
        ("10 nJy", 10.0),
        ("1e-8 Jy", 10.0),
        (" nJy ", 1.0),
        ("NJY", 1.0),
        ("UJY", 1e3),
        ("NanoJansky", 1.0),
        ("10.0*NANOJANSKY", 10.0),
        ("uJy/PIXEL", 1e3),
    ],
)
def test_flux_density_per_pixel_has_an_exact_decimal_factor(bunit, factor):
    assert flux_factor(header(BUNIT=bunit), "x.fits") == factor


@pytest.mark.parametrize(
    "bunit",
    [
        "MJy/sr",
        "MJy sr-1",
        "MJy / sr",
        "MJy.sr-1",
        "MJY/SR",
        "Mjy/Sr",
        "MJY SR-1",
        "MJy*sr^-1",
        "MJy/steradian",
    ],
)
def test_surface_brightness_times_pixel_area(bunit):
    # 1 MJy/sr = 1e6 Jy/sr = 1e15 nJy/sr
    assert flux_factor(header(BUNIT=bunit, PIXAR_SR=2e-14), "x.fits") == 1e15 * 2e-14


def test_bunit_of_grizli_wins_over_pixar_sr():
    assert flux_factor(header(BUNIT="10.0*nanoJansky", PIXAR_SR=2.2432743080601e-14), "x.fits") == 10.0


@pytest.mark.parametrize(("zero_point", "factor"), [(31.4, 1.0), (28.9, 10.0), (26.4, 100.0), (33.9, 0.1)])
def test_zero_point_in_whole_steps_of_ten(zero_point, factor):
    assert zero_point_factor(zero_point) == factor
    assert flux_factor(header(BUNIT="ELECTRONS/S"), "x.fits", zero_point=zero_point) == factor
    assert flux_factor(header(), "x.fits", zero_point=zero_point) == factor


@settings(max_examples=50, deadline=None)
@given(st.floats(15, 35))
def test_zero_point_is_the_magnitude_of_one_count(zero_point):
    # 3631 Jy is AB magnitude 0, that is 1 Jy magnitude 8.9
    assert 8.9 - 2.5 * math.log10(zero_point_factor(zero_point) * 1e-9) == pytest.approx(zero_point, abs=1e-9)


@pytest.mark.parametrize(
    "bunit",
    [
        "Jy/beam",
        "electron / s",
        "ELECTRONS/S",
        "COUNTS/S",
        "DN/s",
        "mjy/sr",
        "mjy",
        "mag",
        "e-/s",
        "W",
        "ELECTRONS",
    ],
)
def test_unknown_unit_names_itself_the_file_and_the_remedy(bunit):
    with pytest.raises(UnitError) as caught:
        flux_factor(header(BUNIT=bunit, PIXAR_SR=2e-14), "x.fits")
    line = str(caught.value)
    assert "\n" not in line
    assert "x.fits" in line
    assert repr(bunit) in line
    assert "zero_point" in line


@pytest.mark.parametrize("area", [None, 0.0, -1.0, "big"])
def test_surface_brightness_without_an_area_is_refused(area):
    cards = {} if area is None else {"PIXAR_SR": area}
    with pytest.raises(UnitError, match="PIXAR_SR"):
        flux_factor(header(BUNIT="MJy/sr", **cards), "x.fits")
    assert flux_factor(header(BUNIT="MJy/sr", **cards), "x.fits", zero_point=28.9) == 10.0


def test_no_bunit_at_all_is_refused():
    with pytest.raises(UnitError, match=r"x\.fits: no BUNIT"):
        flux_factor(header(PIXAR_SR=2e-14), "x.fits")


def test_a_zero_point_that_contradicts_the_header_is_refused_one_that_agrees_is_not():
    assert flux_factor(header(BUNIT="10.0*nanoJansky"), "x.fits", zero_point=28.9) == 10.0
    assert flux_factor(header(BUNIT="10.0*nanoJansky"), "x.fits", zero_point=28.895) == 10.0
    for zero_point in (25.0, 28.88, 28.92, 33.0):
        with pytest.raises(UnitError, match=f"zero_point {zero_point:g} "):
            flux_factor(header(BUNIT="10.0*nanoJansky"), "x.fits", zero_point=zero_point)


def test_hst_counts_are_converted_by_their_own_keys():
    """WFC3/IR F160W: zero point AB 25.946 (instrument handbook), PHOTFLAM 1.9276e-20 at 15369 A."""
    cards = {"PHOTFLAM": 1.9276e-20, "PHOTPLAM": 15369.0}
    expected = zero_point_factor(25.946)
    for bunit in ("ELECTRONS/S", "electron/s", "COUNTS/S", "counts / s"):
        assert flux_factor(header(BUNIT=bunit, **cards), "x.fits") == pytest.approx(expected, rel=2e-3)
    with pytest.raises(UnitError, match="PHOTFLAM"):
        flux_factor(header(BUNIT="ELECTRONS/S", PHOTFLAM=1.9e-20), "x.fits")


def test_jwst_rates_are_converted_by_photmjsr():
    cards = {"PHOTMJSR": 2.0, "PIXAR_SR": 2e-14}
    assert flux_factor(header(BUNIT="DN/s", **cards), "x.fits") == pytest.approx(2e15 * 2e-14, rel=1e-14)
    with pytest.raises(UnitError, match="PHOTMJSR"):
        flux_factor(header(BUNIT="DN/s", PIXAR_SR=2e-14), "x.fits")


def test_the_area_of_the_wcs_stands_in_for_a_missing_one_and_says_so():
    found = photometry(header(BUNIT="MJy/sr"), "x.fits", pixel_steradian=2e-14)
    assert found.factor == 1e15 * 2e-14
    assert "WCS" in found.note
    both = photometry(header(BUNIT="MJy/sr", PIXAR_SR=2e-14), "x.fits", pixel_steradian=3e-14)
    assert both.factor == 1e15 * 2e-14
    assert "0.667 times" in both.doubt
    assert not both.note
