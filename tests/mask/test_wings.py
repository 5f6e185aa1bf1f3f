"""Wings of stars: what a pixel holds of a star's light, its flux from rings, and the discs that mask it."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.kernels.psf import quantised
from tilegc.kernels.psf_model import model
from tilegc.mask.wings import (
    REACH,
    RINGS,
    SPIKE,
    STEPS,
    Glare,
    disc_radius,
    inside_glare,
    ring_shares,
    rings,
    spikes,
    star_flux,
    wings,
)

SCALE = 0.03
WINGS = wings("F150W", SCALE, None)
SHARES = ring_shares(WINGS)


def star(flux, *, shape=(141, 151), place=(70, 75), sky=0.0, core=-1.0, spikes=0.0):
    """A point's wings, by the table, on a noisy sky; its core in a few pixels; on request NaN there, and spikes."""
    draw = np.random.default_rng(1)
    y, x = np.indices(shape)
    distance = np.hypot(y - place[0], x - place[1])
    image = flux * np.interp(distance, np.arange(WINGS.size) / STEPS, WINGS)
    near = distance <= 3
    image[near] = 0.7 * flux / near.sum()
    image[(np.abs(y - place[0]) < 2) | (np.abs(x - place[1]) < 2)] *= 1 + spikes
    image += sky + draw.normal(0, 0.02, shape)
    image[distance <= core] = np.nan
    return image.astype(np.float32)


def test_wings_are_a_share_of_the_light_that_never_rises():
    for band, scale in (("F090W", 0.02), ("F444W", 0.04), ("detection", 0.5)):
        found = wings(band, scale, None)
        assert found.shape == (STEPS * REACH + 1,)
        assert (np.diff(found) <= 0).all()
        assert (found > 0).all()
        # Of all the light the wings from 0.3 arcsec on hold a few hundredths.
        radius = np.arange(found.size) / STEPS
        outside = radius * scale > 0.3
        if scale < 0.1:
            assert 0.02 < (2 * np.pi * radius * found)[outside].sum() / STEPS < 0.2
    # The same light on twice the pixel, at twice the distance in pixels.
    np.testing.assert_allclose(wings("F150W", 0.06, None)[: 4 * 100], 4 * WINGS[: 8 * 100 : 2], rtol=1e-5)


def test_wings_of_a_file_are_followed_to_its_border_and_go_on_from_there():
    psf = model("F150W", SCALE, 20)
    offset = np.arange(-20, 21)
    spiky = psf.image.copy()
    spiky[np.abs(offset) < 2, :15] *= 5
    found = wings("F150W", SCALE, quantised(spiky))
    for radius in (5, 10, 15):
        expected = psf.image[20, 20 + radius] / spiky.sum()
        assert found[STEPS * radius] == pytest.approx(expected, rel=0.1)  # the median: spikes do not count
    steps = found[1:] / found[:-1]
    assert steps[STEPS * 20 - 2 : STEPS * 20 + 2].min() > 0.5
    assert found[STEPS * 60] / found[STEPS * 30] == pytest.approx(
        WINGS[STEPS * 60] / WINGS[STEPS * 30], rel=1e-5
    )
    padded = np.zeros((61, 61))
    padded[10:-10, 10:-10] = psf.image
    assert 0.2 < (wings("F150W", SCALE, quantised(padded)) / WINGS)[STEPS * 60] < 0.5  # a rim of zeros


@pytest.mark.parametrize("radius", [REACH - 1, REACH, REACH + 1, REACH + 60])
def test_wings_of_a_file_larger_than_their_reach(radius):
    offset = np.arange(-radius, radius + 1)
    distance = np.hypot(offset[:, None], offset)
    large = quantised(1e6 / (9.0 + distance**3))
    found = wings("F150W", SCALE, large)
    assert found.shape == (STEPS * REACH + 1,)
    for d in (20, 200, REACH - 2):
        assert found[STEPS * d] == pytest.approx(large.image[radius, radius + d], rel=0.01)


@pytest.mark.parametrize("core", [-1.0, 2.0, 4.5, 8.0])
@pytest.mark.parametrize("spikes", [0.0, 4.0])
def test_the_flux_of_a_star_whatever_its_core(core, spikes):
    found = star_flux(rings(star(3e5, core=core, spikes=spikes, sky=2.0), 70, 75), SHARES)
    assert found == pytest.approx(3e5, rel=0.25)
    if not spikes:
        assert found == pytest.approx(3e5, rel=0.05)


def test_a_galaxy_is_no_star():
    y, x = np.indices((141, 151))
    radius = np.hypot(y - 70, x - 75)
    for scale in (3.0, 8.0):
        galaxy = (60 * np.exp(-radius / scale)).astype(np.float32)
        assert np.isnan(star_flux(rings(galaxy, 70, 75), SHARES))
        galaxy[radius <= 2] = np.nan
        if scale > 3:
            assert np.isnan(star_flux(rings(galaxy, 70, 75), SHARES))


def test_without_data_there_is_no_flux():
    dark = np.full((141, 151), np.nan, np.float32)
    assert np.isnan(star_flux(rings(dark, 70, 75), SHARES))
    assert np.isnan(star_flux(rings(star(3e5), 70, 75 + 400), SHARES))
    cut = star(3e5)[:, :80]  # beside the border of the field too little of the rings is left
    assert np.isnan(rings(cut, 70, 75).medians[:-1]).all()


