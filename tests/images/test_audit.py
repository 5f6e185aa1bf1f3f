"""`tilegc audit`: each line says ok if all is well and what is wrong otherwise; known values of real images."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.wcs import WCS
from scipy import ndimage

from tests.support import mock
from tests.support.command import listing, tilegc
from tests.support.hand import flat_kappa, tan
from tilegc import previews
from tilegc.config import Cluster, resolve
from tilegc.images.audits import Line, columns
from tilegc.images.audits.cells import CoarseLight, block_side, sampled_cells
from tilegc.images.audits.lens import brightest, lens_lines
from tilegc.images.audits.lens_level import level_line
from tilegc.images.audits.line import judged
from tilegc.images.audits.points import expected_width
from tilegc.io.fits import BandSource, FieldSource
from tilegc.sky import SkyGrid

SIDE = 512
BANDS = ("F090W", "F150W", "F200W")
SIGMA = {"F090W": 0.74, "F150W": 0.85, "F200W": 1.05}
"""Widths of points, pixels of 0.03 arcsec: those that `expected_width` has, to 10 %."""
NOISE = 0.03

Fault = Callable[[dict[str, dict[str, np.ndarray]], fits.Header], None]


def header(scale: float = 0.03) -> fits.Header:
    cards = fits.Header.fromstring(tan((SIDE, SIDE), scale, SIDE / 2, SIDE / 2), sep="\n")
    cards["BUNIT"] = "nJy"
    return cards


def bands() -> dict[str, dict[str, np.ndarray]]:
    """Isolated points of every brightness in drizzled noise, with errors and weights."""
    draw = np.random.default_rng(4)
    y, x = (
        values.ravel()
        for values in np.meshgrid(np.arange(20, SIDE - 15, 24.0), np.arange(20, SIDE - 15, 24.0))
    )
    y, x = y + draw.uniform(-2, 2, y.size), x + draw.uniform(-2, 2, x.size)
    flux = 10 ** draw.uniform(0.3, 2.2, y.size)
    taps = np.array([0.109, 1.0, 0.109]) / math.sqrt(1 + 2 * 0.109**2)
    made = {}
    for band in BANDS:
        image = np.zeros((SIDE, SIDE))
        for cy, cx, total in zip(y, x, flux, strict=True):
            j, i = int(cy) - 9, int(cx) - 9
            rows, columns_ = np.arange(j, j + 19)[:, None] - cy, np.arange(i, i + 19)[None, :] - cx
            spread = np.exp(-(rows**2 + columns_**2) / (2 * SIGMA[band] ** 2))
            image[j : j + 19, i : i + 19] += total * spread / (2 * math.pi * SIGMA[band] ** 2)
        white = draw.normal(0, NOISE, (SIDE, SIDE))
        image += ndimage.correlate1d(ndimage.correlate1d(white, taps, 0), taps, 1)
        made[band] = {
            "SCI": image.astype(np.float32),
            "ERR": np.full((SIDE, SIDE), NOISE, np.float32),
            "WHT": np.full((SIDE, SIDE), NOISE**-2, np.float32),
        }
    return made


def audited(
    folder: Path,
    fault: Fault | None = None,
    scale: float = 0.03,
    psf: dict[str, str] | None = None,
    **settings: object,
) -> dict[tuple[str, str], Line]:
    """Write the field with a fault and return the audit's lines by check and band."""
    planes, cards = bands(), header(scale)
    if fault is not None:
        fault(planes, cards)
    for band, images in planes.items():
        hdus = [fits.ImageHDU(values, cards, name=name) for name, values in images.items()]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / f"{band}.fits")
    config = resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "hand", "redshift": 0.348, "ra": 342.18, "dec": -44.53},
            "fields": [
                {
                    "name": "a",
                    "bands": {
                        band: {"sci": str(folder / f"{band}.fits"), "psf": (psf or {}).get(band)}
                        for band in planes
                    },
                }
            ],
            **settings,
        }
    )
    return {(line.check, line.band): line for line in previews.audit(config)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[tuple[str, str], Line]:
    return audited(tmp_path_factory.mktemp("sound"))


def test_a_sound_field_is_ok(sound):
    assert {key for key, line in sound.items() if line.verdict != "ok" and key[0] != "centre"} == set()
    checks = {check for check, _ in sound}
    assert checks >= {
        "scale",
        "units",
        "colours",
        "astrometry",
        "err",
        "correlation",
        "psf",
        "cores",
        "weights",
    }
    for band in BANDS:
        assert sound["astrometry", band].value < 0.03
        assert sound["err", band].value == pytest.approx(1, abs=0.03)
        assert sound["correlation", band].value == pytest.approx(1.33, abs=0.06)
        assert sound["psf", band].value == pytest.approx(2.3548 * SIGMA[band], rel=0.06)
        assert abs(sound["cores", band].value) < 0.1
        assert sound["weights", band].value == 1
        assert sound["units", band].value == pytest.approx(31.4)
    assert all(line.remedy == "" for line in sound.values() if line.verdict == "ok")


def shift(planes, _cards):
    planes["F150W"]["SCI"] = ndimage.shift(planes["F150W"]["SCI"], (0.0, 4.4), order=3).astype(np.float32)


def shift_little(planes, _cards):
    planes["F150W"]["SCI"] = ndimage.shift(planes["F150W"]["SCI"], (0.2, 0.0), order=3).astype(np.float32)


def error_too_small(planes, _cards):
    planes["F090W"]["ERR"] /= 2


def error_too_large(planes, _cards):
    planes["F090W"]["ERR"] *= 3


def stripes(planes, _cards):
    broad = ndimage.gaussian_filter1d(np.random.default_rng(1).normal(0, 1, SIDE), 8)
    planes["F200W"]["SCI"] += (0.05 * broad / broad.std()).astype(np.float32)[:, None]


def smoothed(planes, _cards):
    planes["F090W"]["SCI"] = ndimage.gaussian_filter(planes["F090W"]["SCI"], 1.6)


def hot_pixels(planes, _cards):
    y, x = np.meshgrid(np.arange(32, SIDE - 20, 24), np.arange(32, SIDE - 20, 24))
    planes["F200W"]["SCI"][y, x] += 8


def eaten(planes, _cards):
    """Cores of bright points are removed, as by outlier rejection; the weights do not show it."""
    image = planes["F090W"]["SCI"]
    peaks = (image == ndimage.maximum_filter(image, 9)) & (image > 6)
    image[ndimage.maximum_filter(peaks, 3)] *= 0.4


def eaten_weights(planes, _cards):
    planes["F150W"]["WHT"][ndimage.maximum_filter(planes["F150W"]["SCI"] > 4, 5)] *= 0.5


def step(planes, _cards):
    planes["F090W"]["WHT"][:, : SIDE // 2 + 40] /= 16


def wrong_zero_point(planes, _cards):
    for name in planes["F090W"]:
        planes["F090W"][name] *= 20


def wrong_header(_planes, cards):
    cards["PHOTFNU"] = 1e-8


@pytest.mark.parametrize(
    ("fault", "check", "band", "verdict", "words"),
    [
        (shift, "astrometry", "F150W", "wrong", "align"),
        (shift_little, "astrometry", "F150W", "look", "align"),
        (error_too_small, "err", "F090W", "wrong", "multiply err by 2"),
        (error_too_large, "err", "F090W", "wrong", "multiply err by 0."),
        (stripes, "correlation", "F200W", "wrong", "background"),
        (smoothed, "psf", "F090W", "wrong", "wider"),
        (hot_pixels, "psf", "F200W", "wrong", "narrower"),
        (eaten, "cores", "F090W", "wrong", "outlier"),
        (eaten_weights, "cores", "F150W", "wrong", "outlier"),
        (step, "weights", "F090W", "wrong", "threshold"),
        (wrong_zero_point, "colours", "F090W", "wrong", "units"),
        (wrong_header, "units", "F200W", "wrong", "PHOTFNU makes it 10 nJy"),
    ],
)
def test_faults(fault, check, band, verdict, words, sound, tmp_path):
    found = audited(tmp_path, fault)
    line = found[check, band]
    assert line.verdict == verdict, line
    assert words in f"{line.finding}; {line.remedy}"
    assert line.remedy
    # Bands that nothing was done to keep their verdicts.
    for (name, other), calm in found.items():
        if name == check and other not in {band, ""} and fault is not wrong_header:
            assert calm.verdict == "ok", calm
    assert sound[check, band].verdict == "ok"


def no_errors(planes, _cards):
    planes["F090W"]["ERR"][:] = 0


def negative_weights(planes, _cards):
    planes["F150W"]["WHT"][:256, :256] *= -1


@pytest.mark.parametrize(
    ("fault", "band", "share", "words"),
    [
        (no_errors, "F090W", 1.0, "error of zero at 100 % of the sampled pixels"),
        (negative_weights, "F150W", 0.25, "in rows 0 to 255 and columns 0 to 255"),
    ],
)
def test_weights_and_errors_that_say_nothing(fault, band, share, words, sound, tmp_path, recwarn):
    line = audited(tmp_path, fault)["useless", band]
    assert line.verdict == "wrong"
    assert line.value == pytest.approx(share)
    assert words in line.finding
    assert not any(check == "useless" for check, _ in sound)
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)]


