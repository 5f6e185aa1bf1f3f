"""Positions compared with unit vectors and astropy's frames; lengths and masses with reference values."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc import config, sky
from tilegc.errors import AstrometryError, ConvergenceError

AS1063 = (342.18322, -44.53091)


def default():
    return sky.cosmology(config.Cosmology())


@dataclass(frozen=True)
class Field:
    name: str
    wcs: str
    shape: tuple[int, int]


def tan_header(
    *, ra=AS1063[0], dec=AS1063[1], scale=0.03, shape=(400, 300), angle=0.0, radesys="ICRS", crpix=None
):
    """A TAN header with a CD matrix, its reference point in the middle unless `crpix` (1-based) says else."""
    header = fits.Header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, shape[1], shape[0]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CRPIX1"], header["CRPIX2"] = crpix or ((shape[1] + 1) / 2, (shape[0] + 1) / 2)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    header["CD1_1"], header["CD1_2"] = -scale / 3600 * cos, scale / 3600 * sin
    header["CD2_1"], header["CD2_2"] = scale / 3600 * sin, scale / 3600 * cos
    header["RADESYS"] = radesys
    return header


def field(name="a", shape=(400, 300), **settings):
    return Field(name, tan_header(shape=shape, **settings).tostring(), shape)


def vector(ra, dec):
    a, d = np.radians(ra), np.radians(dec)
    return np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])


# --- WCS ---------------------------------------------------------------------------------------------------


def test_header_text_brings_back_the_wcs_and_nothing_of_the_day():
    header = tan_header(angle=25.0)
    header["DATE-OBS"], header["MJD-OBS"], header["DATE"] = "2022-09-22", 59844.0, "2026-01-01"
    text = sky.header_text(WCS(header))
    assert text == sky.header_text(sky.wcs_from_text(text))
    assert "DATE" not in text
    assert "MJD" not in text
    assert "COMMENT" not in text
    y, x = np.mgrid[0:400:57, 0:300:41]
    back = sky.wcs_from_text(text).all_pix2world(x, y, 0)
    np.testing.assert_allclose(back, WCS(header).all_pix2world(x, y, 0), rtol=0, atol=1e-12)


def test_text_with_lines_is_read_as_text_of_cards():
    header = tan_header()
    assert sky.pixel_scale(sky.wcs_from_text(header.tostring(sep="\n"))) == 0.03


def test_both_cd_and_cdelt_fk5_and_an_off_centre_reference_need_no_remark():
    header = tan_header(scale=0.25, radesys="FK5", crpix=(480, 319), shape=(799, 799))
    header["CDELT1"], header["CDELT2"] = header["CD1_1"], header["CD2_2"]
    header["EQUINOX"] = 2000.0
    wcs = sky.wcs_from_text(header.tostring())
    assert sky.pixel_scale(wcs) == 0.25
    y, x = sky.world_to_pixel(header.tostring(), *sky.pixel_to_world(header.tostring(), 700.25, 3.5))
    assert (y, x) == (pytest.approx(700.25, abs=1e-7), pytest.approx(3.5, abs=1e-7))


def test_degenerate_axes_are_dropped():
    header = tan_header()
    header["NAXIS"], header["NAXIS3"], header["CTYPE3"], header["WCSAXES"] = 3, 1, "FREQ", 3
    header["CRPIX3"], header["CRVAL3"], header["CDELT3"], header["CUNIT3"] = 1.0, 1e9, 1.0, "Hz"
    wcs = sky.wcs_from_text(header.tostring())
    assert wcs.naxis == 2
    assert sky.pixel_scale(wcs) == 0.03


def break_cd(header):
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header[key] = 0.03 / 3600


def linear(header):
    header["CTYPE1"], header["CTYPE2"] = "LINEAR", "LINEAR"


def unknown_projection(header):
    header["CTYPE1"], header["CTYPE2"] = "RA---QQQ", "DEC--QQQ"


def one_axis(header):
    header["CTYPE2"] = "RA---TAN"


@pytest.mark.parametrize(
    ("breakage", "says"),
    [
        (linear, "no celestial WCS"),
        (break_cd, "[Ss]ingular|understood"),
        (unknown_projection, "understood"),
        (one_axis, "understood|no celestial"),
    ],
)
def test_what_is_no_celestial_wcs_is_refused_in_one_line(breakage, says):
    header = tan_header()
    breakage(header)
    with pytest.raises(AstrometryError, match=says) as caught:
        sky.wcs_from_text(header.tostring())
    assert "\n" not in str(caught.value)


def test_a_header_without_wcs_is_refused():
    with pytest.raises(AstrometryError, match="no celestial WCS"):
        sky.wcs_from_text(fits.PrimaryHDU(np.zeros((4, 4), "f4")).header.tostring())


@pytest.mark.parametrize("decimals", [9, 12, 15])
def test_scale_does_not_depend_on_the_decimals_of_the_header(decimals):
    header = tan_header(scale=0.03)
    for key in ("CD1_1", "CD2_2"):
        header[key] = float(f"{header[key]:.{decimals}e}")
    assert sky.pixel_scale(sky.wcs_from_text(header.tostring())) == 0.03


def test_scale_of_a_rotated_matrix():
    assert sky.pixel_scale(sky.wcs_from_text(tan_header(angle=31.0, scale=0.04).tostring())) == 0.04


def test_oblong_and_oblique_pixels_are_refused():
    header = tan_header()
    header["CD2_2"] *= 1.02
    with pytest.raises(AstrometryError, match="not square"):
        sky.pixel_scale(sky.wcs_from_text(header.tostring()))
    header = tan_header()
    header["CD1_2"] = 0.02 * header["CD2_2"]
    with pytest.raises(AstrometryError, match="not square"):
        sky.pixel_scale(sky.wcs_from_text(header.tostring()))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (101, 64), (4400, 4400)])
def test_area_at_the_reference_point_is_the_square_of_the_scale(shape):
    wcs = sky.wcs_from_text(tan_header(angle=40.0, shape=shape).tostring())
    assert sky.pixel_area(wcs, shape) == pytest.approx(0.03**2, rel=2e-8)


def test_area_far_from_the_reference_point_shrinks_with_the_cube_of_the_cosine():
    # 100,000 px of 0.03 arcsec: the centre of the field is theta from the tangent point
    shape = (200, 200)
    wcs = sky.wcs_from_text(tan_header(shape=shape, crpix=(100_000.5, 100.5)).tostring())
    theta = np.arctan(np.radians((100_000.5 - 100.5) * 0.03 / 3600))
    assert sky.pixel_area(wcs, shape) == pytest.approx(0.03**2 * np.cos(theta) ** 3, rel=1e-8)


# --- positions ---------------------------------------------------------------------------------------------


def test_positions_are_icrs_whatever_the_headers_frame():
    shape = (50, 40)
    y, x = sky.sample(shape, 5)
    for header in (tan_header(shape=shape), tan_header(shape=shape, radesys="FK5")):
        ra, dec = sky.pixel_to_world(header.tostring(), y, x)
        expected = WCS(header).pixel_to_world(x, y).icrs
        assert SkyCoord(ra, dec, unit="deg").separation(expected).max() < 1e-6 * u.arcsec
        back = sky.world_to_pixel(header.tostring(), ra, dec)
        np.testing.assert_allclose(back, (y, x), rtol=0, atol=1e-6)
    galactic = tan_header(ra=349.5, dec=-60.0, shape=shape)
    galactic["CTYPE1"], galactic["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    del galactic["RADESYS"]
    ra, dec = sky.pixel_to_world(galactic.tostring(), y, x)
    expected = WCS(galactic).pixel_to_world(x, y).icrs
    assert SkyCoord(ra, dec, unit="deg").separation(expected).max() < 1e-6 * u.arcsec
    assert abs(ra.mean() - 349.5) > 1.0  # the two frames must differ, or this shows nothing
    np.testing.assert_allclose(sky.world_to_pixel(galactic.tostring(), ra, dec), (y, x), rtol=0, atol=1e-6)


def test_declination_first_keeps_pixel_axes():
    header = tan_header()
    for key in ("CTYPE", "CRVAL"):
        header[f"{key}1"], header[f"{key}2"] = header[f"{key}2"], header[f"{key}1"]
    header["CD1_1"], header["CD2_2"] = 0.03 / 3600, 0.03 / 3600
    ra, dec = sky.pixel_to_world(header.tostring(), [10.0, 10.0], [10.0, 11.0])
    assert dec[1] - dec[0] == pytest.approx(0.03 / 3600, rel=1e-6)  # x runs along declination
    assert ra[1] - ra[0] == pytest.approx(0.0, abs=1e-8)
    y, x = sky.world_to_pixel(header.tostring(), ra, dec)
    np.testing.assert_allclose((y, x), ([10, 10], [10, 11]), atol=1e-6)


def test_behind_the_tangent_plane_there_is_no_pixel():
    header = tan_header(shape=(1000, 1000), scale=60.0)
    antipode = (AS1063[0] - 180.0, -AS1063[1])
    y, x = sky.world_to_pixel(header.tostring(), [antipode[0], AS1063[0]], [antipode[1], AS1063[1]])
    assert np.isnan([y[0], x[0]]).all()
    np.testing.assert_allclose((y[1], x[1]), 499.5, atol=1e-6)


def test_no_positions_are_no_positions():
    for function in (sky.pixel_to_world, sky.world_to_pixel):
        a, b = function(tan_header().tostring(), np.empty(0, np.int32), np.empty(0, np.int32))
        assert a.shape == b.shape == (0,)
        assert a.dtype == b.dtype == np.float64


def test_right_ascension_stays_below_a_full_turn():
    header = tan_header(ra=0.0, dec=10.0, shape=(3, 3))
    ra, _ = sky.pixel_to_world(header.tostring(), *np.mgrid[0:3, 0:3])
    assert ((ra >= 0) & (ra < 360)).all()
    grid_ra, _ = sky.SkyGrid(0.0, 10.0, 0.3).radec(-1e-12, 0.0)
    assert 0 <= grid_ra < 360


@given(
    ra0=st.floats(0, 360),
    dec0=st.floats(-89.9, 89.9),
    ra=st.floats(0, 360),
    dec=st.floats(-90, 90),
)
@settings(max_examples=200, deadline=None)
def test_separation_equals_the_angle_of_unit_vectors(ra0, dec0, ra, dec):
    a, b = vector(ra0, dec0), vector(ra, dec)
    expected = np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)) * 3600
    assert sky.separation_arcsec(ra, dec, ra0, dec0) == pytest.approx(expected, abs=1e-9)


def test_separation_of_close_positions_across_zero_hours():
    assert sky.separation_arcsec(359.9999, 0.0, 0.0001, 0.0) == pytest.approx(0.72, rel=1e-9)


# --- the cluster's centre ----------------------------------------------------------------------------------


def cluster(ra=AS1063[0], dec=AS1063[1]):
    return config.Cluster(name="AS1063", redshift=0.348, ra=ra, dec=dec)


def test_a_centre_on_or_near_one_of_the_fields_is_accepted():
    far = field("b", ra=10.0, dec=20.0)
    assert sky.check_centre(cluster(), [far, field()]) is None
    assert sky.check_centre(cluster(dec=AS1063[1] + 0.49), [field()]) is None
    with pytest.raises(AstrometryError):
        sky.check_centre(cluster(), [far])


@pytest.mark.parametrize("offset", [0.51, 5.0, 120.0])
def test_a_centre_far_from_every_field_is_refused_with_the_distance(offset):
    fields = [field("b", ra=10.0, dec=20.0), field()]
    with pytest.raises(AstrometryError, match=r"^cluster: .*AS1063.*deg from the nearest field") as caught:
        sky.check_centre(cluster(dec=AS1063[1] + offset), fields)
    assert "ICRS" in str(caught.value)
    assert "\n" not in str(caught.value)
    if offset < 10:
        assert f"{offset - 6 / 3600:.2f} deg" in str(caught.value)  # 6 arcsec: half of the field's height
        assert "'a'" in str(caught.value)


def test_a_centre_deep_inside_a_very_large_field_is_accepted():
    # 64 steps of the sample are 1.25 deg each: only the centre's own pixel tells
    wide = field(shape=(8000, 8000), scale=36.0, dec=0.0)
    assert sky.check_centre(cluster(dec=0.6, ra=AS1063[0] + 0.6), [wide]) is None
    with pytest.raises(AstrometryError):  # half of its side is 40 degrees
        sky.check_centre(cluster(dec=48.0), [wide])


# --- the sky grid ------------------------------------------------------------------------------------------


@given(
    ra0=st.floats(0, 359.999),
    dec0=st.floats(-89, 89),
    xi=st.floats(-3000, 3000),
    eta=st.floats(-3000, 3000),
)
@settings(max_examples=200, deadline=None)
def test_offsets_are_the_gnomonic_projection(ra0, dec0, xi, eta):
    grid = sky.SkyGrid(ra0, dec0, 0.3)
    ra, dec = grid.radec(xi, eta)
    # the plane's point, built from the three axes at the centre
    centre = vector(ra0, dec0)
    east = np.array([-np.sin(np.radians(ra0)), np.cos(np.radians(ra0)), 0.0])
    north = np.cross(centre, east)
    point = centre + np.radians(xi / 3600) * east + np.radians(eta / 3600) * north
    np.testing.assert_allclose(vector(ra, dec), point / np.linalg.norm(point), rtol=0, atol=2e-15)
    np.testing.assert_allclose(grid.offsets(ra, dec), (xi, eta), rtol=0, atol=2e-8)


def test_offsets_beyond_the_hemisphere_are_nan():
    xi, eta = sky.SkyGrid(10.0, 20.0, 0.3).offsets([190.0, 10.0], [-20.0, 20.0])
    assert np.isnan([xi[0], eta[0]]).all()
    assert (xi[1], eta[1]) == (0.0, 0.0)


def test_the_grids_wcs_puts_cells_where_the_grid_does():
    grid = sky.SkyGrid(*AS1063, 0.3)
    i0, j0 = -7, 12
    text = sky.header_text(grid.wcs(i0, j0))
    ra, dec = sky.pixel_to_world(text, [0, 5], [0, 9])
    expected = grid.radec((np.array([i0, i0 + 9]) + 0.5) * 0.3, (np.array([j0, j0 + 5]) + 0.5) * 0.3)
    np.testing.assert_allclose((ra, dec), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (64, 65), (200, 300), (128, 129)])
def test_mesh_covers_every_pixel_and_holds_their_offsets(shape):
    text = tan_header(shape=shape, angle=12.0, ra=AS1063[0] + 0.01).tostring()
    grid = sky.SkyGrid(*AS1063, 0.3)
    nodes = sky.mesh(text, shape, grid)
    assert nodes.step == 64
    assert nodes.xi.shape == nodes.eta.shape
    assert nodes.xi.dtype == nodes.eta.dtype == np.float64
    for side, count in zip(shape, nodes.xi.shape, strict=True):
        assert 64 * (count - 1) > side - 1 >= 64 * (count - 2)
    y, x = np.indices(nodes.xi.shape) * 64
    np.testing.assert_array_equal((nodes.xi, nodes.eta), grid.offsets(*sky.pixel_to_world(text, y, x)))


def test_bilinear_interpolation_between_nodes_is_exact_enough_two_modules_away():
    # 3 arcmin from the cluster, with its own tangent point: the two planes are not one linear map
    shape = (300, 300)
    text = tan_header(shape=shape, angle=77.0, dec=AS1063[1] + 0.05).tostring()
    grid = sky.SkyGrid(*AS1063, 0.3)
    nodes = sky.mesh(text, shape, grid)
    y, x = np.indices(shape)
    truth = grid.offsets(*sky.pixel_to_world(text, y, x))
    j, i = y // 64, x // 64
    v, w = y / 64 - j, x / 64 - i
    for values, expected in zip((nodes.xi, nodes.eta), truth, strict=True):
        between = (1 - v) * ((1 - w) * values[j, i] + w * values[j, i + 1]) + v * (
            (1 - w) * values[j + 1, i] + w * values[j + 1, i + 1]
        )
        assert np.abs(between - expected).max() < 1e-6


def test_a_field_on_the_other_side_of_the_sky_has_no_mesh():
    text = tan_header(ra=AS1063[0] - 180.0, dec=40.0).tostring()
    with pytest.raises(AstrometryError, match="90 deg"):
        sky.mesh(text, (400, 300), sky.SkyGrid(*AS1063, 0.3))


# --- lengths and masses ------------------------------------------------------------------------------------


def by_hand(z, steps=200_000):
    """Comoving distance in Mpc by the midpoint rule."""
    middle = (np.arange(steps) + 0.5) * z / steps
    return 299792.458 / 70.0 * (z / steps) * (1 / np.sqrt(0.3 * (1 + middle) ** 3 + 0.7)).sum()


def test_the_designs_numbers_for_as1063():
    scaling = sky.lens_scaling(default(), 0.348, 3.0)
    assert round(sky.kpc_per_arcsec(default(), 0.348), 3) == 4.921
    assert round(scaling, 3) == 0.785
    assert sky.sigma_critical(default(), 0.348, 1.0) == pytest.approx(1.638e9, abs=0.0005e9)
    assert sky.sigma_critical(default(), 0.348, scaling) == pytest.approx(2.088e9, abs=0.0005e9)


def test_cosmology_against_an_integral_by_hand():
    lens, source = by_hand(0.348), by_hand(3.0)
    assert sky.kpc_per_arcsec(default(), 0.348) == pytest.approx(
        lens / 1.348 * 1000 * np.pi / 180 / 3600, rel=1e-9
    )
    assert sky.lens_scaling(default(), 0.348, 3.0) == pytest.approx(
        ((source - lens) / 4) / (source / 4), rel=1e-9
    )
    # c^2 / (4 pi G D) in Msun/kpc^2 from SI numbers
    kpc, msun = 3.0856775814913673e19, 1.988409870698051e30
    si = 299792458.0**2 / (4 * np.pi * 6.6743e-11 * lens / 1.348 * 1000 * kpc)
    assert sky.sigma_critical(default(), 0.348, 1.0) == pytest.approx(si / msun * kpc**2, rel=1e-6)


def test_mass_does_not_depend_on_the_scaling():
    s = sky.lens_scaling(default(), 0.348, 3.0)
    kpc = sky.kpc_per_arcsec(default(), 0.348)
    one = sky.mass_within(0.722, 60.0, kpc, sky.sigma_critical(default(), 0.348, 1.0))
    other = sky.mass_within(0.722 * s, 60.0, kpc, sky.sigma_critical(default(), 0.348, s))
    assert one == pytest.approx(other, rel=1e-12)
    assert one == pytest.approx(3.24e14, rel=0.002)


@pytest.mark.parametrize("z_s", [0.348, 0.1])
def test_a_source_before_the_lens_is_refused(z_s):
    with pytest.raises(ConvergenceError, match="not behind the cluster"):
        sky.lens_scaling(default(), 0.348, z_s)


# --- threads, real headers ---------------------------------------------------------------------------------


def test_threads_get_the_same_answers_and_leave_the_warning_filters_alone():
    header = tan_header(scale=0.25, radesys="FK5", crpix=(480, 319), shape=(799, 799))
    header["CDELT1"], header["CDELT2"], header["DATE-OBS"] = (
        -1e-5,
        1e-5,
        "22/09/22",
    )  # astropy remarks on both
    text = header.tostring()
    y, x = sky.sample((799, 799), 9)
    alone = sky.pixel_to_world(text, y, x)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: sky.pixel_to_world(text, y, x), range(64)))
    assert all(np.array_equal(alone, result) for result in results)
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("name", "extension", "scale"),
    [
        ("uds_jwst_nircam_f115w_40mas_sci.fits.gz", 0, 0.04),
        ("xdf_hst_wfc3_f105w_60mas_sci_200x200.fits", 0, 0.06),
        ("ngc346_jwst_nircam_f444w_cal_100x100.fits", "SCI", 0.0629),
    ],
)
def test_real_headers_are_understood_without_a_remark(real_data, name, extension, scale):
    header = fits.getheader(real_data / "images" / name, extension)
    wcs = sky.wcs_from_text(header.tostring())
    shape = (header["NAXIS2"], header["NAXIS1"])
    assert sky.pixel_scale(wcs) == pytest.approx(scale, rel=2e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
        here, right, up = WCS(header).pixel_to_world(
            *np.transpose(middle + np.array([[0, 0], [1, 0], [0, 1]]))
        )
    sides = (here.separation(right) * here.separation(up)).to_value("arcsec2")
    assert sky.pixel_area(wcs, shape) == pytest.approx(sides, rel=1e-3)  # 2.5 % from scale^2 in the cal file
    text = sky.header_text(wcs)
    y, x = sky.sample(shape, 7)
    verbatim, short = sky.pixel_to_world(header.tostring(), y, x), sky.pixel_to_world(text, y, x)
    np.testing.assert_allclose(short, verbatim, rtol=0, atol=1e-10)
    np.testing.assert_allclose(sky.world_to_pixel(text, *short), (y, x), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("as1063_jwst_nircam_arcs_f115w_f150w_f200w.fits", 1),
        ("ngc346_jwst_nircam_f444w_cal_100x100.fits", "ERR"),
    ],
)
def test_real_images_without_a_wcs_are_refused(real_data, name, extension):
    header = fits.getheader(real_data / "images" / name, extension)
    with pytest.raises(AstrometryError, match="no celestial WCS"):
        sky.wcs_from_text(header.tostring())
