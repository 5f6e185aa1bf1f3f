"""Peaks found in tiles and settled are exactly those of the sequential rule over the whole image."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from tilegc.geometry import TileGrid
from tilegc.kernels.peaks import classify, settle

SCENES = ["noise", "smooth", "integers", "plateau", "ramp", "stairs", "islands", "masked", "spiral"]


def scene(kind, shape, seed):
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    allowed = rng.random(shape) > rng.choice([0.0, 0.1])
    values = rng.normal(size=shape)
    if kind == "smooth":
        values = gaussian_filter(values, 1.5)
        values /= values.std() or 1
    elif kind == "integers":
        values = rng.integers(0, 4, shape)
    elif kind == "plateau":
        values = np.ones(shape)
    elif kind == "ramp":
        values = rng.normal() * y + rng.normal() * x
    elif kind == "stairs":
        values = (y // 3 * rng.integers(-2, 3)) + (x // 4 * rng.integers(-2, 3))
    elif kind == "islands":
        values[gaussian_filter(rng.normal(size=shape), 2) > 0] = np.nan
    elif kind == "masked":
        allowed[:] = False
    elif kind == "spiral":
        # the longest chains of doubt: values that fall along a winding path
        values = -(y * shape[1] + np.where(y % 2, shape[1] - 1 - x, x))
    return values.astype(np.float32), allowed


def oracle(values, allowed, threshold, radius):
    """Process pixels from a heap: brightest first, then smaller y, then smaller x."""
    height, width = values.shape
    square = math.floor(radius**2)
    heap = [
        (-float(values[y, x]), y, x)
        for y in range(height)
        for x in range(width)
        if allowed[y, x] and values[y, x] >= np.float32(threshold)
    ]
    heapq.heapify(heap)
    peaks = []
    while heap:
        _, y, x = heapq.heappop(heap)
        if all((y - j) ** 2 + (x - i) ** 2 > square for j, i in peaks):
            peaks.append((y, x))
    return sorted(peaks)


def tiled(values, allowed, threshold, radius, size, halo):
    """Classify every tile, then settle; return the sorted peaks and the number of undecided pixels."""
    found = []
    for tile in TileGrid(values.shape, size).tiles(halo=halo):
        window = tile.window.slices
        part = classify(
            values[window], allowed[window], threshold, radius, tile.open_sides, tile.core_in_window
        )
        rows, columns = part.y + tile.window.y0, part.x + tile.window.x0
        np.testing.assert_array_equal(part.value, values[rows, columns])
        found.append((rows, columns, part.value, part.decided))
    y, x, value, decided = (np.concatenate(column) for column in zip(*found, strict=True))
    # the table arrives in any order
    order = np.random.default_rng(len(y)).permutation(len(y))
    kept = np.zeros(len(y), bool)
    kept[order] = settle(y[order], x[order], value[order], decided[order], radius)
    return sorted(zip(y[kept].tolist(), x[kept].tolist(), strict=True)), int((~decided).sum())


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(SCENES),
    shape=st.tuples(st.integers(1, 36), st.integers(1, 36)),
    seed=st.integers(0, 2**32 - 1),
    threshold=st.sampled_from([-math.inf, 0.0, 0.3, 1.0]),
    radius=st.sampled_from([0.0, 1.0, 1.5, 3.0, 3.2, 5.0]),
    size=st.integers(1, 40),
    halo=st.integers(0, 16),
)
@example("plateau", (30, 31), 0, 0.3, 3.0, 7, 0)
@example("ramp", (30, 31), 1, -math.inf, 3.0, 5, 3)
@example("spiral", (24, 24), 1, -math.inf, 3.0, 1, 16)
@example("masked", (20, 20), 1, -math.inf, 3.0, 6, 3)
def test_any_tiling(kind, shape, seed, threshold, radius, size, halo):
    values, allowed = scene(kind, shape, seed)
    peaks, _ = tiled(values, allowed, threshold, radius, size, halo)
    assert peaks == oracle(values, allowed, threshold, radius)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(SCENES),
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(3, 20),
    halo=st.integers(0, 8),
)
def test_what_a_tile_is_certain_of_is_true(kind, seed, size, halo):
    values, allowed = scene(kind, (32, 32), seed)
    truth = set(oracle(values, allowed, 0.3, 3.0))
    for tile in TileGrid(values.shape, size).tiles(halo=halo):
        window = tile.window.slices
        part = classify(values[window], allowed[window], 0.3, 3.0, tile.open_sides, tile.core_in_window)
        at = list(zip((part.y + tile.window.y0).tolist(), (part.x + tile.window.x0).tolist(), strict=True))
        certain = {pixel for pixel, decided in zip(at, part.decided, strict=True) if decided}
        core = tile.core
        inside = {p for p in truth if core.y0 <= p[0] < core.y1 and core.x0 <= p[1] < core.x1}
        assert certain <= inside <= set(at)


def test_ramps_leave_doubt_and_noise_leaves_none():
    # so the settling is put to the test above, and is short in practice
    ramp, allowed = scene("ramp", (64, 64), 3)
    assert tiled(ramp, np.ones_like(allowed), -math.inf, 3.0, 16, 16)[1] > 1000
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(300, 300)), 1).astype(np.float32)
    good = np.ones(noise.shape, bool)
    sigma = float(noise.std())
    peaks, undecided = tiled(noise, good, 2.5 * sigma, 3.0, 60, 16)
    assert peaks
    assert undecided == 0


@pytest.mark.parametrize("corner", [(31, 31), (32, 31), (31, 32), (32, 32)])
@pytest.mark.parametrize("halo", [0, 2, 3, 16])
def test_a_source_on_the_corner_of_four_tiles(corner, halo):
    y, x = np.indices((64, 64))
    values = np.exp(-((y - corner[0]) ** 2 + (x - corner[1]) ** 2) / 20).astype(np.float32)
    peaks, _ = tiled(values, np.ones(values.shape, bool), 0.64, 3.0, 32, halo)
    assert peaks == [corner]