def test_a_centre_outside_of_all_fields(tmp_path):
    cluster = {"name": "hand", "redshift": 0.348, "ra": 342.19, "dec": -44.53}
    found = audited(tmp_path, cluster=cluster)
    line = found["outside", ""]
    assert line.verdict == "wrong"
    # The field is 15 arcsec wide about ra 342.18, and the centre 25.7 arcsec from there.
    assert line.value == pytest.approx(0.01 * 3600 * math.cos(math.radians(44.53)) - 7.68, abs=0.1)
    assert "from the nearest, a" in line.finding
    assert ("centre", "") not in found
    run_file = tmp_path / "run.yaml"
    bands_ = {band: str(tmp_path / f"{band}.fits") for band in BANDS}
    content = {"recipe": "diego2026", "cluster": cluster, "fields": [{"name": "a", "bands": bands_}]}
    run_file.write_text(yaml.safe_dump(content))
    planned = tilegc("plan", run_file)
    assert planned.code == 0
    assert "note: cluster: the centre of hand" in planned.out


def crowd(planes, columns_: slice) -> None:
    """Add points so crowded that their wings meet, the same in all bands, in some columns."""
    draw = np.random.default_rng(8)
    sources = np.zeros((SIDE, SIDE))
    rows, columns = draw.integers(0, SIDE, (2, SIDE * SIDE // 40))
    np.add.at(sources, (rows, columns), 10 ** draw.uniform(-0.6, 0.6, rows.size))
    sources = ndimage.gaussian_filter(sources, 1.2)
    for images in planes.values():
        images["SCI"][:, columns_] += sources[:, columns_].astype(np.float32)


def test_sources_are_not_noise(tmp_path):
    """Compared with the planted noise: half of the field crowded, all of it crowded, and in a single band."""
    half, whole, alone = (tmp_path / name for name in ("half", "whole", "alone"))
    for folder in (half, whole, alone):
        folder.mkdir()
    found = audited(half, lambda planes, _: crowd(planes, slice(0, 256)))
    for band in BANDS:
        assert found["err", band].value == pytest.approx(1, abs=0.04)
        assert found["correlation", band].value == pytest.approx(1.33, abs=0.12)
        assert "crowded cells excluded: 2" in found["err", band].finding
    found = audited(whole, lambda planes, _: crowd(planes, slice(None)))
    for band in BANDS:
        for check in ("err", "correlation"):
            line = found[check, band]
            assert (line.verdict, line.remedy) == ("unmeasured", "")
            assert "too few quiet pixels" in line.finding

    def lonely(planes, _cards):
        crowd(planes, slice(None))
        for band in BANDS[1:]:
            del planes[band]

    line = audited(alone, lonely)["err", BANDS[0]]
    assert line.value > 1.2
    assert line.verdict == "look"
    assert "one band: light of faint sources counts as noise" in line.finding


def test_values_of_faults(tmp_path):
    for name, fault in (("shift", shift), ("step", step), ("eaten", eaten)):
        (tmp_path / name).mkdir()
        found = audited(tmp_path / name, fault)
        if fault is shift:
            assert found["astrometry", "F150W"].value == pytest.approx(4.4, abs=0.05)
            assert "= 131.9 mas" in found["astrometry", "F150W"].finding  # mas
        elif fault is step:
            assert found["weights", "F090W"].value == pytest.approx(4.0)
            # Where thresholds follow the noise, a step is worth a look and no more.
            (tmp_path / "calibrated").mkdir()
            line = audited(tmp_path / "calibrated", step, recipe="calibrated")["weights", "F090W"]
            assert line.verdict == "look"
            assert "follow the noise" in line.remedy
        else:
            assert (
                0.25 < found["cores", "F090W"].value < 0.65
            )  # 0.6: the centroid of what is left is not that of the cut


@pytest.mark.parametrize(
    ("scale", "verdict"), [(0.0301, "ok"), (0.04, "look"), (0.06, "wrong"), (0.015, "wrong")]
)
def test_scale(scale, verdict, tmp_path):
    line = audited(tmp_path, scale=scale)["scale", ""]
    assert line.verdict == verdict
    assert line.value == pytest.approx(scale)
    if verdict == "ok":
        return
    # What it says to do is a run file that works and means the same lengths on the sky.
    text = line.remedy[line.remedy.index("filter.stages: ") :]
    stages = yaml.safe_load(text.split(": ", 1)[1].split(" and ", maxsplit=1)[0])
    assert np.array(stages) * scale == pytest.approx(np.array([[0.5, 5], [1, 3]]) * 0.03, rel=0.02)
    assert float(text.rsplit(": ", 1)[1]) * scale == pytest.approx(0.09, rel=0.02)


@pytest.mark.parametrize(
    ("scale", "verdict", "asked", "remedy"),
    [
        (0.04, "look", {}, "or set detect.exclusion_radius: 1.5"),
        (0.1, "wrong", {}, "or set detect.exclusion_radius: 1"),
        (0.06, "look", {"exclusion_radius": 1.2}, "make sure that they suit these pixels"),
    ],
)
def test_scale_of_calibrated(scale, verdict, asked, remedy, tmp_path):
    """Its filter is made from the PSF, so the audit does not mention widths that are not used."""
    found = audited(tmp_path, scale=scale, recipe="calibrated", detect=asked)
    line = found["scale", ""]
    assert line.verdict == verdict
    assert ("the run file sets its own" in line.finding) == bool(asked)
    assert line.remedy.endswith(remedy)
    assert "filter" not in line.finding + line.remedy
    assert not any("filter" in one.remedy for one in found.values())


@pytest.mark.parametrize(
    ("total", "centre", "sigma", "verdict"),
    [
        (1.0, 20.0, 0.85, "ok"),
        (0.97, 20.0, 0.85, "look"),
        (1.0, 20.4, 0.85, "look"),
        (1.0, 20.0, 1.7, "wrong"),
    ],
)
def test_a_psf_file(total, centre, sigma, verdict, tmp_path):
    y, x = np.indices((41, 41))
    spot = np.exp(-((y - 20.0) ** 2 + (x - centre) ** 2) / (2 * sigma**2))
    fits.writeto(tmp_path / "psf.fits", spot * total / spot.sum(), fits.Header({"PIXELSCL": 0.03}))
    line = audited(tmp_path, psf={"F150W": str(tmp_path / "psf.fits")})["psf file", "F150W"]
    assert line.verdict == verdict, line
    assert line.value == pytest.approx(total, abs=1e-3)


def test_an_empty_field_has_lines_without_values(tmp_path):
    def nothing(planes, _cards):
        for images in planes.values():
            images["SCI"][:] = 0.0

    found = audited(tmp_path, nothing)
    for check in ("astrometry", "psf", "cores", "colours"):
        assert found[check, "F200W"].verdict == "unmeasured"
        assert math.isnan(found[check, "F200W"].value)


@pytest.mark.parametrize("shape", [(1, 1), (9, 12), (40, 31), (3, 200)])
def test_a_field_smaller_than_what_is_measured_in_has_lines(shape, tmp_path):
    def cut(planes, _cards):
        for images in planes.values():
            for name in images:
                images[name] = images[name][20 : 20 + shape[0], 20 : 20 + shape[1]]

    found = audited(tmp_path, cut)
    assert {line.verdict for key, line in found.items() if key[0] not in {"centre", "outside"}} <= {
        "ok",
        "unmeasured",
    }
    for check in ("err", "correlation", "weights", "psf"):
        assert found[check, "F150W"].verdict == "unmeasured"
    assert "too few quiet pixels" in found["err", "F150W"].finding


# --- the convergence map ------------------------------------------------------------------------------------

CLUSTER = Cluster(name="hand", redshift=0.348, ra=342.18, dec=-44.53)
SHAPE = (2400, 2400)


def lens_source() -> FieldSource:
    wcs = tan(SHAPE, 0.03, 1200.0, 1200.0)
    return FieldSource(
        "a", SHAPE, (BandSource("F", None),), wcs, wcs, 0.03, 0.0009, has_err=False, has_wht=False
    )


def halo(xi, eta, core, angle=35.0, ratio=0.6):
    """An ellipse with its major axis `angle` degrees from north to east."""
    sin, cos = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    along, across = xi * sin + eta * cos, xi * cos - eta * sin
    return (1 + (ratio * along**2 + across**2 / ratio) / core**2) ** -0.8


def coarse(shift=(0.0, 0.0), star=False, saturated=False) -> CoarseLight:
    """The light of a galaxy, and of a brighter star, in blocks of 16 px."""
    middle = np.arange(150) * 16 + 7.5
    eta, xi = np.meshgrid((middle - 1200) * 0.03, -(middle - 1200) * 0.03, indexing="ij")
    light = 2.0 * halo(xi - shift[0], eta - shift[1], 2.0)
    missing = np.zeros(light.shape)
    if star:
        away = np.hypot(xi - 15, eta + 12)
        light += 500 * (1 + (away / 0.15) ** 2) ** -1.5
        if saturated:
            missing[away < 0.8], light[away < 0.8] = 1.0, np.nan
            light += np.where(away < 6, 50, 0)
    return CoarseLight(middle, middle, light, missing)


def kappa(shift=(0.0, 0.0), angle=35.0):
    axis = np.arange(-60, 61) * 0.5
    eta, xi = np.meshgrid(axis, -axis, indexing="ij")
    return flat_kappa(1.5 * halo(xi - shift[0], eta - shift[1], 12.0, angle), 0.5)


def lens(light, mass) -> dict[str, Line]:
    return {line.check: line for line in lens_lines(CLUSTER, lens_source(), light, mass)}


def test_kappa_on_the_galaxy():
    found = lens(coarse(), kappa())
    assert {line.verdict for line in found.values()} == {"ok"}
    assert found["kappa"].value < 0.8
    assert found["orientation"].value > 0.9


@pytest.mark.parametrize(
    ("shift", "verdict"), [((3.0, -1.0), "ok"), ((0.0, 8.0), "look"), ((-14.0, 9.0), "wrong")]
)
def test_kappa_beside_the_galaxy(shift, verdict):
    found = lens(coarse(), kappa(shift))
    assert found["kappa"].verdict == verdict
    assert found["kappa"].value == pytest.approx(math.hypot(*shift), abs=0.8)
    assert found["centre"].verdict == "ok"


def test_a_centre_beside_the_galaxy():
    found = lens(coarse((17.0, 3.0)), kappa((17.0, 3.0)))
    assert found["centre"].verdict == "wrong"
    assert found["centre"].value == pytest.approx(17.3, abs=0.8)
    assert "east" in found["centre"].finding
    assert found["kappa"].verdict == "ok"


def level(values, *, weak_lensing=False) -> Line:
    return level_line(CLUSTER, flat_kappa(values, 0.5), weak_lensing=weak_lensing)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda values: values, "ok"),
        (lambda values: values - values.mean(), "wrong"),
        (lambda values: values - np.quantile(values, 0.2), "wrong"),
        (lambda values: values - np.quantile(values, 0.02), "look"),
        (lambda values: np.where(values < 0.1, np.nan, values), "ok"),
        (lambda values: values * np.nan, "unmeasured"),
    ],
)
def test_the_level_of_kappa(change, verdict):
    values = change(kappa().values)
    line = level(values)
    assert line.verdict == verdict
    if verdict in {"look", "wrong"}:
        share = 100 * (values < 0).mean()
        assert float(line.finding.partition(" %")[0]) == pytest.approx(share, rel=0.01)
        assert "weak_lensing" in line.remedy
        declared = level(values, weak_lensing=True)
        assert declared.verdict == "ok"
        assert "declared" in declared.finding


