"""The simulated sky compared with the numbers that it promises."""

from __future__ import annotations

import csv
import math
from dataclasses import fields

import numpy as np
import pytest
from astropy.io import fits
from scipy.optimize import brentq

from tilegc.errors import InputError
from tilegc.simulation import PRESETS
from tilegc.simulation.deviates import cell_counts, cell_normals, cell_uniforms, stream_key
from tilegc.simulation.frame import exposure, layout_frames
from tilegc.simulation.mass import AnalyticMass, plane
from tilegc.simulation.noise import PHOTON_SCALE, aperture_noise
from tilegc.simulation.objects import KINDS, Objects
from tilegc.simulation.population import luminosity_share, populate, surface_density
from tilegc.simulation.presets import BANDS
from tilegc.simulation.psf import analytic_psf, read_psf
from tilegc.simulation.scene import Scene

SCALE = 0.03
ENERGY = {"F090W": 0.755, "F115W": 0.776, "F150W": 0.750, "F200W": 0.701}
FWHM = {"F090W": 0.053, "F115W": 0.056, "F150W": 0.060, "F200W": 0.072}


@pytest.fixture(scope="module")
def tiny():
    preset = PRESETS["tiny"]
    frames = layout_frames(preset)
    return preset, frames, populate(preset, frames, AnalyticMass(), 1, BANDS)


def take(objects: Objects, rows) -> Objects:
    return Objects(**{f.name: np.ascontiguousarray(getattr(objects, f.name)[rows]) for f in fields(Objects)})


def one(kind: str, **values) -> Objects:
    columns = {f.name: np.array([values.get(f.name, 0.0)], float) for f in fields(Objects)}
    columns["kind"] = np.array([KINDS.index(kind)], np.int64)
    columns["flux"] = np.full((1, 4), values["flux"])
    columns["mag"][:] = 31.4 - 2.5 * math.log10(values["flux"])
    return Objects(**columns)


def test_psf_has_the_published_core_and_energy():
    for band in BANDS:
        psf = analytic_psf(band, SCALE)
        assert psf.encircled_energy(0.1 / SCALE) == pytest.approx(ENERGY[band], abs=0.005)
        profile = lambda r, p=psf: float((p.weight / p.sigma**2 * np.exp(-0.5 * (r / p.sigma) ** 2)).sum())
        half = brentq(lambda r, f=profile: f(r) - 0.5 * f(0.0), 0.01, 10.0)
        assert 2.0 * half * SCALE == pytest.approx(FWHM[band], rel=0.02)


