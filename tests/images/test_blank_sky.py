"""Noise in blank sky, compared with noise of known correlation and with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tilegc.images.audits.blank_sky import BOXES, background, blank_sky, box_sum, mad, scatter, shared_light


def noise(seed: int, shape=(256, 256), side=0.109) -> np.ndarray:
    """White noise through the separable kernel (side, 1, side), unit variance."""
    taps = np.array([side, 1.0, side]) / np.sqrt(1 + 2 * side**2)
    values = np.random.default_rng(seed).normal(size=shape)
    for axis in (0, 1):
        values = ndimage.correlate1d(values, taps, axis, mode="wrap")
    return values.astype(np.float32)


def box_scatter(side: float, n: int) -> float:
    """Scatter of n x n means over that of white noise, from the kernel's correlation."""
    rho = [1.0, 2 * side / (1 + 2 * side**2), side**2 / (1 + 2 * side**2)]
    return 1 + 2 * sum((1 - lag / n) * rho[lag] for lag in range(1, min(n, 3)))


@pytest.mark.parametrize("side", [0.0, 0.109, 0.3])
def test_scatter_is_that_of_the_kernel(side):
    found = [scatter(noise(seed, side=side), np.ones((256, 256), bool)) for seed in range(4)]
    assert np.mean([one.pixel for one in found]) == pytest.approx(1, rel=0.01)
    neighbours = 2 * side / (1 + 2 * side**2)
    assert np.mean([one.neighbours for one in found]) == pytest.approx(neighbours, abs=0.01)
    for k, n in enumerate(BOXES):
        assert np.mean([one.boxes[k] for one in found]) == pytest.approx(box_scatter(side, n), rel=0.03)


def test_light_and_what_is_missing_are_not_blank():
    image = noise(1)
    image[100:104, 100:104] += 5
    valid = np.ones(image.shape, bool)
    valid[200:210] = False
    blank = blank_sky(np.where(valid, image, 0), valid)
    assert not blank[96:108, 96:108].any()
    assert not blank[194:216].any()
    assert blank.mean() > 0.8


def test_faint_light_that_is_left_would_raise_the_noise():
    image = noise(2)
    sources = np.zeros_like(image)
    draw = np.random.default_rng(3)
    sources[draw.integers(0, 256, 250), draw.integers(0, 256, 250)] = 60
    image += ndimage.gaussian_filter(sources, 1.0)
    valid = np.ones(image.shape, bool)
    everything = scatter(image, valid)
    ours = scatter(image, blank_sky(image, valid))
    assert ours.pixel == pytest.approx(1, rel=0.03)
    assert abs(ours.boxes[1] - box_scatter(0.109, 4)) < 0.1
    assert everything.boxes[1] > 1.08 * box_scatter(0.109, 4)


def test_too_little_sky_says_nothing():
    found = scatter(noise(1, (60, 60)), np.ones((60, 60), bool))
    assert np.isnan([found.pixel, *found.boxes, found.neighbours]).all()
    assert not blank_sky(np.zeros((8, 8), np.float32), np.zeros((8, 8), bool)).any()


def test_a_constant_has_no_noise():
    found = scatter(np.ones((80, 80), np.float32), np.ones((80, 80), bool))
    assert found.pixel == 0
    assert np.isnan(found.boxes).all()


def test_box_sum_and_mad_against_loops():
    image = noise(5, (12, 15))
    padded = np.pad(image.astype(float), 1)
    slow = [[padded[j : j + 3, i : i + 3].sum() for i in range(15)] for j in range(12)]
    np.testing.assert_allclose(box_sum(image, 3), slow, atol=1e-12)
    assert mad(np.array([1.0, 2.0, 4.0, 8.0, 100.0])) == pytest.approx(1.4826 * 3)
    assert np.isnan(mad(np.zeros(0)))


def test_smooth_light_is_no_noise():
    y, x = np.indices((256, 256))
    light = 10 / (1 + np.hypot(y - 90, x - 120) ** 2 / 150**2)
    image = noise(7) + light.astype(np.float32)
    valid = np.ones(image.shape, bool)
    valid[:40, :30] = False
    level = np.where(valid, image - background(image, valid), 0)
    found = scatter(level, blank_sky(level, valid))
    assert found.pixel == pytest.approx(1, rel=0.05)
    assert found.boxes[1] == pytest.approx(box_scatter(0.109, 4), rel=0.15)
    assert scatter(image, valid).pixel > 1.8


def test_background_of_a_plane_and_of_nothing():
    y, x = np.indices((200, 100))
    plane = (0.02 * y - 0.05 * x).astype(np.float32)
    found = background(plane, np.ones(plane.shape, bool))
    np.testing.assert_allclose(found[20:-20, 20:-20], plane[20:-20, 20:-20], atol=0.03)
    assert not background(plane, np.zeros(plane.shape, bool)).any()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_shared_light_is_what_two_bands_have_in_common(share):
    blank = np.ones((256, 256), bool)
    light = np.sqrt(share) * noise(11, side=0.3)
    first, second = (light + np.sqrt(1 - share) * noise(seed) for seed in (12, 13))
    assert shared_light(first, second, blank) == pytest.approx(share, abs=0.04)
    # a shallower band dilutes the correlation, not the share: four times the noise, in units of its own noise
    shallow = (light + 4 * noise(13)) / 4
    assert shared_light(first, shallow, blank) * 4 == pytest.approx(share, abs=0.2 if share else 0)
    # one bright source is one value among many
    first[5, 5] = second[5, 5] = 1e4
    assert shared_light(first, second, blank) == pytest.approx(share, abs=0.04)


def test_shared_light_of_too_little_or_nothing():
    assert np.isnan(shared_light(noise(1), noise(2), np.zeros((256, 256), bool)))
    assert np.isnan(shared_light(np.ones((90, 90), np.float32), noise(2, (90, 90)), np.ones((90, 90), bool)))
