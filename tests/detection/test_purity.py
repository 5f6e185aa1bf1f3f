"""Purity from the counts of null maps, and the threshold that follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.support.null_counts import noise_of, peaks_at
from tilegc.detection import purity as stage
from tilegc.detection.automatic import limit_in_flux, lowest_limit
from tilegc.detection.limits import Threshold
from tilegc.detection.noise.noise_map import NullCounts
from tilegc.detection.noise.null_maps import FLOOR, SLICES
from tilegc.detection.purity import purity_of, tail
from tilegc.detection.threshold import Selection
from tilegc.geometry import LATTICE
from tilegc.kernels.monotone import rising

AREA = 9e-4


def purities(measured, noise, y, x, rank):
    y, x = np.asarray(y), np.asarray(x)
    return purity_of(measured, noise, y, x, np.asarray(rank, float), noise.at(y, x))


def test_rising_is_the_nearest_rising_sequence():
    draw = np.random.default_rng(0)
    for _ in range(5):
        values, weights = draw.normal(np.arange(6) / 3, 1), draw.uniform(0.5, 3, 6)
        found = rising(values, weights)
        assert (np.diff(found) >= 0).all()
        steps = minimize(
            lambda s, v=values, w=weights: (w * (np.cumsum(np.r_[s[0], s[1:] ** 2]) - v) ** 2).sum(),
            np.r_[values[0], np.ones(5)],
            tol=1e-14,
            options={"maxiter": 4000},
        )
        assert (weights * (found - values) ** 2).sum() <= steps.fun + 1e-6


def test_counts_are_scaled_by_area_and_number_of_maps():
    """Half of the area counted, six maps: 60 null peaks are 20 expected; of 50 found 0.6 are sources."""
    peaks = np.zeros((1, 1, len(SLICES)), int)
    peaks[0, 0, 4] = 60
    noise = noise_of([[1.0]], 50_000, 25_000, peaks)
    found = peaks_at(noise, np.full(50, 3), np.full(50, 4), np.full(50, SLICES[4] + 0.1))
    measured = stage._of_field("f", found, noise, 29, AREA)
    row = measured.table["snr_lo"] == SLICES[4]
    assert measured.table["n_noise"][row] == pytest.approx(20)
    assert measured.table["n_noise_err"][row] == pytest.approx(20 / np.sqrt(60))
    assert measured.table["purity"][row] == pytest.approx(0.6)
    assert measured.table["area_arcsec2"][0] == pytest.approx(50_000 * AREA)
    assert np.isnan(measured.table["purity"][~row]).all()
    assert purities(measured, noise, [0, 0], [0, 0], np.array([SLICES[4], 2.4]))[0] == pytest.approx(0.6)
    assert np.isnan(purities(measured, noise, [0, 0], [0, 0], np.array([2.4, 2.4]))).all()


def test_sources_leave_less_room_for_noise():
    """300 bright sources that blank 29 of 50,000 pixels each leave exp(-0.174) of the room."""
    peaks = np.zeros((1, 1, len(SLICES)), int)
    peaks[0, 0, 0] = 600
    noise = noise_of([[1.0]], 50_000, 50_000, peaks)
    found = peaks_at(noise, np.zeros(300, int), np.zeros(300, int), np.full(300, 50.0))
    table = stage._of_field("f", found, noise, 29, AREA).table
    assert table["n_noise"][0] == pytest.approx(100 * np.exp(-29 * 300 / 50_000))
    assert table["purity"][-1] == 1.0
    assert table["purity_above"][0] == pytest.approx(1 - table["n_noise"].sum() / 300)


def test_zones_have_their_own_counts():
    """Two cells are twice as noisy as the four others: each zone uses its own null peaks."""
    values = [[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]]
    peaks = np.zeros((2, 3, len(SLICES)), int)
    peaks[:, :2, 0], peaks[:, 2, 0] = 6, 60
    noise = noise_of(values, 1000, 1000, peaks)
    x = np.array([0] * 20 + [2 * LATTICE] * 25)
    found = peaks_at(noise, np.zeros(45, int), x, np.full(45, 2.6))
    measured = stage._of_field("f", found, noise, 0, AREA)
    assert set(measured.table["zone"]) == {1, 2}
    first = measured.table["snr_lo"] == FLOOR
    np.testing.assert_allclose(measured.table["n_noise"][first], [4, 20])
    np.testing.assert_allclose(
        purities(measured, noise, [0, 0], [5, 2 * LATTICE + 5], np.array([2.6, 2.6])), [0.8, 0.2]
    )


def test_a_zone_without_empty_sky_takes_the_rate_of_the_field():
    """The shallow zone has 100 pixels of empty sky with two excess peaks, which must not determine its purity."""
    noise = noise_of([[1.0]], 0, 0, np.zeros((1, 1, len(SLICES)), int))
    good, away = np.array([[[0, 30_000, 10_000]]]), np.array([[[0, 20_000, 100]]])
    peaks = np.zeros((1, 1, 3, len(SLICES)), int)
    peaks[0, 0, 1, 0], peaks[0, 0, 2, 12] = 60, 2
    counts = NullCounts(good, away, peaks, 1, FLOOR, (0.5, 1.5), np.ones((1, 1)))
    noise = replace(noise, counts=counts, quantiles=np.array([[[1.0, 2.0]]]))
    found = peaks_at(noise, np.full(20, 3), np.full(20, 4), np.full(20, 7.0))
    found["noise"] = np.full(20, 2.0)
    measured = stage._of_field("f", found, noise, 0, AREA)
    shallow = measured.table["zone"] == 2
    expected = measured.table["n_noise"][shallow]
    assert expected[0] == pytest.approx(60 / 20_100 * 10_000)
    # Two of 100 pixels would have made 200.
    assert expected[12:].sum() < 0.01


def test_one_band_knows_nothing_below_its_floor():
    peaks = np.zeros((1, 1, len(SLICES)), int)
    peaks[0, 0, SLICES.index(6.0)] = 2
    noise = noise_of([[1.0]], 1000, 1000, peaks, draws=1, floor=6.0)
    rank = np.array([3.0, 5.9] + [6.1] * 10 + [20.0] * 10)
    found = peaks_at(noise, np.zeros(22, int), np.zeros(22, int), rank)
    measured = stage._of_field("f", found, noise, 0, AREA)
    pure = purities(measured, noise, found["y"], found["x"], rank)
    assert np.isnan(pure[:2]).all()
    np.testing.assert_allclose(pure[2:12], 0.8)
    assert (pure[12:] == 1).all()


def test_without_null_maps_purity_is_not_known():
    peaks = np.zeros((1, 1, len(SLICES)), int)
    noise = noise_of([[1.0]], 1000, 0, peaks, draws=0)
    measured = stage._of_field(
        "f", peaks_at(noise, np.zeros(3, int), np.zeros(3, int), np.full(3, 4.0)), noise, 29, AREA
    )
    assert np.isnan(purities(measured, noise, [0], [0], np.array([4.0]))).all()


@pytest.mark.parametrize("onset", [0.0, 4.0, 50.0])
def test_the_chosen_limit_is_the_lowest_that_is_pure_enough(onset):
    draw = np.random.default_rng(3)
    peaks = np.zeros((1, 1, len(SLICES)), int)
    peaks[0, 0] = 6 * np.rint(400 * np.exp(-np.arange(len(SLICES)) / 1.5))
    noise = noise_of([[0.5]], 200_000, 200_000, peaks)
    rank = np.r_[draw.exponential(1.0, 1200) + FLOOR, draw.exponential(6.0, 300) + FLOOR].astype(np.float32)
    found = peaks_at(noise, np.zeros(1500, int), np.zeros(1500, int), rank)
    measured = stage._of_field("f", found, noise, 0, AREA)
    limit = limit_in_flux(found, measured, 0.9, onset, noise)
    if onset == 50.0:
        assert np.isnan(limit)
        return
    pure = purities(measured, noise, found["y"], found["x"], rank)
    fit = [r for r in rank if r >= onset and pure[rank >= r].mean() >= 0.9]
    assert limit == pytest.approx(0.5 * min(fit))
    assert limit > 0.5 * (FLOOR + 0.3)


def gaussian_counts(level):
    """Return the number of noise peaks per slice for a Gaussian field with `level` peaks above S/N 3."""
    above = level * np.exp(-0.5 * (np.append(np.array(SLICES), np.inf) ** 2 - 9.0))
    return above[:-1] - above[1:]


@pytest.mark.parametrize(("level", "real"), [(500.0, 2000), (60.0, 40), (5000.0, 300)])
def test_the_limit_of_a_zone_is_where_its_catalogue_is_pure_enough(level, real):
    """With known numbers of sources and Gaussian noise peaks, the limit is the one that the truth gives."""
    draw = np.random.default_rng(8)
    sources = 3.5 + draw.exponential(6.0, real)
    n_noise = gaussian_counts(level)
    table = {
        "zone": np.ones(len(SLICES), int),
        "snr_lo": np.array(SLICES),
        "n_noise": n_noise,
    }
    # Peaks of noise where a Gaussian puts them, none by chance.
    rank = np.arange(1, round(level) + 1)
    noise = np.sqrt(9.0 - 2 * np.log(rank / level))
    snr = np.r_[sources, noise]
    found = lowest_limit(table, 1, snr, 0.99, 0.0)
    grid = np.arange(2.5, 8, 0.01)
    true = np.array([level * np.exp(-0.5 * (k * k - 9)) / max((snr >= k).sum(), 1) for k in grid])
    best = grid[np.flatnonzero(true <= 0.01)[0]]
    if real >= 300:
        assert found == pytest.approx(best, abs=0.1)
    assert 3.0 < found <= 8.0
    assert lowest_limit(table, 1, snr, 0.99, 6.5) >= 6.5


def test_a_limit_that_nothing_tells_is_none():
    table = {
        "zone": np.ones(len(SLICES), int),
        "snr_lo": np.array(SLICES),
        "n_noise": np.full(len(SLICES), np.nan),
    }
    assert np.isnan(lowest_limit(table, 1, np.array([5.0, 9.0]), 0.99, 0.0))


def test_few_counts_follow_the_tail_of_a_gaussian():
    draw = np.random.default_rng(4)
    mean = gaussian_counts(400.0)
    smooth = np.array([tail(draw.poisson(mean).astype(float)) for _ in range(200)])
    high = np.array(SLICES) >= 4.25
    ratio = smooth[:, high].sum(axis=1).mean() / mean[high].sum()
    assert ratio == pytest.approx(1.0, abs=0.15)
    assert (smooth[:, -1] < 1e-3).all()
    # A heavier tail is taken as it is counted, in sum, without gaps.
    heavy = mean.copy().round()
    heavy[np.array(SLICES) == 6.0] = 12
    found = tail(heavy)
    assert found[np.array(SLICES) >= 4.25].sum() == pytest.approx(
        heavy[np.array(SLICES) >= 4.25].sum(), rel=0.3
    )
    assert (np.diff(found[np.array(SLICES) >= 4.25]) <= 1e-12).all()


def test_fields_are_compared_where_both_are_complete():
    """With local noise the limit is that of the noisier field, except for its noisiest twentieth."""
    peaks = np.zeros((1, 40, len(SLICES)), int)
    values = np.full((1, 40), 1.0)
    values[0, -1] = 3.0
    local = {"a": noise_of(values, 1000, 1000, peaks), "b": noise_of(values * 0.5, 1000, 1000, peaks)}
    limits = {"a": Threshold(2.5, local=True, typical=2.5), "b": Threshold(3.0, local=True, typical=1.5)}
    columns = {
        "field": np.array(["a", "a", "a", "b", "b"], object),
        "y_peak": np.zeros(5, int),
        "x_peak": np.array([0, 0, 40 * LATTICE - 1, 0, 40 * LATTICE - 1]),
        "peak": np.array([4.9, 5.1, 20.0, 6.0, 20.0], np.float32),
        "snr": np.array([4.9, 5.1, 20 / 3, 12.0, 20 / 1.5]),
    }
    chosen = Selection(local, {}, {}, limits, columns, columns)
    common = chosen.common(2.0)
    assert common.limit == pytest.approx(5.0)
    assert {name: ceiling for name, (_, ceiling) in common.complete.items()} == pytest.approx(
        {"a": 1.0, "b": 5 / 6}
    )
    # The first is below the limit; the third and the last lie where noise hides sources of that brightness.
    assert common.sources(columns)["peak"].tolist() == pytest.approx([5.1, 6.0])
    whole = {name: Threshold(one.typical, local=False, typical=one.typical) for name, one in limits.items()}
    uniform = Selection(local, {}, {}, whole, columns, columns).common(2.0)
    assert uniform.limit == 5.0
    assert not uniform.complete
    nothing = {name: Threshold(np.nan, local=False, typical=np.nan) for name in limits}
    assert Selection(local, {}, {}, nothing, columns, columns).common(2.0).limit == np.inf
