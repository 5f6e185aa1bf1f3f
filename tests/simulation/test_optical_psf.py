"""The optical PSF against published energies and real PSFs, and the sources that are drawn with it."""

from __future__ import annotations

import csv
import math
from dataclasses import fields

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import map_coordinates

from tilegc.errors import ConfigError
from tilegc.simulation import PRESETS, simulate
from tilegc.simulation.drizzle import DETECTOR_PIXEL, DIFFUSION, HALO_SHARE, drizzled, halo, halo_energy
from tilegc.simulation.frame import layout_frames
from tilegc.simulation.objects import KINDS, Objects
from tilegc.simulation.optical import SAMPLES, optical_tables
from tilegc.simulation.optics import BANDPASS, FLAT, diffraction, monochromatic, segment_centres, wavefront
from tilegc.simulation.presets import BANDS
from tilegc.simulation.psf import analytic_psf, optical_psf
from tilegc.simulation.scene import Scene

SCALE = 0.03
TURN = 0.9


@pytest.fixture(scope="module")
def psfs():
    return [optical_psf(band, SCALE, TURN) for band in BANDS]


@pytest.fixture(scope="module")
def frame():
    return layout_frames(PRESETS["tiny"])[0]


def one(kind: str, **values) -> Objects:
    columns = {f.name: np.array([values.get(f.name, 0.0)], float) for f in fields(Objects)}
    columns["kind"] = np.array([KINDS.index(kind)], np.int64)
    columns["flux"] = np.full((1, 4), values["flux"])
    columns["mag"][:] = 31.4 - 2.5 * math.log10(values["flux"])
    return Objects(**columns)


def fwhm(image, step):
    """Return the FWHM (arcsec) of the mean profile about the centroid of the core."""
    yy, xx = np.indices(image.shape)
    cy, cx = np.unravel_index(image.argmax(), image.shape)
    for _ in range(20):
        w = np.where((yy - cy) ** 2 + (xx - cx) ** 2 <= (0.1 / step) ** 2, image.clip(0), 0)
        cy, cx = (w * yy).sum() / w.sum(), (w * xx).sum() / w.sum()
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    r = np.arange(0, 0.12, 0.0005) / step
    ring = map_coordinates(image, [cy + r[:, None] * np.sin(turn), cx + r[:, None] * np.cos(turn)], order=3)
    profile = ring.mean(axis=1) / ring[0].mean()
    below = int(np.argmax(profile < 0.5))
    half = r[below - 1] + (profile[below - 1] - 0.5) / (profile[below - 1] - profile[below]) * (r[1] - r[0])
    return 2.0 * half * step


def energy_within(image, step, radii):
    """Return the light within radii (arcsec) of the middle of a finely sampled image."""
    yy, xx = np.indices(image.shape) - len(image) // 2
    r = np.hypot(yy, xx) * step
    # a sample counts by how much of it the circle covers, to first order
    return [float((image * np.clip((radius - r) / step + 0.5, 0.0, 1.0)).sum()) for radius in radii]


def test_the_aperture_has_the_telescopes_dimensions():
    places = segment_centres()
    assert len(places) == 18
    assert np.hypot(*places.T).min() == pytest.approx(1.327)
    distance = np.hypot(*(places[:, None] - places[None]).T)
    assert distance[distance > 0].min() == pytest.approx(1.327)
    # across the corners some 6.6 m
    assert 2 * (np.hypot(*places.T).max() + 0.5 * FLAT) == pytest.approx(6.6, abs=0.1)


def test_diffraction_of_a_perfect_aperture_has_its_first_zero_where_theory_puts_it():
    still = wavefront(1)
    perfect = type(still)(np.zeros_like(still.segments), np.zeros_like(still.waves))
    step = 0.004
    image = monochromatic(2.0, perfect, step=step, size=2048)
    assert image.sum() == pytest.approx(1.0)
    assert np.unravel_index(image.argmax(), image.shape) == (1024, 1024)
    # the mirror sums to an amplitude: the peak is area^2 / wavelength^2, in units of the light that falls in
    area = 18 * math.sqrt(3) / 2 * FLAT**2
    blocked = 0.11 * (3.0 - 0.66) * 3  # struts outside of the middle hexagon
    expected = (area - blocked) / (2e-6) ** 2 * math.radians(step / 3600) ** 2
    assert image.max() == pytest.approx(expected, rel=0.05)
    row = image[1024, 1024:]
    first = int(np.argmax(np.diff(row) > 0))
    # a circle of that diameter with a hole: between 1.10 and 1.22 wavelengths over the diameter
    assert 1.05 < first * math.radians(step / 3600) * 6.5 / 2e-6 < 1.30


