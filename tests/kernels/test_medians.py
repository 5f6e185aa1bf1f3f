"""The fast median compared with NumPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilegc.kernels import medians
from tilegc.kernels.medians import FEW, median

ODD = st.sampled_from([-1.5, -0.0, 0.0, 1e-45, -1e-45, 2.0, 2.0000002, 3e38, -3e38, np.inf, -np.inf, np.nan])


def same(values):
    with np.errstate(all="ignore"):
        found, expected = median(values), np.median(values)
    assert type(found) is values.dtype.type
    assert found == expected or (np.isnan(found) and np.isnan(expected))


@pytest.fixture
def binned(monkeypatch):
    """Also few values go the way of many."""
    monkeypatch.setattr(medians, "FEW", 0)


@pytest.mark.usefixtures("binned")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_values(dtype):
    width = 8 * dtype().itemsize

    @settings(max_examples=150, deadline=None)
    @given(
        arrays(
            dtype,
            st.integers(1, 40),
            elements=st.floats(width=width) | ODD.map(lambda one: float(dtype(one))),
        )
    )
    def check(values):
        same(values)

    check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, FEW, FEW + 1, 2 * FEW])
def test_noise_distances_steps_and_one_value(dtype, n):
    noise = np.random.default_rng(n).normal(size=n)
    for values in (noise, np.abs(noise), np.round(noise), noise * 1e-42, np.full(n, -3.5), noise * 1e30):
        same(values.astype(dtype))
    image = noise.astype(dtype).reshape(-1, 1)[::-1]
    assert median(image) == median(noise.astype(dtype))


def test_missing_values_and_none():
    values = np.random.default_rng(1).normal(size=2 * FEW).astype(np.float32)
    for place, missing in ((0, np.nan), (FEW, -np.nan)):
        assert np.isnan(median(np.where(np.arange(values.size) == place, np.float32(missing), values)))
    assert np.isnan(median(np.zeros(0, np.float32)))
