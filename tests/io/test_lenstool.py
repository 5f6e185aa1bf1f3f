"""Lenstool parameter files, against numerical derivatives, closed forms and a published model's map."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from tilegc.config import Cosmology, LensMap
from tilegc.errors import ConvergenceError
from tilegc.io.convergence import read_convergence
from tilegc.io.lenstool import Dpie, LenstoolModel, Shear, read_par
from tilegc.sky import cosmology, lens_scaling, pixel_to_world

HALO = Dpie(
    name="O1",
    x=3.0,
    y=-2.0,
    ellipticity=0.4,
    angle=35.0,
    core=5.0,
    cut=200.0,
    velocity_dispersion=900.0,
    redshift=0.3,
)
TEXT = """
runmode
    reference 3 3.586259 -30.400174
    end
potentiel O1
    profil 81
    x_centre 1.0
    y_centre 2.0
    ellipticite 0.1
    core_radius 40.0  # arcsec
    cut_radius 220.0
    v_disp 1000.0
    z_lens 0.308
    end
potentiel 17
    profil 81
    x_centre 0.5
    y_centre 0.0
    core_radius 0.1
    cut_radius 9.0
    v_disp 200.0
    mag 18.5
    z_lens 0.308
    end
potentiel G
    profil 14
    gamma 0.05
    angle_pos 20.0
    z_lens 0.308
    end
fini
"""


def _elliptical_kappa(part: Dpie, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Surface density by its definition, without complex numbers."""
    q = math.sqrt((1 - part.ellipticity) / (1 + part.ellipticity))
    e = (1 - q) / (1 + q)
    t = math.radians(part.angle)
    u = (x - part.x) * math.cos(t) + (y - part.y) * math.sin(t)
    v = -(x - part.x) * math.sin(t) + (y - part.y) * math.cos(t)
    r2 = (u / (1 + e)) ** 2 + (v / (1 - e)) ** 2
    b = 6 * math.pi * (part.velocity_dispersion / 299792.458) ** 2 * 206264.80624709636
    scale = 0.5 * b * part.cut / (part.cut - part.core)
    return np.asarray(scale * (1 / np.sqrt(part.core**2 + r2) - 1 / np.sqrt(part.cut**2 + r2)))


def test_kappa_is_the_profile() -> None:
    """The trace of the complex form's derivatives is the density of the definition, on all sides of the centre."""
    x, y = np.meshgrid(np.linspace(-80, 80, 41), np.linspace(-80, 80, 43))
    np.testing.assert_allclose(HALO.fields(x, y).kappa, _elliptical_kappa(HALO, x, y), rtol=1e-9)


@pytest.mark.parametrize("part", [HALO, Shear(name="G", gamma=0.07, angle=25.0, kappa=0.02, redshift=0.3)])
def test_kappa_and_shear_are_derivatives_of_the_deflection(part: Dpie | Shear) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-70, 70, (2, 200))
    step = 1e-4

    def slope(dx: float, dy: float, name: str) -> np.ndarray:
        ahead, behind = part.fields(x + dx, y + dy), part.fields(x - dx, y - dy)
        return np.asarray((getattr(ahead, name) - getattr(behind, name)) / (2 * step))

    xx, xy = slope(step, 0, "alpha_x"), slope(0, step, "alpha_x")
    yx, yy = slope(step, 0, "alpha_y"), slope(0, step, "alpha_y")
    fields = part.fields(x, y)
    np.testing.assert_allclose(xy, yx, atol=1e-7)
    np.testing.assert_allclose(fields.kappa, (xx + yy) / 2, atol=1e-7)
    np.testing.assert_allclose(fields.gamma_1, (xx - yy) / 2, atol=1e-7)
    np.testing.assert_allclose(fields.gamma_2, (xy + yx) / 2, atol=1e-7)


def test_a_round_mass_deflects_by_the_mass_inside() -> None:
    part = Dpie(
        name="r", x=0, y=0, ellipticity=0, angle=0, core=2, cut=30, velocity_dispersion=600, redshift=0.3
    )
    radius = np.array([0.5, 3.0, 20.0, 100.0])
    inside = [
        np.trapezoid(2 * r * _elliptical_kappa(part, r, np.zeros(r.size)), r)
        for r in (np.linspace(0, edge, 200001) for edge in radius)
    ]
    # Tolerance of the trapezoidal sum; the evaluation of a round mass at an ellipticity of 1e-7 is far below it.
    np.testing.assert_allclose(part.fields(radius, np.zeros(4)).alpha_x, inside / radius, rtol=1e-6)


