"""Boxes, the binned relation and the comparison with rho against loops that follow algorithm.md, sections 10 and 11."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.hand import AREA, each_cell, sky
from tilegc.relation import boxes as relation
from tilegc.relation.boxes import Boxes, boxes, compare, fit, index_difference


@pytest.mark.parametrize("given", [False, True])
def test_boxes(given):
    cells = sky(j0=-24, i0=-27)  # whole boxes of 3 arcsec: an edge of theirs is at the centre
    count = np.random.default_rng(9).poisson(1.0, cells.kappa.shape) if given else None
    gathered: dict[Any, Any] = defaultdict(lambda: [0.0, 0, []])
    for j, i, eta, xi in each_cell(cells):
        if sum(cells.n_good[:, j, i]) * AREA < 0.5:
            continue  # left out, with its sources
        box = gathered[math.floor(eta / 3), math.floor(xi / 3)]
        box[0] += sum(cells.n_good[:, j, i]) * AREA
        box[1] += sum(cells.n_gc[:, j, i]) if count is None else count[j, i]
        box[2] += [cells.kappa[j, i]] if np.isfinite(cells.kappa[j, i]) else []
    want = {
        ((column + 0.5) * 3, (row + 0.5) * 3): (area, n, sum(kappas) / len(kappas))
        for (row, column), (area, n, kappas) in gathered.items()
        if area >= 7.2 and kappas
    }
    found = boxes(cells, 3.0, count)
    got = dict(
        zip(
            zip(found.xi, found.eta, strict=True),
            zip(found.area, found.count, found.kappa, strict=True),
            strict=True,
        )
    )
    assert got.keys() == want.keys()
    assert 40 < len(got) < 200
    for place, values in want.items():
        assert got[place] == pytest.approx(values, rel=1e-13)
    np.testing.assert_allclose(found.n, [n / area for area, n, _ in got.values()])


def test_boxes_are_filled_with_four_fifths_and_no_less():
    cells = sky((5, 15), j0=-5, i0=0, full=True, fields=("a",))
    n_good = np.full((1, 5, 15), 4)
    n_good[0, 0, :5] = 0  # 20 of 25 arcsec^2
    n_good[0, 0, 5:10], n_good[0, 2, 7] = 0, 3
    found = boxes(replace(cells, n_good=n_good, kappa=np.ones((5, 15))), 5.0)
    assert list(zip(found.xi, found.eta, found.area, strict=True)) == [(2.5, -2.5, 20.0), (12.5, -2.5, 25.0)]


def of(n, kappa) -> Boxes:
    n = np.asarray(n, float)
    return Boxes(np.zeros(n.size), np.zeros(n.size), np.full(n.size, 8.0), n * 8, np.asarray(kappa, float))


def fitted(n, kappa, low, high):
    """The binned fit box by box (algorithm.md, section 10.1): n_boxes, n_mean, kappa_mean, kappa_std per bin; A, b."""
    step = (math.log(high) - math.log(low)) / 15
    bins: list[list[tuple[float, float]]] = [[] for _ in range(15)]
    for one, value in zip(n, kappa, strict=True):
        bins[min(int((math.log(one) - math.log(low)) / step + 1e-9), 14)].append((one, value))
    rows, x, y = [], [], []
    for held in bins:
        number = len(held)
        mean = [sum(column) / number for column in zip(*held, strict=True)] if number else [math.nan] * 2
        spread = math.sqrt(sum((k - mean[1]) ** 2 for _, k in held) / number) if number else math.nan
        rows.append((number, *mean, spread))
        if number >= 5 and mean[1] > 0:
            x.append(math.log(mean[0]))
            y.append(math.log(mean[1]))
    b, log_a = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), np.array(y), rcond=None)[0]
    return rows, math.exp(log_a), b


def scattered(size, seed=1):
    draw = np.random.default_rng(seed)
    n = draw.integers(1, 60, size) / 8
    return n, 0.4 * n**0.7 * draw.lognormal(0, 0.3, size)


def test_fit_bin_by_bin():
    n, kappa = scattered(120)
    found = fit(of(np.append(n, [0, 0, 0]), np.append(kappa, [0.2, 0.3, 0.7])))
    rows, a, b = fitted(n, kappa, n.min(), n.max())
    sizes = [row[0] for row in rows]
    assert 4 in sizes or 3 in sizes  # bins that do not enter the fit
    assert 5 in sizes or 6 in sizes  # and such as just do
    edges = [n.min() * (n.max() / n.min()) ** (k / 15) for k in range(16)]
    table = found.bins
    np.testing.assert_array_equal(table["bin"], range(-1, 15))
    np.testing.assert_allclose(table["n_lo"][1:], edges[:-1], rtol=1e-12)
    np.testing.assert_allclose(table["n_hi"][1:], edges[1:], rtol=1e-12)
    for column, name in enumerate(("n_boxes", "n_mean", "kappa_mean", "kappa_std")):
        np.testing.assert_allclose(table[name][1:], [row[column] for row in rows], rtol=1e-10, atol=1e-12)
    empty = [table[name][0] for name in ("n_lo", "n_hi", "n_boxes", "n_mean", "kappa_mean", "kappa_std")]
    np.testing.assert_allclose(empty, [0, 0, 3, 0, 0.4, math.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 3)])
    assert (found.amplitude, found.index) == pytest.approx((a, b), rel=1e-10)
    # 200 resamples of the boxes; the bins stay where they are.
    draws = np.random.Generator(np.random.PCG64(relation.RESAMPLE_SEED))
    picks = [draws.integers(0, n.size, n.size) for _ in range(200)]
    again = np.array([fitted(n[pick], kappa[pick], n.min(), n.max())[1:] for pick in picks])
    errors = [math.sqrt(((column - column.mean()) ** 2).sum() / 199) for column in again.T]
    assert (found.amplitude_err, found.index_err) == pytest.approx(errors, rel=1e-9)


def test_fit_gives_an_exact_power_law_back():
    n = np.repeat(np.geomspace(0.125, 8, 16)[::3], 5)  # one n to a bin: its means lie on the curve
    found = fit(of(n, 0.4 * n**0.7))
    assert (found.amplitude, found.index) == pytest.approx((0.4, 0.7), rel=1e-12)
    assert (found.amplitude_err, found.index_err) == pytest.approx((0, 0), abs=1e-12)


def test_fit_knows_more_from_more_boxes():
    few, many = (fit(of(*scattered(size))) for size in (200, 20_000))
    assert many.index_err == pytest.approx(few.index_err / 10, rel=0.5)
    assert many.amplitude_err == pytest.approx(few.amplitude_err / 10, rel=0.5)


def test_index_difference_in_the_same_boxes():
    draw = np.random.default_rng(8)
    n, kappa = scattered(250)
    other = n + draw.integers(0, 8, n.size) / 7
    n, other = n * (draw.random(n.size) < 0.9), other * (draw.random(n.size) < 0.95)
    found, error = index_difference(of(n, kappa), of(other, kappa))
    limits = [(one[one > 0].min(), one.max()) for one in (n, other)]

    def difference(pick):
        a, b = (
            fitted(*zip(*[(one[k], kappa[k]) for k in pick if one[k] > 0], strict=True), *limit)[2]
            for one, limit in zip((n, other), limits, strict=True)
        )
        return a - b

    assert found == pytest.approx(difference(range(n.size)), rel=1e-10)
    assert abs(found) > 0.01
    draws = np.random.Generator(np.random.PCG64(relation.RESAMPLE_SEED))
    again = np.array([difference(draws.integers(0, n.size, n.size)) for _ in range(200)])
    assert error == pytest.approx(math.sqrt(((again - again.mean()) ** 2).sum() / 199), rel=1e-9)
    assert index_difference(of(n, kappa), of(n, kappa)) == (0.0, 0.0)
    assert np.isnan(index_difference(of(n, kappa), of(n * 0, kappa))).all()


def test_a_box_on_an_edge_is_in_the_bin_above():
    """Counts are small integers and full boxes have one area: many boxes lie exactly on an edge."""
    for area in (7.3, 8.0, 8.1, 8.9, 9.0):
        for base, last in ((2, 3), (2, 5), (3, 3), (5, 3), (3, 5), (7, 3)):
            count = base ** np.arange(last + 1)  # each but the first and the last is an edge of 15 bins
            n = count / area
            found = fit(Boxes(n, n, np.full(n.size, area), count, np.ones(n.size)))
            at = np.append(np.arange(last) * 15 // last, 14)  # the largest n is in the last bin
            np.testing.assert_array_equal(found.bins["n_boxes"][1:], np.bincount(at, minlength=15))


@pytest.mark.parametrize("n", [[], [0, 0], [1] * 30, [1] * 5 + [2] * 4, [1, 2, 3, 4]])
def test_no_fit_without_two_bins(n):
    found = fit(of(n, np.ones(len(n))))
    assert np.isnan([found.amplitude, found.amplitude_err, found.index, found.index_err]).all()
    assert found.bins["n_boxes"][0] == n.count(0)


def pearson(a, b):
    a_mean, b_mean = math.fsum(a) / len(a), math.fsum(b) / len(b)
    cross = math.fsum((x - a_mean) * (y - b_mean) for x, y in zip(a, b, strict=True))
    return cross / math.sqrt(
        math.fsum((x - a_mean) ** 2 for x in a) * math.fsum((y - b_mean) ** 2 for y in b)
    )


def ranks(values):
    return [sum(v < one for v in values) + (sum(v == one for v in values) + 1) / 2 for one in values]


@pytest.mark.parametrize("field", [0, 1])
def test_compare(field):
    edge = math.hypot(3.5, 8.5)  # the radius of some cells: not below it
    cells = sky()
    pairs = [
        (cells.kappa[j, i], cells.rho[field, j, i])
        for j, i, eta, xi in each_cell(cells)
        if cells.n_inside[field, j, i] * AREA >= 0.5
        and np.isfinite(cells.kappa[j, i])
        and math.hypot(eta, xi) < edge
    ]
    kappa, rho = map(list, zip(*pairs, strict=True))
    beta = math.fsum(k * r for k, r in pairs) / math.fsum(r * r for r in rho)
    found = compare(cells, field, edge)
    assert found.beta == pytest.approx(beta, rel=1e-12)
    rms = math.sqrt(math.fsum((k - beta * r) ** 2 for k, r in pairs) / len(pairs))
    assert found.residual_rms == pytest.approx(rms, rel=1e-12)
    assert found.pearson == pytest.approx(pearson(kappa, rho), abs=1e-12)
    assert found.spearman == pytest.approx(pearson(ranks(kappa), ranks(rho)), abs=1e-12)
