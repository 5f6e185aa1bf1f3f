"""The map of completeness, against a planted chance that varies with noise, crowding and magnitude."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from tilegc.completeness.injection import _area_rule
from tilegc.completeness.recovery_map import CELL, recovery_map
from tilegc.geometry import TileGrid

SIDE = 40
"""Cells along the field."""
SCALE = 0.05
MAGNITUDE = 30.0


def planted(y: np.ndarray, x: np.ndarray, magnitude: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A curve in signal-to-noise, and a core that loses four of ten."""
    apart = np.hypot(y - SIDE * CELL / 2, x - SIDE * CELL / 2) * SCALE
    return ndtr((30.0 - magnitude - 2.5 * np.log10(noise)) / 0.4) * (1 - 0.4 * np.exp(-((apart / 8) ** 2)))


def drawn(number: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(0, SIDE * CELL, (2, number)) - 0.5
    # Twice as many stars in one half, which their weights undo.
    kept = (y < SIDE * CELL / 2) | (rng.uniform(size=number) < 0.5)
    magnitude = rng.uniform(26.5, 32, number)
    noise = np.where(x < SIDE * CELL / 3, 1.0, 1.6)
    table = {
        "y_in": y,
        "x_in": x,
        "mag": magnitude,
        "noise": noise.astype(np.float32),
        "q": np.where(y < SIDE * CELL / 2, 2.0, 1.0),
        "recovered": rng.uniform(size=number) < planted(y, x, magnitude, noise),
        "good": np.ones(number, bool),
    }
    return {name: values[kept] for name, values in table.items()}


def test_the_map_is_the_planted_chance():
    """Pulls of a few hundred independent patches have a mean of 0 and a width of 1; a step of the noise stays sharp."""
    area = np.full((SIDE, SIDE), CELL * CELL, np.int64)
    area[:3] = 0
    table = drawn(60_000, 1)
    table["good"] &= table["y_in"] >= 3 * CELL
    found = recovery_map(table, area, MAGNITUDE, SCALE)
    assert np.isnan(found.value[:3]).all()
    middle = (np.arange(SIDE) + 0.5) * CELL - 0.5
    y, x = np.meshgrid(middle, middle, indexing="ij")
    true = planted(y, x, np.full(y.shape, MAGNITUDE), np.where(x < SIDE * CELL / 3, 1.0, 1.6))
    # The cells that the step itself crosses hold both.
    clear = np.abs(x - SIDE * CELL / 3) > CELL
    off = (found.value - true)[3:][clear[3:]]
    assert abs(off.mean()) < 0.01
    assert off.std() < 0.045
    pull = off / found.error[3:][clear[3:]]
    assert 0.8 < pull.std() < 1.25
    edge = SIDE // 3
    assert found.value[10, edge - 1] - found.value[10, edge + 2] > 0.25


def test_few_stars_leave_the_curve_of_the_field_with_a_larger_error():
    area = np.full((SIDE, SIDE), CELL * CELL, np.int64)
    many, few = (recovery_map(drawn(number, 2), area, MAGNITUDE, SCALE) for number in (60_000, 1500))
    assert few.smoothing > many.smoothing == 2.0
    assert np.nanmedian(few.error) > 1.5 * np.nanmedian(many.error)
    assert np.isfinite(few.value).all()


@pytest.mark.parametrize(("number", "magnitude"), [(40, MAGNITUDE), (4000, np.nan)])
def test_without_stars_or_a_depth_the_map_is_empty(number, magnitude):
    area = np.full((SIDE, SIDE), CELL * CELL, np.int64)
    found = recovery_map(drawn(number, 3), area, magnitude, SCALE)
    assert np.isnan(found.value).all()
    assert np.isnan(found.error).all()


@pytest.mark.parametrize("size", [7, 16, 45, 200])
def test_searched_pixels_of_every_cell_in_any_tiling(size):
    rng = np.random.default_rng(4)
    shape = (61, 83)
    mask = rng.choice(np.array([0, 0, 4, 1, 8], np.uint8), shape)
    cells = np.zeros((2, 4, 6), np.int64)
    for tile in TileGrid(shape, size).tiles(4):
        rows, columns = tile.window.slices
        _, table = _area_rule({"mask": _Array(mask[rows, columns])}, tile, 3)
        assert (table["field"] == 3).all()
        for number, key in enumerate(("area", "light")):
            np.add.at(cells[number], (table["row"], table["column"]), table[key])
    y, x = np.indices(shape)
    good = mask == 0
    near = np.zeros(shape, bool)
    for row, column in np.argwhere(good):
        near |= (y - row) ** 2 + (x - column) ** 2 <= 4
    expected = np.zeros((2, 4, 6), np.int64)
    np.add.at(expected[0], (y // CELL, x // CELL), near & ((mask & 1) == 0))
    np.add.at(expected[1], (y // CELL, x // CELL), (mask & 12) != 0)
    np.testing.assert_array_equal(cells, expected)


class _Array:
    """A variable of a window."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
