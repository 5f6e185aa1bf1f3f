"""Which pixels are inpainted, for every value of the mask; and how draws add to the variance of rho."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.density.inpainting import hidden, no_data
from tilegc.density.rho import drawn_variance
from tilegc.density.rho_scatter import add, block_points, scatter_of
from tilegc.schema import Bit


@pytest.mark.parametrize("value", range(128))
def test_inpainted_pixels(value):
    """Masked objects are inpainted, edges are not, and missing data only if a star is the reason."""
    bits = {bit for bit in Bit if value & bit}
    objects = bits & {Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE, Bit.REGION, Bit.ARC}
    star = bits & {Bit.BRIGHT, Bit.SPIKE}
    expected = bool(objects) and Bit.EDGE not in bits and (Bit.NO_DATA not in bits or bool(star))
    mask = np.array([value], np.uint8)
    assert hidden(mask).tolist() == [expected]
    assert no_data(mask).tolist() == [Bit.NO_DATA in bits]


def test_variance_of_a_drawn_source():
    """Full coverage doubles the variance; half coverage makes it three times as large."""
    assert drawn_variance(np.array([1.0, 0.5])).tolist() == [2.0, 3.0]


def test_scatter_of_realisations_is_that_of_numpy():
    draws = np.random.default_rng(4).normal(3.0, 2.0, (17, 5, 6))
    mean, squares = np.zeros((5, 6)), np.zeros((5, 6))
    for number, values in enumerate(draws):
        add(values, number, mean, squares)
    np.testing.assert_allclose(mean, draws.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(scatter_of(squares, 17), draws.std(axis=0, ddof=1), rtol=1e-12)
    assert np.isnan(scatter_of(squares, 1)).all()


def test_draws_are_counted_in_blocks():
    draw = np.random.default_rng(5)
    inpainted = {name: draw.integers(0, top, 300) for name, top in (("realisation", 4), ("y", 60), ("x", 90))}
    counts: dict[tuple[int, int, int], int] = {}
    for number, y, x in zip(*(inpainted[name].tolist() for name in ("realisation", "y", "x")), strict=True):
        key = number, y // 8, x // 8
        counts[key] = counts.get(key, 0) + 1
    row, column, realisation, count = block_points(inpainted, 4, 12)
    found = zip(realisation.tolist(), row.tolist(), column.tolist(), count.tolist(), strict=True)
    assert list(found) == [(*key, counts[key]) for key in sorted(counts)]
