"""Isolated stars compared with the rule applied pixel by pixel, in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.images.stars import LEAST, NEIGHBOUR, REACH, find_stars

WHOLE = slice(0, 10_000), slice(0, 10_000)


def image(places, shape=(90, 110), noise=0.2, seed=0) -> np.ndarray:
    """Return Gaussian sources (y, x, peak, sigma) on noise."""
    y, x = np.indices(shape)
    light = np.random.default_rng(seed).normal(0, noise, shape)
    for row, column, peak, sigma in places:
        light += peak * np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / sigma**2)
    return light.astype(np.float32)


def slowly(light, core=WHOLE) -> list[tuple[int, int]]:
    """Return the stars of an image, brightest first, by the definition."""
    found = []
    for y in range(light.shape[0])[core[0]]:
        for x in range(light.shape[1])[core[1]]:
            if not (REACH <= y < light.shape[0] - REACH and REACH <= x < light.shape[1] - REACH):
                continue
            stamp = light[y - REACH : y + REACH + 1, x - REACH : x + REACH + 1].astype(float)
            nearest = light[y - 2 : y + 3, x - 2 : x + 3]
            # The first of equal pixels in reading order is the brightest one.
            if not stamp[REACH, REACH] > 0 or np.nanargmax(nearest) != 12 or not np.isfinite(stamp).all():
                continue
            rim = np.concatenate([stamp[0, :-1], stamp[:-1, -1], stamp[-1, 1:], stamp[1:, 0]])
            above = stamp - rim.mean()
            j, i = np.indices(stamp.shape) - REACH
            near, peak = j * j + i * i <= 16, above[REACH, REACH]
            inner = above[(abs(j) <= 1) & (abs(i) <= 1)].sum()
            alone = peak > 0 and (above <= peak).all() and (above[~near] < NEIGHBOUR * peak).all()
            if alone and inner >= LEAST * above[near].sum():
                found.append((y, x))
    return sorted(found, key=lambda at: (-light[at], at))


@pytest.mark.parametrize("seed", range(4))
def test_stars_are_those_of_the_definition(seed):
    draw = np.random.default_rng(seed)
    places = [
        (
            *draw.uniform(5, 85, 1),
            *draw.uniform(5, 105, 1),
            draw.uniform(20, 300),
            draw.choice([1.1, 1.3, 3.0]),
        )
        for _ in range(14)
    ]
    light = image(places, seed=seed)
    light[draw.integers(0, 90, 6), draw.integers(0, 110, 6)] = np.nan
    found = find_stars(light, WHOLE, 100)
    expected = slowly(light)
    assert list(zip(found.y, found.x, strict=True)) == expected
    assert found.value.tolist() == [light[at] for at in expected]


def test_some_stars_are_found_and_galaxies_neighbours_and_gaps_are_not():
    places = [
        (20, 20, 100, 1.2),  # alone
        (20, 60, 100, 3.5),  # extended
        (60, 20, 100, 1.2),
        (60, 28, 50, 1.2),  # these two are neighbours
        (60, 80, 80, 1.2),  # with a missing pixel
        (4, 90, 90, 1.2),  # at the edge of the field
    ]
    light = image(places)
    light[65, 84] = np.nan
    found = find_stars(light, WHOLE, 10)
    assert list(zip(found.y, found.x, strict=True)) == [(20, 20)]
    assert 0.5 < found.concentration[0] < 1


def test_the_brightest_of_a_core_are_kept():
    places = [(20 + 26 * k, 20 + 26 * j, 100 + 10 * k + j, 1.2) for k in range(3) for j in range(3)]
    light = image(places, noise=0.0)
    found = find_stars(light, WHOLE, 4)
    assert list(zip(found.y, found.x, strict=True)) == [(72, 72), (72, 46), (72, 20), (46, 72)]
    core = find_stars(light, (slice(0, 46), slice(30, 60)), 4)
    assert list(zip(core.y, core.x, strict=True)) == [(20, 46)]


def test_an_empty_image_has_no_stars():
    for light in (np.zeros((40, 40), np.float32), np.full((40, 40), np.nan, np.float32), np.zeros((3, 3))):
        assert find_stars(light, WHOLE, 5).y.size == 0