def test_psf_against_jdox(real_data):
    with (real_data / "psf" / "encircled_energy_nircam_sw_jdox.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for band in BANDS:
        psf = analytic_psf(band, SCALE)
        for row in rows:
            radius = float(row["radius_arcsec"])
            if radius >= 0.1:
                assert psf.encircled_energy(radius / SCALE) == pytest.approx(float(row[band]), abs=0.02)


def test_four_point_seven_five_clusters_for_one_above_the_limit():
    assert 1.0 / luminosity_share() == pytest.approx(4.75, abs=0.01)


def test_mass_is_of_as1063_size():
    g = np.arange(-60.0, 60.1, 0.5)
    xi, eta = np.meshgrid(g, g)
    kappa = AnalyticMass().kappa(xi, eta)
    assert kappa[np.hypot(xi, eta) < 60.0].mean() == pytest.approx(0.722 * 0.785, abs=0.02)
    angle = np.linspace(0.0, 2.0 * math.pi, 50)
    far = surface_density(AnalyticMass().kappa(174.0 * np.cos(angle), 174.0 * np.sin(angle)))
    assert 0.05 < far.mean() < 0.3


def test_planted_clusters_follow_kappa(tiny):
    _, frames, objects = tiny
    mass = AnalyticMass()
    rows = (objects.kind == KINDS.index("gc")) & (objects.mag < 30.9)
    for frame in frames:
        x, y = frame.pixel(objects.xi[rows], objects.eta[rows])
        found = int(frame.holds(x, y).sum())
        px, py = np.meshgrid(np.arange(0.0, frame.nx, 4) + 1.5, np.arange(0.0, frame.ny, 4) + 1.5)
        expected = float(surface_density(mass.kappa(*frame.plane(px, py))).sum()) * (4 * SCALE) ** 2
        assert abs(found - expected) < 4.0 * math.sqrt(expected)
    deep = (objects.kind == KINDS.index("gc")).sum() / rows.sum()
    assert deep == pytest.approx(4.75, rel=0.1)


def test_clusters_have_the_old_sed(tiny):
    _, _, objects = tiny
    flux = objects.flux[objects.kind == KINDS.index("gc")]
    ratio = np.median(flux / flux[:, 2:3], axis=0)
    assert ratio == pytest.approx(np.array([0.60, 0.80, 0.95, 1.00]) / 0.95, rel=0.02)
    colour = -2.5 * np.log10(flux[:, 0] / flux[:, 2])
    assert colour.std() == pytest.approx(0.1, rel=0.05)


def test_an_object_hangs_on_its_cell_and_seed_alone(tiny):
    preset, frames, objects = tiny
    fewer = populate(preset, frames[:1], AnalyticMass(), 1, ("F200W", "F150W"))
    kind = KINDS.index("gc")
    both = {(a, b): f for a, b, f in zip(objects.xi, objects.eta, objects.flux[:, [3, 2]], strict=True)}
    rows = np.flatnonzero(fewer.kind == kind)
    assert len(rows) > 1000
    for row in rows:
        assert both[fewer.xi[row], fewer.eta[row]] == pytest.approx(fewer.flux[row], rel=0, abs=0)
    other = populate(preset, frames[:1], AnalyticMass(), 2, ("F200W", "F150W"))
    assert not set(other.xi) & set(fewer.xi[rows])


def test_deviates_are_what_they_claim():
    key = stream_key(3, "test")
    j, i = (a.ravel().astype(np.int64) for a in np.indices((300, 300)))
    k = np.zeros_like(j)
    u, g = cell_uniforms(key, j, i, k, 1), cell_normals(key, j, i, k, 2)
    assert abs(u.mean() - 0.5) < 0.004
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.015
    assert (abs(g.mean()), g.std()) == (pytest.approx(0.0, abs=0.014), pytest.approx(1.0, abs=0.01))
    assert abs((g**4).mean() - 3.0) < 0.1
    for mean in (0.3, 7.0, 900.0):
        counts = cell_counts(key, -50, -50, np.full((200, 200), mean))
        assert counts.mean() == pytest.approx(mean, abs=4.0 * math.sqrt(mean / 40000))
        assert counts.var() == pytest.approx(mean, rel=0.04)


def test_empty_apertures_scatter_as_the_depth_says(tiny):
    _, frames, objects = tiny
    frame = frames[0]
    psfs = [analytic_psf(b, SCALE) for b in BANDS]
    scene = Scene(frame, take(objects, []), psfs, 5)
    tiles = scene.render(60, 60, (330, 330), 1.0, blank=math.nan)
    radius = 0.1 / SCALE
    fine = (np.arange(9 * 25) - 112.0) / 25.0
    cover = ((fine[:, None] ** 2 + fine**2) <= radius**2).reshape(9, 25, 9, 25).mean(axis=(1, 3))
    for psf, ((sci, err, wht), _) in zip(psfs, tiles, strict=True):
        assert np.isfinite(sci).all()
        np.testing.assert_allclose(err, 1.0 / np.sqrt(wht), rtol=1e-6)
        clean = (sci / err * err[165, 165]).astype(float)
        blocks = clean[:324, :324].reshape(36, 9, 36, 9)
        sums = np.einsum("aibj,ij->ab", blocks, cover)
        target = psf.encircled_energy(radius) * 10.0 ** (-0.4 * (30.9 - 31.4)) / 5.0
        assert sums.std() == pytest.approx(target, rel=0.09)
        # and pixels as their error says, the pattern of the detector on top
        assert clean.std() / err[165, 165] == pytest.approx(1.0, abs=0.02)
    assert aperture_noise(40.0) / math.sqrt(math.pi * 40.0**2) == pytest.approx(1.45, abs=0.015)


def test_photons_add_their_variance(tiny):
    _, frames, _ = tiny
    psfs = [analytic_psf(b, SCALE) for b in BANDS]
    objects = one("icl", flux=3e5, radius=2.0, axis_ratio=0.8, index=1.0)
    scene = Scene(frames[0], objects, psfs, 5)
    light, seen = scene.light(200, 200, (80, 80))
    ((_, err, wht), _), *_ = scene.render(200, 200, (80, 80), 1.0, blank=math.nan)
    expected = scene.rms[0] ** 2 / seen * (1.0 + light[0] / PHOTON_SCALE)
    np.testing.assert_allclose(err.astype(float) ** 2, expected, rtol=1e-5)
    np.testing.assert_allclose(wht, seen / scene.rms[0] ** 2, rtol=1e-5)
    assert light.min() > 1.0


@pytest.mark.parametrize(
    ("values", "tolerance"),
    [
        ({"kind": "gc", "flux": 50.0}, 0.05),
        ({"kind": "background_extended", "flux": 200.0, "radius": 0.1, "axis_ratio": 0.5}, 0.05),
        ({"kind": "member", "flux": 2e4, "radius": 0.5, "axis_ratio": 0.6, "index": 3.0}, 0.03),
        ({"kind": "star", "flux": 3e4}, 0.03),
        ({"kind": "arc", "flux": 5e3, "radius": 4.0, "length": 60.0, "width": 0.1}, 0.02),
    ],
)
def test_an_object_brings_its_flux(tiny, values, tolerance):
    _, frames, _ = tiny
    values = {"position_angle": 30.0, "xi": 0.1, "eta": -0.2, **values}
    scene = Scene(frames[0], one(values.pop("kind"), **values), [analytic_psf(b, SCALE) for b in BANDS], 1)
    light, _ = scene.light(0, 0, (512, 512))
    np.testing.assert_allclose(light.sum(axis=(1, 2)), values["flux"], rtol=tolerance)


def test_extended_objects_have_their_half_light_radius(tiny):
    _, frames, _ = tiny
    values = {"flux": 5e3, "radius": 0.3, "axis_ratio": 1.0, "index": 1.0, "xi": 0.0, "eta": 0.0}
    light, _ = Scene(frames[0], one("member", **values), [analytic_psf(b, SCALE) for b in BANDS], 1).light(
        0, 0, (512, 512)
    )
    yy, xx = np.indices((512, 512)) - 255.5
    assert light[2][np.hypot(yy, xx) < 10.0].sum() / light[2].sum() == pytest.approx(0.5, abs=0.03)


def test_stars_have_six_beaded_spikes_and_two_short_ones(tiny):
    _, frames, _ = tiny
    frame = frames[0]
    star = one("star", flux=3e5)
    scene = Scene(frame, star, [analytic_psf(b, SCALE) for b in BANDS], 1)
    light, seen = scene.light(0, 0, (512, 512))
    dead = 1.6 + 1.3 * (18.5 - (31.4 - 2.5 * math.log10(3e5)))
    yy, xx = np.indices((512, 512)) - 255.5
    assert (seen[np.hypot(yy, xx) <= dead] == 0.0).all()
    assert (seen[(np.hypot(yy, xx) > dead) & (np.hypot(yy, xx) < 40)] > 0.0).all()

    def ring(band, r):
        angle = np.arange(0, 360, 2)
        j = np.rint(255.5 + r * np.sin(np.radians(angle))).astype(int)
        i = np.rint(255.5 + r * np.cos(np.radians(angle))).astype(int)
        return light[band, j, i]

    far = np.max([ring(2, r) for r in range(150, 164)], axis=0)
    spikes = [15, 45, 75, 105, 135, 165]  # 30, 90, ... degrees, in steps of 2
    assert min(far[spikes]) > 8.0 * np.median(far)
    assert far[0] < 0.2 * min(far[spikes])  # the short pair has faded here
    near = np.max([ring(2, r) for r in range(40, 54)], axis=0)
    assert near[0] > 1.2 * np.median(near)
    # the beads: their period follows the wavelength
    for band, period in ((0, 14 * 0.6), (2, 14.0), (3, 14 * 4 / 3)):
        r = np.arange(60, 200)
        along = light[band, 255 + r, 255] * (r + 0.5) ** 2
        along = along / np.convolve(along, np.ones(57) / 57, "same")
        power = [
            abs((np.exp(2j * np.pi * r / p) * (along - along.mean()))[28:-28].sum()) for p in (period, 11.2)
        ]
        assert power[0] > 3.0 * power[1]


def test_frames_agree_with_their_wcs(tiny):
    _, frames, objects = tiny
    ra, dec = plane(frames[0].ra, frames[0].dec).radec(objects.xi[:200], objects.eta[:200])
    for frame in frames:
        x, y = frame.pixel(objects.xi[:200], objects.eta[:200])
        wx, wy = frame.wcs().wcs_world2pix(ra, dec, 0)
        np.testing.assert_allclose([wx, wy], [x, y], atol=1e-5)
        np.testing.assert_allclose(frame.plane(x, y), [objects.xi[:200], objects.eta[:200]], atol=1e-9)


def test_fields_are_mostly_seen_with_gaps():
    for preset in PRESETS.values():
        for frame in layout_frames(preset):
            step = max(1, frame.nx // 400)
            seen = exposure(frame, 0, 0, (frame.ny, frame.nx))[::step, ::step]
            assert 0.93 < (seen > 0).mean() < 0.999
            assert (seen[seen > 0] < 0.95).any()
            assert (seen > 0.6).mean() > 0.9


def test_a_psf_file_is_normalised_and_centred(tmp_path, tiny):
    _, frames, _ = tiny
    yy, xx = np.indices((61, 61)) * 1.0
    image = 0.31 * np.exp(-0.5 * ((yy - 30.4) ** 2 + (xx - 29.3) ** 2) / 2.2**2)
    hdu = fits.PrimaryHDU(image.astype(np.float32))
    hdu.header["PIXELSCL"] = 0.015
    hdu.writeto(tmp_path / "psf.fits")
    psf = read_psf("F150W", tmp_path / "psf.fits", SCALE)
    scene = Scene(frames[0], one("gc", flux=1e4, xi=0.3, eta=0.2), [psf] * 4, 1)
    light, _ = scene.light(0, 0, (512, 512))
    x, y = frames[0].pixel(np.array([0.3]), np.array([0.2]))
    yy, xx = np.indices((512, 512))
    assert light[0].sum() == pytest.approx(1e4, rel=0.01)
    assert (light[0] * xx).sum() / light[0].sum() == pytest.approx(x[0], abs=0.02)
    assert (light[0] * yy).sum() / light[0].sum() == pytest.approx(y[0], abs=0.02)
    assert psf.encircled_energy(1.1774 * 1.1) == pytest.approx(0.5, abs=0.02)
    blobs = Scene(frames[0], one("arc_clump", flux=1e4, radius=0.06, axis_ratio=0.5), [psf] * 4, 1)
    assert blobs.light(0, 0, (512, 512))[0][0].sum() == pytest.approx(1e4, rel=0.01)


def test_psf_files_that_cannot_be_used(tmp_path):
    (tmp_path / "text.fits").write_text("no FITS at all")
    fits.PrimaryHDU(np.ones((9, 9))).writeto(tmp_path / "unscaled.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    for name in ("absent", "text", "unscaled", "empty"):
        with pytest.raises(InputError, match=rf"psf F150W: .*{name}\.fits [^\n]+$"):
            read_psf("F150W", tmp_path / f"{name}.fits", SCALE)


def test_real_psf_files(real_data):
    for name in ("psf_grizli40mas_glass_nrca3_f150w.fits", "psf_grizli20mas_smacs0723_f150w.fits"):
        psf = read_psf("F150W", real_data / "psf" / name, SCALE)
        assert psf.encircled_energy(0.1 / SCALE) == pytest.approx(0.75, abs=0.04)
        fitted = float(np.sum(psf.weight * -np.expm1(-((0.1 / SCALE) ** 2) / (2.0 * psf.sigma**2))))
        assert fitted == pytest.approx(psf.encircled_energy(0.1 / SCALE), abs=0.03)