def test_the_total_mass_is_the_integral_of_kappa() -> None:
    part = Dpie(
        name="m", x=0, y=0, ellipticity=0.5, angle=20, core=0.5, cut=3, velocity_dispersion=300, redshift=0.3
    )
    r, turn = np.meshgrid(np.geomspace(1e-4, 3e5, 6001), np.linspace(0, 2 * np.pi, 361)[:-1])
    kappa = part.fields(r * np.cos(turn), r * np.sin(turn)).kappa
    mass = np.trapezoid((kappa * r * r).mean(axis=0) * 2 * np.pi, np.log(r[0]))
    # sum of what lies beyond the last radius: about cut / r of the total
    assert mass == pytest.approx(part.mass_arcsec2, rel=1e-3)


def test_magnification_is_that_of_a_shear() -> None:
    fields = Shear(name="G", gamma=0.1, angle=0.0, kappa=0.2, redshift=0.3).fields(np.zeros(1), np.zeros(1))
    assert fields.magnification(0.5)[0] == pytest.approx(1 / ((1 - 0.1) ** 2 - 0.05**2))


def test_a_file_is_read_and_split() -> None:
    model = read_par("best.par", TEXT)
    assert (model.ra, model.dec) == (3.586259, -30.400174)
    halos, galaxies = model.split()
    assert [part.name for part in halos.potentials] == ["O1", "G"]
    assert [part.name for part in galaxies.potentials] == ["17"]
    bcg = model.brightest(5.0)
    assert bcg is not None
    assert bcg.name == "17"
    assert [part.name for part in model.without([bcg.name]).potentials] == ["O1", "G"]
    ra, dec = np.array([3.58, 3.59]), np.array([-30.40, -30.41])
    whole = model.at(ra, dec).kappa
    np.testing.assert_allclose(whole, halos.at(ra, dec).kappa + galaxies.at(ra, dec).kappa, rtol=1e-12)


def test_x_is_west_and_y_north() -> None:
    model = LenstoolModel(359.9999, 30.0, (HALO,), "m.par")
    x, y = model.offsets(np.array([0.0001]), np.array([30.001]))
    assert x[0] == pytest.approx(-0.0002 * 3600 * math.cos(math.radians(30)))
    assert y[0] == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("profil 14", "profil 12", "profile 12 is not supported"),
        ("fini", "potfile\n filein 3 members.cat\n end\nfini", "potfile"),
        ("reference 3", "reference 0", "reference 0: expected 3"),
        ("reference 3 3.586259", "referenz 3 3.586259", "no reference position"),
        ("v_disp 200.0", "", "v_disp is missing"),
        ("v_disp 200.0", "v_disp many", "v_disp must be a number"),
        ("core_radius 0.1", "core_radius 10.0", "core_radius < cut_radius"),
    ],
)
def test_what_is_not_understood_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ConvergenceError, match=message):
        read_par("best.par", TEXT.replace(old, new))


def test_cats_model_gives_the_derived_map(real_data: Path) -> None:
    """The published CATS model of Abell 2744, 737 potentials, on every ninth pixel of a map derived from it."""
    folder = real_data / "kappa"
    path = folder / "hlsp_frontier_model_abell2744_cats_v3.1.par"
    model = read_par(path.name, path.read_text())
    assert len(model.potentials) == 737
    with fits.open(folder / "abell2744_cats_v3.1_kappa_derived.fits.gz") as hdus:
        kappa, header = np.asarray(hdus[0].data, np.float64), hdus[0].header
    y, x = np.mgrid[4 : kappa.shape[0] : 9, 4 : kappa.shape[1] : 9]
    # The map was computed in its own FK5 coordinates; in ICRS ones it differs by 1e-4.
    ra, dec = WCS(header).wcs_pix2world(x, y, 0)
    west, north = model.offsets(ra, dec)
    away = np.ones(y.shape, np.bool_)
    for part in model.potentials:
        assert isinstance(part, Dpie)
        if part.core < 1.0:
            away &= np.hypot(west - part.x, north - part.y) > 1.0
    assert away.mean() > 0.8
    np.testing.assert_allclose(model.at(ra, dec).kappa[away], kappa[y, x][away], atol=1e-5)