def test_rings_are_medians_of_pixels():
    image = star(1e5, core=1.0)
    image[70:72, 90:] = np.nan
    found = rings(image, 70, 75)
    y, x = np.indices(image.shape)
    square = (y - 70) ** 2 + (x - 75) ** 2
    for (low, high), value in zip((*RINGS, (40, 48)), found.medians, strict=True):
        assert value == np.nanmedian(image[(square >= low**2) & (square < high**2)])
    assert np.isnan(found.core)
    whole = star(1e5)
    assert rings(whole, 70, 75).core == pytest.approx(whole[square <= 9].sum(dtype=float), rel=1e-12)


def test_the_disc_ends_where_the_wings_do():
    for limit in (0.05, 0.5, 5.0):
        radius = disc_radius(1e5, WINGS, limit)
        wide = wings("F150W", SCALE, None) * 1e5
        assert wide[int(radius * STEPS)] >= limit > wide[int(radius * STEPS) + 1]
    assert disc_radius(1e5, WINGS, 1e9) == 0.0


def spiky(radius, *, angle=0.4, times=6.0):
    """A file's PSF with six spikes at an angle, two of them beaded, on the pixels of SCALE."""
    image = model("F150W", SCALE, radius).image
    y, x = np.indices(image.shape) - radius
    for number in range(3):
        turn = angle + number * np.pi / 3
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        beads = (along.astype(int) // 3) % 2 == 0 if number == 0 else True
        image = np.where((np.abs(across) < 1.0) & (np.abs(along) > 5) & beads, times * image, image)
    return quantised(image)


def test_spikes_of_a_file_are_where_it_is_brighter_than_its_wings():
    psf, other = spiky(25), model("F200W", SCALE, 12)
    given = [psf, None, other]
    profiles = [wings(band, SCALE, own) for band, own in zip(("F150W", "F115W", "F200W"), given, strict=True)]
    found = spikes(profiles, given, 0)
    assert found.shape == (51, 51)
    assert found.dtype == np.float32
    marked = 0
    for y in range(-25, 26):
        for x in range(-25, 26):
            smooth = [profile[round(STEPS * np.hypot(y, x))] for profile in profiles]
            light = [psf.image[25 + y, 25 + x], smooth[1], smooth[2]]
            if max(abs(y), abs(x)) <= 12:
                light[2] = other.image[12 + y, 12 + x]
            expected = sum(light) / 3 if sum(light) >= SPIKE * sum(smooth) else 0.0
            assert found[25 + y, 25 + x] == pytest.approx(expected, rel=1e-6)
            marked += expected > 0
    assert 100 < marked < 600
    wide = spikes(profiles, given, 3)
    y, x = np.indices(found.shape)
    for row, column in ((3, 9), (25, 40), (31, 2), (50, 50)):
        assert wide[row, column] == found[(y - row) ** 2 + (x - column) ** 2 <= 9].max()
    assert spikes(profiles, [None] * 3, 3) is None


@pytest.mark.parametrize("radius", [REACH - 1, REACH + 1])
def test_spikes_of_a_file_larger_than_their_reach(radius):
    offset = np.abs(np.arange(-radius, radius + 1))
    image = 1.0 / (9.0 + (offset[:, None] ** 2 + offset**2) ** 1.5)
    image[radius] *= 9  # along x alone
    large = quantised(1e9 * image)
    found = spikes([wings("F150W", SCALE, large)], [large], 0)
    middle = min(radius, REACH)
    assert found.shape == (2 * middle + 1, 2 * middle + 1)
    row = found[middle] > 0
    assert row[20 : middle - 5].all()
    assert row[middle + 6 : -20].all()
    assert (found[middle + 3 : middle + 100, middle - 100 : middle + 100] == 0).all()


def test_glare_is_drawn_alike_in_any_tile():
    psf = spiky(12)
    light = spikes([wings("F150W", SCALE, psf)], [psf], 1)
    discs = ((5, 9, 30), (20, 0, 50), (-3, 30, 64), (39, 44, 10), (200, 3, 100))
    least = (1e-5, 1e-4, 3e-5, 1e-6, 1e-9)
    y, x = np.indices((40, 45))
    round_them = np.logical_or.reduce([(y - a) ** 2 + (x - b) ** 2 <= r for a, b, r in discs])
    pointed = round_them.copy()
    for (row, column, _), faintest in zip(discs, least, strict=True):
        near = (abs(y - row) <= 12) & (abs(x - column) <= 12)
        pointed[near] |= light[(y - row + 12)[near], (x - column + 12)[near]] >= faintest
    assert 50 < (pointed & ~round_them).sum() < 800
    for glare, expected in ((Glare(discs), round_them), (Glare(discs, least, light), pointed)):
        for size in (7, 40, 64):
            for y0 in range(0, 40, size):
                for x0 in range(0, 45, size):
                    part = expected[y0 : y0 + size, x0 : x0 + size]
                    np.testing.assert_array_equal(inside_glare(glare, y0, x0, part.shape), part)
