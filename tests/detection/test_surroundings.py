"""The effect of surroundings on sources: false sources at the rims of masks, and confusion between sources."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests.support import oracle
from tilegc.detection import surroundings as stage
from tilegc.detection.diffuse_light import diffuse_light
from tilegc.detection.noise.noise_map import NoiseMap
from tilegc.detection.shapes import Places
from tilegc.geometry import PATCH, TileGrid
from tilegc.schema import Bit

SHAPE = (140, 150)


def measured(mask, detection, y, x, size=1000):
    """Return the pass over a field in tiles of a size: rows of the places, areas and patches."""
    noise = NoiseMap(np.full((1, 1), 2.0), expected=True)
    grid = TileGrid(SHAPE, size)
    where, diffuse = np.full(y.size, -1), np.full(y.size, -1.0)
    area, patches = np.zeros(3, int), {}
    for tile in grid.tiles(halo=stage.HALO):
        inside = (y >= tile.core.y0) & (y < tile.core.y1) & (x >= tile.core.x0) & (x < tile.core.x1)
        rows = np.flatnonzero(inside)
        box = slice(tile.window.y0, tile.window.y1), slice(tile.window.x0, tile.window.x1)
        window = xr.Dataset(
            {
                "mask": (("y", "x"), mask[box]),
                "detection": (("y", "x"), detection[box]),
                "light": (("y", "x"), detection[box]),
                "expected_noise": (("y", "x"), np.full(mask[box].shape, 0.5, np.float32)),
            }
        )
        _, part = stage._rule(window, tile, ((0, noise), Places(rows, y[rows], x[rows])))
        where[part["row"]] = part["where"]
        diffuse[part["row"]] = part["diffuse"]
        area += part["area"]
        patches.update(zip(zip(part["patch_y"], part["patch_x"], strict=True), part["scatter"], strict=True))
    return where, area, patches, diffuse


def test_places_areas_and_scatter_by_the_slow_rule():
    """Distances to bits 4, 8, 16 and 64 alone; the scatter of what is 4 px from anything above 5."""
    draw = np.random.default_rng(1)
    mask = np.zeros(SHAPE, np.uint8)
    mask[60:64, 70:75] = Bit.EXTENDED
    mask[100, 20] = Bit.SPIKE
    mask[:, 140:] = Bit.EDGE
    detection = draw.normal(0, 1, SHAPE).astype(np.float32)
    detection[:, 64:] *= 1.5
    detection[30, 30] = 40
    y, x = draw.integers(0, 140, 200), draw.integers(0, 150, 200)
    where, area, patches, diffuse = measured(mask, detection, y, x)
    rows, columns = np.indices(SHAPE)
    bright = np.argwhere((mask & 92) != 0)
    distance = np.min([np.hypot(rows - a, columns - b) for a, b in bright], axis=0)
    zone = np.where(distance <= 2.5, 0, np.where(distance <= 12.5, 1, 2))
    np.testing.assert_array_equal(where, zone[y, x])
    np.testing.assert_array_equal(area, [((zone == k) & (mask == 0)).sum() for k in range(3)])
    near = np.min([np.hypot(rows - a, columns - b) for a, b in np.argwhere(detection >= 5)], axis=0) <= 4
    for (row, column), scatter in patches.items():
        part = slice(PATCH * row, PATCH * (row + 1)), slice(PATCH * column, PATCH * (column + 1))
        values = detection[part][(mask[part] == 0) & ~near[part]]
        if values.size >= 500:
            assert scatter == pytest.approx(oracle.sigma(values), rel=1e-6)
        else:
            assert np.isnan(scatter)
    assert patches[0, 0] == pytest.approx(1.0, abs=0.06)
    assert patches[0, 1] == pytest.approx(1.5, abs=0.09)
    rows, columns = np.indices(SHAPE)
    for row, column, value in zip(y[:20], x[:20], diffuse[:20], strict=True):
        distance = np.hypot(rows - row, columns - column)
        even = ((rows - row) % 2 == 0) & ((columns - column) % 2 == 0)
        near = detection[(distance >= 4) & (distance <= 15)].astype(float)
        far = detection[(distance >= 28) & (distance <= 45) & even].astype(float)
        spread = oracle.sigma(far) * 1.5 * np.sqrt(np.pi / 2 * (1 / near.size + 1 / far.size))
        assert value == pytest.approx((np.median(near) - np.median(far)) / spread, rel=1e-6)
    again = measured(mask, detection, y, x, size=PATCH)
    np.testing.assert_array_equal(again[0], where)
    np.testing.assert_array_equal(again[1], area)
    np.testing.assert_array_equal(again[3], diffuse)
    assert repr(sorted(again[2].items())) == repr(sorted(patches.items()))


def test_the_share_of_false_sources_is_their_expected_number_over_that_found():
    """A rim of 100,000 px holds 1.5 false ones above S/N 5, 0.33 of them above 6.5, 0.075 above 8."""
    snr = np.r_[np.full(10, 5.5), np.full(4, 7.0), np.full(5, 20.0), [5.5, 5.5, 3.0]]
    where = np.r_[np.zeros(19, int), [1, 2, 0]]
    point = np.ones(22, bool)
    share = stage.false_share(snr, where, point, np.array([100_000, 10_000, 5_000_000]))
    assert share[0] == pytest.approx((1 - np.exp(-1.5)) * 1.5 / 10)
    assert share[10] == pytest.approx((np.exp(-1.5) - np.exp(-3)) * 1.5 / 4)
    assert share[14] == pytest.approx(np.exp(-3) * 1.5 / 5)
    assert share[19] == pytest.approx((1 - np.exp(-1.5)) * 0.02)
    assert share[20] == share[21] == 0.0
    crowded = stage.false_share(snr, where, point, np.array([10**8, 0, 0]))
    assert crowded.max() == stage.MOST
    nothing = stage.false_share(snr, where, ~point, np.array([100_000, 0, 0]))
    assert (nothing == 0).all()


def test_knots_in_diffuse_light_are_told_from_points_on_empty_sky():
    """A point among half a dozen others is not in diffuse light; one on a disc of half the noise of a pixel is."""
    draw = np.random.default_rng(3)
    light = draw.normal(0, 1, (200, 200)).astype(np.float32)
    rows, columns = np.indices(light.shape)
    light[np.hypot(rows - 60, columns - 60) < 20] += 0.5
    crowd = draw.integers(125, 155, (6, 2))
    for row, column in [*crowd, (60, 60), (60, 140)]:
        light += 20 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2).astype(np.float32)
    found = diffuse_light(light, np.array([60, 60, 140]), np.array([60, 140, 140]))
    assert found[0] > 5
    assert (np.abs(found[1:]) < 4).all()
    light[:] = np.nan
    assert np.isnan(diffuse_light(light, np.array([60]), np.array([60]))).all()
