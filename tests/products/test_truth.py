"""Planted sources, counted object by object."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import QTable

from tests.support.hand import DEC, RA, sky
from tilegc.errors import InputError
from tilegc.io.tables import write_parquet
from tilegc.planted import planted, read_truth
from tilegc.relation.boxes import boxes, fit, index_difference
from tilegc.schema import CANDIDATES
from tilegc.sky import SkyGrid

KINDS = ("gc", "member_gc", "background_point", "background_extended", "star", "galaxy")
LIMIT = 0.5


@pytest.fixture(scope="module")
def mock():
    """Planted objects in two fields of 100 x 200 pixels of 0.2 arcsec, and a catalogue of some of them and others."""
    draw = np.random.default_rng(11)
    grid, size = SkyGrid(RA, DEC, 1.0), 400
    field = draw.choice(["a", "b", ""], size, p=[0.5, 0.45, 0.05])
    y, x = draw.uniform(-0.5, 99.5, size), draw.uniform(-0.5, 199.5, size)
    y[60:90], x[60:90] = y[:30] + draw.normal(0, 1.5, 30), x[:30] + draw.normal(0, 1.5, 30)
    field[60:90] = field[:30]
    xi, eta = 20 - 0.2 * x, 0.2 * y - np.where(field == "a", 0, 20)
    y[field == ""] = x[field == ""] = np.nan
    xi[field == ""] = eta[field == ""] = 300.0
    ra, dec = grid.radec(xi, eta)
    flux = draw.pareto(0.8, (size, 2)) * 2
    truth = QTable(
        {
            "kind": draw.choice(KINDS, size, p=[0.4, 0.1, 0.1, 0.2, 0.1, 0.1]),
            "field": field,
            "ra": ra,
            "dec": dec,
            "y": y,
            "x": x,
            "flux_F1": flux[:, 0],
            "flux_F2": flux[:, 1],
        }
    )
    peak = 0.1 * flux.sum(axis=1) * draw.lognormal(0, 0.2, size)
    on = np.flatnonzero((field != "") & (peak > LIMIT) & (draw.random(size) < 0.8))
    catalogue = {
        "field": np.append(field[on], ["a", "b"] * 10).astype(object),
        "y_peak": np.append(np.rint(y[on]) + draw.integers(-1, 2, on.size), draw.integers(0, 100, 20)).astype(
            np.int32
        ),
        "x_peak": np.append(np.rint(x[on]) + draw.integers(-1, 2, on.size), draw.integers(0, 200, 20)).astype(
            np.int32
        ),
        "peak": np.append(peak[on], draw.uniform(LIMIT, 3, 20)).astype(np.float32),
    }
    cells = sky((42, 42), j0=-21, i0=-21, seed=6)
    belongs = np.stack([cells.eta > 0, cells.eta < 0])[:, :, None] & (draw.random(cells.kappa.shape) < 0.9)
    cells = replace(cells, n_pixels=4 * belongs, n_good=4 * belongs, n_inside=4 * belongs)
    good = {name: draw.random((100, 200)) < 0.8 for name in ("a", "b")}
    return truth, cells, catalogue, good, (xi, eta)


def test_truth(mock):
    truth, cells, catalogue, good, (xi, eta) = mock
    edges = (2.0, 7.0, 12.0, 21.0)
    found = planted(truth, cells, catalogue, LIMIT, edges, 3.0, 3.0, good)
    rows = range(len(truth))
    flux = [truth["flux_F1"][k] + truth["flux_F2"][k] for k in rows]
    peaks = list(zip(*(catalogue[name] for name in ("field", "y_peak", "x_peak", "peak")), strict=True))

    def near(k, field, y, x):
        return truth["field"][k] == field and math.hypot(truth["y"][k] - y, truth["x"][k] - x) <= 1.5

    points = [k for k in rows if truth["kind"][k] in {"gc", "member_gc", "background_point"}]
    ratios = []
    for field, y, x, peak in peaks:
        under = [flux[k] for k in points if near(k, field, y, x)]
        if peak >= 2 * LIMIT and under:
            ratios.append(peak / max(under))
    assert len(ratios) > 20
    response = float(np.median(ratios))
    assert found.response == pytest.approx(response, rel=1e-6)
    limit = LIMIT / response
    assert found.flux_limit == pytest.approx(limit, rel=1e-6)
    resolved = [k for k in rows if truth["kind"][k] == "background_extended"]
    seen = {**{k: flux[k] for k in points}, **{k: 0.18 * flux[k] for k in resolved}}

    kept = {}
    for k in rows:
        j, i = math.floor(eta[k]) - cells.j0, math.floor(xi[k]) - cells.i0
        kept[k] = abs(eta[k]) < 21 and abs(xi[k]) < 21 and bool(cells.kept[j, i])

    def pixel(k):
        return math.floor(truth["y"][k] + 0.5), math.floor(truth["x"][k] + 0.5)

    bright = [
        k for k in seen if seen[k] >= limit and truth["field"][k] and bool(good[truth["field"][k]][pixel(k)])
    ]
    assert found.n == sum(kept[k] for k in bright)
    assert 0 < found.n < len(bright)
    sought = [k for k in bright if seen[k] >= 2 * limit and kept[k]]
    caught = [k for k in sought if any(near(k, *peak[:3]) for peak in peaks)]
    assert found.completeness == pytest.approx(len(caught) / len(sought), rel=1e-14)
    likely = [k for k in seen if seen[k] >= limit / 3]
    real = [peak for peak in peaks if any(near(k, *peak[:3]) for k in likely)]
    assert found.purity == pytest.approx(len(real) / len(peaks), rel=1e-14)
    assert 0.3 < found.completeness < 1
    assert 0.3 < found.purity < 1

    apart: list[tuple[str, int, int, int]] = []
    for k in sorted(bright, key=lambda k: -seen[k]):
        place = truth["field"][k], *pixel(k)
        if not any(f == place[0] and (v - place[1]) ** 2 + (u - place[2]) ** 2 <= 9 for f, v, u, _ in apart):
            apart.append((*place, k))
    count = np.zeros(cells.n_gc.shape, np.int64)
    for name, chosen in (("n_gc", bright), ("n_apart", [k for *_, k in apart])):
        want = []
        for field, r_lo in zip(found.profile["field"], found.profile["r_lo"], strict=True):
            r_hi = edges[edges.index(r_lo) + 1]
            number = 0
            for k in chosen:
                j, i = math.floor(eta[k]), math.floor(xi[k])
                at = truth["field"][k] == field and r_lo <= math.hypot(j + 0.5, i + 0.5) < r_hi
                number += at and bool(cells.kept_of(cells.fields.index(field))[j - cells.j0, i - cells.i0])
            want.append(number)
        assert found.profile[name].tolist() == want, name
    assert len(found.profile["n_gc"]) == 6
    assert sum(found.profile["n_apart"]) < sum(found.profile["n_gc"])
    for k in bright:
        if kept[k]:
            count[
                cells.fields.index(truth["field"][k]),
                math.floor(eta[k]) - cells.j0,
                math.floor(xi[k]) - cells.i0,
            ] += 1
    mine, theirs = boxes(cells, 3.0), boxes(replace(cells, n_gc=count), 3.0)
    again = fit(theirs)
    assert found.n_found == sum(cells.n_gc[:, j, i].sum() for j, i in np.argwhere(cells.kept))
    assert (found.index_difference, found.index_difference_err) == index_difference(mine, theirs)
    assert found.index_difference == pytest.approx(fit(mine).index - again.index, rel=1e-12)
    assert found.relation.bins["n_boxes"].sum() > 50
    for name, values in found.relation.bins.items():
        np.testing.assert_array_equal(values, again.bins[name])


def test_truth_without_a_catalogue_knows_nothing(mock):
    truth, cells, catalogue, good, _ = mock
    empty = {name: column[:0] for name, column in catalogue.items()}
    found = planted(truth, cells, empty, LIMIT, (2.0, 7.0, 21.0), 3.0, 3.0, good)
    assert np.isnan([found.response, found.flux_limit, found.completeness, found.purity]).all()
    assert found.n == 0
    assert not found.profile["n_gc"].any()


def test_a_perfect_catalogue_blanks_pixel_by_pixel():
    y = [80.0, 50.0, 50.3, 50.0, 50.0, 10.4, 13.6]
    x = [20.0, 50.0, 50.3, 53.0, 56.0, 99.0, 99.0]
    flux = [1000.0, 100.0, 20.0, 50.0, 30.0, 40.0, 30.0]
    cells = sky(fields=("a",), full=True)
    ra, dec = cells.grid.radec(np.full(7, 3.5), np.full(7, 3.5))
    truth = QTable(
        {"kind": ["gc"] * 7, "field": ["a"] * 7, "ra": ra, "dec": dec, "y": y, "x": x, "flux_F1": flux}
    )
    catalogue = {
        "field": np.array(["a"], object),
        "y_peak": np.array([80]),
        "x_peak": np.array([20]),
        "peak": np.array([100.0]),
    }
    good = {"a": np.ones((100, 200), bool)}
    found = planted(truth, cells, catalogue, LIMIT, (0.0, 20.0), 3.0, 3.0, good)
    assert (found.response, found.n) == (0.1, 7)
    assert found.profile["n_gc"].tolist() == [7]
    # The second of two in one pixel is lost; the third is near them, and so no longer in the way of the fourth.
    # The last two are 3.2 px apart, but their pixels' centres 4.
    assert found.profile["n_apart"].tolist() == [1 + 2 + 2]
    assert (found.completeness, found.purity) == (1 / 7, 1.0)


def test_a_table_without_kinds_is_no_truth(tmp_path):
    path = tmp_path / "candidates.parquet"
    write_parquet(path, CANDIDATES, {column.name: [] for column in CANDIDATES})
    with pytest.raises(InputError, match=r"candidates\.parquet: not a truth table.*kind"):
        read_truth(str(path))
