"""Normalised smoothing against sums written out in float64 and float32."""

import math

import numpy as np
import pytest
import scipy
from scipy import integrate
from scipy.ndimage import correlate

from tilegc.kernels import smoothing
from tilegc.kernels.smoothing import FWHM_PER_SIGMA, difference, difference_radius, gaussian_taps, smooth

PAIRS = [(0.5, 5.0), (1.0, 3.0), (0.7, 4.1), (2.0, 9.0)]


def full_kernel(taps):
    line = np.array([*taps[:0:-1], *taps], np.float64)
    return np.outer(line, line)


def slow_float32(image, valid, taps, y, x):
    """S_w at one pixel, one float32 operation at a time, in the prescribed order (algorithm.md, section 14.1)."""
    ny, nx = image.shape
    radius = len(taps) - 1
    half = [np.float32(t) for t in taps]

    def at(plane, j, i):
        return plane[j, i] if 0 <= j < ny and 0 <= i < nx else np.float32(0)

    def filtered(plane):
        rows = {}
        for j in range(y - radius, y + radius + 1):
            total = half[0] * at(plane, j, x)
            for k in range(1, radius + 1):
                total = total + half[k] * (at(plane, j, x - k) + at(plane, j, x + k))
            rows[j] = total
        total = half[0] * rows[y]
        for k in range(1, radius + 1):
            total = total + half[k] * (rows[y - k] + rows[y + k])
        return total

    above = filtered(np.where(valid, image, np.float32(0)))
    below = filtered(valid.astype(np.float32))
    assert above.dtype == below.dtype == np.float32
    return above / below if below > 0 else np.float32(np.nan)


def scene(shape, seed=0, bad=0.1):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=shape).astype(np.float32)
    valid = rng.random(shape) >= bad
    image[~valid] = np.nan
    return image, valid


@pytest.mark.parametrize("fwhm", [0.5, 0.7, 1.0, 3.0, 4.1, 5.0, 64.0])
@pytest.mark.parametrize("discretisation", ["integrated", "sampled"])
def test_taps(fwhm, discretisation):
    taps = gaussian_taps(fwhm, discretisation)
    sigma = fwhm / FWHM_PER_SIGMA
    assert len(taps) == math.ceil(4 * sigma) + 1
    assert all(float(np.float32(t)) == t and t > 0 for t in taps)
    assert list(taps) == sorted(taps, reverse=True)
    assert full_kernel(taps).sum() == pytest.approx(1, abs=1e-6)
    offsets = np.arange(-len(taps) + 1, len(taps))
    if discretisation == "sampled":
        expected = scipy.stats.norm.pdf(offsets, scale=sigma)
    else:
        expected = np.array(
            [
                integrate.quad(scipy.stats.norm.pdf, k - 0.5, k + 0.5, args=(0, sigma), epsabs=0)[0]
                for k in offsets
            ]
        )
    np.testing.assert_allclose(taps, (expected / expected.sum())[len(taps) - 1 :], rtol=3e-7)


def test_fwhm_per_sigma():
    assert pytest.approx(2 * math.sqrt(2 * math.log(2)), rel=1e-15) == FWHM_PER_SIGMA


def test_half_of_the_filtered_noise():
    # algorithm.md, section 3: for FWHM 0.5 the two discretisations are no detail
    integrated, sampled = gaussian_taps(0.5), gaussian_taps(0.5, "sampled")
    assert sampled[0] > 0.99
    assert integrated[0] < 0.99


@pytest.mark.parametrize("fwhm", [0.0, -1.0, math.nan, math.inf])
def test_taps_refuse_widths(fwhm):
    with pytest.raises(ValueError, match="FWHM"):
        gaussian_taps(fwhm)


def test_taps_refuse_discretisation():
    with pytest.raises(ValueError, match="discretisation"):
        gaussian_taps(1.0, "guessed")


