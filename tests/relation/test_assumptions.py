"""The law with other assumptions, each planted and recovered: floors, a displaced map, stars in kappa, smoothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.support.hand import DEC, RA, flat_kappa
from tilegc.kernels.magnification import magnification
from tilegc.kernels.smoothing import FWHM_PER_SIGMA
from tilegc.products.warnings import on_registration
from tilegc.relation.assumptions import Frame, assumptions, assumptions_table, parts_of
from tilegc.relation.counts_law import fit_law, score
from tilegc.relation.floors import FLAT, Floor, lensed_floor
from tilegc.relation.map_changes import displaced, less_stars
from tilegc.relation.sharpening import sharpened
from tilegc.relation.sky_counts import box_counts
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.central_light import central_light

REACH = 34.0
C, A, F = 1.4, 12.0, 1.0
GRID = SkyGrid(RA, DEC, 1.0)
AXIS = np.arange(-36, 36) + 0.5
XI, ETA = np.meshgrid(AXIS, AXIS)
R = np.hypot(XI, ETA)


def lens() -> np.ndarray:
    """A lens with a sub-clump, on pixels of 0.5 arcsec."""
    y, x = np.indices((201, 201)) * 0.5 - 50.0
    return 0.9 / (1 + (np.hypot(1.3 * x, y) / 8.0) ** 1.2) + 0.3 / (1 + np.hypot(x - 14, y - 9) ** 2 / 9)


KAPPA = flat_kappa(lens(), 0.5)
TRUE = KAPPA.at(*GRID.radec(XI, ETA))


def cells(rate: np.ndarray, kappa=TRUE, seed: int = 5) -> SkyCells:
    four, zero = np.full((1, 72, 72), 4), np.zeros((1, 72, 72))
    count = np.random.default_rng(seed).poisson(rate)
    return SkyCells(
        GRID, -36, -36, ("a",), np.array([0.25]), four, four, four, count[None], zero, zero, kappa
    )


def frame(floor: Floor = FLAT, central=None) -> Frame:
    return Frame(
        side=3.0,
        reach=REACH,
        kept=np.ones(TRUE.shape, bool),
        recovery=np.ones(TRUE.shape),
        light=None,
        floor=floor,
        central=central,
        min_radius=0.0,
    )


def law(kappa: np.ndarray) -> np.ndarray:
    return A * kappa**C


def test_a_tilted_floor_is_a_sum_over_cells_and_its_derivatives_are_right():
    shape = 1 + 0.5 * np.exp(-R / 10)
    sky = cells(law(TRUE) + F)
    data = box_counts(sky, 3.0, REACH, floor=Floor(shape, 60.0))
    found = fit_law(data)
    assert found.free.tolist() == [True, True, True, False, True, True]
    want = {}
    for j, i in zip(*np.nonzero(R < REACH), strict=True):
        mean = (
            found.a * TRUE[j, i] ** found.c
            + (found.floor + found.tilt[0] * XI[j, i] / 60 + found.tilt[1] * ETA[j, i] / 60) * shape[j, i]
        )
        box = (np.floor(ETA[j, i] / 3), np.floor(XI[j, i] / 3))
        want[box] = want.get(box, 0.0) + mean
    got = dict(zip(zip(data.row, data.column, strict=True), data.expected(found), strict=True))
    assert got.keys() == want.keys()
    for box, value in want.items():
        assert got[box] == pytest.approx(value, rel=1e-9)
    theta = found.theta + np.array([0.02, 0.03, 0.1, 0.0, 0.2, -0.1])
    value, gradient, _ = score(data, theta, 0.0)
    for k in (0, 1, 2, 4, 5):
        step = np.zeros(6)
        step[k] = 1e-5
        there, _, _ = score(data, theta + step, 0.0)
        back, _, _ = score(data, theta - step, 0.0)
        assert (there - back) / 2e-5 == pytest.approx(gradient[k], rel=1e-4, abs=1e-3)
    assert np.isfinite(value)


def test_a_gradient_of_the_floor_is_measured():
    sky = cells(law(TRUE) + 3 * F * (1 + 0.9 * XI / REACH))
    rows = assumptions(sky, KAPPA, frame())
    tilted = rows["linear_floor"]
    assert tilted.gain > 50
    assert tilted.first == pytest.approx(3 * 0.9 * 60 / REACH, abs=3.5 * tilted.first_err)
    assert abs(tilted.second) < 3.5 * tilted.second_err
    assert tilted.c == pytest.approx(C, abs=3 * tilted.c_err)
    # A law whose floor is linear already has no such row.
    assert "linear_floor" not in assumptions(sky, KAPPA, frame(Floor(tilt=60.0)))


def test_the_lens_depletes_a_floor_behind_it():
    sky = cells(law(TRUE) + F)
    shape = lensed_floor(KAPPA, sky, 0.2, 30.0)
    mu = magnification(lens())
    # Cell (36, 36) has its centre at +0.5 arcsec: pixel 101 of the map.
    assert shape[36, 36] == pytest.approx(np.clip(mu[101, 101], 1 / 30, 30) ** -0.5, rel=1e-3)
    assert (shape[R >= 30] == 1).all()
    assert (lensed_floor(KAPPA, sky, 0.4, 30.0) == 1).all()
    planted = cells(law(TRUE) + 3 * F * lensed_floor(KAPPA, sky, 0.25, REACH))
    own, lensed = (assumptions(planted, KAPPA, frame())[name] for name in ("own", "lensed_floor"))
    assert abs(lensed.c - C) < abs(own.c - C)
    assert lensed.c == pytest.approx(C, abs=3 * lensed.c_err)


@pytest.mark.parametrize("shift", [(1.5, -0.7), (0.0, 0.0)])
def test_a_displaced_map_is_found(shift):
    none = cells(law(TRUE) + F)
    rate = law(displaced(none, KAPPA, *shift, 60.0)) + F
    sky = cells(rate)
    rows = assumptions(sky, KAPPA, frame())
    moved = rows["registered"]
    assert moved.first == pytest.approx(shift[0], abs=3 * moved.first_err)
    assert moved.second == pytest.approx(shift[1], abs=3 * moved.second_err)
    assert moved.first_err < 0.3
    assert moved.c == pytest.approx(C, abs=3 * moved.c_err)
    warned = list(on_registration(assumptions_table(rows), {}))
    assert bool(warned) == bool(shift[0])
    if warned:
        assert f"{moved.first:.2f} arcsec to the east" in warned[0].text
    assert not list(on_registration(assumptions_table(rows), {"registration": {"verdict": "applied"}}))
    assert list(on_registration(assumptions_table(rows), {"registration": {"verdict": "refused"}}))


def test_stars_in_kappa_are_taken_out():
    central = (1 + R / 2) ** -2.0 * 2.25
    sky = cells(law(TRUE) + F, TRUE + 0.3 * central)
    rows = assumptions(sky, KAPPA, frame(central=central))
    stars = rows["central_light"]
    assert stars.first == pytest.approx(0.3, abs=3 * stars.first_err)
    assert stars.first_err < 0.15
    assert stars.c == pytest.approx(C, abs=3 * stars.c_err)
    assert "central_light" not in assumptions(sky, KAPPA, frame())
    # Kappa never falls below a tenth of itself.
    assert (less_stars(sky, central, 1e3) >= 0.0999 * sky.kappa).all()


def test_the_light_of_the_central_galaxy_ignores_its_satellites():
    sky = cells(law(TRUE) + F)
    profile = 1e3 / (1 + (R / 2) ** 2)
    whole = profile + 5.0
    whole[40:42, 45:47] += 1e4
    whole[30, 30] = np.nan
    found = central_light(whole, sky)
    near = R < 8
    want = (profile - 1e3 / (1 + 9.75**2)) / (1e3 / 1.25)
    assert found[near] == pytest.approx(want[near], abs=0.15)
    assert found[~(R < 20)].max() == 0
    assert np.abs(found[40:42, 45:47] - want[40:42, 45:47]).max() < 0.1
    assert central_light(np.full(R.shape, np.nan), sky) is None
    assert central_light(np.ones(R.shape), sky) is None


def test_a_smoothed_map_is_sharpened():
    soft = replace(KAPPA, values=gaussian_filter(KAPPA.values, 3.0 / FWHM_PER_SIGMA / 0.5, mode="nearest"))
    sharp = sharpened(soft, 3.0)
    inside = (slice(40, 160), slice(40, 160))
    before, after = (np.abs(one.values[inside] - KAPPA.values[inside]).max() for one in (soft, sharp))
    assert after < 0.5 * before
    gap = replace(soft, values=np.where(np.indices(soft.values.shape)[0] < 20, np.nan, soft.values))
    holed = sharpened(gap, 3.0).values
    assert np.isnan(holed[:20]).all()
    assert np.isfinite(holed[20:]).all()
    assert (holed[20:] > 0).all()


def test_rows_become_a_table_and_parts_of_the_error():
    sky = cells(law(TRUE) + F)
    rows = assumptions(sky, KAPPA, frame(central=(1 + R / 2) ** -2.0 * 2.25))
    assert list(rows) == ["own", "linear_floor", "lensed_floor", "no_centre", "central_light", "registered"]
    table = assumptions_table(rows)
    assert table["c_err_systematic"][0] == 0
    parts = parts_of(table)
    beyond = dict(zip(table["assumption"], table["c_err_systematic"], strict=True))
    assert parts["floor_gradient"] == beyond["linear_floor"]
    assert parts["centre"] == pytest.approx(np.hypot(beyond["no_centre"], beyond["central_light"]) / 2**0.5)
    empty = cells(np.zeros(R.shape))
    assert assumptions(empty, KAPPA, frame()) == {}
    assert all(np.isnan(value) for value in parts_of(assumptions_table({})).values())
    json.dumps({name: values.tolist() for name, values in assumptions_table({}).items()})
