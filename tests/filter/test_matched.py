"""The matched filter compared with plain sums over pixels, and its decomposition with the original image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

from tilegc.filter.matched import decompose, matched, matched_difference, octant_mean
from tilegc.geometry import TileGrid
from tilegc.kernels.psf import Psf
from tilegc.kernels.psf_model import model
from tilegc.kernels.smoothing import gaussian_taps

PSF = model("F150W", 0.03, 20)
KERNELS = matched(PSF, 3.0, 5)


def scene(shape, seed, holes=0.02):
    draw = np.random.default_rng(seed)
    image = draw.normal(1.0, 1.0, shape).astype(np.float32)
    valid = draw.random(shape) >= holes
    y, x = draw.integers(0, shape[0]), draw.integers(0, shape[1])
    valid[y : y + 6, x : x + 9] = False
    image[~valid] = np.nan
    return image, valid


def plainly(image, valid, kernels):
    """Normalised smoothing in float64, with direct sums (algorithm.md, section 3)."""
    parts = []
    for kernel in (kernels.narrow, kernels.wide):
        taps = kernel.image()
        above = correlate(np.where(valid, image, 0).astype(float), taps, mode="constant")
        below = correlate(valid.astype(float), taps, mode="constant")
        parts.append(np.where(below > 1e-6, above / np.where(below > 1e-6, below, 1), np.nan))
    return parts[0] - parts[1]


@pytest.mark.parametrize("holes", [0.0, 0.02, 0.3])
def test_it_is_a_normalised_convolution(holes):
    image, valid = scene((70, 81), 3, holes)
    found = matched_difference(image, valid, KERNELS)
    expected = plainly(image, valid, KERNELS)
    near = valid & np.isfinite(expected)
    assert near.sum() > 3000
    np.testing.assert_allclose(found[near], expected[near], atol=2e-5)


def test_products_are_the_psf_less_itself_smoothed():
    core = octant_mean(PSF.image[15:26, 15:26])
    taps = np.array([*gaussian_taps(3.0)[:0:-1], *gaussian_taps(3.0)])
    smoothed = scipy.signal.convolve2d(core, np.outer(taps, taps))
    wide = np.zeros((2 * KERNELS.wide.radius + 1,) * 2)
    cut = (smoothed.shape[0] - wide.shape[0]) // 2
    assert cut >= 0
    wide += smoothed[cut : smoothed.shape[0] - cut, cut : smoothed.shape[1] - cut]
    assert abs(KERNELS.narrow.image() - core).sum() < 0.01 * core.sum()
    assert abs(KERNELS.wide.image() - wide).sum() < 0.01 * wide.sum()
    # little of Q lies beyond where it is cut
    assert wide.sum() > 0.97 * smoothed.sum()


def test_all_terms_give_the_image_back_and_fewer_the_best_of_their_rank():
    draw = np.random.default_rng(5)
    image = octant_mean(draw.normal(size=(11, 11)))
    np.testing.assert_allclose(decompose(image, 6).image(), image, atol=1e-6)
    values = np.linalg.eigvalsh(image)
    left = np.sort(abs(values[abs(values) > 1e-12]))[::-1][2:]
    assert np.linalg.norm(decompose(image, 2).image() - image) == pytest.approx(
        np.linalg.norm(left), rel=1e-5
    )
    assert decompose(image, 2) == decompose(image.copy(), 2)


def test_constants_and_slopes_are_not_seen_where_all_is_good():
    y, x = np.indices((60, 60))
    image = (100 + 0.5 * y - 0.25 * x).astype(np.float32)
    found = matched_difference(image, np.ones(image.shape, bool), KERNELS)
    inner = found[KERNELS.radius : -KERNELS.radius, KERNELS.radius : -KERNELS.radius]
    assert abs(inner).max() < 1e-4


def test_the_fast_path_has_the_bits_of_the_masked_one():
    image, _ = scene((200, 300), 8, 0.0)
    image = np.where(np.isfinite(image), image, 0).astype(np.float32)
    good = np.ones(image.shape, bool)
    spotted = good.copy()
    spotted[0, 0] = spotted[150, 280] = False
    clean, other = matched_difference(image, good, KERNELS), matched_difference(image, spotted, KERNELS)
    side = 2 * KERNELS.radius + 1
    far = correlate(spotted.astype(np.int64), np.ones((side, side), np.int64), mode="nearest") == side**2
    assert far.sum() > 50_000
    assert clean[far].tobytes() == other[far].tobytes()


@settings(max_examples=8, deadline=None)
@given(size=st.sampled_from([7, 19, 40, 90]), seed=st.integers(0, 2**31), holes=st.sampled_from([0.0, 0.05]))
def test_any_tiling(size, seed, holes):
    image, valid = scene((83, 71), seed, holes)
    whole = matched_difference(image, valid, KERNELS)
    for tile in TileGrid(image.shape, size).tiles(halo=KERNELS.radius):
        part = matched_difference(image[tile.window.slices], valid[tile.window.slices], KERNELS)
        assert part[tile.core_in_window].tobytes() == whole[tile.core.slices].tobytes()
    with pytest.raises(AssertionError):  # a halo that is too small shows
        tile = TileGrid((90, 90), 30).tile(4, halo=KERNELS.radius - 2)
        image, valid = scene((90, 90), 1, 0.0)
        part = matched_difference(image[tile.window.slices], valid[tile.window.slices], KERNELS)
        assert (
            part[tile.core_in_window].tobytes()
            == matched_difference(image, valid, KERNELS)[tile.core.slices].tobytes()
        )


def test_a_psf_smaller_than_the_core_is_padded_with_darkness():
    small = Psf(PSF.image[18:23, 18:23] / PSF.image[18:23, 18:23].sum())
    kernels = matched(small, 3.0, 5)
    assert kernels.narrow.radius == 5
    assert abs(kernels.narrow.image()[0]).max() < 1e-3
