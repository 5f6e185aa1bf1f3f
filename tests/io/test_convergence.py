"""Convergence maps: declared scalings only, values against direct sums, and the published maps themselves."""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc import config, sky
from tilegc.errors import ConvergenceError
from tilegc.io.convergence import _bilinear, check_overlap, read_convergence

Z = 0.348
CENTRE = (342.18322, -44.53091)


def cosmology():
    return sky.cosmology(config.Cosmology())


@dataclass(frozen=True)
class Field:
    name: str
    wcs: str
    shape: tuple[int, int]


def header(scale=0.25, ra=CENTRE[0], dec=CENTRE[1], crpix=(12.5, 3.0)):
    cards = fits.Header()
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"] = ra, dec
    cards["CRPIX1"], cards["CRPIX2"] = crpix
    cards["CD1_1"], cards["CD2_2"] = -scale / 3600, scale / 3600
    cards["CD1_2"] = cards["CD2_1"] = 0.0
    return cards


def image(shape=(30, 40), seed=1):
    return np.random.default_rng(seed).uniform(0.01, 2.0, shape)


def save(path, values=None, cards=None, **more):
    cards = header() if cards is None else cards
    for key, value in more.items():
        cards[key.replace("_", "-")] = value
    fits.PrimaryHDU(image() if values is None else values, cards).writeto(path)
    return path


def read(path, z_lens=Z, **scaling):
    return read_convergence(config.Convergence(path=str(path), **scaling), cosmology(), z_lens)


# --- scaling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [None, 1.0, 9.0])
def test_values_are_brought_to_the_reference_redshift(tmp_path, reference):
    path = save(tmp_path / "k.fits")
    more = {} if reference is None else {"reference_redshift": reference}
    target = sky.lens_scaling(cosmology(), Z, reference or 3.0)
    one = read(path, lens_scaling=1.0, **more)
    assert (one.scaling_in, one.scaling, one.factor) == (1.0, target, target)
    np.testing.assert_array_equal(one.values, image() * target)
    two = read(path, source_redshift=2.0, **more)
    assert two.scaling_in == sky.lens_scaling(cosmology(), Z, 2.0)
    np.testing.assert_allclose(two.values, image() * target / two.scaling_in, rtol=1e-15)
    assert two.values.dtype == np.float64


def test_the_factor_of_hff_maps_for_as1063(tmp_path):
    assert round(read(save(tmp_path / "k.fits"), lens_scaling=1.0).factor, 3) == 0.785


def test_the_references_own_redshift_changes_nothing(tmp_path):
    same = read(save(tmp_path / "k.fits"), source_redshift=3.0)
    assert same.factor == 1.0
    np.testing.assert_array_equal(same.values, image())


@pytest.mark.parametrize(
    ("cards", "quoted"),
    [
        ({"ZSOURCE": 9.0}, "ZSOURCE = 9.0"),
        ({"QUANTITY": ("kappa", "convergence for Dls/Ds=1")}, "convergence for Dls/Ds=1"),
        ({"COMMENT": "scaled to a source redshift of 2"}, "scaled to a source redshift of 2"),
        ({"HISTORY": "D_LS/D_S = 0.8"}, "D_LS/D_S = 0.8"),
        ({"HLSPNAME": "frontier"}, "HLSPNAME= 'frontier'"),
        ({}, None),
    ],
)
def test_an_undeclared_scaling_is_refused_and_the_headers_hint_quoted(tmp_path, cards, quoted):
    path = save(tmp_path / "k.fits", **cards)
    with pytest.raises(ConvergenceError, match="scaling of the map is not declared") as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"convergence: {path}: ")
    assert "convergence.lens_scaling" in message
    assert "convergence.source_redshift" in message
    assert "\n" not in message
    assert (quoted in message) if quoted else ("header says" not in message)


@pytest.mark.parametrize(
    ("scaling", "says"),
    [
        ({"lens_scaling": 1.2}, "convergence.lens_scaling: 1.2"),
        ({"source_redshift": 0.3}, "convergence.source_redshift: .*not behind"),
        ({"lens_scaling": 1.0, "reference_redshift": 0.2}, "convergence.reference_redshift: .*not behind"),
    ],
)
def test_impossible_scalings_are_refused(tmp_path, scaling, says):
    with pytest.raises(ConvergenceError, match=says):
        read(save(tmp_path / "k.fits"), **scaling)


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2"])
def test_packed_and_other_types_of_files_are_read(tmp_path, pack, dtype):
    values = (image() * 10).astype(dtype)
    path = save(tmp_path / "plain.fits", values)
    packed = tmp_path / "kappa"
    packed.write_bytes(pack(path.read_bytes()))
    np.testing.assert_array_equal(read(packed, source_redshift=3.0).values, values.astype(float))


