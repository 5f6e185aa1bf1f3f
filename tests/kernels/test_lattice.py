"""Maps known on the lattice: bilinear at pixels, with the same bits in any box."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from tilegc.geometry import Box
from tilegc.kernels.lattice import bilinear, bilinear_at, fill, lattice_shape

SIDE = 8


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1), (3, 4)])
def test_bilinear_between_the_centres_of_cells(shape):
    values = np.random.default_rng(1).normal(3, 1, shape)
    pixels = shape[0] * SIDE - 3, shape[1] * SIDE - 1
    assert lattice_shape(pixels, SIDE) == shape
    found = bilinear(values, Box(0, 0, *pixels), SIDE)
    at = [
        np.clip((np.arange(n) - (SIDE - 1) / 2) / SIDE, 0, m - 1) for n, m in zip(pixels, shape, strict=True)
    ]
    wanted = map_coordinates(values, np.meshgrid(*at, indexing="ij"), order=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-7)


def test_the_same_bits_in_any_box_and_at_single_pixels():
    draw = np.random.default_rng(2)
    values = draw.normal(0, 1, (4, 5))
    whole = bilinear(values, Box(0, 0, 32, 40), SIDE)
    for _ in range(20):
        y0, x0 = draw.integers(0, 30), draw.integers(0, 38)
        box = Box(y0, x0, int(draw.integers(y0 + 1, 33)), int(draw.integers(x0 + 1, 41)))
        assert bilinear(values, box, SIDE).tobytes() == whole[box.slices].tobytes()
    y, x = np.indices(whole.shape).reshape(2, -1)
    assert bilinear_at(values, y, x, SIDE).tobytes() == whole.tobytes()


def test_a_constant_is_a_constant():
    assert (bilinear(np.full((3, 3), 0.1), Box(0, 0, 24, 24), SIDE) == np.float32(0.1)).all()


def test_gaps_take_the_mean_of_their_known_neighbours():
    nan = np.nan
    known = np.array([[1.0, nan, 5.0], [3.0, nan, nan], [nan, nan, nan]])
    filled = fill(known)
    assert filled[0, 1] == (1 + 5 + 3) / 3
    assert filled[1, 1] == (1 + 5 + 3) / 3
    assert filled[1, 2] == 5.0
    assert filled[2, 0] == 3.0
    assert filled[2, 2] == np.mean([filled[1, 1], filled[1, 2], filled[2, 1]])
    assert np.isfinite(filled).all()
    assert (filled[np.isfinite(known)] == known[np.isfinite(known)]).all()
    assert np.isnan(fill(np.full((2, 2), nan))).all()
