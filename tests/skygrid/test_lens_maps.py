"""Deflection maps, cubes, linear axes, range maps, rivals: against analytic lenses and the published maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits

from tests.io.test_convergence import CENTRE, Z, cosmology, header, image, save
from tests.support.hand import flat_kappa, sky
from tilegc import config
from tilegc.errors import ConvergenceError
from tilegc.io.convergence import read_convergence
from tilegc.io.lens_ensemble import find_ensemble
from tilegc.sky import SkyGrid
from tilegc.skygrid.lens_models import find_lens_models, kappa_peaks, realisations
from tilegc.skygrid.maxima import local_maxima

SHAPE = (60, 70)
MIDDLE = (31.0, 33.0)
"""Pixel (y, x) of the lens."""


def cards(angle=0.0, *, mirrored=False, scale=0.5):
    """A WCS turned by an angle (deg); mirrored: x runs to the east."""
    a, step = math.radians(angle), scale / 3600
    found = header(crpix=(MIDDLE[1] + 1, MIDDLE[0] + 1))
    sign = 1 if mirrored else -1
    found["CD1_1"], found["CD1_2"] = sign * step * math.cos(a), step * math.sin(a)
    found["CD2_1"], found["CD2_2"] = -sign * step * math.sin(a), step * math.cos(a)
    return found


def lens(wcs_cards):
    """East and north deflection and kappa of psi = b sqrt(core^2 + q u^2 + v^2 / q), at every pixel."""
    jacobian = 3600 * np.array(
        [[wcs_cards["CD1_1"], wcs_cards["CD1_2"]], [wcs_cards["CD2_1"], wcs_cards["CD2_2"]]]
    )
    y, x = np.indices(SHAPE, float)
    xi, eta = np.tensordot(jacobian, np.array([x - MIDDLE[1], y - MIDDLE[0]]), 1)
    b, core, q = 9.0, 6.0, 0.7
    root = np.sqrt(core**2 + q * xi**2 + eta**2 / q)
    kappa = b / 2 * ((q + 1 / q) / root - (q**2 * xi**2 + eta**2 / q**2) / root**3)
    return b * q * xi / root, b * eta / q / root, kappa, jacobian


def write(folder, x, y, wcs_cards, **more):
    save(folder / "x.fits", x, wcs_cards.copy(), **more)
    save(folder / "y.fits", y, wcs_cards.copy(), **more)
    return {"x": str(folder / "x.fits"), "y": str(folder / "y.fits")}


def read(deflection, **more):
    conf = config.Convergence(**{"deflection": deflection, "source_redshift": 3.0, **more})
    return read_convergence(conf, cosmology(), Z)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.0, 14.0, 120.0])
@pytest.mark.parametrize("axes", ["pixels", "sky", "west", "away"])
def test_kappa_is_half_the_divergence_whatever_x_and_y_mean(tmp_path, axes, angle, mirrored):
    wcs_cards = cards(angle, mirrored=mirrored)
    east, north, kappa, jacobian = lens(wcs_cards)
    if axes == "pixels":
        along = np.linalg.inv(jacobian / 0.5)  # of a turned or mirrored square
        x, y = np.tensordot(along, np.array([east, north]), 1)
    else:
        x, y = {"sky": (east, north), "west": (-east, north), "away": (-east, -north)}[axes]
    found = read(write(tmp_path, x, y, wcs_cards), lens_scaling=None)
    inside = (slice(1, -1), slice(1, -1))
    # central differences of 0.5 arcsec on a core of 6: a few (h / core)^2 / 6
    np.testing.assert_allclose(found.values[inside], kappa[inside], atol=0.006 * kappa.max())


def test_it_is_scaled_as_declared_and_undeclared_is_refused(tmp_path):
    east, north, kappa, _ = lens(cards())
    pair = write(tmp_path, -east, north, cards(), ZSOURCE=9.0)
    found = read(pair, source_redshift=None, lens_scaling=1.0)
    assert round(found.factor, 3) == 0.785
    assert found.values[31, 33] == pytest.approx(0.785 * kappa[31, 33], rel=0.01)
    with pytest.raises(ConvergenceError, match=r"x\.fits: the scaling of the map is not declared.*ZSOURCE"):
        read(pair, source_redshift=None)


@pytest.mark.parametrize(
    ("unit", "declared", "of_one"),
    [
        ("", None, 1.0),
        ("arcsec", None, 1.0),
        ("deg", None, 3600.0),
        ("arcmin", None, 60.0),
        ("pixel", None, 0.5),
        ("", "pixel", 0.5),
        ("arcsec", "arcmin", 60.0),
        ("", "rad", 206264.806),
    ],
)
def test_units_of_deflections(tmp_path, unit, declared, of_one):
    east, north, kappa, _ = lens(cards())
    more = {"BUNIT": unit} if unit else {}
    pair = write(tmp_path, -east / of_one, north / of_one, cards(), **more)
    found = read({**pair, "unit": declared})
    assert found.values[20:40, 20:40] == pytest.approx(kappa[20:40, 20:40], rel=0.02)


def test_what_is_no_deflection_field_is_refused(tmp_path):
    east, north, kappa, _ = lens(cards(20.0))
    draw = np.random.default_rng(1)
    noise = write(tmp_path, draw.normal(size=SHAPE), draw.normal(size=SHAPE), cards())
    with pytest.raises(ConvergenceError, match=r"not a deflection field.*two maps of one model"):
        read(noise)
    (tmp_path / "t").mkdir()
    turned = write(tmp_path / "t", north, east, cards(20.0))
    with pytest.raises(ConvergenceError, match="x and y are exchanged"):
        read(turned)
    save(tmp_path / "small.fits", kappa[:-1], cards())
    with pytest.raises(ConvergenceError, match="not on the same pixel grid"):
        read({"x": noise["x"], "y": str(tmp_path / "small.fits")})
    (tmp_path / "u").mkdir()
    with pytest.raises(ConvergenceError, match="'kg' is not an angle"):
        read(write(tmp_path / "u", east, north, cards(), BUNIT="kg"))
    save(tmp_path / "x-pixels-deflect.fits", east, cards())
    with pytest.raises(ConvergenceError, match="its name indicates pixels"):
        read({"x": str(tmp_path / "x-pixels-deflect.fits"), "y": noise["y"]})


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("m_x-arcsec-deflect.fits", lambda east: abs(east) / 100, "by its name.*convergence.deflection"),
        ("m_gamma.fits", lambda east: abs(east) / 100, "by its name"),
        ("m.fits", lambda east: east, "% of its values are below -0.3.*convergence.deflection"),
        ("m.fits", lambda east: 8 * abs(east), "half of its values are above 32.8"),
    ],
)
def test_other_quantities_given_as_kappa_are_refused(tmp_path, name, values, says):
    path = save(tmp_path / name, values(lens(cards())[0]), cards())
    with pytest.raises(ConvergenceError, match=says) as caught:
        read(None, path=str(path))
    assert "\n" not in str(caught.value)


def test_noise_about_zero_is_a_kappa_map(tmp_path):
    noisy = 0.02 + np.random.default_rng(2).normal(0, 0.08, SHAPE)
    np.testing.assert_array_equal(
        read(None, path=str(save(tmp_path / "k.fits", noisy, cards()))).values, noisy
    )


def test_cubes_need_a_plane_and_linear_axes_an_origin(tmp_path):
    linear = fits.Header(
        {"CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": -10.0, "CRVAL2": -8.0, "CDELT1": 0.5, "CDELT2": 0.5}
    )
    kappa = image((33, 41))
    path = tmp_path / "lens.fits"
    fits.PrimaryHDU(np.stack([kappa - 5, kappa + 5, kappa]), linear).writeto(path)
    origin = {"ra": CENTRE[0], "dec": CENTRE[1]}
    with pytest.raises(ConvergenceError, match=r"cube of 3 planes.*convergence.plane"):
        read(None, path=str(path), origin=origin)
    with pytest.raises(ConvergenceError, match="has 3 planes, not 4"):
        read(None, path=str(path), origin=origin, plane=4)
    with pytest.raises(ConvergenceError, match=r"no celestial WCS.*convergence\.origin"):
        read(None, path=str(path), plane=3)
    found = read(None, path=str(path), origin=origin, plane=3)
    np.testing.assert_array_equal(found.values, kappa)
    grid = SkyGrid(*CENTRE, 1.0)  # x = +5 arcsec is west, y = +2 north: column 30, row 20
    assert found.at(*grid.radec([0.0, -5.0], [0.0, 2.0])) == pytest.approx(
        [kappa[16, 20], kappa[20, 30]], abs=1e-6
    )


# --- realisations and rivals -------------------------------------------------------------------------------


def ensemble(pattern, **more):
    conf = config.Convergence(**{"path": "k", "lens_scaling": 1.0, "ensemble": pattern, **more})
    return find_ensemble(conf, cosmology(), Z)


def test_range_maps_are_taken_by_number_and_scaled(tmp_path):
    maps = {number: image(SHAPE, seed=number) for number in (0, 2, 10, 101)}
    for number, values in maps.items():
        save(tmp_path / f"m-map{number:02d}_kappa.fits", values, cards())
    (tmp_path / "m_kappa.fits").write_text("no realisation")
    found = ensemble(str(tmp_path / "*map*_kappa.fits"))
    assert len(found) == 4
    cells = sky((40, 44), j0=-20, i0=-22)
    part = realisations(cells, found, 12.0)
    assert part.box.shape == (24, 24)
    assert part.kappa.shape == (4, 24, 24)
    grid = SkyGrid(cells.grid.ra, cells.grid.dec, 1.0)
    for layer, values in zip(part.kappa, maps.values(), strict=True):
        save(tmp_path / "one.fits", values, cards())
        one = read(None, path=str(tmp_path / "one.fits"), source_redshift=None, lens_scaling=1.0)
        for j, i in ((0, 0), (5, 20), (23, 23)):
            at = float(one.at(*grid.radec(-11.5 + i, -11.5 + j)))
            assert layer[j, i] == pytest.approx(at, rel=1e-12, nan_ok=True)
        (tmp_path / "one.fits").unlink()
    assert np.isfinite(part.kappa).mean() > 0.5


def test_range_maps_of_deflections_pair_by_number(tmp_path):
    east, north, kappa, _ = lens(cards())
    for number in (1, 2):
        save(tmp_path / f"map{number}_x.fits", -east * number, cards())
        save(tmp_path / f"map{number}_y.fits", north * number, cards())
    pattern = {"x": str(tmp_path / "map*_x.fits"), "y": str(tmp_path / "map*_y.fits")}
    for number, one in enumerate(ensemble(pattern).maps(), 1):
        assert one.values[31, 33] / one.factor == pytest.approx(number * kappa[31, 33], rel=0.01)
    (tmp_path / "map2_y.fits").rename(tmp_path / "map3_y.fits")
    with pytest.raises(ConvergenceError, match="cannot be paired"):
        ensemble(pattern)
    with pytest.raises(ConvergenceError, match="1 files match"):
        ensemble(str(tmp_path / "map1_x*"))
    with pytest.raises(ConvergenceError, match=r"truncated|not a FITS"):
        (tmp_path / "map1_x.fits").write_bytes(b"SIMPLE  =")
        (tmp_path / "map3_y.fits").rename(tmp_path / "map2_y.fits")
        ensemble(pattern)


def test_rivals_are_read_by_name_each_with_its_own_scaling(tmp_path):
    run = {
        "recipe": "diego2026",
        "cluster": {"name": "c", "redshift": Z, "ra": CENTRE[0], "dec": CENTRE[1]},
        "fields": [{"name": "a", "bands": {"F": "a.fits"}}],
        "convergence": {
            "path": str(save(tmp_path / "k.fits")),
            "source_redshift": 3.0,
            "compare": [
                {"name": "other", "path": str(save(tmp_path / "o.fits", image(seed=8))), "lens_scaling": 1.0},
                {"name": "third", "path": str(save(tmp_path / "t.fits"))},
            ],
        },
    }
    with pytest.raises(ConvergenceError, match=r"t\.fits.*convergence\.compare\.1\.source_redshift"):
        find_lens_models(config.resolve(run), cosmology())
    run["convergence"]["compare"].pop()
    found = find_lens_models(config.resolve(run), cosmology())
    assert list(found.rivals) == ["other"]
    np.testing.assert_allclose(found.rivals["other"].values, image(seed=8) * found.scaling)
    assert found.ensemble is None
    run["convergence"]["compare"] *= 2
    with pytest.raises(config.loading.ConfigError, match="duplicate name 'other'"):
        config.resolve(run)


# --- peaks and coverage ------------------------------------------------------------------------------------


def test_local_maxima_against_a_loop():
    draw = np.random.default_rng(5)
    values = np.round(draw.normal(size=(23, 31)), 1)  # with ties
    values[draw.random(values.shape) < 0.1] = np.nan
    rows, columns = local_maxima(values)
    want = []
    for j, i in np.ndindex(values.shape):
        if not np.isfinite(values[j, i]):
            continue
        near = [
            (b, a) for b in range(j - 1, j + 2) for a in range(i - 1, i + 2) if 0 <= b < 23 and 0 <= a < 31
        ]
        around = [(values[at], at) for at in near if at != (j, i)]
        if all(
            not other > values[j, i] and not (other == values[j, i] and at < (j, i)) for other, at in around
        ):
            want.append((j, i))
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == want
    assert len(want) > 40


def test_peaks_of_kappa_are_given_from_the_centre():
    y, x = np.indices((121, 121), float)
    values = sum(
        h * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18)
        for h, b, a in [(1.0, 60, 62), (0.9, 80, 40), (0.5, 63, 62), (0.3, 30, 30), (2.0, 5, 119)]
    )
    kappa = flat_kappa(values)
    found = kappa_peaks(kappa, SkyGrid(342.18, -44.53, 1.0), 40.0)
    # the two near one another blend; 0.3 is below half; the highest of all is 80 arcsec off
    places = [(round(peak.xi, 2), round(peak.eta, 2)) for peak in found]
    assert len(found) == 2
    assert places[1] == (20.0, 20.0)
    assert abs(places[0][0] + 2) < 0.01
    assert 0 <= places[0][1] <= 3
    assert found[1].offset == pytest.approx(math.hypot(20, 20), abs=0.01)
    assert kappa_peaks(kappa, SkyGrid(342.18, -44.53, 1.0), 1.0) == []


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.5, 7.0])
def test_coverage_is_of_the_circle_not_of_whole_pixels(scale):
    values = np.ones((21, 21))
    kappa = flat_kappa(values, scale)
    radius = 2.9
    assert kappa.mean_within(342.18, -44.53, radius) == (1.0, 1.0)
    values[:, 11:] = np.nan  # west of half a pixel beyond the middle
    edge = 0.5 * scale / radius
    left = 1.0 if edge >= 1 else 1 - (math.acos(edge) - edge * math.sqrt(1 - edge**2)) / math.pi
    assert kappa.mean_within(342.18, -44.53, radius)[1] == pytest.approx(left, abs=0.006)


# --- the published maps ------------------------------------------------------------------------------------


def test_as1063_from_the_published_deflections(real_data):
    stem = "hlsp_frontier_model_abells1063_williams_v4"
    pair = {axis: str(real_data / "kappa" / f"{stem}_{axis}-arcsec-deflect.fits.gz") for axis in "xy"}
    found = read(pair, source_redshift=None, lens_scaling=1.0)
    derived = fits.getdata(real_data / "kappa" / "hff_williams_v4_abells1063_kappa_derived.fits.gz")
    np.testing.assert_allclose(found.values / found.factor, derived, atol=2e-7)
    mean, covered = found.mean_within(*CENTRE, 60.0)
    assert (round(mean / found.factor, 3), covered) == (0.722, 1.0)
    first = kappa_peaks(found, SkyGrid(*CENTRE, 0.3))[0]
    assert first.offset == pytest.approx(0.45, abs=0.15)
    with pytest.raises(ConvergenceError, match="x and y are exchanged"):
        read({"x": pair["y"], "y": pair["x"]})
    for path in pair.values():
        with pytest.raises(ConvergenceError, match="by its name"):
            read(None, path=path)


def test_deflections_under_another_name_are_told_by_their_values(real_data, tmp_path):
    path = tmp_path / "k.fits.gz"
    path.write_bytes(
        (
            real_data / "kappa" / "hlsp_frontier_model_abells1063_williams_v4_x-arcsec-deflect.fits.gz"
        ).read_bytes()
    )
    with pytest.raises(ConvergenceError, match=r"5\d % of its values are below -0\.3 \(lowest -45"):
        read(None, path=str(path))
