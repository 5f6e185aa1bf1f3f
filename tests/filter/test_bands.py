"""Pixels from files and the sum of the bands, each computed in one pass through the pixels, compared with NumPy."""

import numpy as np
import pytest

from tilegc.filter.bands import add_bands
from tilegc.io.big_endian import physical


def images(seed: int, bands: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(bands, 37, 53)) * 10.0 ** rng.integers(-44, 38, (bands, 37, 53))).astype(
        np.float32
    )
    values[rng.random(values.shape) < 0.05] = np.nan
    values[rng.random(values.shape) < 0.02] = np.inf
    values.view(np.uint32)[0, 3, :5] = 0xFFC00001  # another NaN
    return values


@pytest.mark.parametrize("factor", [1.0, 0.0317, 1e12, 1e-20])
def test_pixels_are_scaled_in_float64_and_rounded_once(factor) -> None:
    raw = images(1, 1)[0].astype(">f4")
    with np.errstate(all="ignore"):
        expected = (raw.astype(np.float64) * factor).astype(np.float32)
    expected[~np.isfinite(expected)] = np.nan
    assert physical(raw, factor).tobytes() == expected.tobytes()


def test_only_contiguous_big_endian_float32_is_taken() -> None:
    raw = np.zeros((4, 4), ">f4")
    for other in (raw[:, ::2], raw.astype("<f4"), raw.astype(">f8")):
        with pytest.raises(ValueError, match="big-endian"):
            physical(other, 1.0)


@pytest.mark.parametrize("bands", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_bands_are_added_in_order_where_all_count(bands, weighted) -> None:
    sci, wht = images(2, bands), np.abs(images(3, bands))
    wht[0, :4] = 0
    valid = np.isfinite(sci).all(axis=0)
    if weighted:
        valid &= (wht > 0).all(axis=0)
    light = sci[0].copy()
    with np.errstate(all="ignore"):
        for band in sci[1:]:
            light += band
    light[~valid] = np.nan
    found, counts = add_bands(sci, wht if weighted else None)
    assert counts.tobytes() == valid.tobytes()
    assert found[valid].tobytes() == light[valid].tobytes()
    assert (found[~valid].view(np.uint32) == 0x7FC00000).all()