def test_the_kappa_extension_goes_before_others_and_images_without_wcs_are_passed_over(tmp_path):
    wanted = image(seed=5)
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(image(seed=3)),
            fits.ImageHDU(image(seed=4), header(), name="SCI"),
            fits.CompImageHDU(wanted, header(), name="Kappa", compression_type="GZIP_2", quantize_level=0.0),
        ]
    )
    hdus.writeto(tmp_path / "k.fits")
    np.testing.assert_array_equal(read(tmp_path / "k.fits", source_redshift=3.0).values, wanted)
    del hdus[2]
    hdus.writeto(tmp_path / "g.fits")
    np.testing.assert_array_equal(read(tmp_path / "g.fits", source_redshift=3.0).values, image(seed=4))


@pytest.mark.parametrize("unit", ["", "1", "kappa", "unitless", "adu"])
def test_units_that_say_nothing_are_let_pass(tmp_path, unit):
    assert read(save(tmp_path / "k.fits", BUNIT=unit), source_redshift=3.0).factor == 1.0


def test_degenerate_axes_are_dropped(tmp_path):
    path = save(tmp_path / "k.fits", image()[np.newaxis])
    assert read(path, source_redshift=3.0).values.shape == (30, 40)


def damaged(tmp_path, name):
    whole = save(tmp_path / "whole.fits", image((200, 200))).read_bytes()
    no_wcs = fits.PrimaryHDU(image())
    path = tmp_path / name
    match name:
        case "absent":
            pass
        case "truncated":
            path.write_bytes(whole[:-50_000])
        case "truncated.gz":
            path.write_bytes(gzip.compress(whole)[:-5000])
        case "damaged.gz":
            packed = bytearray(gzip.compress(whole))
            packed[len(packed) // 2] ^= 0xFF
            path.write_bytes(packed)
        case "text":
            path.write_text("kappa 0.5\n")
        case "empty":
            path.write_bytes(b"")
        case "folder":
            path.mkdir()
        case "cut header":
            path.write_bytes(whole[:700])
        case "no wcs":
            no_wcs.writeto(path)
        case "no image":
            fits.PrimaryHDU().writeto(path)
        case "cube":
            fits.PrimaryHDU(np.zeros((3, 4, 5)), header()).writeto(path)
        case "all NaN":
            save(path, np.full((5, 5), np.nan))
        case "all infinite":
            save(path, np.full((5, 5), np.inf))
        case "deflection":
            save(path, BUNIT="arcsec")
        case "surface density":
            save(path, BUNIT="Msun/kpc/kpc")
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "no such file"),
        ("truncated", "truncated"),
        ("truncated.gz", "truncated"),
        ("damaged.gz", "truncated or damaged"),
        ("text", "not a FITS file"),
        ("empty", "not a FITS file"),
        ("folder", "is a directory"),
        ("cut header", "damaged|truncated"),
        ("no wcs", "no celestial WCS"),
        ("no image", "no two-dimensional image"),
        ("cube", "no two-dimensional image"),
        ("all NaN", "every pixel is NaN"),
        ("all infinite", "every pixel is NaN"),
        ("deflection", "'arcsec'"),
        ("surface density", "'Msun/kpc/kpc'"),
    ],
)
def test_what_cannot_be_used_gives_one_line(tmp_path, name, says):
    path = damaged(tmp_path, name)
    with pytest.raises(ConvergenceError, match=says) as caught:
        read(path, source_redshift=3.0)
    assert str(caught.value).startswith(f"convergence: {path}: ")
    assert "\n" not in str(caught.value)


# --- interpolation -----------------------------------------------------------------------------------------


