"""Steps in depth and faults: the noise is the noise that the truth says, and every fault does what it is named for."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from tilegc.errors import ConfigError
from tilegc.simulation import PRESETS, simulate
from tilegc.simulation.depth import (
    BAND_SHIFT,
    dead_column,
    relative_weight,
    step,
    strip,
    usual_pattern,
    wedge,
)
from tilegc.simulation.deviates import stream_key
from tilegc.simulation.faults import Faults, stripes
from tilegc.simulation.frame import layout_frames
from tilegc.simulation.mass import AnalyticMass
from tilegc.simulation.objects import Objects
from tilegc.simulation.population import populate
from tilegc.simulation.presets import BANDS
from tilegc.simulation.psf import analytic_psf
from tilegc.simulation.scene import Scene

SIDE = 400
EVERY_FAULT = {
    "steps": 3.0,
    "stripes": 0.4,
    "wisps": 1.0,
    "oversubtraction": 0.5,
    "cores": "negative",
}


@pytest.fixture(scope="module")
def field():
    preset = PRESETS["steps"]
    frame = layout_frames(preset, ((SIDE, SIDE), (SIDE, SIDE)))[0]
    return frame, populate(preset, (frame,), AnalyticMass(), 1, BANDS)


def scene(frame, objects, **faults) -> Scene:
    return Scene(frame, objects, [analytic_psf(band, 0.03) for band in BANDS], 3, Faults(**faults))


def nothing(objects: Objects) -> Objects:
    return Objects(**{name: getattr(objects, name)[:0] for name in Objects.__dataclass_fields__})


def weight_at(patch, x, y, side=200):
    return relative_weight([patch], (side, side), "F090W", y, x, (1, 1))[0, 0]


def test_patches_cover_what_they_are_named_for():
    # an even side: the middle of the field is between pixels 99 and 100
    half = step(0.0, 0.0, 3.0)
    assert [weight_at(half, x, 7) for x in (0, 99, 100, 199)] == pytest.approx([1, 1, 1 / 9, 1 / 9])
    beside = strip(90.0, 0.1, 2.0, width=20.0)
    assert [weight_at(beside, 5, y) for y in (99, 100, 119, 120)] == pytest.approx([1, 0.25, 0.25, 1])
    column = relative_weight([dead_column(0.1)], (200, 200), "F090W", 0, 0, (3, 200))
    assert (column == 0.0).sum(axis=1).tolist() == [1, 1, 1]
    thin = wedge((0.0, 0.0), 30.0, 10.0, 2.0)
    for angle, inside in ((30.0, True), (33.0, True), (36.0, False), (24.0, False), (210.0, False)):
        x, y = (round(99.5 + 80 * f(math.radians(angle))) for f in (math.cos, math.sin))
        assert (weight_at(thin, x, y) < 1.0) == inside
    assert usual_pattern(1.0, beside=True) == ()


def test_overlapping_patches_multiply_and_bands_are_shifted():
    patches = [step(0.0, 0.0, 3.0), step(90.0, 0.0, 2.0)]
    corner = relative_weight(patches, (200, 200), "F090W", 199, 199, (1, 1))
    assert corner[0, 0] == pytest.approx(1 / 36)
    for band, (dx, dy) in BAND_SHIFT.items():
        y, x = np.indices((200, 200))
        expected = np.where(x - 99.5 - dx >= 0, 1 / 9, 1) * np.where(y - 99.5 - dy >= 0, 1 / 4, 1)
        found = relative_weight(patches, (200, 200), band, 0, 0, (200, 200))
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("faults", [{}, {"stripes": 0.5}])
def test_pixels_scatter_as_the_truth_says(field, faults):
    frame, objects = field
    whole = scene(frame, nothing(objects), **faults)
    tiles = whole.render(0, 0, (SIDE, SIDE), 1.0, blank=math.nan)
    for n, ((sci, err, wht), noise) in enumerate(tiles):
        weight = relative_weight(frame.plan.depth, (SIDE, SIDE), BANDS[n], 0, 0, (SIDE, SIDE))
        good = np.isfinite(sci)
        assert (np.isfinite(noise) == good).all()
        assert not good[weight == 0.0].any()
        np.testing.assert_allclose(err[good], wht[good] ** -0.5, rtol=1e-5)
        depths = [v for v in np.unique(np.round(weight[good], 6)) if (np.round(weight, 6) == v).sum() > 3000]
        assert len(depths) >= 3
        for depth in depths:
            here = good & (np.round(weight, 6) == depth)
            assert (sci[here] / noise[here]).std() == pytest.approx(1.0, abs=0.06)
        deep, shallow = (
            np.median(noise[good & (np.round(weight, 6) == v)]) for v in (max(depths), min(depths))
        )
        assert shallow > 2.0 * deep


def test_stripes_are_one_over_f_along_rows():
    found = np.array([stripes(stream_key(k, "s"), 0, 0, (1500, 40)) for k in range(12)])
    assert found.std() == pytest.approx(1.0, abs=0.1)
    # along a row they are all but constant, across rows they are not white: means of 64 rows scatter by far more
    assert np.abs(np.diff(found, axis=2)).mean() < 0.1
    means = found[:, : 64 * 23, 20].reshape(12, 23, 64).mean(axis=2)
    assert means.std() > 2.0 * found.std() / 8.0


def test_wisps_follow_the_band(field):
    frame, objects = field
    plain, wispy = (
        scene(frame, nothing(objects), wisps=w).render(0, 0, (SIDE, SIDE), 1.0, blank=math.nan)
        for w in (0.0, 2.0)
    )
    peak = [
        float(np.nanmax(b[0][0] - a[0][0])) / rms
        for a, b, rms in zip(plain, wispy, scene(frame, nothing(objects)).rms, strict=True)
    ]
    assert peak[2] == pytest.approx(2.0, rel=0.15)
    assert peak[0] < 0.5 * peak[2]


def test_an_oversubtracted_sky_is_negative_round_the_bcg(field):
    frame, objects = field
    kinds = [0, 1]  # the brightest galaxy and the intracluster light
    rows = np.isin(objects.kind, kinds)
    few = Objects(**{name: getattr(objects, name)[rows] for name in Objects.__dataclass_fields__})
    plain, less = (
        scene(frame, few, oversubtraction=f).render(0, 0, (SIDE, SIDE), 1.0, blank=math.nan)[2][0][0]
        for f in (0.0, 0.5)
    )
    y, x = np.indices((SIDE, SIDE)) - 199.5
    ring = (np.hypot(x, y) > 170) & np.isfinite(plain)
    assert np.median(plain[ring]) > 0.0
    assert np.median(less[ring]) < np.median(plain[ring])
    alone = Objects(**{name: getattr(few, name)[1:] for name in Objects.__dataclass_fields__})
    before, after = (
        scene(frame, alone, oversubtraction=f).render(0, 0, (SIDE, SIDE), 1.0, blank=math.nan)[2][0][0]
        for f in (0.0, 0.5)
    )
    assert np.nanmedian(after[ring]) == pytest.approx(-0.5 * np.nanmedian(before[ring]), rel=0.1)


@pytest.mark.parametrize("cores", ["nan", "zero", "negative"])
def test_saturated_cores(tmp_path, cores):
    folder = tmp_path / cores
    simulate(folder, preset="tiny", size=(256, 64), bands=["F150W"], cores=cores, seed=1)
    with fits.open(folder / "a_f150w_i2d.fits") as hdus:
        sci, wht = hdus["SCI"].data, hdus["WHT"].data
    edge = 20  # ragged edges and the notch have no data in any case
    sci, wht = sci[edge:-30, edge:-edge], wht[edge:-30, edge:-edge]
    wrong = {
        "nan": np.isnan(sci),
        "zero": sci == 0.0,
        "negative": sci < 15.0 * np.nanmin(np.sort(sci, axis=None)[9:]),
    }
    if cores == "nan":
        assert 0 < wrong["nan"].sum() < 60
        assert (wht[wrong["nan"]] == 0.0).all()
    elif cores == "zero":
        assert 0 < wrong["zero"].sum() < 60
        assert (wht[wrong["zero"]] > 0.0).all()
        assert np.isfinite(sci).all()
    else:
        lowest = sci == sci.min()
        assert 1 < lowest.sum() < 60
        assert (wht[lowest] > 0.0).all()


@pytest.mark.parametrize("layout", ["i2d", "grizli"])
def test_same_bytes_for_any_tile_with_every_fault(tmp_path, layout):
    for tile in (37, 300):
        simulate(
            tmp_path / str(tile), preset="tiny", size=(150, 110), layout=layout, tile=tile, **EVERY_FAULT
        )

    def digests(folder):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}

    assert digests(tmp_path / "37") == digests(tmp_path / "300")
    with fits.open(tmp_path / "37" / "truth_noise_a.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *BANDS]
        assert hdus["F150W"].header["BUNIT"] == "nJy"
        assert hdus["F150W"].data.shape == (150, 150)


def test_an_even_mock_has_no_truth_of_the_noise(tmp_path):
    simulate(tmp_path, preset="tiny", size=(64, 64), bands=["F150W"], steps=1.0, stripes=0.0)
    assert not list(tmp_path.glob("truth_noise*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0.5}, "steps: 0.5 is not a number from 1 up"),
        ({"steps": "deep"}, "steps: 'deep'"),
        ({"stripes": -1}, "stripes: -1 is not a number from 0 up"),
        ({"wisps": math.nan}, "wisps: nan"),
        ({"oversubtraction": math.inf}, "oversubtraction: inf"),
        ({"cores": "white"}, "cores: .*nan, zero, negative"),
    ],
)
def test_refusals(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        simulate(tmp_path / "mock", preset="tiny", **options)
    assert not (tmp_path / "mock").exists()


def test_presets_keep_their_own_depth():
    assert not any(plan.depth for name in ("tiny", "small", "as1063") for plan in PRESETS[name].fields)
    assert all(plan.depth for plan in PRESETS["steps"].fields)
    assert replace(PRESETS["steps"], name="x").faults == Faults()
