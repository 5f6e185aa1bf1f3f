"""The kernel sum compared with the direct sum, for random fields and for single sources."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.density.multilevel import (
    LARGEST_ERROR,
    Kernel,
    coarse_nodes,
    far,
    kernel_sum,
    kernel_tables,
    require_accuracy,
    rho,
    worst_error,
)
from tilegc.geometry import Box, TileGrid

RECIPE = (0.03, 1.6, 0.9)


def direct(counts, scale, alpha, softening):
    y, x = np.indices(counts.shape)
    result = np.zeros(counts.shape)
    for sy, sx in np.argwhere(counts):
        result += counts[sy, sx] * (softening + scale * np.hypot(y - sy, x - sx)) ** -alpha
    return result


def hold(counts, *kernel):
    """Check the tolerances: 1e-3 at the worst pixel, 1e-4 rms."""
    error = kernel_sum(counts, *kernel) / direct(counts, *kernel) - 1
    worst, rms = np.abs(error).max(), math.sqrt((error**2).mean())
    print(f"{counts.shape}, {kernel}: worst {worst:.2e}, rms {rms:.2e}")
    assert worst < 1e-3
    assert rms < 1e-4


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([0.03, 0.3, 1.0]),
    st.floats(0.5, 3.0),
    st.floats(0.5, 5.0),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=10, deadline=None)
def test_random_fields(shape, scale, alpha, softening, seed):
    draw = np.random.default_rng(seed)
    counts = draw.poisson(draw.choice([0.001, 0.01, 0.3]), shape).astype(float)
    counts[draw.integers(shape[0]), draw.integers(shape[1])] += 1
    hold(counts, scale, alpha, softening)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fields_of_many_lattices(seed):
    """A crowd, a distant bright concentration, and a few isolated sources, on 900 x 700 pixels."""
    draw = np.random.default_rng(seed)
    counts = np.zeros((900, 700))
    for y, x in np.clip(draw.normal((600, 200), 30, (60, 2)), 0, 699).astype(int):
        counts[y, x] += 1
    for _ in range(8):
        counts[draw.integers(900), draw.integers(700)] += draw.random()
    hold(counts, *RECIPE)


@pytest.mark.parametrize("kernel", [RECIPE, (0.06, 3.2, 0.9), (0.3, 1.6, 0.9)])
def test_one_source_at_any_distance_and_direction(kernel):
    """No field does worse than the worst pair of pixels: all terms are positive."""
    draw = np.random.default_rng(4)
    for _ in range(3):
        counts = np.zeros((500, 400))
        counts[draw.integers(500), draw.integers(400)] = 1.0
        error = kernel_sum(counts, *kernel) / direct(counts, *kernel) - 1
        print(
            f"one source, {kernel}: worst {np.abs(error).max():.2e}, rms {math.sqrt((error**2).mean()):.2e}"
        )
        assert np.abs(error).max() < 1e-3
        # What a kernel's tables are chosen by is measured along one row alone.
        assert np.abs(error).max() < 2 * LARGEST_ERROR


def test_the_bound_holds_out_to_the_largest_mosaics():
    assert worst_error((32_768, 32_768), Kernel(*RECIPE), 6) < LARGEST_ERROR
    assert kernel_tables((32_768, 32_768), *RECIPE).ratio == 6
    # A steeper kernel takes a wider near part.
    assert worst_error((32_768, 32_768), Kernel(0.03, 3.2, 0.9), 6) > LARGEST_ERROR
    assert kernel_tables((32_768, 32_768), 0.03, 3.2, 0.9).ratio > 6


@pytest.mark.parametrize("alpha", [1.6, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 12.0, 16.0])
@pytest.mark.parametrize("shape", [(90, 70), (700, 300), (1500, 1500)])
def test_the_fast_check_refuses_what_the_tables_refuse(shape, alpha):
    def refused(check):
        try:
            check(shape, 0.03, alpha, 0.9)
        except ValueError as error:
            return str(error)
        return None

    assert refused(require_accuracy) == refused(kernel_tables)


def test_a_kernel_too_steep_is_refused():
    with pytest.raises(ValueError, match="smaller alpha or a larger softening"):
        kernel_sum(np.ones((400, 8)), 0.05, 30.0, 0.1)
    with pytest.raises(ValueError, match="too steep"):
        kernel_tables((900, 9), 0.03, 300.0, 0.9)


def test_no_source_is_no_density():
    nothing = np.zeros((50, 60))
    np.testing.assert_array_equal(kernel_sum(nothing, *RECIPE), nothing)


@given(st.integers(0, 2**32 - 1), st.integers(5, 90))
@settings(max_examples=8, deadline=None)
def test_any_tiling_has_the_same_bits(seed, size):
    """Each tile sees only the points within its reach, and its part of the coarse lattice."""
    draw = np.random.default_rng(seed)
    shape = tuple(int(side) for side in draw.integers(300, 1200, 2))
    n = 60
    y, x = np.sort(draw.integers(0, shape[0], n)), draw.integers(0, shape[1], n)
    weight = draw.random(n)
    tables = kernel_tables(shape, *RECIPE)
    nodes, coarse = far(y, x, weight, shape, tables)
    whole = rho(y, x, weight, Box(0, 0, *shape), tables, coarse, nodes)
    grid = TileGrid(shape, size)
    for index in draw.integers(0, len(grid), 6):
        core = grid.tile(int(index)).core
        window = core.grow(tables.reach)
        near = (y >= window.y0) & (y < window.y1) & (x >= window.x0) & (x < window.x1)
        part = coarse_nodes(core)
        found = rho(y[near], x[near], weight[near], core, tables, coarse[part.within(nodes)], part)
        assert found.tobytes() == whole[core.slices].tobytes()


def test_the_reach_is_needed():
    """Sources just within the reach contribute, so that a smaller reach would lose them."""
    shape = (1200, 40)
    tables = kernel_tables(shape, *RECIPE)
    core = Box(600, 0, 632, 32)
    far_off = np.array([600 - tables.reach + 60]), np.array([16]), np.ones(1)
    nodes, coarse = far(*far_off, shape, tables)
    none = tuple(column[:0] for column in far_off)
    with_it = rho(*far_off, core, tables, coarse, nodes)
    assert not np.array_equal(with_it, rho(*none, core, tables, coarse, nodes))
