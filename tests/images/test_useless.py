"""Negative weights and errors of zero are counted, located and judged by their fraction."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tilegc.geometry import Box
from tilegc.images.audits.useless import useless_lines, useless_pixels

SHAPE = (20, 30)
BOX = Box(100, 200, 120, 230)
SOURCE = SimpleNamespace(name="a", bands=[SimpleNamespace(name="F090W"), SimpleNamespace(name="F150W")])


def planes():
    one = np.ones(SHAPE, np.float32)
    return one.copy(), one.copy(), one.copy()


def negative_weights(sci, wht, err):
    wht[4:9, 10:20] = -1


def zero_errors(sci, wht, err):
    err[:] = 0


def negative_errors(sci, wht, err):
    err[0, 29] = -2


def zero_where_nothing_was_observed(sci, wht, err):
    err[:5] = wht[:5] = 0


def no_image(sci, wht, err):
    sci[:5], wht[:5], err[:5] = np.nan, -1, 0


@pytest.mark.parametrize(
    ("fault", "kind", "n", "corners"),
    [
        (negative_weights, "negative weight", 50, (104, 210, 109, 220)),
        (zero_errors, "error of zero", 600, (100, 200, 120, 230)),
        (negative_errors, "negative error", 1, (100, 229, 101, 230)),
        (zero_where_nothing_was_observed, None, 0, None),
        (no_image, None, 0, None),
    ],
)
def test_what_is_counted(fault, kind, n, corners):
    sci, wht, err = planes()
    fault(sci, wht, err)
    seen, counts = useless_pixels(sci, wht, err, BOX)
    assert seen == np.isfinite(sci).sum()
    assert counts == ({} if kind is None else {kind: (n, corners)})


def test_errors_without_weights_are_no_fault_where_the_image_is_zero():
    sci, _, err = planes()
    sci[:3] = err[:3] = 0
    assert useless_pixels(sci, None, err, BOX)[1] == {}
    err[3] = 0
    assert useless_pixels(sci, None, err, BOX)[1]["error of zero"][0] == SHAPE[1]


def test_cells_are_joined_and_judged_by_their_share():
    cells = {
        1: [
            (600, {"negative weight": (50, (4, 10, 9, 20))}),
            (400, {"negative weight": (1, (300, 5, 301, 6)), "error of zero": (400, (256, 0, 276, 20))}),
        ]
    }
    weight, error = useless_lines(SOURCE, cells)
    assert (weight.field, weight.band, weight.verdict) == ("a", "F150W", "wrong")
    assert weight.value == pytest.approx(0.051)
    assert "5.1 %" in weight.finding
    assert "rows 4 to 300 and columns 5 to 19" in weight.finding
    assert "no data" in weight.remedy
    assert error.verdict == "wrong"
    few = next(useless_lines(SOURCE, {0: [(1000, {"negative error": (20, (0, 0, 1, 20))})]}))
    assert (few.band, few.verdict) == ("F090W", "look")
    assert list(useless_lines(SOURCE, {0: [(1000, {})]})) == []