def test_the_outskirts_of_kappa_are_those_far_from_the_cluster():
    y, x = np.indices((121, 121)) - 60.0
    far = np.hypot(y, x) > np.quantile(np.hypot(y, x), 0.76)
    line = level(np.where(far, 0.2, 1.0))
    assert line.value == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("angle", [125.0, -35.0])  # turned by 90 deg; mirrored
def test_a_turned_map(angle):
    line = lens(coarse(), kappa(angle=angle))["orientation"]
    assert line.verdict in {"look", "wrong"}
    assert line.value < 0.2
    assert "CD matrix" in line.remedy
    assert ("turned" if angle > 0 else "mirrored") in line.finding or angle > 0


@pytest.mark.parametrize("saturated", [False, True])
def test_a_star_is_no_galaxy(saturated):
    light = coarse(star=True, saturated=saturated)
    place = brightest(light, 0.03)
    assert math.hypot(place[0] - 1200, place[1] - 1200) * 0.03 < 1.0
    peak = np.unravel_index(np.nanargmax(light.light), light.light.shape)
    assert math.hypot(light.y[peak[0]] - 1200, light.x[peak[1]] - 1200) * 0.03 > 10


def test_no_light_or_no_map():
    assert lens_lines(CLUSTER, lens_source(), None, None) == []
    assert [line.verdict for line in lens_lines(CLUSTER, lens_source(), None, kappa())] == ["unmeasured"]
    dark = CoarseLight(np.arange(3.0), np.arange(3.0), np.full((3, 3), np.nan), np.ones((3, 3)))
    assert brightest(dark, 0.03) is None
    far = flat_kappa(np.ones((5, 5)), 0.5)
    away = type(far)(far.values, SkyGrid(10.0, 10.0, 1.0) and tan_at(10.0), 1.0, 1.0, 1.0, "k")
    assert lens(coarse(), away)["kappa"].verdict == "wrong"


