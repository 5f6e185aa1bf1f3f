"""Noise measured in the image itself: nodes, and their average that leaves steps where they are."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.filter.measured_noise import APART, HALO, NODE, SQUARE, averaged, node_noise
from tilegc.filter.pixel_noise import PixelNoise, pixel_variance


def test_nodes_by_the_slow_rule():
    """The median over the square about a node of the distance from the mean of four pixels two away."""
    draw = np.random.default_rng(1)
    rows, columns = 3, 4
    image = draw.normal(0, 1, (rows * NODE + 2 * HALO, columns * NODE + 2 * HALO)).astype(np.float32)
    image[5:9, 6:20] = np.nan
    image[20:, 30:] = np.nan
    found = node_noise(image, rows, columns)
    for row in range(rows):
        for column in range(columns):
            values = []
            for y in range(SQUARE):
                for x in range(SQUARE):
                    j, i = row * NODE + y + APART, column * NODE + x + APART
                    around = sum(image[j + dy, i + dx] for dy, dx in ((2, 0), (-2, 0), (0, 2), (0, -2)))
                    values.append(abs(image[j, i] - 0.25 * around))
            known = sorted(value for value in values if np.isfinite(value))
            if 2 * len(known) >= SQUARE * SQUARE:
                assert found[row, column] == pytest.approx(known[len(known) // 2], rel=1e-5)
            else:
                assert np.isnan(found[row, column])


@pytest.mark.parametrize("ratio", [1.5, 3.0])
def test_a_step_stays_where_it_is(ratio):
    """Nodes that scatter by 12 % are averaged to 5 %, and those beside a step keep its two levels to 5 %."""
    draw = np.random.default_rng(2)
    level = np.where(np.add.outer(np.arange(40), 0.4 * np.arange(50)) > 30, ratio, 1.0)
    nodes = (level * np.exp(draw.normal(0, 0.12, level.shape))).astype(np.float32)
    nodes[10:12, 10] = np.nan
    found = averaged(nodes)
    assert np.isfinite(found).all()
    assert np.std(found / level) < 0.05
    far = np.abs(np.add.outer(np.arange(40), 0.4 * np.arange(50)) - 30)
    for side in (level > 1, level == 1):
        beside = side & (far < 1.5)
        assert np.median((found / level)[beside]) == pytest.approx(np.median((found / level)[side]), rel=0.05)


def test_nothing_known_is_nothing_known():
    assert np.isnan(averaged(np.full((4, 5), np.nan, np.float32))).all()


def test_pixels_take_the_node_of_their_block():
    nodes = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    variance = pixel_variance(PixelNoise("data", 1.0, 1.0, nodes), None, (5, 6), (6, 14))
    for (y, x), value in np.ndenumerate(variance):
        assert value == nodes[(y + 6) // NODE, (x + 14) // NODE]
