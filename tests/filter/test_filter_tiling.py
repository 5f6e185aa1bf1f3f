"""The filter gives a pixel the same bits in every window that contains its neighbourhood."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.config import Filter, Mask
from tilegc.filter import detection_map
from tilegc.geometry import Box, TileGrid
from tilegc.kernels import smoothing
from tilegc.kernels.smoothing import difference, difference_radius, gaussian_taps, smooth

STAGES = [
    ((0.5, 5.0), (1.0, 3.0), "integrated"),
    ((0.7, 4.1), (1.0, 3.0), "integrated"),
    ((0.5, 5.0), (0.7, 4.1), "sampled"),
]


def scene(shape, seed, kind):
    rng = np.random.default_rng(seed)
    image = rng.normal(scale=10.0 ** rng.uniform(-3, 3), size=shape).astype(np.float32)
    valid = np.ones(shape, bool)
    if kind in {"speckles", "both"}:
        valid &= rng.random(shape) > 0.05
    if kind in {"holes", "both"}:
        for _ in range(4):
            y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
            valid[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = False
    if kind == "masked":
        valid[:] = False
    image[~valid] = rng.choice([np.nan, np.inf, 1e30])
    return image, valid


def double(image, valid, stages):
    (a, b), (c, d), discretisation = stages
    first = difference(image, valid, gaussian_taps(a, discretisation), gaussian_taps(b, discretisation))
    return difference(first, valid, gaussian_taps(c, discretisation), gaussian_taps(d, discretisation))


def reach(stages):
    return sum(difference_radius(*(gaussian_taps(w, stages[2]) for w in pair)) for pair in stages[:2])


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["good", "speckles", "holes", "both", "masked"]),
    stages=st.sampled_from(STAGES),
)
def test_any_window(data, seed, kind, stages):
    shape = data.draw(st.tuples(st.integers(1, 150), st.integers(1, 300)))
    image, valid = scene(shape, seed, kind)
    whole = double(image, valid, stages)
    field = Box(0, 0, *shape)
    y = sorted(data.draw(st.tuples(st.integers(0, shape[0]), st.integers(0, shape[0]))))
    x = sorted(data.draw(st.tuples(st.integers(0, shape[1]), st.integers(0, shape[1]))))
    core = Box(y[0], x[0], y[1], x[1])
    # more halo than needed must not matter either
    window = core.grow(reach(stages) + data.draw(st.integers(0, 5))).clip(field)
    part = double(image[window.slices], valid[window.slices], stages)
    assert part[core.within(window)].tobytes() == whole[core.slices].tobytes()


@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["good", "both"]),
    fwhm=st.sampled_from([0.7, 4.1, 9.0]),
)
def test_any_tiling(size, seed, kind, fwhm):
    image, valid = scene((61, 83), seed, kind)
    taps = gaussian_taps(fwhm)
    out = np.zeros_like(image)
    for tile in TileGrid(image.shape, size).tiles(halo=len(taps) - 1):
        part = smooth(image[tile.window.slices], valid[tile.window.slices], taps)
        out[tile.core.slices] = part[tile.core_in_window]
    assert out.tobytes() == smooth(image, valid, taps).tobytes()


@pytest.mark.parametrize("blocks", [(1, 1), (3, 7), (64, 31), (1000, 1000)])
@pytest.mark.parametrize("kind", ["good", "both"])
def test_any_internal_block(monkeypatch, blocks, kind):
    image, valid = scene((140, 150), 5, kind)
    expected = double(image, valid, STAGES[1]).tobytes()
    monkeypatch.setattr(smoothing, "ROWS", blocks[0])
    monkeypatch.setattr(smoothing, "COLUMNS", blocks[1])
    assert double(image, valid, STAGES[1]).tobytes() == expected


def test_a_halo_too_small_shows():
    # the tests above could not fail if neighbours did not matter
    image, valid = scene((60, 60), 1, "good")
    window = Box(20, 20, 40, 40).grow(reach(STAGES[0]) - 4)
    part = double(image[window.slices], valid[window.slices], STAGES[0])
    core = Box(20, 20, 40, 40)
    assert (part[core.within(window)] != double(image, valid, STAGES[0])[core.slices]).any()


def digest():
    image, valid = scene((150, 300), 11, "speckles")
    valid[:90] = True
    image[:90] = 1 / (1 + np.arange(90 * 300, dtype=np.float32).reshape(90, 300))
    wide = difference(image, valid, gaussian_taps(2.0), gaussian_taps(9.0))
    return hashlib.sha256(double(image, valid, STAGES[0]).tobytes() + wide.tobytes()).hexdigest()


@pytest.mark.slow
def test_another_cpu(tmp_path):
    # code without vectors of this machine's width, compiled anew: the same bits (algorithm.md, section 14)
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    script = f"import runpy; print(runpy.run_path({__file__!r})['digest']())"
    answer = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | plain, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == [digest()]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([17, 30, 90]))
def test_the_bands_responses_add_up_to_the_detection_map_in_any_tiling(seed, size):
    rng = np.random.default_rng(seed)
    sci = rng.normal(size=(3, 70, 61)).astype(np.float32)
    sci[:, rng.random((70, 61)) < 0.01] = np.nan
    sci[:, 30:33, 20:22] = 200.0
    params = detection_map.filter_params(Filter(), Mask(extended="off"), 3)
    light, valid = detection_map.add_bands(sci, None)
    flags, wanted = detection_map.filter_maps(light, valid, params)
    assert (flags & 4).any()
    whole = [detection_map.band_response(params, band, sci[band], flags) for band in range(3)]
    np.testing.assert_allclose(sum(whole), wanted, atol=1e-4)
    for tile in TileGrid(light.shape, size).tiles(halo=detection_map.response_halo(params)):
        window = tile.window.slices
        part = detection_map.band_response(params, 1, sci[1][window], flags[window])
        assert part[tile.core_in_window].tobytes() == whole[1][tile.core.slices].tobytes()
