"""Catalogues drawn over a known lens: what likelihood and bins recover of a known law."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import counts
from tilegc.relation.attenuation import attenuation
from tilegc.relation.boxes import Boxes, binned_law
from tilegc.relation.clumping import clumping, sandwich
from tilegc.relation.counts_law import fit_law


def trial(law, floor, rms, mocks, seed=1):
    """c less the truth, its error, and b of the bins, for each mock; (mock, 3)."""
    place = counts.sky()
    draw = np.random.default_rng(seed)
    rows = []
    for _ in range(mocks):
        data = counts.in_boxes(
            place,
            counts.draw_counts(place, law, floor, rms, draw),
            counts.draw_outer(place, law, floor, draw),
        )
        found = fit_law(data)
        error = np.sqrt(sandwich(data, found, clumping(data, found))[1, 1])
        area = data.box_area
        full = area >= 0.8 * 9.0
        kappa = data.powers(1.0)[0] / area
        bins = Boxes(data.column[full] * 3.0, data.row[full] * 3.0, area[full], data.count[full], kappa[full])
        rows.append((found.c - law[1], error, binned_law(bins)[1]))
    return np.array(rows)


@pytest.mark.parametrize("name", counts.LAWS)
def test_the_likelihood_holds_where_bins_do_not(name):
    law = counts.LAWS[name]
    apart, error, index = trial(law, counts.FLOOR, 0.0, 60).T
    assert abs(apart.mean()) < 0.02 + 2 * apart.std() / len(apart) ** 0.5
    assert 0.75 < (apart / error).std() < 1.35
    assert abs(index.mean() - 1 / law[1]) > 0.05


def test_without_a_floor_nothing_pushes_the_power_up():
    law, place, draw = counts.LAWS["linear"], counts.sky(), np.random.default_rng(3)
    found, stopped = [], []
    for _ in range(80):
        data = counts.in_boxes(
            place, counts.draw_counts(place, law, 0.0, 0.0, draw), counts.draw_outer(place, law, 0.0, draw)
        )
        found.append(fit_law(data))
        stopped.append(fit_law(data, below=False))
        assert (data.expected(found[-1]) > 0).all()
    c, floor = (np.array([getattr(one, name) for one in found]) for name in ("c", "floor"))
    apart = np.array([one.c for one in stopped]) - law[1]
    assert abs(c.mean() - law[1]) < 2.5 * c.std() / 80**0.5
    assert abs(floor.mean()) < 2.5 * floor.std() / 80**0.5
    assert 0.3 < (floor < 0).mean() < 0.7
    assert min(one.floor for one in stopped) == 0
    assert apart.mean() > 0.01 > c.mean() - law[1]


def test_clumped_counts_have_wider_errors_that_hold():
    law = counts.LAWS["0.7"]
    apart, error, _ = trial(law, counts.FLOOR, 0.3, 40).T
    _, plain, _ = trial(law, counts.FLOOR, 0.0, 10).T
    assert error.mean() > 1.5 * plain.mean()
    assert 0.7 < (apart / error).std() < 1.5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rms", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("floor", [0.0, counts.FLOOR])
@pytest.mark.parametrize("name", counts.LAWS)
def test_four_hundred_mocks(name, floor, rms):
    law = counts.LAWS[name]
    apart, error, index = trial(law, floor, rms, 400).T
    bias, pull = float(apart.mean()), float((apart / error).std())
    binned = float(index.mean() - 1 / law[1])
    print(
        f"{name} floor {floor:g} clumped {rms:g}: c off by {bias:+.4f} ± {apart.std() / 20:.4f}, scatter "
        f"{apart.std():.4f}, pull {pull:.3f}; b of the bins off by {binned:+.3f}"
    )
    assert abs(bias) < 0.02
    low, high = (0.8, 1.4) if rms else (0.9, 1.1)
    assert low < pull < high
    assert binned < (-0.1 if floor else -0.2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rms", [0.1, 0.2, 0.3])
def test_range_maps_tell_what_a_wrong_map_does(rms):
    """A lens map wrong by so much, on 2.5 arcsec, and what range maps about it say of the law it gives."""
    place, law, draw = counts.sky(), counts.LAWS["0.7"], np.random.default_rng(5)

    def wrong(kappa):
        return kappa * counts.clumped(kappa.shape, place.pixel, rms, draw, length=2.5)

    rows = []
    for _ in range(16):
        seen = wrong(place.kappa)
        count = counts.draw_counts(place, law, counts.FLOOR, 0.0, draw)
        outer = counts.draw_outer(place, law, counts.FLOOR, draw)

        def boxes(kappa, n, outer=outer):
            return counts.in_boxes(place, n, outer, kappa)

        found = fit_law(boxes(seen, count), dispersion=0.0)
        told = attenuation(
            seen, [wrong(seen) for _ in range(3)], place.area, count, place.use, found, boxes=boxes
        )
        rows.append((found.c, told.ratio * law[1], told.c_corrected))
    c, told, corrected = np.mean(rows, axis=0)
    errors = np.std(rows, axis=0, ddof=1) / len(rows) ** 0.5
    print(
        f"wrong by {rms:.0%}: c = {c:.3f} ± {errors[0]:.3f}, by range maps {told:.3f} ± {errors[1]:.3f}, "
        f"corrected {corrected:.3f} ± {errors[2]:.3f}"
    )
    assert c == pytest.approx({0.1: 1.40, 0.2: 1.31, 0.3: 1.20}[rms], abs=0.04)
    assert abs(told - c) < 0.02 + 2.5 * np.hypot(*errors[:2])
    assert abs(corrected - law[1]) < 0.02 + 2.5 * errors[2]