def test_a_turned_telescope_turns_the_pattern():
    still = wavefront(1)
    a = monochromatic(1.5, still, step=0.0075, size=256)
    b = monochromatic(1.5, still, step=0.0075, size=256, turn=90.0)
    back = np.roll(np.rot90(b), 1, axis=0)  # the source stays on pixel (128, 128)
    both = np.corrcoef(a[64:192, 64:192].ravel(), back[64:192, 64:192].ravel())[0, 1]
    other = np.corrcoef(a[64:192, 64:192].ravel(), b[64:192, 64:192].ravel())[0, 1]
    assert max(both, np.corrcoef(a.ravel(), np.roll(np.rot90(b, -1), 1, axis=1).ravel())[0, 1]) > 0.999
    assert other < 0.999


def test_drizzling_is_a_convolution_with_three_squares():
    # the slow way: squares and a Gaussian on a fine grid
    step, scale, n = 0.006, 0.03, 64
    image = np.zeros((n, n))
    image[30, 33] = 0.7
    image[35, 31] = 0.3
    axis = (np.arange(n) - n // 2) * step
    fine = np.linspace(-0.12, 0.12, 4801)
    kernel = np.exp(-0.5 * (fine / DIFFUSION) ** 2)
    for width in (DETECTOR_PIXEL, 0.75 * DETECTOR_PIXEL, scale):
        box = (np.abs(fine) <= width / 2).astype(float)
        kernel = np.convolve(kernel, box / box.sum(), "same")
    kernel /= kernel.sum() * (fine[1] - fine[0])
    line = lambda middle: np.interp(axis - axis[middle], fine, kernel, left=0, right=0) * scale
    expected = 0.7 * np.outer(line(30), line(33)) + 0.3 * np.outer(line(35), line(31))
    np.testing.assert_allclose(drizzled(image, step, scale), expected, atol=2e-3 * expected.max())
    moved = drizzled(image, step, scale, shift=(3.0, -2.0))
    np.testing.assert_allclose(moved, np.roll(drizzled(image, step, scale), (3, -2), (0, 1)), atol=1e-9)


def test_energies_are_those_that_stsci_publishes(real_data):
    with (real_data / "psf" / "encircled_energy_nircam_sw_jdox.csv").open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    # within 0.1 arcsec the table is that of no pixel
    radii = np.array([r for r in (float(row["radius_arcsec"]) for row in rows) if r >= 0.1])
    for band in BANDS:
        published = [float(row[band]) for row in rows][-len(radii) :]
        image = diffraction(band, wavefront(20260101), step=0.0075, size=1024)[0]
        optics = np.array(energy_within(image, 0.0075, radii))
        scattered = np.array([halo_energy(r) for r in radii])
        np.testing.assert_allclose((1.0 - HALO_SHARE) * optics + HALO_SHARE * scattered, published, atol=0.02)
        seen = optical_tables(band, SCALE, TURN).image / SAMPLES**2
        np.testing.assert_allclose(energy_within(seen, SCALE / SAMPLES, radii), published, atol=0.02)


@pytest.mark.parametrize("band", BANDS)
def test_the_core_is_as_wide_as_that_of_drizzled_webbpsf(real_data, band):
    path = real_data / "psf" / f"psf_grizli20mas_smacs0723_{band.lower()}.fits"
    with fits.open(path) as hdus:
        model = next(np.asarray(h.data, float) for h in hdus if h.data is not None)
    found = optical_tables(band, 0.02, 0.0).image[::SAMPLES, ::SAMPLES]
    assert fwhm(found, 0.02) == pytest.approx(fwhm(model, 0.02), rel=0.05)


def test_the_halo_holds_what_it_says():
    r = np.arange(0.0, 40.0, 0.002)
    assert (halo(r) * 2 * math.pi * r).sum() * 0.002 == pytest.approx(halo_energy(40.0), abs=1e-3)
    assert halo_energy(1e9) == pytest.approx(1.0)


def test_tables_hold_the_light_and_are_centred(psfs):
    for psf in psfs:
        tables = psf.tables
        image = tables.image
        assert 0.985 < image.sum() / SAMPLES**2 < 1.0
        y, x = np.indices(image.shape) - tables.middle * SAMPLES
        core = np.hypot(y, x) <= 3.0 * SAMPLES
        for corner in (image, image + _spread(tables.phases[1]), image + _spread(tables.phases[2])):
            assert corner.min() > -1e-9
            for along in (y, x):
                assert abs((corner * along)[core].sum() / corner[core].sum()) / SAMPLES < 0.01
    assert np.abs(psfs[0].tables.phases[1]).max() > 0.01 * psfs[0].tables.phases[0].max()


def _spread(phases):
    n = phases.shape[-1] * SAMPLES
    return phases.transpose(2, 0, 3, 1).reshape(n, n)


@pytest.mark.parametrize(
    ("values", "tolerance"),
    [
        ({"kind": "gc", "flux": 50.0}, 0.03),
        ({"kind": "background_extended", "flux": 200.0, "radius": 0.1, "axis_ratio": 0.5}, 0.01),
        ({"kind": "arc_clump", "flux": 2.0, "radius": 0.03, "axis_ratio": 0.5}, 0.02),
        ({"kind": "member", "flux": 2e4, "radius": 0.5, "axis_ratio": 0.6, "index": 3.0}, 0.03),
        ({"kind": "star", "flux": 3e6}, 0.02),
    ],
)
def test_an_object_brings_its_flux_to_its_place(psfs, frame, values, tolerance):
    values = {"position_angle": 30.0, "xi": 0.1, "eta": -0.2, **values}
    light, _ = Scene(frame, one(values.pop("kind"), **values), psfs, 1).light(0, 0, (512, 512))
    np.testing.assert_allclose(light.sum(axis=(1, 2)), values["flux"], rtol=tolerance)
    x, y = (float(v[0]) for v in frame.pixel(np.array([0.1]), np.array([-0.2])))
    j, i = round(y), round(x)
    assert light[2].argmax() == j * 512 + i


def test_a_source_is_the_shifted_psf_of_its_place_in_the_field(psfs, frame):
    # against spline interpolation of the tables, the slow way
    xi, eta = np.array([4.3]), np.array([-3.1])
    (x,), (y,) = frame.pixel(xi, eta)
    light, _ = Scene(frame, one("gc", flux=1e3, xi=4.3, eta=-3.1), psfs, 1).light(0, 0, (512, 512))
    u, v = 2 * (x + 0.5) / frame.nx - 1, 2 * (y + 0.5) / frame.ny - 1
    assert max(abs(u), abs(v)) > 0.2
    j, i = round(y), round(x)
    jj, ii = np.mgrid[j - 7 : j + 8, i - 7 : i + 8]
    for n, psf in enumerate(psfs):
        tables = psf.tables
        image = tables.image + u * _spread(tables.phases[1]) + v * _spread(tables.phases[2])
        at = [(c - p) * SAMPLES + tables.middle * SAMPLES for c, p in ((jj, y), (ii, x))]
        expected = 1e3 * map_coordinates(image, at, order=5)
        found = light[n, j - 7 : j + 8, i - 7 : i + 8]
        assert np.abs(found - expected).max() < 4e-3 * expected.max()


def test_small_disks_are_the_disk_convolved_with_the_psf(psfs, frame):
    values = {"flux": 100.0, "radius": 0.06, "axis_ratio": 0.6, "position_angle": 30.0, "index": 1.0}
    light, _ = Scene(frame, one("background_extended", xi=0.1, eta=-0.2, **values), psfs, 1).light(
        0, 0, (512, 512)
    )
    (x,), (y,) = frame.pixel(np.array([0.1]), np.array([-0.2]))
    # the slow way: 20,000 points of the disk drawn with the tables
    draw = np.random.default_rng(1)
    r, turn = draw.gamma(2.0, 2.0 / 1.678, 20_000), draw.uniform(0, 2 * np.pi, 20_000)
    angle = float(frame.angle(30.0))
    a, b = r * np.cos(turn), 0.6 * r * np.sin(turn)
    dx, dy = a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)
    j, i = round(y), round(x)
    total = np.zeros((15, 15))
    jj, ii = np.mgrid[j - 7 : j + 8, i - 7 : i + 8]
    tables, image = psfs[2].tables, psfs[2].tables.image
    for ox, oy in zip(dx, dy, strict=True):
        at = [
            np.rint((c - p) * SAMPLES).astype(int) + tables.middle * SAMPLES
            for c, p in ((jj, y + oy), (ii, x + ox))
        ]
        total += image[at[0], at[1]]
    expected = 100.0 * total / len(r)
    found = light[2, j - 7 : j + 8, i - 7 : i + 8]
    assert np.abs(found - expected).max() < 0.04 * expected.max()


