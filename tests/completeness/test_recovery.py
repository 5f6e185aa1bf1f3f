"""Artificial stars added through the linear filter, compared with the same stars added to the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from tests.support.pixel_stars import Scene, add
from tilegc.completeness.draw import Stars
from tilegc.completeness.injection import InjectParams, inject_pass, shares
from tilegc.completeness.recovery import FOUND, Limits, Shapes
from tilegc.completeness.responses import responses
from tilegc.config import detection_settings
from tilegc.detection.noise.noise_map import NoiseMap
from tilegc.detection.peaks import at_least
from tilegc.detection.shape_ratios import shape_tables
from tilegc.filter.band_noise import band_filters
from tilegc.filter.detection_map import filter_params
from tilegc.geometry import TileGrid
from tilegc.images.psfs import BandPsf
from tilegc.kernels.peaks import reach_of
from tilegc.kernels.psf_model import model
from tilegc.phases.partials import Table, stacked
from tilegc.photometry.spline_psf import SplinePsf, from_psf

SHAPE = (190, 210)
BANDS = ("F115W", "F200W")
SIGMA = 0.05
"""nJy per pixel."""


@dataclass
class Field:
    """A small field with sources, a dead pixel, a column without data and a star that is masked."""

    scene: Scene
    window: xr.Dataset
    params: InjectParams
    sources: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    def inject(self, stars: Stars, size: int = 512) -> Table:
        grid = TileGrid(SHAPE, size)
        halo = self.params.halo
        share = self.params.responses.share
        reference = (share[:, None] * stars.flux).sum(axis=0)
        own = shares(grid, stars, reference, self.sources, halo)
        rule = inject_pass({"f": self.params}).rule
        parts = []
        for tile in grid.tiles(halo):
            rows, columns = tile.window.slices
            window = self.window.isel(y=rows, x=columns)
            parts.append(rule(window, tile, (self.params, own[tile.index]))[1])
        found = stacked(parts)
        assert found is not None
        order = np.argsort(found["number"])
        return {name: column[order] for name, column in found.items()}


def make(recipe: str, seed: int = 4) -> Field:
    rng = np.random.default_rng(seed)
    config = detection_settings({"recipe": recipe}, source="test")
    psfs = tuple(BandPsf(band, model(band, 0.03, 40), "model", 0) for band in BANDS)
    filtering = filter_params(config.filter, config.mask, len(BANDS))
    calibrated = recipe == "calibrated"
    if calibrated:
        matched = band_filters(psfs, (0.02, 0.03), config.filter)
        filtering = type(filtering)(**{**vars(filtering), "matched": matched})
    answer = responses(filtering, [from_psf(band.psf, 10) for band in psfs])
    noise = 0.11 if calibrated else 0.02
    limits = Limits(
        at_least(5.0 if calibrated else 0.1),
        np.float32(2.5 if calibrated else 0.05),
        reach_of(config.detect.exclusion_radius),
        calibrated,
    )
    table = shape_tables(psfs[0].psf)
    params = InjectParams(
        filtering,
        answer,
        NoiseMap(np.full((1, 1), noise)) if calibrated else None,
        limits,
        Shapes(table, calibrated),
    )
    sci = rng.normal(0, SIGMA, (2, *SHAPE)).astype(np.float32)
    for _ in range(330):
        flux = 0.3 * rng.uniform(1e-3, 1) ** -0.7 * rng.uniform(0.7, 1.3, 2)
        add(sci, params, *rng.uniform(0, SHAPE), flux)
    add(sci, params, 60.2, 150.4, np.array([400.0, 500.0]))
    sci[0, 120:122, 80] = np.nan
    sci[1, 30:, 201:203] = np.nan
    ones = np.full(SHAPE, noise if calibrated else 1.0, np.float32)
    scene = Scene(sci, None, ones, np.zeros(SHAPE, bool), params, {})
    light, flags, detection = scene.maps()
    masked = scene.masked(flags)
    old, _ = scene.catalogue(light, detection, masked)
    y, x = (np.array([place[k] for place in old], np.int64) for k in (0, 1))
    flux = detection[y, x].astype(np.float64)
    names = {"detection": detection, "light": light, "flags": flags, "mask": masked.astype(np.uint8) * 32}
    names["mask"][(flags & 1) != 0] |= 1
    window = xr.Dataset({name: (("y", "x"), values) for name, values in names.items()})
    return Field(scene, window, params, (y, x, flux, np.array(list(old.values()), bool)))


def drawn(field: Field, n: int, seed: int) -> Stars:
    """Stars near the limit, most of them in difficult places."""
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(0, SHAPE[0] - 1, n), rng.uniform(0, SHAPE[1] - 1, n)
    near = rng.uniform(0, 1, n)
    y[near < 0.2], x[near < 0.2] = (
        centre + rng.normal(0, 4, int((near < 0.2).sum())) for centre in (121, 80)
    )
    few = (near >= 0.2) & (near < 0.3)
    y[few], x[few] = (centre + rng.normal(0, 9, int(few.sum())) for centre in (60, 150))
    on = rng.integers(0, field.sources[0].size, n)
    few = (near >= 0.3) & (near < 0.5)
    y[few], x[few] = (values[on][few] + rng.normal(0, 1.2, int(few.sum())) for values in field.sources[:2])
    total = field.params.responses.share.sum()
    level = float(field.params.limits.limit) * (0.11 if field.params.noise is not None else 1.0) / total
    flux = level * rng.uniform(-0.6, 3.5, n)
    flux = level * 10 ** (0.4 * (flux / level - 0.5)) * np.ones((2, 1)) * rng.uniform(0.8, 1.2, (2, n))
    zero = np.zeros(n)
    inside = (y > 0) & (x > 0) & (y < SHAPE[0] - 1) & (x < SHAPE[1] - 1)
    y, x = np.where(inside, y, 95.3), np.where(inside, x, 100.6)
    return Stars(np.arange(n), y, x, zero, np.zeros((2, n)), flux, zero, zero)


@pytest.fixture(scope="module", params=["calibrated", "diego2026"])
def field(request: pytest.FixtureRequest) -> Field:
    return make(request.param)


def compare(field: Field, stars: Stars) -> tuple[int, int, int, list[float]]:
    found = field.inject(stars)
    share = field.params.responses.share
    before = field.window["detection"].values
    different, displaced, errors = 0, 0, []
    for row, number in enumerate(found["number"]):
        flux = stars.flux[:, number]
        star = (float(stars.y[number]), float(stars.x[number]), flux)
        recovered, gone, response = field.scene.judge(star, float((share * flux).sum()))
        different += recovered != (found["verdict"][row] == FOUND)
        displaced += len(gone) != found["displaced"][row]
        if recovered and found["verdict"][row] == FOUND:
            at = int(found["y"][row]), int(found["x"][row])
            errors.append(float(found["value"][row] - before[at]) / response - 1)
    return found["number"].size, different, displaced, errors


def test_the_linear_engine_decides_as_pixels_do(field):
    n, different, displaced, errors = compare(field, drawn(field, 30, 1))
    assert n > 20
    assert len(errors) > 8
    assert different == 0
    assert displaced <= 1
    assert np.abs(errors).max() < 1e-4


def test_a_response_ends_where_the_stamp_does(field):
    # Over the whole patch: an error of a thousandth of the peak, far from the star, decides about its neighbours.
    y, x, flux = 149.7, 140.4, np.array([3.0, 4.0])
    before, after = (field.scene.maps(star)[2].astype(np.float64) for star in (None, (y, x, flux)))
    radius = field.params.responses.radius
    part = np.s_[150 - radius : 151 + radius, 140 - radius : 141 + radius]
    table = field.params.responses.detection
    expected = sum(
        f * SplinePsf(one, radius).image(y - 150, x - 140) for f, one in zip(flux, table, strict=True)
    )
    change = (after - before)[part]
    np.testing.assert_allclose(change, expected, rtol=0, atol=2e-6 * change.max())
    outside = np.ones(SHAPE, bool)
    outside[part] = False
    assert np.abs(np.nan_to_num(after - before)[outside]).max() == 0


@pytest.mark.parametrize("field", ["calibrated"], indirect=True)
def test_a_far_neighbour_is_lost_when_the_star_changes_its_shape(field):
    """The light of a star reaches neighbours farther than its stamp, because a shape is measured on many pixels."""
    stars = drawn(field, 2000, 2)
    found = field.inject(stars)
    share = field.params.responses.share
    reach = field.params.responses.psf_radius
    for row in (33, 110):
        number = found["number"][row]
        star = float(stars.y[number]), float(stars.x[number]), stars.flux[:, number]
        _, gone, _ = field.scene.judge(star, float((share * star[2]).sum()))
        assert len(gone) == found["displaced"][row]
        assert any(max(abs(y - star[0]), abs(x - star[1])) > reach for y, x in gone)


@pytest.mark.slow
def test_the_linear_engine_decides_as_pixels_do_for_many_stars(field):
    n, different, displaced, errors = compare(field, drawn(field, 2000, 2))
    assert different <= 0.002 * n
    assert displaced <= 0.01 * n
    assert np.abs(errors).max() < 1e-4


@pytest.mark.parametrize("size", [57, 100])
def test_stars_are_the_same_for_any_tiling(field, size):
    stars = drawn(field, 400, 3)
    whole, found = field.inject(stars), field.inject(stars, size)
    for name, column in whole.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)


def test_a_star_on_a_brighter_source_is_lost(field):
    y, x, flux, listed = field.sources
    bright = int(np.argmax(np.where(listed, flux, -1)))
    share = field.params.responses.share
    found = {}
    for factor in (0.5, 2.0):
        level = np.full((2, 1), factor * flux[bright] / share.sum())
        stars = Stars(
            np.arange(1),
            y[bright : bright + 1] + 0.1,
            x[bright : bright + 1] - 0.1,
            np.zeros(1),
            np.zeros((2, 1)),
            level,
            np.zeros(1),
            np.zeros(1),
        )
        table = field.inject(stars)
        found[factor] = bool(table["verdict"][0] == FOUND), int(table["displaced"][0])
    assert not found[0.5][0]
    assert found[2.0] == (True, found[2.0][1])
    assert found[2.0][1] >= 1
