"""Ranking maps by positions: the likelihood written out source by source, and mocks in which the true map must win."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.relation.test_likelihood import cluster
from tests.support import counts
from tests.support.hand import DEC, RA, tan
from tilegc.io.convergence import Kappa
from tilegc.relation.map_transforms import circularised, smoothed, transforms
from tilegc.relation.rank_statistics import difference_error, position_likelihood
from tilegc.relation.ranking import OWN, rank_maps
from tilegc.sky import SkyGrid


def some(seed=0, cells=150):
    draw = np.random.default_rng(seed)
    values, area = draw.lognormal(0, 0.7, cells), draw.uniform(0.2, 1.0, cells)
    return values, area, draw.poisson(area * (2 * values**1.3 + 0.5)).astype(float)


def written_out(values, area, count, c, g):
    z, sky = sum(area * values**c), sum(area)
    return sum(n * math.log((1 - g) * k**c / z + g / sky) for n, k in zip(count, values, strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_likelihood_is_the_maximum_over_both(seed):
    values, area, count = some(seed)
    found = position_likelihood(values, area, count)
    assert found.ln_likelihood == pytest.approx(
        written_out(values, area, count, found.c, found.uniform), rel=1e-12
    )

    def loss(x):
        return -written_out(values, area, count, abs(x[0]), 1 / (1 + math.exp(-x[1])))

    best = min(
        (
            minimize(
                loss, begin, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 900}
            )
            for begin in ([1.0, -1.0], [2.0, 0.5])
        ),
        key=lambda one: one.fun,
    )
    assert found.ln_likelihood == pytest.approx(-best.fun, abs=1e-4)
    assert (count * found.ln_density).sum() == pytest.approx(found.ln_likelihood)
    assert (area * np.exp(found.ln_density)).sum() == pytest.approx(1.0, rel=1e-9)


def test_scale_and_power_of_a_map_do_not_matter():
    values, area, count = some()
    one = position_likelihood(values, area, count)
    for scale, power in ((3.0, 1.0), (0.01, 2.0), (7.0, 0.6)):
        other = position_likelihood(scale * values**power, area, count)
        assert other.ln_likelihood == pytest.approx(one.ln_likelihood, abs=1e-5)
        assert other.c == pytest.approx(one.c / power, rel=1e-2)


def test_maps_that_tell_nothing():
    _, area, count = some()
    flat = -count.sum() * math.log(area.sum())
    for values in (np.ones(area.size), np.zeros(area.size), -np.ones(area.size)):
        found = position_likelihood(values, area, count)
        assert found.ln_likelihood == pytest.approx(flat)
        assert np.isnan(found.c)
        assert found.uniform == 1.0
    assert position_likelihood(area, area, 0 * area).ln_likelihood == 0.0
    hole = np.where(np.arange(area.size) < 50, 0.0, 1.0)  # sources where the map has none: uniform ones
    assert np.isfinite(position_likelihood(hole, area, count).ln_likelihood)


def test_error_of_a_difference():
    values, area, count = some()
    one, other = (position_likelihood(v, area, count) for v in (values, values[::-1]))
    gains = np.repeat(one.ln_density - other.ln_density, count.astype(int))
    want = math.sqrt(gains.size) * gains.std()
    assert difference_error(one, other, count) == pytest.approx(want)
    assert np.isnan(difference_error(one, other, 0 * count))


def test_transforms():
    def at(xi, eta):
        return np.exp(-(((xi - 3) / 4) ** 2) - ((eta - 1) / 9) ** 2)

    xi, eta = np.meshgrid(np.arange(-20, 20) + 0.5, np.arange(-20, 20) + 0.5)
    made = transforms(at, xi, eta, 1.0)
    np.testing.assert_array_equal(made["uniform"], np.ones(xi.shape))
    grid = at(xi, eta)
    turned = np.rot90(grid)
    assert np.allclose(made["rotated_90"], turned) or np.allclose(made["rotated_90"], np.rot90(grid, 3))
    np.testing.assert_allclose(made["rotated_180"], np.rot90(grid, 2))
    np.testing.assert_allclose(made["mirrored"], grid[:, ::-1])
    np.testing.assert_allclose(made["transposed"], grid.T)
    np.testing.assert_allclose(made["shifted_4"][:, 4:], grid[:, :-4])
    radius = np.hypot(xi, eta)
    smooth = circularised(1 / (5 + radius), xi, eta, 1.0)
    np.testing.assert_allclose(smooth, 1 / (5 + radius), rtol=0.02)
    np.testing.assert_array_equal(made["circularised"], circularised(grid, xi, eta, 1.0))
    ring = np.abs(radius - 8.0) < 0.3
    assert np.ptp(made["circularised"][ring]) < 0.1 * np.ptp(grid[ring])
    gap = np.where(radius < 5, np.nan, grid)
    assert np.isnan(circularised(gap, xi, eta, 1.0)[radius < 5]).all()


def test_smoothed_fills_gaps_from_beside():
    values = np.full((40, 40), 3.0)
    values[10:14, 10:14] = np.nan
    np.testing.assert_allclose(smoothed(values, 2.0), 3.0)
    values[:, 15:] = np.nan
    assert np.isnan(smoothed(values, 2.0)[:, 25:]).all()


GALAXIES = ((0, 0, 6.0, 8.0), (19, 17, 3.0, 3.0), (-22, 8, 2.0, 2.0), (9, -30, 2.0, 2.0), (30, -5, 2.0, 1.5))
"""xi, eta, size, brightness."""


def rivals(place):
    """The true map and those that it must beat."""
    at = place.mass.kappa
    maps = {"true": place.kappa, **transforms(at, place.xi, place.eta, place.pixel)}
    maps["without_second"] = counts.MAIN.kappa(place.xi, place.eta)
    light = sum(
        np.exp(-np.hypot(place.xi - x, place.eta - y) / r) * h for x, y, r, h in GALAXIES
    )  # the galaxies' light: the clumps' centres, but not their halos
    return {**maps, "light": light}


def first_rate(rms, mocks, seed=5):
    place = counts.sky(1.0, mass=counts.WITH_SECOND)
    draw = np.random.default_rng(seed)
    use = place.use
    maps = {name: values[use] for name, values in rivals(place).items()}
    won = []
    for _ in range(mocks):
        count = counts.draw_counts(place, counts.LAWS["0.7"], counts.FLOOR, rms, draw)[use].astype(float)
        found = {
            name: position_likelihood(v, place.area[use], count).ln_likelihood for name, v in maps.items()
        }
        won.append(max(found, key=lambda name: found[name]))
    return sum(name == "true" for name in won) / mocks, won


def test_the_true_map_wins():
    rate, won = first_rate(0.0, 10)
    assert rate == 1.0, won


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rms", "least"), [(0.0, 0.97), (0.15, 0.97), (0.3, 0.95)])
def test_two_hundred_rankings(rms, least):
    rate, _ = first_rate(rms, 200)
    print(f"clumped {rms:g}: the true map first in {rate:.3f} of 200")
    assert rate >= least


def test_a_power_at_the_bound_is_told():
    kappa = np.linspace(1.0, 1.2, 50)
    steep = position_likelihood(kappa, np.ones(50), np.round(100 * (kappa / 1.2) ** 30))
    assert steep.c == pytest.approx(8.0, abs=1e-3)
    assert steep.at_bound
    assert not position_likelihood(kappa, np.ones(50), np.round(100 * kappa**2)).at_bound
    assert not position_likelihood(np.ones(50), np.ones(50), np.ones(50)).at_bound


def lens_map(values, scale=1.0):
    """A map with its centre on the cluster's."""
    middle = (np.array(values.shape) - 1) / 2
    return Kappa(values, tan(values.shape, scale, *middle), 0.785, 0.785, 1.0, "kappa.fits")


