"""NaN, infinities, overflows and empty sets at the edges of every stage: the rows of docs/numbers.md."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits

from tests.support import mock
from tilegc import config as run_file
from tilegc.density.local_density import local_density
from tilegc.filter.bands import add_bands
from tilegc.geometry import Box
from tilegc.io.fits import read_window
from tilegc.io.probe import probe_field
from tilegc.kernels.exact import LIMBS, accumulate, total
from tilegc.kernels.order import histogram, median_from, median_prefixes, refine
from tilegc.kernels.smoothing import difference, gaussian_taps
from tilegc.phases.output import null
from tilegc.products.summary import write_summary

ODD = (np.nan, np.inf, -np.inf)
LARGEST = np.finfo(np.float32).max
TINY = np.float32(1e-45)


def test_pixels_of_a_file(tmp_path):
    """NaN, infinities, and values that overflow in nJy become NaN; the largest and smallest that do not are kept."""
    sci, wht = (values[0] for values in mock.pixels("a"))
    values = sci / np.float32(mock.NJY)
    values[50, :6] = np.nan, np.inf, -np.inf, LARGEST, -LARGEST, 1e-42
    mock.write_i2d(tmp_path / "a.fits", "a", sci, wht)
    with fits.open(tmp_path / "a.fits", mode="update") as hdus:
        hdus["SCI"].data[50, :6] = values[50, :6]
    content = {**mock.SETTINGS, "fields": [{"name": "a", "bands": {"F": str(tmp_path / "a.fits")}}]}
    content.pop("convergence")
    source = probe_field(run_file.resolve(content).fields[0])
    plane = next(plane for _, _, plane in source.planes() if plane.factor != 1.0)
    found = read_window(plane, Box(50, 0, 51, 6))[0]
    assert np.isnan(found[:5]).all()
    assert found[5] == np.float32(np.float64(np.float32(1e-42)) * plane.factor)


@pytest.mark.parametrize("odd", [*ODD, LARGEST, -LARGEST])
def test_the_sum_of_bands(odd):
    """A pixel counts where every band and their sum are finite: two finite bands may add up to infinity."""
    sci = np.ones((2, 5, 7), np.float32)
    sci[:, 2, 3] = odd
    light, valid = add_bands(sci, None)
    assert not valid[2, 3]
    assert valid.sum() == valid.size - 1
    assert np.isnan(light[2, 3])
    assert np.isfinite(light[valid]).all()


def test_a_sum_that_just_fits():
    sci = np.zeros((2, 1, 3), np.float32)
    sci[0] = LARGEST, -LARGEST, TINY
    light, valid = add_bands(sci, None)
    assert valid.all()
    assert light.tolist() == sci[0].tolist()


@pytest.mark.parametrize(
    ("weight", "counts"), [(np.nan, False), (0.0, False), (-1.0, False), (-np.inf, False), (TINY, True)]
)
def test_weights(weight, counts):
    sci, wht = np.ones((2, 3, 3), np.float32), np.ones((2, 3, 3), np.float32)
    wht[1, 1, 1] = weight
    _, valid = add_bands(sci, wht)
    assert bool(valid[1, 1]) is counts


@pytest.mark.parametrize("odd", ODD)
def test_the_filter(odd):
    """Excluded pixels have no influence, whatever their value; where no pixel counts the result is NaN."""
    draw = np.random.default_rng(5)
    image = draw.normal(size=(40, 40)).astype(np.float32)
    valid = draw.random((40, 40)) > 0.1
    narrow, wide = gaussian_taps(0.5), gaussian_taps(5.0)
    expected = difference(np.where(valid, image, np.float32(0)), valid, narrow, wide)
    found = difference(np.where(valid, image, np.float32(odd)), valid, narrow, wide)
    assert found.tobytes() == expected.tobytes()
    assert np.isnan(difference(image, np.zeros_like(valid), narrow, wide)).all()


def test_the_filter_of_the_largest_values():
    image = np.full((30, 30), LARGEST / 4, np.float32)
    with np.errstate(all="raise"):
        found = difference(image, np.ones((30, 30), bool), gaussian_taps(0.5), gaussian_taps(5.0))
    assert np.isfinite(found).all()


def test_medians():
    """NaN is never counted, the median of nothing is NaN, and infinities are ordered like any value."""

    def median(values):
        values, every = np.array(values, np.float32), np.ones(len(values), bool)
        counts = histogram(values, every)
        prefixes = median_prefixes(counts)
        return float(median_from(counts, prefixes, refine(values, every, prefixes)))

    assert median([1, 2, np.nan, 3, np.inf, -np.inf]) == 2.0
    assert median([-LARGEST, TINY, LARGEST]) == float(TINY)
    assert math.isnan(median([np.nan] * 4))
    assert math.isnan(median([]))


@pytest.mark.parametrize("odd", ODD)
def test_exact_sums_refuse_what_is_not_finite(odd):
    limbs = np.zeros((2, LIMBS), np.int64)
    with pytest.raises(ValueError, match="finite"):
        accumulate(limbs, np.array([0, 1]), np.array([1.0, odd], np.float32))
    assert not limbs.any()


def test_exact_sums_of_the_largest_and_smallest_values():
    limbs = np.zeros((1, LIMBS), np.int64)
    values = np.array([LARGEST, LARGEST, -LARGEST, -LARGEST, TINY], np.float32)
    accumulate(limbs, np.zeros(5, np.int64), values)
    assert float(total(limbs)[0]) == float(TINY)


def test_density_of_nothing():
    """No source, or no good pixel within reach: finite, and 0."""
    counts, good = np.zeros((20, 20)), np.zeros((20, 20), bool)
    for searched in (good, ~good):
        found = local_density(counts, searched, 0.25, 3.0)
        assert np.isfinite(found).all()
        assert (found == 0).all()


def test_json_holds_no_nan(tmp_path):
    """Non-finite values are null in the summary, and one that was overlooked is refused, never written."""
    assert [null(value) for value in (*ODD, None, 1.5)] == [None, None, None, None, 1.5]
    with pytest.raises(ValueError, match="JSON"):
        write_summary(tmp_path / "summary.json", {"a": math.nan})
    assert list(tmp_path.iterdir()) == []