def test_stars_have_six_long_spikes_and_two_short_ones(psfs, frame):
    light, seen = Scene(frame, one("star", flux=3e6), psfs, 1).light(0, 0, (512, 512))
    assert (seen[254:258, 254:258] == 0.0).all()

    def ring(r):
        turn = np.radians(np.arange(0, 360, 2) + TURN)
        at = [255.5 + r * np.sin(turn), 255.5 + r * np.cos(turn)]
        return map_coordinates(light[2], at, order=1)

    far = np.max([ring(r) for r in range(150, 164)], axis=0)
    spikes = [15, 45, 75, 105, 135, 165]  # 30, 90, ... degrees, in steps of 2
    assert min(far[spikes]) > 5.0 * np.median(far)
    assert max(far[0], far[90]) < 0.5 * min(far[spikes])
    near = np.mean([ring(r) for r in range(40, 54)], axis=0)
    assert min(near[0], near[90]) > 1.5 * np.median(near)
    # no step where the tables end
    mean = np.array([ring(r)[np.r_[5:10, 20:25]].mean() for r in range(80, 140)])
    assert (np.diff(np.log(np.convolve(mean, np.ones(5) / 5, "valid"))) < 0.1).all()


def test_a_galaxy_has_a_sharp_centre(psfs, frame):
    values = {"flux": 2e4, "radius": 0.5, "axis_ratio": 0.6, "index": 3.5, "xi": 0.1, "eta": -0.2}
    sharp, _ = Scene(frame, one("member", **values), psfs, 1).light(0, 0, (512, 512))
    soft, _ = Scene(frame, one("member", **values), [analytic_psf(b, SCALE) for b in BANDS], 1).light(
        0, 0, (512, 512)
    )
    assert (sharp.max(axis=(1, 2)) > 1.05 * soft.max(axis=(1, 2))).all()
    np.testing.assert_allclose(sharp.sum(axis=(1, 2)), soft.sum(axis=(1, 2)), rtol=0.01)


def test_the_model_can_be_chosen(tmp_path):
    options = {"preset": "tiny", "size": (96, 64), "bands": ["F150W"]}
    for name, more in (
        ("default", {}),
        ("optical", {"psf": "optical"}),
        ("round", {"psf": "round"}),
        ("model", {"psf_model": "round"}),
    ):
        simulate(tmp_path / name, **options, **more)
    data = {p.name: (p / "a_f150w_i2d.fits").read_bytes() for p in tmp_path.iterdir()}
    assert data["default"] == data["optical"]
    assert data["round"] == data["model"]
    assert data["optical"] != data["round"]
    with pytest.raises(ConfigError, match=r"psf: .*'square'.*optical or round"):
        simulate(tmp_path / "none", **options, psf="square")


def test_bands_are_within_their_passbands():
    assert set(BANDPASS) == set(BANDS)