def test_the_ranking_of_a_run():
    place = cluster()
    cells = replace(place, grid=SkyGrid(RA, DEC, 1.0), light=np.where(place.n_good > 0, 1.0, np.nan))
    side = np.arange(-80, 81) * 1.0
    xi, eta = np.meshgrid(-side, side)  # east is to the left
    own, other = lens_map(counts.WHOLE.kappa(xi, eta)), lens_map(counts.MAIN.kappa(xi, eta))
    small = lens_map(counts.WHOLE.kappa(*np.meshgrid(-side[60:101], side[60:101])))
    table = rank_maps(cells, own, {"main clump": other, "small": small, "light": other}, 45.0)
    names = table["map"].tolist()
    # The lens is nearly symmetric about its diagonal: with the axes exchanged it is hardly another map.
    first = names.index(OWN)
    assert names[:first] in ([], ["transposed"])
    assert abs(table["delta"][names.index("transposed")]) < 10
    assert set(names) == {
        OWN,
        "uniform",
        "rotated_90",
        "rotated_180",
        "mirrored",
        "transposed",
        "shifted_4",
        "circularised",
        "light",
        "main clump",
        "small",
        "light (compared)",
    }
    assert table["rank"].tolist() == [*range(1, len(names)), -1]
    assert names[-1] == "small"  # too small a map is listed, and not compared
    assert np.isnan(table["ln_likelihood"][-1])
    ranked = table["ln_likelihood"][:-1]
    assert (np.diff(ranked) <= 0).all()
    np.testing.assert_allclose(table["delta"][:-1], ranked - ranked[first], atol=1e-9)
    assert (np.delete(table["delta_err"][:-1], first) > 0).all()
    use = cells.kept & (cells.radius < 45)
    assert table["n_sources"][0] == cells.n_gc.sum(axis=0)[use].sum()
    want = position_likelihood(
        cells.kappa[use], cells.good_area.sum(axis=0)[use], cells.n_gc.sum(axis=0)[use].astype(float)
    )
    assert ranked[first] == pytest.approx(want.ln_likelihood, rel=1e-12)
    assert table["c"][first] == pytest.approx(1.43, abs=0.25)
    # Turned by 90 degrees the other way round is the same once the sky is turned too: hence not first.
    assert ranked[names.index("rotated_90")] < ranked[first] - 3
    nothing = rank_maps(replace(cells, n_good=0 * cells.n_good), own, {}, 45.0)
    assert set(nothing["rank"].tolist()) == {-1}
    no_sky = replace(
        cells,
        **{
            name: getattr(cells, name)[..., :0, :0]
            for name in ("n_pixels", "n_good", "n_inside", "n_gc", "light", "rho", "kappa")
        },
    )
    assert set(rank_maps(no_sky, own, {}, 45.0)["rank"].tolist()) == {-1}
