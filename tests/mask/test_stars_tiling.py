"""Bright stars and their discs do not depend on the tiles."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_chain import setup_of
from tilegc.filter import detection_map
from tilegc.images.psfs import BandPsf
from tilegc.io import store
from tilegc.kernels.psf import quantised
from tilegc.mask import mask_map as mask
from tilegc.mask.bright_stars import _apart, star_middles
from tilegc.mask.mask_map import Regions
from tilegc.mask.wings import REACH, STEPS, ring_shares, rings, star_flux, wings
from tilegc.schema import STARS, Bit

SCALE = 1.0
"""Pixel of `setup_of`, arcsec."""

PROFILE = wings("B0", SCALE, None)


def scene(seed, shape, places, core):
    """Stars at these places, as bright as it takes, NaN within `core` of the first one, and a galaxy's core."""
    draw = np.random.default_rng(seed)
    sci = draw.normal(0, 1, (1, *shape)).astype(np.float32)
    y, x = np.indices(shape)
    for number, (row, column) in enumerate(places):
        distance = np.hypot(y - row, x - column)
        star = 3e6 / (number + 1) * np.interp(distance, np.arange(STEPS * REACH + 1) / STEPS, PROFILE)
        star[distance <= 3] = 0.7 * 3e6 / (number + 1) / 29
        sci[0] += star.astype(np.float32)
        if number == 0:
            sci[0][distance <= core] = np.nan
    return sci


def run(sci, tile, psfs=None):
    with tempfile.TemporaryDirectory() as folder:
        context, config = setup_of(Path(folder), sci, None, tile, {}, "off", spikes="auto", arcs="off")
        detection_map.detection_map(context, config)
        stars = mask.mask(context, config, {"f": Regions((), ())}, psfs)
        field = context.fields[0]
        return store.read(field.store, "mask", field.source.box), stars


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 99),
    tile=st.sampled_from([16, 23, 45]),
    row=st.integers(0, 89),
    column=st.integers(0, 89),
    core=st.sampled_from([-1.0, 1.0, 3.5]),
)
def test_any_place_in_any_tiling(seed, tile, row, column, core):
    sci = scene(seed, (90, 90), [(row, column)], core)
    whole, stars = run(sci, 1000)
    tiled, again = run(sci, tile)
    np.testing.assert_array_equal(tiled, whole)
    for name, values in stars.items():
        np.testing.assert_array_equal(again[name], values, name)


def test_discs_across_the_corners_of_tiles():
    """A core without data on the corner of four tiles of 45 px, and a fainter star whose disc crosses a border."""
    sci = scene(1, (180, 200), [(90, 90), (40, 142)], 3.5)
    whole, stars = run(sci, 1000)
    assert list(stars) == [column.name for column in STARS]
    assert list(zip(stars["y"], stars["x"], strict=True)) == [(90, 90), (40, 142)]
    np.testing.assert_allclose(stars["flux"], [3e6, 1.5e6], rtol=0.1)
    assert np.isnan(stars["core"][0])
    assert stars["core"][1] == pytest.approx(0.7, abs=0.1)
    y, x = np.indices(whole.shape)
    discs = np.zeros(whole.shape, bool)
    for row, column, radius in zip(stars["y"], stars["x"], stars["radius"], strict=True):
        assert 8 < radius < 60
        discs |= (y - row) ** 2 + (x - column) ** 2 <= radius**2
    spike = (whole & Bit.SPIKE) != 0
    assert spike[discs].all()
    assert (spike & ~discs).mean() < 0.1
    for tile in (45, 31):
        tiled, again = run(sci, tile)
        np.testing.assert_array_equal(tiled, whole)
        for name, values in stars.items():
            np.testing.assert_array_equal(again[name], values, name)


