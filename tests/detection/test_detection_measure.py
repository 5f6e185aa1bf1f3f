"""Purity and completeness as the benchmarks measure them, compared with loops and hand-made cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.detection import Row
from benchmarks.detection import rows as rows_of
from benchmarks.detection import table as table_of
from benchmarks.purity import BINS, COMPACT, RESOLVED, Counts, count, of_field
from benchmarks.recipes import RECIPES, configured, find
from tests.support import mock
from tilegc import running
from tilegc.simulation import simulate


def table(*rows):
    kind, y, x, mag = zip(*rows, strict=True)
    return {
        "kind": np.array(kind),
        "y": np.array(y, float),
        "x": np.array(x, float),
        "mag": np.array(mag, float),
    }


def test_by_hand():
    mask = np.zeros((40, 40), np.uint8)
    mask[:, :5] = 2
    mask[20:25, 20:30] = 8
    mask[0, 39] = 1
    truth = table(
        ("gc", 10, 10, 29.5),
        ("gc", 10, 30, 29.0),
        ("gc", 30, 10, 30.0),
        ("gc", 22, 22, 29.5),
        ("star", 36, 36, 20),
        ("field_galaxy", 5, 20, 25),
        ("arc", 12, 12, 22),
        ("gc", 50, 50, 29.5),
    )
    # on a source; 2 px off; on a galaxy; nowhere; beside a masked source; on the star; where only an arc is
    found = np.array([[10, 10], [30, 12], [5, 20], [36, 20], [22, 19], [36, 35], [13, 13]], float)
    counts = count(found, truth, mask)
    assert (counts.found, counts.real, counts.resolved) == (7, 3, 1)
    assert counts.purity == 3 / 6
    assert counts.planted == (2, 1)
    assert counts.recovered == (1, 1)
    assert counts.completeness == (0.5, 1.0)
    assert counts.inside == 35 * 40 - 1
    assert counts.masked_share == 50 / (35 * 40 - 1)
    assert math.isnan(counts.by_chance)
    double = counts + counts
    assert (double.purity, double.planted) == (counts.purity, (4, 2))


def test_nothing_found_and_nothing_there():
    truth = table(("gc", 10, 10, 29.5))
    empty = count(np.zeros((0, 2)), truth, np.zeros((20, 20), np.uint8))
    assert math.isnan(empty.purity)
    assert empty.completeness[0] == 0
    assert math.isnan(empty.completeness[1])
    alone = count(
        np.ones((3, 2)), {name: column[:0] for name, column in truth.items()}, np.zeros((20, 20), np.uint8)
    )
    assert alone.purity == 0


def test_against_loops_and_by_chance():
    draw = np.random.default_rng(3)
    mask = np.where(draw.random((90, 80)) < 0.1, 16, 0).astype(np.uint8)
    kinds = draw.choice([*COMPACT, *RESOLVED, "icl"], 300)
    truth = table(
        *zip(
            kinds, draw.uniform(0, 89, 300), draw.uniform(0, 79, 300), draw.uniform(28, 31, 300), strict=True
        )
    )
    found = np.column_stack([draw.integers(0, 90, 200), draw.integers(0, 80, 200)]).astype(float)
    counts = count(found, truth, mask, seed=1)

    def near(y, x, of):
        return any(
            math.hypot(y - b, x - a) <= 2
            for k, b, a in zip(kinds, truth["y"], truth["x"], strict=True)
            if k in of
        )

    real = [near(y, x, COMPACT) for y, x in found]
    assert counts.real == sum(real)
    assert counts.resolved == sum(
        not one and near(y, x, RESOLVED) for one, (y, x) in zip(real, found, strict=True)
    )
    for number, (low, high) in enumerate(BINS):
        rows = [
            (y, x)
            for k, y, x, m in zip(kinds, truth["y"], truth["x"], truth["mag"], strict=True)
            if k in COMPACT and low <= m < high and mask[round(y), round(x)] == 0
        ]
        assert counts.planted[number] == len(rows)
        assert counts.recovered[number] == sum(min(np.hypot(*(found - at).T)) <= 2 for at in rows)
    every = [near(y, x, COMPACT) for y, x in np.argwhere(mask == 0)]
    assert counts.by_chance == pytest.approx(np.mean(every), abs=0.02)


def test_rows_of_a_field():
    truth = {"kind": ["gc", "gc"], "field": ["a", "b"], "y": [1, 2], "x": [3, 4], "mag_f150w": [29, 30]}
    assert of_field(truth, "b")["mag"].tolist() == [30]


@pytest.mark.slow
@pytest.mark.parametrize("by", list(RECIPES))
def test_the_benchmark_finds_what_a_run_finds(by, tmp_path, monkeypatch):
    mock.no_report(monkeypatch)
    config = configured(simulate(tmp_path / "sky", preset="tiny", size=(256, 200)), RECIPES[by])
    run = running.run(config, tmp_path / "run", workers=0)
    found = find(config, tmp_path)
    assert len(run.catalogue) > 50
    for name in run.fields:
        rows = run.catalogue[np.asarray(run.catalogue["field"]).astype(str) == name]
        places = np.column_stack([rows["y_peak"].value, rows["x_peak"].value])
        np.testing.assert_array_equal(found[name].places, places)
        np.testing.assert_array_equal(found[name].mask, run.field(name)["mask"].values)


def test_bars():
    good = Counts(100, 99, 0, (50, 50), (49, 46), 1000, 90)
    row = Row("calibrated, threshold auto", "our masks", "", "a", good)
    assert row.passes is True
    for changes in ({"real": 98}, {"recovered": (48, 46)}, {"recovered": (49, 44)}, {"masked": 101}):
        assert replace(row, counts=replace(good, **changes)).passes is False
    assert replace(row, by="sep").passes is None
    # seen by a peer, the same field has no bar; of `diego2026` only purity is asked
    paper = replace(
        row, by="diego2026, masks auto", counts=replace(good, real=95, recovered=(0, 0), masked=400)
    )
    assert paper.passes is True
    assert [one["bar_met"] for one in rows_of([row, paper])] == [True, True]
    assert table_of([row, paper], "title").row_count == 2
