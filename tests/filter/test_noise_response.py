"""The expected noise of the filtered map, compared with the slow sum over the effective kernel and with simulated
noise."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.filter.matched import matched, matched_difference
from tilegc.filter.noise_response import response_variance
from tilegc.filter.pixel_noise import PixelNoise, chosen_kind, pixel_variance, raw_variance
from tilegc.kernels.psf_model import model

SHAPE = (150, 170)


def kernels_of(band, scale):
    psf = model(band, scale, 16)
    return matched(psf, 1.5 * psf.fwhm, min(max(int(np.ceil(2.5 * psf.fwhm)), 4), 16))


def embedded(kernel, radius):
    image = np.zeros((2 * radius + 1,) * 2)
    part = kernel.image()
    inside = slice(radius - kernel.radius, radius + kernel.radius + 1)
    image[inside, inside] = part / part.sum()
    return image


def slow_variance(variance, valid, kernels, y, x):
    """Return sum K^2 V of the effective kernel at one pixel, in float64."""
    radius = kernels.radius
    padded_valid = np.pad(valid, radius).astype(float)
    padded = np.pad(np.where(valid, variance, 0).astype(float), radius)
    part = slice(y, y + 2 * radius + 1), slice(x, x + 2 * radius + 1)
    counts = padded_valid[part]
    narrow, wide = embedded(kernels.narrow, radius) * counts, embedded(kernels.wide, radius) * counts
    kernel = narrow / narrow.sum() - wide / wide.sum()
    return float((kernel**2 * padded[part]).sum())


@pytest.mark.parametrize(("band", "scale"), [("F090W", 0.03), ("F115W", 0.04), ("F444W", 0.04)])
def test_variance_is_that_of_the_effective_kernel(band, scale):
    """Steps of depth, dead pixels, a hole and the field's border: the same as summing the kernel's squares."""
    kernels = kernels_of(band, scale)
    draw = np.random.default_rng(2)
    y, x = np.indices(SHAPE)
    variance = np.where(y + 0.3 * x > 100, 9.0, 1.0).astype(np.float32)
    valid = draw.random(SHAPE) > 0.002
    valid[60:75, 40:70] = False
    variance[~valid] = np.nan
    found = response_variance(variance, valid, kernels)
    rows, columns = draw.integers(0, SHAPE[0], 300), draw.integers(0, SHAPE[1], 300)
    checked = 0
    for row, column in zip(rows, columns, strict=True):
        if valid[row, column]:
            slow = slow_variance(variance, valid, kernels, row, column)
            assert found[row, column] == pytest.approx(slow, rel=2e-4), (row, column)
            checked += 1
    assert checked > 200
    assert np.isnan(found[67, 55]) == np.isnan(matched_difference(variance, valid, kernels)[67, 55])


def test_a_pixel_has_the_same_bits_in_every_window():
    kernels = kernels_of("F150W", 0.03)
    draw = np.random.default_rng(5)
    variance = draw.uniform(0.5, 2, (260, 600)).astype(np.float32)
    valid = draw.random(variance.shape) > 0.0005
    whole = response_variance(variance, valid, kernels)
    reach = kernels.radius
    for y0, x0, y1, x1 in ((0, 0, 90, 130), (37, 250, 200, 460), (120, 301, 260, 600)):
        top, left = max(y0 - reach, 0), max(x0 - reach, 0)
        window = slice(top, y1 + reach), slice(left, x1 + reach)
        part = response_variance(variance[window], valid[window], kernels)
        core = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        assert part[core].tobytes() == whole[y0:y1, x0:x1].tobytes()


def test_it_predicts_the_scatter_of_filtered_noise_across_a_step():
    """A step of 3 in noise: the scatter over realisations is the prediction at every distance from the step."""
    kernels = kernels_of("F115W", 0.03)
    sigma = np.where(np.arange(80) < 40, 1.0, 3.0) * np.ones((60, 1))
    valid = np.ones(sigma.shape, bool)
    expected = np.sqrt(response_variance((sigma**2).astype(np.float32), valid, kernels))
    draw = np.random.default_rng(7)
    maps = [
        matched_difference(draw.normal(0, sigma).astype(np.float32), valid, kernels)[12:-12]
        for _ in range(120)
    ]
    ratio = np.sqrt(np.mean(np.square(maps, dtype=float), axis=(0, 1))) / expected[30]
    assert ratio[12:-12] == pytest.approx(1.0, abs=0.06)


def test_values_that_declare_no_noise():
    values = np.array([[1.0, 0.0, -3.0, np.nan, np.inf, 1e-30, 4.0]], np.float32)
    assert raw_variance("err", values)[0, [0, 6]].tolist() == [1.0, 16.0]
    assert raw_variance("wht", values)[0, [0, 6]].tolist() == [1.0, 0.25]
    assert np.isnan(raw_variance("err", values)[0, 1:6]).all()
    assert np.isnan(raw_variance("wht", values)[0, 1:5]).all()
    for kind in ("err", "wht"):
        filled = pixel_variance(PixelNoise(kind, 1.0, 2.0), values, values.shape)
        assert np.isfinite(filled).all()
        assert (filled > 0).all()
        assert (filled[0, 1:5] == 2.0).all()
    assert (pixel_variance(PixelNoise("flat", 1.0, 1.0), None, (2, 3)) == 1).all()


def test_the_pattern_that_evens_the_noise_out_is_used():
    """Errors first, weights next, none at all where neither follows the noise."""
    draw = np.random.default_rng(0)
    even, uneven = 0.7 * np.exp(draw.normal(0, 0.01, 30)), np.exp(draw.normal(0, 0.3, 30))
    assert chosen_kind({"err": even, "wht": even, "flat": uneven}) == "err"
    assert chosen_kind({"err": uneven, "wht": even, "flat": uneven}) == "wht"
    assert chosen_kind({"err": uneven, "wht": uneven, "flat": even}) == "flat"
    assert chosen_kind({"err": np.full(30, np.nan), "wht": even, "flat": uneven}) == "wht"
    assert chosen_kind({"flat": even}) == "flat"
    assert chosen_kind({"err": np.full(3, np.nan), "flat": np.full(3, np.nan)}) == "flat"