def tan_at(ra: float) -> str:
    text = tan((5, 5), 0.5, 2.0, 2.0)
    return "\n".join(
        f"CRVAL1  = {ra:20.6f}" if card.startswith("CRVAL1") else card for card in text.split("\n")
    )


# --- frame --------------------------------------------------------------------------------------------------


def test_sampled_cells_belong_to_the_lattice():
    for shape in ((100, 90), (256, 700), (1100, 1300), (4400, 4400), (9000, 300)):
        cells = sampled_cells(shape)
        assert 1 <= len(cells) <= 16
        assert len(set(cells)) == len(cells)
        assert all(box.y0 % 256 == box.x0 % 256 == 0 and box.size for box in cells)
        assert all(box.y1 <= shape[0] and box.x1 <= shape[1] for box in cells)
    assert len(sampled_cells((1000, 820))) == 16
    assert [block_side(scale) for scale in (0.5, 0.06, 0.03, 0.02, 0.005)] == [1, 8, 16, 32, 32]


def test_verdicts_and_widths():
    assert [judged(value, 1.0, 2.0) for value in (1.0, 1.5, 2.5, math.nan)] == [
        "ok",
        "look",
        "wrong",
        "unmeasured",
    ]
    assert expected_width("F090W", 0.03) == pytest.approx(0.047, abs=0.001)
    assert expected_width("nrca-f444w", 0.03) > 0.14
    assert expected_width("F606W", 0.03) is None


