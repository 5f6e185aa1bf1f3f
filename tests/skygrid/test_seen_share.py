"""Completeness of cells from artificial stars, against the integral over a planted chance and luminosity function."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from tests.support.hand import sky
from tilegc.luminosity.fit import Function
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.seen_share import FieldScale, SeenStars, seen_share

LIMIT, LOW, HIGH = 31.0, 27.5, 33.0
"""The limit of the field, and the range of the stars' magnitudes."""
COLOUR = -0.2


def function(gradient: float = 0.0) -> Function:
    nothing = np.zeros((1, 1))
    return Function(
        turnover=31.8,
        width=1.3,
        gradient=gradient,
        pivot=10.0,
        background=0.0,
        slope=0.3,
        reference=31.0,
        density=np.ones(1),
        covariance=np.eye(6),
        clusters=nothing,
        others=nothing,
        deviance=0.0,
        freedom=1,
    )


def chance(magnitude: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Probability of being listed above the limit: a soft limit, and blends in the core."""
    return ndtr((LIMIT - magnitude) / 0.2) * (1 - 0.5 * np.exp(-((radius / 10) ** 2)))


def planted(cells: SkyCells, law: Function, number: int, seed: int = 1) -> SeenStars:
    rng = np.random.default_rng(seed)
    half = cells.kappa.shape[0] / 2
    xi, eta = rng.uniform(-half, half, (2, number))
    magnitude = rng.uniform(LOW, HIGH, number)
    q = 1 / (4 * half**2 * (HIGH - LOW))
    radius = np.hypot(xi, eta)
    z = (magnitude + COLOUR - law.turnover_at(radius)) / law.width
    weight = np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * law.width) / q
    listed = rng.uniform(size=number) < chance(magnitude, radius)
    return SeenStars(
        field=np.zeros(number, np.int64),
        xi=xi,
        eta=eta,
        number=np.arange(number),
        magnitude=magnitude,
        weight=weight,
        draw=np.full(number, 1 / q),
        peak=np.where(listed, 1.0, np.nan),
        scales=(FieldScale(LIMIT, COLOUR, 10 ** (0.4 * (LIMIT - 31.4))),),
        function=law,
    )


def oracle(cells: SkyCells, law: Function) -> np.ndarray:
    """The integral at every cell's centre, by sums over fine magnitudes."""
    magnitude = np.arange(LOW, HIGH, 0.01) + 0.005
    expected = np.zeros(cells.kappa.shape)
    for place in np.ndindex(expected.shape):
        radius = cells.radius[place]
        turnover = law.turnover_at(np.array([radius]))[0]
        phi = np.exp(-0.5 * ((magnitude + COLOUR - turnover) / law.width) ** 2) / (
            np.sqrt(2 * np.pi) * law.width
        )
        above = ndtr((LIMIT + COLOUR - turnover) / law.width)
        expected[place] = (phi * chance(magnitude, np.full(magnitude.size, radius))).sum() * 0.01 / above
    return expected


@pytest.mark.parametrize("gradient", [0.0, 0.5])
def test_the_share_is_the_integral(gradient):
    cells, law = sky(fields=("a",), full=True), function(gradient)
    found = seen_share(cells, planted(cells, law, 200_000), 1.0)
    # The Gaussian of 2 arcsec blurs the core's edge, and reaches over that of the field.
    inside = cells.radius < 22
    off = (found / oracle(cells, law) - 1)[inside]
    assert abs(off.mean()) < 0.01
    assert off.std() < 0.03
    assert found[inside].min() < 0.65 < 0.9 * found[inside].max()


def test_few_stars_give_a_share_with_little_noise():
    """Most comes from the curve of the field: with 20 stars per arcsec^2 a few per cent remain."""
    cells, law = sky(fields=("a",), full=True), function()
    stars = planted(cells, law, 40_000)
    found = seen_share(cells, stars, 1.0)
    half = seen_share(cells, stars.without(stars.number % 2 == 0), 1.0)
    inside = (cells.radius > 15) & (cells.radius < 22)
    assert found[inside].std() < 0.04
    assert np.std(half - found) < 0.05


def test_cells_without_area_or_stars():
    cells, law = sky(fields=("a", "b"), full=True), function()
    stars = planted(cells, law, 20_000)
    stars = replace(stars, scales=(*stars.scales, FieldScale(np.nan, 0.0, 1.0)))
    found = seen_share(cells, stars, 1.0)
    own = cells.good_area[0] > 0
    assert np.isfinite(found[own]).all()
    assert np.isnan(found[(cells.good_area[1] > 0) & ~own]).all()
    assert (found[cells.good_area.sum(axis=0) == 0] == 1).all()