def test_convergence_alone_is_that_of_all_quantities() -> None:
    model = read_par("best.par", TEXT)
    draw = np.random.default_rng(3)
    ra = model.ra + draw.uniform(-0.02, 0.02, (7, 9))
    dec = model.dec + draw.uniform(-0.02, 0.02, (7, 9))
    np.testing.assert_allclose(model.kappa(ra, dec), model.at(ra, dec).kappa, rtol=1e-9)
    sheet = TEXT.replace("gamma 0.05", "gamma 0.05\n kappa 0.1")
    np.testing.assert_allclose(
        read_par("best.par", sheet).kappa(ra, dec) - model.kappa(ra, dec), 0.1, rtol=1e-9
    )


@pytest.mark.parametrize("frame", ["icrs", "fk5"])
def test_a_model_as_the_convergence_of_a_run(tmp_path: Path, frame: str) -> None:
    path = tmp_path / "best.par"
    path.write_text(TEXT)
    cosmo = cosmology(Cosmology())
    found = read_convergence(LensMap(par=str(path), frame=frame), cosmo, 0.308, 3.0)
    assert found.scaling_in == 1.0
    assert found.factor == pytest.approx(lens_scaling(cosmo, 0.308, 3.0))
    # Places of the file's frame, as Lenstool sees them, are turned to ICRS, in which the run works.
    model = read_par("best.par", TEXT)
    step = np.array([0.0, 20.0, -35.0]) / 3600.0
    place = SkyCoord(model.ra + step, model.dec + step[::-1], unit="deg", frame=frame)
    want = found.factor * model.at(place.ra.deg, place.dec.deg).kappa
    np.testing.assert_allclose(found.at(place.icrs.ra.deg, place.icrs.dec.deg), want, rtol=2e-3)


def test_potentials_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "best.par"
    path.write_text(TEXT)
    cosmo = cosmology(Cosmology())
    whole, less = (
        read_convergence(LensMap(par=str(path), without=names), cosmo, 0.308, 3.0) for names in ((), ("17",))
    )
    model = read_par("best.par", TEXT)
    galaxy = next(part for part in model.potentials if part.name == "17")
    ra, dec = model.ra + np.array([0.001, -0.002]), model.dec + np.array([0.0015, 0.001])
    alone = LenstoolModel(model.ra, model.dec, (galaxy,), "best.par").kappa(ra, dec)
    np.testing.assert_allclose(whole.at(ra, dec) - less.at(ra, dec), whole.factor * alone, rtol=0.02)
    for names, message in (
        (("18",), "no potential is called '18'"),
        (("O1", "17", "G"), "leaves no potential"),
    ):
        with pytest.raises(ConvergenceError, match=message):
            read_convergence(LensMap(par=str(path), without=names), cosmo, 0.308, 3.0)


@pytest.mark.parametrize("content", [None, b"SIMPLE  =\0\0"])
def test_a_parameter_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "best.par"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConvergenceError, match=r"best\.par"):
        read_convergence(LensMap(par=str(path)), cosmology(Cosmology()), 0.308, 3.0)


def test_a_published_model_as_the_convergence_of_a_run(real_data: Path) -> None:
    folder = real_data / "kappa"
    cosmo = cosmology(Cosmology())
    model = LensMap(par=str(folder / "hlsp_frontier_model_abell2744_cats_v3.1.par"), frame="fk5")
    found = read_convergence(model, cosmo, 0.308, 3.0)
    derived = LensMap(path=str(folder / "abell2744_cats_v3.1_kappa_derived.fits.gz"), lens_scaling=1.0)
    other = read_convergence(derived, cosmo, 0.308, 3.0)
    y, x = np.indices(other.values.shape)
    places = pixel_to_world(other.wcs, y, x)
    apart = np.abs(found.at(*places) - other.values)
    # Both interpolate on 0.25 arcsec; galaxies' cores are narrower.
    assert np.nanpercentile(apart, 50) < 1e-5
    assert np.nanpercentile(apart, 90) < 5e-4