@given(y=st.floats(-2, 31), x=st.floats(-2, 41))
@settings(max_examples=100, deadline=None)
def test_between_pixels_the_map_is_bilinear(tmp_path_factory, y, x):
    kappa = read(save(tmp_path_factory.mktemp("k") / "k.fits"), source_redshift=3.0)
    got = float(kappa.at(*sky.pixel_to_world(kappa.wcs, y, x)))
    if not (0 <= y <= 29 and 0 <= x <= 39):
        assert np.isnan(got) or min(abs(y), abs(y - 29), abs(x), abs(x - 39)) < 1e-5
        return
    j, i = min(int(y), 28), min(int(x), 38)
    v, w = y - j, x - i
    f = image()
    lower = f[j, i] * (1 - w) + f[j, i + 1] * w
    upper = f[j + 1, i] * (1 - w) + f[j + 1, i + 1] * w
    assert got == pytest.approx(lower * (1 - v) + upper * v, abs=1e-6)


def test_at_pixel_centres_it_is_the_map_to_its_edges_and_beside_nan(tmp_path):
    values = image((6, 7))
    values[2, 3] = np.nan
    values[4, 4] = -np.inf
    kappa = read(save(tmp_path / "k.fits", values), source_redshift=3.0)
    got = kappa.at(*sky.pixel_to_world(kappa.wcs, *np.indices(values.shape)))
    holes = ~np.isfinite(values)
    # a centre that misses its pixel by rounding may see the hole beside it
    near = np.zeros_like(holes)
    near[1:4, 2:5] = near[3:6, 3:6] = True
    assert np.isnan(got[holes]).all()
    np.testing.assert_allclose(got[~near], values[~near], atol=1e-7)
    between = kappa.at(*sky.pixel_to_world(kappa.wcs, [2.0, 2.5, 1.5], [2.5, 3.5, 0.5]))
    assert np.isnan(between).tolist() == [True, True, False]


def test_a_pixel_without_weight_does_not_count():
    values = np.array([[1.0, np.nan, 3.0], [2.0, np.nan, 5.0]])
    y, x = np.array([0.0, 0.5, 1.0, 0.25, 0.0]), np.array([0.0, 0.0, 2.0, 2.0, 0.5])
    np.testing.assert_array_equal(_bilinear(values, y, x), [1.0, 1.5, 5.0, 3.5, np.nan])


def test_one_pixel_and_no_position(tmp_path):
    kappa = read(save(tmp_path / "k.fits", np.array([[0.5]])), source_redshift=3.0)
    ra, dec = sky.pixel_to_world(kappa.wcs, [0.0, 0.2], [0.0, 0.0])
    got = kappa.at(ra, dec)
    assert got[0] == 0.5
    assert np.isnan(got[1])
    assert kappa.at([], []).shape == (0,)


