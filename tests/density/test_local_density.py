"""The local density against ratios of direct sums."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.density.coverage import detected
from tilegc.density.local_density import Sources, density_window, local_density, widths
from tilegc.density.splines import norm, spread, spread_image
from tilegc.geometry import Box, TileGrid


def direct(image, kernel):
    """Add kernel(d), d in pixels, of every pixel to every pixel."""
    y, x = np.indices(image.shape)
    result = np.zeros(image.shape)
    for sy, sx in np.argwhere(image):
        result += image[sy, sx] * kernel(np.hypot(y - sy, x - sx))
    return result


def unit_gaussian(sigma):
    reach = math.ceil(10 * sigma)
    one = sum(math.exp(-0.5 * (d / sigma) ** 2) for d in range(-reach, reach + 1))
    return lambda d: np.exp(-0.5 * (d / sigma) ** 2) / one**2


def windows(good, counts, lattices):
    """Return readers of the lattices of an untiled image."""
    box = Box(0, 0, *counts.shape)
    y, x = np.nonzero(counts)

    def of_good(number, nodes):
        whole, sums = spread_image(good, box, lattices[number].step, lattices[number].degree)
        part, out = nodes.clip(whole), np.zeros(nodes.shape)
        out[part.within(nodes)] = sums[part.within(whole)]
        return out / norm(lattices[number].step, lattices[number].degree) ** 2

    def of_counts(number, nodes):
        return spread(y, x, counts[y, x], lattices[number].step, lattices[number].degree, nodes)

    return Sources(of_good, of_counts, of_counts)


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 40)),
    st.floats(0.6, 12.0),
    st.floats(0.0, 1.0),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None)
def test_density_and_error_are_ratios_of_direct_sums(shape, sigma, fraction, seed):
    rng = np.random.default_rng(seed)
    good = rng.random(shape) < fraction * np.linspace(0, 1, shape[1])  # rare to the left, frequent right
    counts = rng.poisson(0.3, shape) * good.astype(float)
    area = 0.01
    expected, error, missing = np.zeros(shape), np.zeros(shape), np.ones(shape, bool)
    for factor in (1, 2, 4, 8):
        kernel = unit_gaussian(factor * sigma)
        coverage, smooth = direct(good.astype(float), kernel), direct(counts, kernel)
        if (np.abs(coverage - 0.2) < 1e-5).any():
            return  # on the fence: rounding may choose
        here = missing & (coverage >= (0.2 if factor < 8 else 1e-5))
        expected[here] = smooth[here] / coverage[here] / area
        squares = direct(counts, lambda d, kernel=kernel: kernel(d) ** 2)
        error[here] = np.sqrt(squares[here]) / coverage[here] / area
        missing &= ~here
    lattices = widths(sigma)
    found = density_window(Box(0, 0, *shape), lattices, windows(good, counts, lattices), area)
    np.testing.assert_array_equal(found.density, local_density(counts, good, area, sigma))
    for ours, wanted in ((found.density, expected), (found.error, error)):
        assert np.isfinite(ours).all()
        assert (ours >= 0).all()
        # A pixel lit by the wings of its sources alone is faint: 1e-4 of the largest is what it is held to.
        np.testing.assert_allclose(
            ours[~missing], wanted[~missing], rtol=3e-4, atol=1e-4 * wanted.max(initial=0.0)
        )


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.sampled_from([3.0, 9.0, 33.0]))
@settings(max_examples=8, deadline=None)
def test_any_tiling_has_the_same_bits(seed, size, sigma):
    rng = np.random.default_rng(seed)
    shape = tuple(int(side) for side in rng.integers(30, 90, 2))
    good = rng.random(shape) < 0.4
    good[: shape[0] // 2, : shape[1] // 2] = False
    counts = rng.poisson(0.1, shape) * good.astype(float)
    lattices = widths(sigma)
    read = windows(good, counts, lattices)
    whole = density_window(Box(0, 0, *shape), lattices, read, 1.0)
    for tile in TileGrid(shape, size).tiles():
        found = density_window(tile.core, lattices, read, 1.0)
        for name in ("density", "error", "coverage"):
            assert getattr(found, name).tobytes() == getattr(whole, name)[tile.core.slices].tobytes()


def test_a_uniform_sky_stays_uniform_through_holes_and_gaps():
    """5 arcsec holes, a ragged border and a gap, on pixels five times those of the recipe."""
    scale, truth = 0.15, 200.0  # arcsec, per arcsec^2: many, so that one draw tells 1 %
    rng = np.random.default_rng(11)
    shape = (500, 560)
    y, x = np.indices(shape)
    holes = np.zeros(shape, bool)
    for _ in range(25):
        cy, cx = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        holes |= np.hypot(y - cy, x - cx) * scale <= 5.0
    gap = (np.abs(x - 300) < 100) & (y < 150)
    good = ~holes & ~gap & (x + y > 60)
    counts = rng.poisson(truth * scale**2, shape) * good.astype(float)
    density = local_density(counts, good, scale**2, 2.0 / scale)
    assert density.min() > 0
    for place in (good, holes, gap, y < 5, x > shape[1] - 5):
        assert density[place].mean() == pytest.approx(truth, rel=0.01)
    assert np.abs(density / truth - 1).max() < 0.2


def test_far_from_any_good_pixel_there_is_no_density():
    good = np.zeros((4, 400), bool)
    good[:, :20] = True
    density = local_density(good.astype(float), good, 2.0, 1.0)
    assert density[0, 5] == pytest.approx(0.5)
    assert density[0, 60] == pytest.approx(0.5, rel=1e-4)  # 5 of the widest sigmas away
    assert (density[:, 120:] == 0).all()
    assert (density >= 0).all()


def test_a_source_stands_for_those_that_are_lost():
    catalogue = {
        "field": np.array(["a", "b", "a", "a"]),
        "y_peak": np.array([7, 1, 2, 2]),
        "x_peak": np.array([0, 1, 9, 3]),
        "p_recovery": np.array([0.5, 0.1, 1.0, 0.8]),
    }
    y, x, weight = detected(catalogue, "a")
    assert (y.tolist(), x.tolist(), weight.tolist()) == ([2, 2, 7], [3, 9, 0], [1.25, 1.0, 2.0])
    del catalogue["p_recovery"]
    assert detected(catalogue, "a")[2].tolist() == [1.0, 1.0, 1.0]