def test_command_line(tmp_path):
    run_file = mock.write_inputs(tmp_path / "mock")
    before = listing(tmp_path / "mock")
    shown = tilegc("audit", run_file)
    assert (shown.code, shown.err) == (0, "")
    assert "wrong" in shown.out  # pixels of half an arcsec
    assert not re.search("^(ok|unmeasured) ", shown.out, re.MULTILINE)
    whole = tilegc("audit", run_file, "--all")
    assert re.search("^ok +field a: ", whole.out, re.MULTILINE)
    assert all(len(line) <= 100 for line in (*shown.out.splitlines(), *whole.out.splitlines()))
    assert set(shown.out.splitlines()[:-1]) < set(whole.out.splitlines())
    said = tilegc("audit", run_file, "--json")
    assert (said.code, said.err) == (0, "")
    lines = json.loads(said.out)["audit"]
    assert {line["check"] for line in lines} >= {"scale", "units", "err", "kappa", "centre"}
    assert all(line["verdict"] in {"ok", "look", "wrong", "unmeasured"} for line in lines)
    assert listing(tmp_path / "mock") == before


def test_bad_input(tmp_path):
    said = tilegc("audit", tmp_path / "none.yaml")
    assert said.code == 2
    assert said.err.count("\n") == 1
    run_file = mock.write_inputs(tmp_path / "mock")
    (tmp_path / "mock" / "a_f150w_i2d.fits").unlink()
    said = tilegc("audit", run_file, "--json")
    assert (said.code, said.out) == (2, "")
    assert "a_f150w_i2d.fits" in said.err