def test_a_map_in_galactic_coordinates_is_asked_in_icrs(tmp_path):
    cards = header(ra=349.5, dec=-60.0)
    cards["CTYPE1"], cards["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
    kappa = read(save(tmp_path / "k.fits", cards=cards), source_redshift=3.0)
    there = WCS(cards).pixel_to_world([4, 9], [3, 17]).icrs
    np.testing.assert_allclose(kappa.at(there.ra.deg, there.dec.deg), image()[[3, 17], [4, 9]], atol=1e-6)


# --- sums and overlap --------------------------------------------------------------------------------------


def test_mean_within_is_the_mean_of_the_pixels(tmp_path):
    values = image((61, 81))
    values[40, 40] = np.nan
    cards = header(crpix=(41, 31))
    kappa = read(save(tmp_path / "k.fits", values, cards), source_redshift=3.0)
    y, x = np.indices(values.shape)
    inside = ((y - 30) ** 2 + (x - 40) ** 2 <= (5.1 / 0.25) ** 2) & np.isfinite(values)
    mean, covered = kappa.mean_within(*CENTRE, 5.1)
    assert mean == pytest.approx(values[inside].mean(), rel=1e-12)
    assert covered == pytest.approx(1 - 0.0625 / (np.pi * 5.1**2), abs=5e-4)
    assert kappa.mean_within(*CENTRE, 1000.0)[1] == pytest.approx(
        61 * 81 * 0.0625 / (np.pi * 1000**2), abs=2e-4
    )
    nothing, none = kappa.mean_within(CENTRE[0], CENTRE[1] + 1.0, 5.0)
    assert np.isnan(nothing)
    assert none == 0.0


def test_a_map_elsewhere_is_refused(tmp_path):
    kappa = read(save(tmp_path / "k.fits"), source_redshift=3.0)
    here = Field("a", header(scale=0.03).tostring(), (500, 500))
    beside = Field("b", header(scale=0.03, dec=CENTRE[1] + 0.1).tostring(), (500, 500))
    far = Field("c", header(scale=0.03, ra=CENTRE[0] - 170, dec=40.0).tostring(), (500, 500))
    huge = Field("d", header(scale=40.0, crpix=(250, 250)).tostring(), (500, 500))
    check_overlap(kappa, [beside, here])
    check_overlap(kappa, [huge])
    for fields in ([beside], [beside, far]):
        with pytest.raises(ConvergenceError, match=r"^convergence: .*does not overlap any field \('b'"):
            check_overlap(kappa, fields)


# --- the published maps ------------------------------------------------------------------------------------


def test_as1063_of_the_grale_team(real_data):
    path = real_data / "kappa" / "hff_williams_v4_abells1063_kappa_derived.fits.gz"
    kappa = read(path, lens_scaling=1.0)
    assert kappa.values.shape == (799, 799)
    assert round(kappa.factor, 3) == 0.785
    mean, covered = kappa.mean_within(*CENTRE, 60.0)
    assert covered == pytest.approx(1.0, abs=0.001)
    assert round(mean / kappa.factor, 3) == 0.722
    kpc = sky.kpc_per_arcsec(cosmology(), Z)
    mass = sky.mass_within(mean, 60.0, kpc, sky.sigma_critical(cosmology(), Z, kappa.scaling))
    assert mass == pytest.approx(3.24e14, abs=0.005e14)
    # the same by plain sums over pixels, in flat geometry, at s = 1
    raw = fits.getdata(path).astype(float)
    y, x = np.indices(raw.shape)
    east = (342.1805951875 - CENTRE[0]) * np.cos(np.radians(CENTRE[1])) * 3600
    north = (-44.5321916711 - CENTRE[1]) * 3600
    inside = np.hypot((x - 479) * -0.25 + east, (y - 318) * 0.25 + north) <= 60
    assert raw[inside].mean() == pytest.approx(mean / kappa.factor, abs=2e-4)
    pixels = raw[inside].sum() * (0.25 * kpc) ** 2 * sky.sigma_critical(cosmology(), Z, 1.0)
    assert pixels == pytest.approx(mass, rel=2e-3)
    # highest peak near the BCG, at its published place
    ra, dec = sky.pixel_to_world(kappa.wcs, *np.unravel_index(np.nanargmax(kappa.values), (799, 799)))
    assert (float(ra), float(dec)) == (pytest.approx(342.1833, abs=1e-4), pytest.approx(-44.5308, abs=1e-4))
    with pytest.raises(ConvergenceError, match=r"convergence for Dls/Ds=1"):
        read(path)


def test_a2744_as_published(real_data):
    path = real_data / "kappa" / "hlsp_frontier_model_abell2744_williams_v4_kappa.fits.gz"
    kappa = read(path, z_lens=0.308, lens_scaling=1.0)
    assert kappa.values.shape == (678, 678)
    assert np.nanmax(kappa.values) == pytest.approx(2.31035041809082 * kappa.factor, rel=1e-6)
    at_reference = float(kappa.at(*sky.pixel_to_world(kappa.wcs, 338.0, 338.0)))
    assert at_reference == pytest.approx(float(fits.getdata(path)[338, 338]) * kappa.factor, rel=1e-4)
    with pytest.raises(ConvergenceError, match="HLSPNAME"):
        read(path)


@pytest.mark.parametrize("radius", [0.4, 3.0, 60.0])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (3.1, -2.2), (40.0, 0.0), (0.2, 500.0)])
def test_a_circle_holds_the_pixels_that_all_distances_give(tmp_path, radius, centre):
    kappa = read(save(tmp_path / "kappa.fits"), source_redshift=3.0)
    ra, dec = CENTRE[0] + centre[0] / 3600, CENTRE[1] + centre[1] / 3600
    y, x = np.indices(kappa.values.shape)
    expected = sky.separation_arcsec(*sky.pixel_to_world(kappa.wcs, y, x), ra, dec) <= radius
    window, inside = kappa.circle(ra, dec, radius)
    found = np.zeros(expected.shape, bool)
    found[window] = inside
    np.testing.assert_array_equal(found, expected)
