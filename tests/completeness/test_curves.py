"""Depths from artificial stars, colours without noise, and the density of the draw."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from tilegc.completeness.colours import deconvolved
from tilegc.completeness.curves import curve, depths
from tilegc.completeness.draw import CELL, Population, draw, places


def test_depths_are_those_of_the_planted_completeness():
    rng = np.random.default_rng(3)
    magnitude = rng.uniform(27, 32, 60_000)
    weight = rng.uniform(0.5, 2, magnitude.size)
    recovered = rng.uniform(size=magnitude.size) < 0.95 * ndtr((30.0 - magnitude) / 0.4)
    found = depths(curve(magnitude, recovered, weight))
    for level, expected in ((0.5, 29.973), (0.8, 29.60), (0.9, 29.35)):
        at, error = found[level]
        assert 0 < error < 0.05
        assert at == pytest.approx(expected, abs=0.05)


def test_without_stars_there_is_no_depth():
    empty = np.zeros(0)
    assert all(np.isnan(at) for at, _ in depths(curve(empty, np.zeros(0, bool), empty)).values())


def test_colours_lose_the_noise_of_the_photometry():
    rng = np.random.default_rng(5)
    n = 800
    noise = rng.uniform(0.05, 0.25, n)
    true = np.array([0.3, -0.1]) + rng.normal(0, 1, (n, 2)) @ np.diag([0.12, 0.05])
    seen = true + rng.normal(0, 1, (n, 2)) * noise[:, None]
    weight, mean, covariance = deconvolved(seen, noise[:, None, None] ** 2 * np.eye(2))
    middle = weight @ mean
    spread = np.einsum("k,kij->ij", weight, covariance) + np.cov(mean.T, aweights=weight, bias=True)
    np.testing.assert_allclose(middle, [0.3, -0.1], atol=0.02)
    np.testing.assert_allclose(np.sqrt(np.diag(spread)), [0.12, 0.05], atol=0.025)


@pytest.mark.parametrize("turnover", [32.0, np.nan])
def test_a_sum_over_the_density_of_the_draw_is_an_integral(turnover):
    """The area, and the number of a law over it, come out of the stars; more stars go on where others ended.

    Without a redshift no turnover is known.
    """
    area = np.full((3, 4), CELL * CELL, np.int64)
    area[0, 1] = 400
    area[2, 3] = 0
    sources = np.zeros_like(area)
    sources[1, 2] = 30
    where = places(area, sources, (90.0, 100.0), 20.0, np.zeros_like(area))
    assert where is not None
    flat = np.zeros((1, 1))
    population = Population(29.0, turnover, 1.2, np.ones(2), np.ones(1), flat, np.zeros((1, 1, 1)))
    whole = draw(where, population, np.zeros(2), seed=1, stream=7, first=0, last=40_000)
    part = draw(where, population, np.zeros(2), seed=1, stream=7, first=30_000, last=40_000)
    np.testing.assert_array_equal(part.y, whole.y[30_000:])
    np.testing.assert_array_equal(part.flux, whole.flux[:, 30_000:])
    inverse = 1 / (whole.position_density * whole.magnitude_density)
    # Draws fall on the whole cell; of the cell with few searched pixels only those are kept.
    row, column = (np.floor((axis + 0.5) / CELL).astype(int) for axis in (whole.y, whole.x))
    kept = np.where(area[row, column] == 400, 400 / CELL**2, 1.0)
    total = (inverse * kept).sum() * where.draws / 40_000
    assert total == pytest.approx(area.sum() * 5.5, rel=0.02)
    assert where.draws >= 1
    np.testing.assert_allclose(whole.flux[0], 10 ** (-0.4 * (whole.magnitudes[0] - 31.4)))


def test_nothing_searched_has_no_places():
    none = np.zeros((2, 2), np.int64)
    assert places(none, none, None, 10.0, none) is None