@pytest.mark.parametrize("container", ["rice", "grizli-gz"])
def test_the_same_lines_from_any_file(container, tmp_path):
    plain = previews.audit(mock.write_inputs(tmp_path / "i2d", container="grizli"))
    other = previews.audit(mock.write_inputs(tmp_path / container, container=container))
    checks = ("astrometry", "correlation", "psf", "cores", "scale")
    a, b = (
        [(line.check, line.field, line.band, str(line.value)) for line in lines if line.check in checks]
        for lines in (plain, other)
    )
    assert len(a) > 10
    if container == "grizli-gz":
        assert [str(line) for line in plain] == [str(line) for line in other]
    else:
        assert [row[:3] for row in a] == [row[:3] for row in b]


def test_columns_hold_every_line():
    line = Line("err", "a", "F", math.nan, "", "unmeasured", "nothing", "")
    table = columns([line, line])
    assert set(table) == {"check", "field", "band", "value", "unit", "verdict", "finding", "remedy"}
    assert all(len(column) == 2 for column in table.values())
    assert len(columns([])["value"]) == 0


# --- real images --------------------------------------------------------------------------------------------


def real(
    folder: Path, bands_: dict[str, dict[str, object]], sky: tuple[float, float]
) -> dict[tuple[str, str], Line]:
    config = resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "real", "redshift": 0.348, "ra": sky[0], "dec": sky[1]},
            "fields": [{"name": "a", "bands": bands_}],
        }
    )
    assert folder.is_dir()
    return {(line.check, line.band): line for line in previews.audit(config)}