@pytest.mark.parametrize("fwhm", [0.7, 3.0, 12.0])
def test_smooth_is_the_normalised_sum(fwhm):
    image, valid = scene((70, 90))
    taps = gaussian_taps(fwhm)
    kernel = full_kernel(taps)
    filled = np.where(valid, image, 0).astype(np.float64)
    above = correlate(filled, kernel, mode="constant")
    below = correlate(valid.astype(np.float64), kernel, mode="constant")
    np.testing.assert_allclose(smooth(image, valid, taps), above / below, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("fwhm", [0.5, 0.7, 4.1, 8.0])
@pytest.mark.parametrize("bad", [0.0, 0.2])
def test_smooth_follows_the_order_of_operations(fwhm, bad):
    # 8.0 has more taps than are compiled in: the other kernel, the same bits
    image, valid = scene((40, 45), seed=3, bad=bad)
    taps = gaussian_taps(fwhm)
    found = smooth(image, valid, taps)
    for y, x in [(20, 22), (0, 0), (39, 44), (3, 41), (17, 5), (21, 22)]:
        assert found[y, x].tobytes() == slow_float32(image, valid, taps, y, x).tobytes()


def test_both_kernels_give_the_same_bits(monkeypatch):
    image, valid = scene((150, 300), seed=4)
    taps = gaussian_taps(4.1)
    unrolled = smooth(image, valid, taps)
    smoothing._convolver.cache_clear()
    monkeypatch.setattr(smoothing, "UNROLLED", 0)
    wide = smooth(image, valid, taps)
    smoothing._convolver.cache_clear()
    assert unrolled.tobytes() == wide.tobytes()


@pytest.mark.parametrize(("narrow", "wide"), PAIRS)
def test_difference_is_the_difference(narrow, wide):
    image, valid = scene((200, 300), seed=5, bad=0.3)
    valid[50:120, 60:140] = False
    first, second = gaussian_taps(narrow), gaussian_taps(wide)
    expected = smooth(image, valid, first) - smooth(image, valid, second)
    found = difference(image, valid, first, second)
    np.testing.assert_array_equal(found, expected)
    assert difference_radius(first, second) == len(second) - 1


@pytest.mark.parametrize(("narrow", "wide"), PAIRS)
def test_all_good_path_has_the_bits_of_the_masked_path(narrow, wide):
    # one bad pixel far away sends a whole block through the masked path
    image, _ = scene((smoothing.ROWS, smoothing.COLUMNS * 2), seed=6, bad=0.0)
    padded = np.pad(image, smoothing.ROWS * 2, mode="reflect")
    good = np.ones(padded.shape, bool)
    taps = gaussian_taps(narrow), gaussian_taps(wide)
    masked = good.copy()
    masked[:: smoothing.ROWS // 2, :: smoothing.COLUMNS // 2] = False
    clean, spotted = difference(padded, good, *taps), difference(padded, masked, *taps)
    reach = 2 * difference_radius(*taps) + 1
    far = correlate(masked.astype(np.int64), np.ones((reach, reach), np.int64), mode="constant") == reach**2
    assert far.sum() > 10_000
    assert clean[far].tobytes() == spotted[far].tobytes()
    # and the test means something: the divisors of these taps are not all 1
    assert {float(smoothing._convolver(gaussian_taps(w)).constant) for pair in PAIRS for w in pair} != {1.0}


def test_a_constant_stays_and_its_difference_is_nothing():
    image = np.full((60, 60), 7.25, np.float32)
    valid = np.random.default_rng(1).random((60, 60)) > 0.3
    taps = gaussian_taps(0.7), gaussian_taps(4.1)
    np.testing.assert_allclose(smooth(image, valid, taps[1]), 7.25, rtol=1e-6)
    np.testing.assert_allclose(difference(image, valid, *taps)[valid], 0, atol=1e-5)


def test_nan_where_nothing_counts_and_only_there():
    image = np.full((40, 40), np.nan, np.float32)
    valid = np.zeros((40, 40), bool)
    image[20, 20], valid[20, 20] = 3, True
    taps = gaussian_taps(3.0)
    radius = len(taps) - 1
    found = smooth(image, valid, taps)
    inside = np.zeros((40, 40), bool)
    inside[20 - radius : 21 + radius, 20 - radius : 21 + radius] = True
    np.testing.assert_array_equal(np.isfinite(found), inside)
    np.testing.assert_allclose(found[inside], 3, rtol=1e-6)
    # one canonical NaN
    assert set(found[~inside].view(np.uint32).tolist()) == {0x7FC00000}


def test_the_narrower_kernel_decides_where_a_difference_exists():
    valid = np.zeros((40, 40), bool)
    valid[20, 20] = True
    found = difference(np.ones((40, 40), np.float32), valid, gaussian_taps(0.5), gaussian_taps(5.0))
    inside = np.zeros((40, 40), bool)
    inside[19:22, 19:22] = True
    np.testing.assert_array_equal(np.isfinite(found), inside)
    assert set(found[~inside].view(np.uint32).tolist()) == {0x7FC00000}


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (1, 300), (300, 1), (2, 2)])
def test_small_images(shape):
    image = np.ones(shape, np.float32)
    found = difference(image, np.ones(shape, bool), gaussian_taps(0.5), gaussian_taps(5.0))
    assert found.shape == shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_layouts_are_of_no_influence():
    image, valid = scene((50, 60), seed=8)
    taps = gaussian_taps(3.0)
    expected = smooth(image, valid, taps).tobytes()
    frozen = image.copy()
    frozen.flags.writeable = False
    for other in (np.asfortranarray(image), frozen, image.astype(">f4"), np.pad(image, 3)[3:-3, 3:-3]):
        assert smooth(other, valid, taps).tobytes() == expected
    assert smooth(image, valid.astype(np.uint8), taps).tobytes() == expected
    assert smooth(image, valid.astype(np.uint8) * 4, taps).tobytes() == expected


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same shape"):
        smooth(np.ones((3, 4), np.float32), np.ones((4, 3), bool), gaussian_taps(1.0))
    with pytest.raises(ValueError, match="2-D"):
        smooth(np.ones(3, np.float32), np.ones(3, bool), gaussian_taps(1.0))