@pytest.fixture(scope="module")
def crossed():
    """A PSF file whose spikes lie along y and x, fall with the square of the distance, and are seen in no noise."""
    offset = np.abs(np.arange(-70, 71))
    distance = np.hypot(offset[:, None], offset)
    image = np.interp(distance, np.arange(STEPS * REACH + 1) / STEPS, PROFILE)
    image[70, 70] = 0.7
    spike = (np.minimum(offset[:, None], offset) == 0) & (distance >= 8)
    image[spike] = 4 * PROFILE[8 * STEPS] * (8 / distance[spike]) ** 2
    return quantised(image)


def test_spikes_of_a_given_psf_are_masked_to_where_they_are_faint(crossed):
    sci = scene(2, (180, 200), [(90, 90)], 3.5)
    psfs = {"f": (BandPsf("B0", crossed, "given", 0),)}
    plain, _ = run(sci, 1000)
    whole, stars = run(sci, 1000, psfs)
    assert (stars["y"].tolist(), stars["x"].tolist()) == ([90], [90])
    y, x = np.indices(whole.shape)
    radius, across = np.hypot(y - 90, x - 90), np.minimum(abs(y - 90), abs(x - 90))
    light = stars["flux"][0] * np.pad(crossed.image, ((20, 19), (20, 39)))
    bright = (light >= 2 * 0.55 * stars["noise"][0]) & (across == 0) & (radius >= 8)
    spike, before = ((bits & Bit.SPIKE) != 0 for bits in (whole, plain))
    assert spike[bright].all()
    assert not before[bright & (radius > stars["radius"][0] + 3)].any()
    assert (bright & ~before).sum() > 40
    beside = (radius > stars["radius"][0] + 3) & (across > 3)
    np.testing.assert_array_equal(spike[beside], before[beside])
    for tile in (45, 31):
        np.testing.assert_array_equal(run(sci, tile, psfs)[0], whole)


def test_without_spikes_there_are_no_stars():
    sci = scene(1, (90, 90), [(45, 45)], -1.0)
    with tempfile.TemporaryDirectory() as folder:
        context, config = setup_of(Path(folder), sci, None, 64, {}, "off", spikes="off", arcs="auto")
        detection_map.detection_map(context, config)
        stars = mask.mask(context, config, {"f": Regions((), ())})
        field = context.fields[0]
        assert not (store.read(field.store, "mask", field.source.box) & Bit.SPIKE).any()
    assert list(stars) == [column.name for column in STARS]
    assert not any(column.size for column in stars.values())


def damaged(core, size=160):
    """A star at (80, 83) whose saturated core is zero or negative, a galaxy's bright middle 14 px off, and noise."""
    sci = scene(3, (size, size), [(80, 83)], -1.0)
    y, x = np.indices((size, size))
    sci[0] += (3000 * np.exp(-((y - 80) ** 2 + (x - 97) ** 2) / 8)).astype(np.float32)
    sci[0][np.hypot(y - 80, x - 83) <= 2] = core
    return sci


@pytest.mark.parametrize("core", [0.0, -500.0, np.nan])
def test_damaged_cores_belong_to_their_star(core):
    """A star is recognised whatever values pipelines write in its saturated core."""
    light = damaged(core)[0]
    whole, tried = star_middles(light, (80, 87), 24)
    assert tried[0] == (80, 83)
    y, x = np.indices(light.shape)
    np.testing.assert_array_equal(np.isnan(whole), np.hypot(y - 80, x - 83) <= 2)
    shares = ring_shares(PROFILE)
    assert star_flux(rings(whole, *tried[0]), shares) == pytest.approx(3e6, rel=0.3)


def test_a_star_beside_something_bright_is_found_at_its_own_middle():
    """The middle of all that is bright is 5 px off; what is dark is only noise, and no core."""
    light = scene(3, (160, 160), [(80, 83)], -1.0)[0]
    same, tried = star_middles(light, (78, 88), 24)
    np.testing.assert_array_equal(same, light)
    assert np.hypot(*np.subtract(tried[0], (80, 83))) <= 3
    assert tried[1] == (78, 88)


def test_beads_lead_to_their_star_only_once():
    y, x = np.array([50, 53, 90, 50]), np.array([50, 54, 50, 57])
    np.testing.assert_array_equal(_apart(y, x), [True, False, True, True])
