"""Regions of one repeated value: found to the pixel where nothing was observed, not where noise is coarse or absent."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.kernels.repeats import REACH, joined, repeated, texture

SHAPE = (300, 340)


def noise(seed=0):
    return np.random.default_rng(seed).normal(0, 1, SHAPE).astype(np.float32)


def with_zeros(image):
    """Return the image as a rotated footprint leaves it: zeros in a border of 12 px and beyond a slanted line."""
    y, x = np.indices(image.shape)
    outside = (y < 12) | (x >= image.shape[1] - 12) | (y + 0.3 * x < 90)
    return np.where(outside, np.float32(0), image), outside


@pytest.mark.parametrize("sky", [0.0, 30.0])
def test_zeros_are_found_to_the_pixel(sky):
    image, outside = with_zeros(noise() + np.float32(sky))
    found = repeated(image)
    assert (found == outside).all()
    assert texture(image).unobserved


def test_a_pixel_is_judged_by_its_surroundings_alone():
    image, _ = with_zeros(noise(3))
    image[150:170, 200:203] = 7.0  # 3 x 20 of another value
    image[200:203, 100:107] = 7.0  # 3 x 7 px are too few
    image[40, 40] = np.nan
    whole = repeated(image)
    assert whole[150:170, 200:203].all()
    assert not whole[200:203, 100:107].any()
    for y0, x0, y1, x1 in ((0, 0, 70, 90), (60, 77, 200, 340), (31, 120, 160, 260)):
        top, left = max(y0 - REACH, 0), max(x0 - REACH, 0)
        part = repeated(image[top : y1 + REACH, left : x1 + REACH])
        assert (part[y0 - top : y1 - top, x0 - left : x1 - left] == whole[y0:y1, x0:x1]).all()


@pytest.mark.parametrize("step", [0.1, 0.25, 0.5, 1.0])
def test_quantised_noise_does_not_repeat(step):
    """As RICE without dithering leaves it, up to a step of one sigma."""
    image = (np.round(noise() / step) * step).astype(np.float32)
    assert not repeated(image).any()
    assert texture(with_zeros(image)[0]).unobserved


@pytest.mark.parametrize("step", [2.0, 4.0, 8.0])
def test_values_that_repeat_by_chance_are_data(step):
    image = (np.round(noise() / step) * step).astype(np.float32)
    assert not texture(image).unobserved


@pytest.mark.parametrize("cut", [1e-3, 1e-8, 0.0])
def test_images_without_noise_are_data(cut):
    """Stamps on a sky of zeros, cut off at some level: what a simulation without noise shows."""
    draw = np.random.default_rng(6)
    y, x = np.indices((25, 25)) - 12
    stamp = np.exp(-(y**2 + x**2) / (2 * 1.2**2))
    image = np.zeros(SHAPE, np.float32)
    for row, column in zip(draw.integers(0, 270, 120), draw.integers(0, 310, 120), strict=True):
        image[row : row + 25, column : column + 25] += np.where(stamp > cut, stamp, 0) * draw.pareto(1.0)
    assert repeated(image).any()
    assert not texture(image).unobserved
    assert not texture(np.zeros(SHAPE, np.float32)).unobserved


def test_cells_are_joined():
    image, outside = with_zeros(noise(9))
    parts = [texture(image[:, :150]), texture(image[:, 150:])]
    cells = {
        name: np.array([getattr(part, name) for part in parts])
        for name in ("n", "n_repeated", "equal", "border")
    }
    whole = joined(cells)
    assert whole.n == image.size
    assert whole.n_repeated == pytest.approx(outside.sum(), rel=0.01)
    assert whole.unobserved
    nothing = {name: values[:0] for name, values in cells.items()}
    assert not joined(nothing).unobserved