def centre_of(path: Path) -> tuple[float, float]:
    with fits.open(path) as hdus:
        shape, wcs = hdus[0].data.shape, WCS(hdus[0].header)
    ra, dec = wcs.all_pix2world(shape[1] / 2, shape[0] / 2, 0)
    return float(ra), float(dec)


@pytest.fixture(scope="module")
def uds(real_data):
    stem = str(real_data / "images" / "uds_jwst_nircam_")
    given = {
        f"F{band}W": {"sci": f"{stem}f{band}w_40mas_sci.fits.gz", "wht": f"{stem}f{band}w_40mas_wht.fits.gz"}
        for band in (115, 444)
    }
    given["F115W"]["psf"] = str(real_data / "psf" / "psf_grizli40mas_ceers_nrca3_f115w.fits")
    return real(real_data, given, centre_of(Path(given["F115W"]["sci"])))


def test_uds(uds):
    """Known: 10 nJy a count; S/N scatters by 0.84, boxes of 4 and 8 px 1.19 and 1.49 times white; depth 61..2800."""
    assert uds["scale", ""].verdict == "look"
    assert uds["units", "F115W"].value == pytest.approx(28.9)
    assert uds["units", "F115W"].verdict == "ok"
    assert 0.8 < uds["err", "F115W"].value < 0.9
    assert uds["err", "F115W"].verdict == "ok"
    assert 1.15 < uds["correlation", "F115W"].value < 1.45
    assert uds["correlation", "F115W"].verdict == "ok"
    assert uds["weights", "F115W"].verdict == "wrong"
    assert 2.5 < uds["weights", "F115W"].value < 4.0
    assert uds["astrometry", "F444W"].verdict == "ok"
    for band in ("F115W", "F444W"):
        assert uds["psf", band].verdict in {"ok", "look"}
    # grizli's PSF files: sums of 0.966 to 0.977, centres up to 0.6 px off.
    assert uds["psf file", "F115W"].verdict == "look"
    assert 0.96 < uds["psf file", "F115W"].value < 0.98
    # Long wavelengths: more correlated, wider.
    assert uds["correlation", "F444W"].value > uds["correlation", "F115W"].value
    assert uds["psf", "F444W"].value > 1.5 * uds["psf", "F115W"].value


def test_xdf(real_data):
    """In 60 mas pixels drizzled from 130 mas ones, rms maps give the scatter of areas; pixels scatter half as much."""
    stem = str(real_data / "images" / "xdf_hst_wfc3_")
    given = {
        band.upper(): {
            "sci": f"{stem}{band}_60mas_sci_200x200.fits",
            "err": f"{stem}{band}_60mas_rms_200x200.fits",
            "zero_point": zero,
        }
        for band, zero in (("f105w", 26.27), ("f160w", 25.94))
    }
    found = real(real_data, given, centre_of(Path(f"{stem}f105w_60mas_sci_200x200.fits")))
    assert found["scale", ""].verdict == "wrong"
    assert found["units", "F105W"].value == pytest.approx(26.27, abs=0.001)
    for band in ("F105W", "F160W"):
        assert 0.42 < found["err", band].value < 0.55
        assert found["err", band].verdict == "ok"
        assert 1.8 < found["correlation", band].value < 2.1
        assert found["correlation", band].verdict == "look"
