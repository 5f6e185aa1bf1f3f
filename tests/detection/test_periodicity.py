"""The pattern statistic finds a simulated pattern where it begins, and nothing in a field without one."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.detection.pattern import ALARM, EDGES, onset, slices_of
from tilegc.detection.periodicity import BIN, strongest_period

SHAPE = (640, 560)
MOCKS = 100


def window(draw):
    """Good pixels with a border, discs and a gap cut out, as masks of stars and galaxies do."""
    y, x = np.indices(SHAPE)
    good = (
        (np.minimum(y, SHAPE[0] - 1 - y) > 30) & (np.minimum(x, SHAPE[1] - 1 - x) > 30) & (abs(x - 250) > 6)
    )
    for _ in range(12):
        row, column, radius = draw.integers(0, SHAPE[0]), draw.integers(0, SHAPE[1]), draw.integers(8, 40)
        good &= (y - row) ** 2 + (x - column) ** 2 > radius**2
    return good


def binned(good):
    return good.reshape(SHAPE[0] // BIN, BIN, SHAPE[1] // BIN, BIN).sum(axis=(1, 3)).astype(np.uint8)


def clustered(draw, good, n):
    """Sources concentrated around a centre, on good pixels only."""
    y = np.rint(draw.normal(330, 190, 6 * n)).astype(int)
    x = np.rint(draw.normal(260, 170, 6 * n)).astype(int)
    inside = (y >= 0) & (y < SHAPE[0]) & (x >= 0) & (x < SHAPE[1])
    y, x = y[inside], x[inside]
    on = np.flatnonzero(good[y, x])[:n]
    return y[on], x[on]


def mock(seed, regular):
    """Sources in slices of signal-to-noise; up to 3.5 a quarter of them lie on columns 32 px apart, if `regular`."""
    draw = np.random.default_rng(seed)
    good = window(draw)
    rows = []
    for low, high, n in zip(EDGES[:-1], EDGES[1:], (900, 700, 500, 400, 300, 300, 300, 300), strict=True):
        y, x = clustered(draw, good, n)
        if regular and high <= 3.5:
            moved = draw.random(y.size) < 0.25
            onto = np.where(moved, x // 32 * 32 + 16 + draw.integers(-1, 2, x.size), x)
            on = good[y, onto]
            y, x = y[on], onto[on]
        rows.append((y, x, draw.uniform(low, high, y.size)))
    return (*(np.concatenate(part) for part in zip(*rows, strict=True)), binned(good))


def test_a_field_without_a_pattern_is_silent():
    tables = [slices_of("f", *mock(seed, regular=False)) for seed in range(MOCKS)]
    chances = np.concatenate([table["false_alarm"] for table in tables])
    assert [onset(table) for table in tables] == [0.0] * MOCKS
    # The probabilities are ones: uniform, so that a tenth of the slices lie below 0.1.
    assert np.isfinite(chances).all()
    assert 0.05 < (chances < 0.1).mean() < 0.16
    assert 0.4 < np.median(chances) < 0.6


def test_a_planted_pattern_is_found_where_it_begins():
    tables = [slices_of("f", *mock(seed, regular=True)) for seed in range(MOCKS)]
    assert [onset(table) for table in tables] == [3.5] * MOCKS
    for table in tables:
        regular = table["false_alarm"] < ALARM
        # Columns 32 px apart: that period, or one of which it is a multiple; the modes of 560 px have it.
        multiple = 32 / table["period"][regular]
        assert np.abs(multiple - np.rint(multiple)).max() < 0.08
        assert (np.minimum(table["angle"][regular], 180 - table["angle"][regular]) < 3).all()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_sources_tell_nothing(n):
    found = strongest_period(np.zeros(n, int), np.zeros(n, int), np.full((20, 20), 16, np.uint8))
    assert np.isnan(found.false_alarm)
    table = slices_of(
        "f", np.zeros(n, int), np.zeros(n, int), np.full(n, 3.0), np.full((20, 20), 16, np.uint8)
    )
    assert onset(table) == 0.0
