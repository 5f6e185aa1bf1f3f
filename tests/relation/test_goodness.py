"""Whether the law describes the sources: residuals and their envelopes, planted clumps, the size of the tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support import counts
from tilegc.kernels.smoothing import FWHM_PER_SIGMA
from tilegc.relation.clumping import Clumping, clumping
from tilegc.relation.counts import BoxCounts, gather
from tilegc.relation.counts_law import fit_law
from tilegc.relation.goodness import SCALES, goodness
from tilegc.relation.residual_skies import Smoother, residual_sky

LAW = counts.LAWS["0.7"]
NONE = Clumping(0.0, 1.0, "exponential", 0.0)


def fine(place: counts.Sky, count: np.ndarray, outer=None) -> BoxCounts:
    """Counts in boxes of 1.8 arcsec."""
    data = gather(place.kappa, place.area, count, place.use, first=place.first, cells=3, pixel=place.pixel)
    return replace(data, outer=outer)


def examined(place, count, outer=None, skies=99, seed=1):
    data = counts.in_boxes(place, count, outer)
    law = fit_law(data)
    return goodness(fine(place, count, outer), law, clumping(data, law), 3.0, skies, seed)


@pytest.fixture(scope="module")
def place():
    return counts.sky()


@pytest.fixture(scope="module")
def plain(place):
    draw = np.random.default_rng(11)
    return counts.draw_counts(place, LAW, counts.FLOOR, 0.0, draw), counts.draw_outer(
        place, LAW, counts.FLOOR, draw
    )


def test_one_step_stands_for_a_fit(place, plain):
    count, outer = plain
    law = fit_law(counts.in_boxes(place, count, outer), dispersion=0.0)
    sky = residual_sky(fine(place, count, outer), law, 3.0)
    draw = np.random.default_rng(2)
    drawn = draw.poisson(sky.expected).astype(float)
    same = replace(outer, density=law.a * outer.terms(law.c)[0] + law.floor)
    again = fit_law(replace(sky.data, count=drawn, outer=same), dispersion=0.0, begin=law)
    want = drawn - sky.data.expected(again)
    (got,) = sky.settled((drawn - sky.expected)[None])
    moved = np.abs(want - (drawn - sky.expected)).max()
    assert moved > 0.05
    assert np.abs(got - want).max() < 0.05 * moved


def test_the_smoothed_residual_is_a_sum_over_its_error(place, plain):
    count, outer = plain
    law = fit_law(counts.in_boxes(place, count, outer))
    sky = residual_sky(fine(place, count, outer), law, 3.0)
    smooth = Smoother(sky, 10.0, 0.5)
    (got,) = smooth.significance(sky.residual[None])
    data, sigma = sky.data, 10.0 / FWHM_PER_SIGMA
    xi, eta = (data.column + 0.5) * data.side, (data.row + 0.5) * data.side
    for box in (0, 700, 2000):
        weight = np.exp(-0.5 * ((xi - xi[box]) ** 2 + (eta - eta[box]) ** 2) / sigma**2)
        want = (weight * sky.residual).sum() / np.sqrt((weight**2 * sky.expected).sum())
        share = (weight * data.box_area).sum() / (2 * np.pi * sigma**2)
        assert smooth.used[box] == (share >= 0.5)
        assert got[box] == pytest.approx(want if smooth.used[box] else 0.0, abs=1e-4)


def test_a_clump_of_sources_without_mass_is_named(place, plain):
    count, outer = plain
    count = count.copy()
    draw = np.random.default_rng(4)
    xi, eta = draw.normal(-33.0, 1.5, 60), draw.normal(24.0, 1.5, 60)
    half = place.xi.shape[0] // 2
    np.add.at(
        count,
        (
            np.floor(eta / place.pixel).astype(int) + half,
            np.floor(xi / place.pixel).astype(int) + half,
        ),
        1,
    )
    count[place.area == 0] = 0
    found = examined(place, count, outer)
    assert found.p_value <= 0.03
    first = {name: values[0] for name, values in found.peaks.items()}
    assert first["kind"] == "excess"
    assert np.hypot(first["xi"] + 33.0, first["eta"] - 24.0) < 2.5
    assert first["n_sources"] - first["n_expected"] == pytest.approx(
        60 * (1 - np.exp(-0.5 * (first["scale"] / 2 / 1.5) ** 2)), abs=14
    )
    # The map has the same peak, in rows to the north and columns to the east.
    rows, columns = (
        round((first[name] / found.side) - 0.5) - start
        for name, start in zip(("eta", "xi"), found.first, strict=True)
    )
    plane = found.maps[SCALES.index(first["scale"])]
    assert plane[rows, columns] == pytest.approx(first["significance"])
    assert np.nanmax(plane) == plane[rows, columns]


def test_a_trend_that_the_law_misses_leaves_the_band(place):
    draw = np.random.default_rng(6)
    # Half the sources are missing to the west: a fault that neither kappa nor radius shows.
    seen = np.where(place.xi < 0, 0.75, 1.25)
    rate = (LAW[0] * place.kappa ** LAW[1] + counts.FLOOR) * place.area * seen
    found = examined(place, draw.poisson(rate))
    p = dict(zip(found.tests["statistic"], found.tests["p_value"], strict=True))
    assert found.p_value <= 0.02
    assert p["angle"] <= 0.02
    curve = {name: values[found.curves["quantity"] == "angle"] for name, values in found.curves.items()}
    assert ((curve["residual"] > curve["high"]) | (curve["residual"] < curve["low"])).mean() > 0.5


def test_a_sky_of_the_law_is_inside(place, plain):
    found = examined(place, *plain)
    assert found.p_value > 0.05
    for name in ("kappa", "radius", "angle"):
        curve = {key: values[found.curves["quantity"] == name] for key, values in found.curves.items()}
        assert ((curve["residual"] >= curve["low"]) & (curve["residual"] <= curve["high"])).mean() > 0.6
        assert (np.diff(curve["value"]) > 0).all()
    assert examined(place, *plain).p_value == found.p_value


def test_clumped_skies_have_wider_envelopes(place, plain):
    count, outer = plain
    law = fit_law(counts.in_boxes(place, count, outer))
    clumps = Clumping(0.3, 4.0, "gaussian", 50.0)
    found = goodness(fine(place, count, outer), law, clumps, 3.0, 99)
    assert (found.tests["limit_95_clumped"] > 1.05 * found.tests["limit_95"]).mean() > 0.7
    assert found.p_value_clumped > found.p_value


def test_too_few_sources_are_not_tested(place):
    assert examined(place, np.zeros(place.kappa.shape, int)) is None
    data = fine(place, np.zeros(place.kappa.shape, int))
    law = fit_law(counts.in_boxes(place, counts.draw_counts(place, LAW, 0.3, 0.0, np.random.default_rng(1))))
    assert goodness(data, law, NONE, 3.0) is None


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rms", [0.0, 0.3])
def test_the_size_of_the_tests(place, rms):
    draw = np.random.default_rng(31)
    rows = []
    for seed in range(400):
        count = counts.draw_counts(place, LAW, counts.FLOOR, rms, draw)
        found = examined(place, count, counts.draw_outer(place, LAW, counts.FLOOR, draw), 199, seed)
        rows.append([found.p_value, found.p_value_clumped, *found.tests["p_value"]])
    size = (np.array(rows) <= 0.05).mean(axis=0)
    print(f"clumped {rms:g}: rejected {size[0]:.3f}, {size[1]:.3f}; each statistic {size[2:].round(3)}")
    if rms == 0:
        assert size[0] == pytest.approx(0.05, abs=0.02)
    else:
        assert size[0] > 0.2
        assert size[1] < 0.1
