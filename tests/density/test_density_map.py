"""The density maps of a run, made in tiles, compared with plain sums over its catalogue and mask."""

import numpy as np
import pytest

from tests.support import mock
from tilegc import running
from tilegc.schema import Bit

SIGMA = 3.0 / mock.SCALE
"""Pixels: that of the Gaussian of fixed width."""
NEIGHBOURS = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory, no_report):
    folder = tmp_path_factory.mktemp("density")
    asked = {
        "density.gaussian": SIGMA * mock.SCALE,
        "density.neighbours": NEIGHBOURS,
        "inpaint.iterations": 3,
        "tiles.size": 37,
        "convergence": None,
    }
    return running.run(
        mock.edited(mock.write_inputs(folder), "density.yaml", asked), folder / "run", workers=0
    )


def smooth(image, sigma):
    """Add a Gaussian of unit sum about every pixel to every pixel."""
    result = np.asarray(image, float)
    for axis in (0, 1):
        at = np.arange(result.shape[axis])
        kernel = np.exp(-0.5 * ((at[:, None] - at[None, :]) / sigma) ** 2)
        along = np.arange(-40 * sigma, 40 * sigma + 1)
        kernel /= np.exp(-0.5 * (along / sigma) ** 2).sum()
        result = np.moveaxis(np.tensordot(kernel, result, (1, axis)), 0, axis)
    return result


def sources(run, name):
    """Return the image of the detected sources of a field, and where its pixels are good."""
    rows = run.catalogue[np.asarray(run.catalogue["field"]).astype(str) == name]
    counts = np.zeros(mock.SHAPES[name])
    np.add.at(counts, (np.asarray(rows["y_peak"]), np.asarray(rows["x_peak"])), 1.0)
    return counts, run.field(name).mask.values == 0


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_gaussian_of_fixed_width_is_a_ratio_of_sums(name, run):
    counts, good = sources(run, name)
    data = run.field(name)
    coverage = smooth(good, SIGMA)
    known = np.isfinite(data.density_gaussian.values) & (coverage > 0.05)
    assert known.mean() > 0.8
    expected = smooth(counts, SIGMA) / np.where(known, coverage, 1) / mock.SCALE**2
    scale = expected[known].max()
    assert np.abs(data.density_gaussian.values - expected)[known].max() < 1e-3 * scale
    # A sum of Poisson counts with weights G has the variance of that with weights G^2: G narrower by sqrt 2.
    peak = 1 / (4 * np.pi * SIGMA**2)
    square = peak * smooth(counts, SIGMA / np.sqrt(2))
    error = np.sqrt(np.maximum(square, 0)) / np.where(known, coverage, 1) / mock.SCALE**2
    assert np.abs(data.density_gaussian_error.values - error)[known].max() < 3e-3 * error[known].max()


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_density_of_neighbours_is_that_within_the_fifth(name, run):
    counts, good = sources(run, name)
    at = np.argwhere(counts)
    rows, columns = np.indices(counts.shape)
    found = run.field(name).density_adaptive.values
    largest = int(10.0 / mock.SCALE)
    checked = 0
    for y in range(0, counts.shape[0], 8):
        for x in range(0, counts.shape[1], 8):
            if not np.isfinite(found[y, x]):
                continue
            d2 = np.sort(((at - (y, x)) ** 2).sum(axis=1))
            within = d2[d2 <= largest**2]
            limit = within[NEIGHBOURS - 1] if within.size >= NEIGHBOURS else largest**2 + 1
            area = (good & ((rows - y) ** 2 + (columns - x) ** 2 < limit)).sum() * mock.SCALE**2
            assert found[y, x] == pytest.approx((d2 < limit).sum() / area, rel=1e-5)
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("name", ["a", "b"])
def test_maps_are_blank_where_nothing_was_observed(name, run):
    """A saturated core holds no data either, but sources are inpainted there: it keeps its density."""
    data = run.field(name)
    mask = data.mask.values
    unseen = ((mask & Bit.NO_DATA) != 0) & ((mask & (Bit.BRIGHT | Bit.EXTENDED)) == 0)
    for array in ("density", "density_error", "coverage", "density_gaussian", "density_adaptive"):
        assert np.isnan(data[array].values[unseen]).all(), array
    assert np.isfinite(data.density.values[mask == 0]).all()
    texts = data.attrs["resolution_arcsec"]
    assert texts["density_gaussian"] == "Gaussian sigma 3"
    assert texts["density_adaptive"].startswith("distance of neighbour 5")


def test_inpainting_with_the_trend_converges(run):
    """The mock is densest in the middle, so the trend is fitted repeatedly until it no longer changes."""
    for field in run.summary["fields"].values():
        assert 1 <= field["inpainting"]["iterations"] <= 3
