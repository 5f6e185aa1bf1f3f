"""Density from the k-th neighbour, compared with loops over all sources and pixels, in any tiling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.density.neighbours import STEP, neighbour_density
from tilegc.geometry import Box, TileGrid


def obvious(shape, good, y, x, weight, k, largest, py, px):
    """Density at one pixel, by brute force."""
    d2 = (y - py) ** 2 + (x - px) ** 2
    within = np.sort(d2[d2 <= largest**2])
    limit = within[k - 1] if within.size >= k else largest**2 + 1
    rows, columns = np.indices(shape)
    area = (good & ((rows - py) ** 2 + (columns - px) ** 2 < limit)).sum()
    number = weight[d2 < limit].sum()
    return number / area if area else np.nan


@given(st.integers(0, 2**32 - 1), st.integers(3, 6), st.integers(5, 25))
@settings(max_examples=8, deadline=None)
def test_loops_and_tilings(seed, k, largest):
    draw = np.random.default_rng(seed)
    shape = tuple(int(side) for side in draw.integers(20, 60, 2))
    good = draw.random(shape) < 0.7
    good[: shape[0] // 3] = False
    y, x = np.nonzero(good & (draw.random(shape) < 0.05))
    weight = draw.uniform(1, 2, y.size)
    field = Box(0, 0, *shape)
    whole = neighbour_density(field, field, good, y, x, weight, k, largest, 1.0)
    for py in range(0, shape[0], STEP):
        for px in range(0, shape[1], STEP):
            expected = obvious(shape, good, y, x, weight, k, largest, py, px)
            near = whole[0][py, px]
            assert near == pytest.approx(expected, nan_ok=True) or np.isnan(near)
    grid = TileGrid(shape, int(draw.integers(5, 40)))
    for tile in grid.tiles():
        window = tile.core.grow(largest + STEP).clip(field)
        inside = (y >= window.y0) & (y < window.y1) & (x >= window.x0) & (x < window.x1)
        found = neighbour_density(
            tile.core, window, good[window.slices], y[inside], x[inside], weight[inside], k, largest, 1.0
        )
        for part, all_of_it in zip(found, whole, strict=True):
            np.testing.assert_array_equal(part, all_of_it[tile.core.slices])


def test_a_uniform_sky_is_unbiased_and_its_error_is_its_scatter():
    draw = np.random.default_rng(8)
    good = np.ones((160, 160), bool)
    good[60:90, 60:100] = False
    field, found = Box(0, 0, 160, 160), []
    for _ in range(60):
        y, x = np.nonzero(good & (draw.random(good.shape) < 0.02))
        found.append(neighbour_density(field, field, good, y, x, np.ones(y.size), 12, 60, 1.0))
    values, errors = (np.array([one[part] for one in found])[:, 8:-8:16, 8:-8:16] for part in (0, 1))
    assert values.mean() == pytest.approx(0.02, rel=0.03)
    assert errors.mean() == pytest.approx(values.std(axis=0).mean(), rel=0.12)


def test_too_near_a_neighbour_is_refused():
    with pytest.raises(ValueError, match="must be 3 or more"):
        neighbour_density(
            Box(0, 0, 2, 2),
            Box(0, 0, 2, 2),
            np.ones((2, 2), bool),
            *[np.zeros(0, int)] * 2,
            np.zeros(0),
            2,
            5,
            1.0,
        )
