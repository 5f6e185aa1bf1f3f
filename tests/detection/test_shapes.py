"""Shapes of made-up sources; stars and local maxima against loops over all pixels; crowding against greedy blanking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.detection.shape_ratios import REACH, measure, shape_tables
from tilegc.detection.shapes import judge
from tilegc.geometry import TileGrid
from tilegc.images import psfs as psf_stage
from tilegc.images.stars import REACH as STAMP
from tilegc.images.stars import find_stars
from tilegc.kernels.peaks import classify, local_maxima, settle
from tilegc.kernels.psf import resampled
from tilegc.kernels.psf_model import model
from tilegc.skygrid.crowding import retained, zone

PSF = model("F150W", 0.03, 20)
TABLES = shape_tables(PSF)
SIGMA = PSF.fwhm / 2.3548


def blob(shape, y, x, flux, sigma=SIGMA):
    rows, columns = np.indices(shape)
    image = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))
    return (flux * image / (2 * np.pi * sigma**2)).astype(np.float32)


def of(light):
    return [float(value[0]) for value in measure(light, np.array([15]), np.array([15]), TABLES)]


@pytest.mark.parametrize("flux", [1.0, 1e4])
@pytest.mark.parametrize("place", [(15, 15), (15.4, 14.7), (14.6, 15.4)])
def test_a_point_is_one_none_one(place, flux):
    light = np.zeros((31, 31), np.float32) + 5
    light += flux * resampled(PSF.image, (20 + 15 - place[0], 20 + 15 - place[1]), 1.0, 15).astype(np.float32)
    sharpness, roundness, concentration = of(light)
    assert sharpness == pytest.approx(1, abs=0.3)
    assert abs(roundness) < 0.05
    assert concentration == pytest.approx(1, abs=0.2)


def test_twice_as_wide_and_a_piece_of_a_line():
    assert of(blob((31, 31), 15, 15, 30.0, 2 * SIGMA))[2] == pytest.approx(0, abs=0.1)
    rows, columns = np.indices((31, 31))
    for angle in np.radians([0, 30, 67.5, 120]):
        across = (rows - 15) * np.cos(angle) - (columns - 15) * np.sin(angle)
        line = np.exp(-(across**2) / (2 * SIGMA**2)).astype(np.float32)
        assert of(line)[1] == pytest.approx(1, abs=0.35)
    one_sided = blob((31, 31), 15, 15, 10) + blob((31, 31), 15, 19, 10)
    assert of(one_sided)[1] < 0.3


def test_missing_pixels_and_darkness():
    light = blob((31, 31), 15, 15, 30.0)
    light[17, 17] = light[3, :] = np.nan
    assert all(np.isfinite(of(light)))
    assert np.isnan(of(np.full((31, 31), np.nan, np.float32))).all()
    assert np.isnan(of(-light)).all()


@settings(max_examples=6, deadline=None)
@given(size=st.sampled_from([9, 17, 40]), seed=st.integers(0, 1000))
def test_shapes_belong_to_pixels_not_to_tiles(size, seed):
    draw = np.random.default_rng(seed)
    light = draw.normal(0, 1, (50, 47)).astype(np.float32)
    light[draw.random(light.shape) < 0.02] = np.nan
    y, x = (part.ravel() for part in np.indices(light.shape))
    whole = np.stack(measure(light, y, x, TABLES)).reshape(3, *light.shape)
    for tile in TileGrid(light.shape, size).tiles(halo=REACH):
        y, x = (part[tile.core_in_window].ravel() for part in np.indices(tile.window.shape))
        part = np.stack(measure(light[tile.window.slices], y, x, TABLES)).reshape(3, *tile.core.shape)
        assert part.tobytes() == np.ascontiguousarray(whole[:, *tile.core.slices]).tobytes()


def test_the_verdict():
    """Concentration is judged in the same way at any signal-to-noise, roundness relative to the noise."""
    assert 4 * TABLES.line_noise / 5 > 0.5
    columns = {
        "field": np.array(["f"] * 7, object),
        "snr": np.array([5.0, 100, 5, 100, 5, 100, 100]),
        "concentration": np.array([0.39, 0.39, 0.41, 0.9, 0.9, np.nan, 1.1], np.float32),
        "roundness": np.array([0.1, 0.1, 0.1, 0.6, 0.6, np.nan, 0.9], np.float32),
    }
    verdicts = ["extended", "extended", "point", "elongated", "point", "point", "point"]
    assert judge(columns, {"f": TABLES}).tolist() == verdicts
    assert judge(columns, {}).tolist() == ["point"] * 7


def maxima_plainly(values):
    """Return whether no neighbour is higher and no earlier neighbour is equally high."""
    height, width = values.shape
    found = np.zeros(values.shape, bool)
    for y, x in zip(*np.nonzero(np.isfinite(values)), strict=True):
        near = [
            (j, i)
            for j in range(max(0, y - 1), min(height, y + 2))
            for i in range(max(0, x - 1), min(width, x + 2))
            if (j, i) != (y, x)
        ]
        found[y, x] = not any(
            values[q] > values[y, x] or (values[q] == values[y, x] and q < (y, x)) for q in near
        )
    return found.tolist()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), tile=st.sampled_from([8, 20, 64]), radius=st.sampled_from([1.0, 2.0, 3.0]))
def test_local_maxima_and_blanking_in_any_tiling(seed, tile, radius):
    draw = np.random.default_rng(seed)
    values = np.round(draw.normal(0, 1, (44, 51)), draw.integers(0, 3)).astype(np.float32)
    values[draw.random(values.shape) < 0.03] = np.nan
    closed = (False,) * 4
    maxima = local_maxima(values, closed)
    assert maxima.tolist() == maxima_plainly(values)
    whole = classify(values, maxima, 0.5, radius, closed, (slice(0, 44), slice(0, 51)))
    expected = {(int(y), int(x)) for y, x in zip(whole.y, whole.x, strict=True)}
    y, x, value, decided = [], [], [], []
    for one in TileGrid(values.shape, tile).tiles(halo=4):
        window = values[one.window.slices]
        allowed = local_maxima(window, one.open_sides)
        found = classify(
            window, allowed & np.isfinite(window), 0.5, radius, one.open_sides, one.core_in_window
        )
        y.append(found.y + one.window.y0)
        x.append(found.x + one.window.x0)
        value.append(found.value)
        decided.append(found.decided)
    y, x, value, decided = map(np.concatenate, (y, x, value, decided))
    keep = settle(y, x, value, decided, radius)
    assert {(int(a), int(b)) for a, b in zip(y[keep], x[keep], strict=True)} == expected


def stars_plainly(light):
    """Check every pixel, one by one."""
    found = []
    for y in range(STAMP, light.shape[0] - STAMP):
        for x in range(STAMP, light.shape[1] - STAMP):
            stamp = light[y - STAMP : y + STAMP + 1, x - STAMP : x + STAMP + 1].astype(float)
            if not np.isfinite(stamp).all():
                continue
            near = light[y - 2 : y + 3, x - 2 : x + 3].ravel()
            if near.argmax() != 12 or light[y, x] <= 0:
                continue
            border = np.concatenate([stamp[0, :-1], stamp[:-1, -1], stamp[-1, 1:], stamp[1:, 0]]).mean()
            stamp -= border
            rows, columns = np.indices(stamp.shape) - STAMP
            distance2 = rows**2 + columns**2
            peak = stamp[STAMP, STAMP]
            if peak <= 0 or stamp.max() > peak or (stamp[distance2 > 16] >= 0.1 * peak).any():
                continue
            if (
                stamp[STAMP - 1 : STAMP + 2, STAMP - 1 : STAMP + 2].sum()
                >= 0.4 * stamp[distance2 <= 16].sum()
            ):
                found.append((-light[y, x], y, x))
    return [(y, x) for _, y, x in sorted(found)]


def sky(seed):
    draw = np.random.default_rng(seed)
    light = draw.normal(0, 0.05, (90, 84)).astype(np.float32)
    for _ in range(9):
        place = draw.uniform(0, 84, 2)
        light += blob(light.shape, *place, draw.uniform(30, 300), SIGMA * draw.choice([1.0, 1.0, 2.5]))
    light[draw.integers(0, 90), draw.integers(0, 84)] = np.nan
    return light


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), size=st.sampled_from([16, 31, 100]))
def test_stars_are_those_of_a_plain_search_in_any_tiling(seed, size):
    light = sky(seed)
    expected = stars_plainly(light)
    found = []
    for tile in TileGrid(light.shape, size).tiles(halo=STAMP):
        stars = find_stars(light[tile.window.slices], tile.core_in_window, 50)
        found += [
            (-light[y, x], y, x)
            for y, x in zip(stars.y + tile.window.y0, stars.x + tile.window.x0, strict=True)
        ]
    assert [(y, x) for _, y, x in sorted(found)] == expected
    few = find_stars(light, (slice(0, 90), slice(0, 84)), 2)
    assert list(zip(few.y, few.x, strict=True)) == expected[:2]


def test_the_sky_above_has_stars():
    assert sum(len(stars_plainly(sky(seed))) for seed in range(8)) > 5


def test_the_median_of_stars_is_their_psf():
    draw = np.random.default_rng(2)
    stamps, side = [], 2 * STAMP + 1
    for _ in range(30):
        stamp = blob((side, side), STAMP + draw.uniform(-0.5, 0.5), STAMP + draw.uniform(-0.5, 0.5), 100.0)
        stamps.append(stamp + 3 + draw.normal(0, 0.05, stamp.shape))
    stamps[7] = blob((side, side), STAMP, STAMP, 100.0, 2.5 * SIGMA)  # a galaxy
    stamps[9][4:8, 5:9] += 2  # a neighbour
    table = {
        "y": np.arange(30),
        "concentration": np.full(30, 0.7, np.float32) - 0.3 * (np.arange(30) == 7),
        "stamp": np.array(stamps, np.float32)[:, None],
    }
    ((found, count, _),) = psf_stage.stack(table, 1)
    assert count == 29
    assert found.fwhm == pytest.approx(2.3548 * SIGMA, rel=0.08)
    assert found.image.sum() == pytest.approx(1, abs=1e-6)
    assert abs(found.image[0]).max() < 1e-3
    assert psf_stage.stack(None, 2) == [(None, 0, None)] * 2
    few = {name: column[:5] for name, column in table.items()}
    assert psf_stage.stack(few, 1) == [(None, 0, None)]


@pytest.mark.parametrize("radius", [2.0, 3.0])
def test_crowding_is_what_greedy_blanking_loses(radius):
    area = zone(radius)
    assert area == {2.0: 13, 3.0: 29}[radius]
    draw = np.random.default_rng(1)
    side = 600
    for density in (0.05 / area, 0.3 / area, 1.0 / area):
        place = np.unique(draw.integers(0, side, (draw.poisson(density * side**2), 2)), axis=0)
        value = draw.random(len(place)).astype(np.float32)
        kept = settle(place[:, 0], place[:, 1], value, np.zeros(len(place), bool), radius)
        seen = kept.sum() / side**2
        assert float(retained(np.array(seen), area)) == pytest.approx(
            kept.mean(), abs=0.012 if density * area < 0.5 else 0.035
        )


def test_crowding_at_its_ends():
    assert retained(np.array([0.0]), 29.0).tolist() == [1.0]
    assert np.isnan(retained(np.array([0.08]), 29.0)).all()
    assert zone(2.0, 3.0) > zone(2.0)
