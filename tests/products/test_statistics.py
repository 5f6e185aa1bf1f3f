"""Relation, comparison, profile and masses against loops that follow the text (algorithm.md, sections 10-13)."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest

from tests.support.hand import AREA, each_cell, flat_kappa, mean, settings, sky
from tilegc.radial.masses import masses
from tilegc.radial.profile import profile
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


EDGES = (2.0, 5.0, math.hypot(2.5, 7.5), 9.0, 13.0, 18.0, 23.0, 30.0)
"""The third is the radius of some cells, which belong to the annulus outside of it."""


def annuli(cells, edges, counts):
    """Sums over the cells of each annulus, as dicts by field (algorithm.md, section 12)."""
    found = [[defaultdict(list) for _ in cells.fields] for _ in edges[1:]]
    for j, i, eta, xi in each_cell(cells):
        r = math.hypot(eta, xi)
        number = sum(r >= edge for edge in edges) - 1
        for field in range(len(cells.fields)) if 0 <= number < len(edges) - 1 else ():
            area = int(cells.n_good[field, j, i]) * AREA
            held = found[number][field]
            if area >= 0.5:
                held["area"].append(area)
                held["n"].append(int(counts[field, j, i]))
                held["block"].append((math.floor(eta / 15), math.floor(xi / 15)))
                held["light"].append(cells.light[field, j, i])
                held["kappa"].append(cells.kappa[j, i])
            if cells.n_inside[field, j, i] * AREA >= 0.5:
                held["rho"].append(cells.rho[field, j, i])
    return found


@pytest.mark.parametrize("given", [False, True])
def test_profile(given):
    cells = sky()
    # As everywhere, sources lie in cells of their own field.
    counts = np.random.default_rng(4).poisson(1.0 * (cells.n_pixels > 0)) if given else cells.n_gc
    found, contamination = profile(cells, EDGES, counts if given else None)
    by_annulus = annuli(cells, EDGES, counts)
    far = [list(chain(*(held[name] for held in by_annulus[-1]))) for name in ("area", "n", "block", "light")]
    area, n = sum(far[0]), sum(far[1])
    assert area >= 200
    blocks: dict[Any, Any] = defaultdict(lambda: [0.0, 0])
    for one, count, block in zip(*far[:3], strict=True):
        blocks[block][0] += one
        blocks[block][1] += count
    excess = sum((count - n / area * one) ** 2 for one, count in blocks.values())
    scatter = math.sqrt(excess * len(blocks) / (len(blocks) - 1)) / area
    assert contamination.n == pytest.approx(n / area, rel=1e-13)
    assert contamination.err == pytest.approx(math.sqrt(n / area**2 + scatter**2), rel=1e-12)
    assert (contamination.r_lo, contamination.r_hi) == (23.0, 30.0)
    rows = [
        (
            name,
            lo,
            hi,
            sum(held["area"]),
            sum(held["n"]),
            sum(held["n"]) / sum(held["area"]),
            math.sqrt(sum(held["n"])) / sum(held["area"]),
            sum(held["n"]) / sum(held["area"]) - n / area,
            mean(held["kappa"]),
            mean(held["light"]) - mean(far[3]),
            mean(held["rho"]),
        )
        for field, name in enumerate(cells.fields)
        for lo, hi, held in zip(EDGES, EDGES[1:], [row[field] for row in by_annulus], strict=False)
        if sum(held["area"]) >= 20
    ]
    assert len(rows) > 8
    for (name, values), column in zip(found.items(), zip(*rows, strict=True), strict=True):
        if name == "field":
            assert tuple(values) == column
        else:
            np.testing.assert_allclose(values, column, rtol=1e-12, atol=1e-13, err_msg=name)


def ring(*annuli_area):
    """Cells of one field: annuli of 10 arcsec are good up to a given area (arcsec^2), all other cells are masked."""
    cells = sky(fields=("a",), full=True)
    n_good = np.zeros_like(cells.n_good)
    for number, area in enumerate(annuli_area):
        at = np.argwhere(np.floor(cells.radius / 10) == number)[: math.ceil(area)]
        n_good[0, at[:, 0], at[:, 1]] = 4
        n_good[0, at[-1, 0], at[-1, 1]] -= round((math.ceil(area) - area) * 4)
    return replace(cells, n_good=n_good)


def test_profile_takes_annuli_that_are_large_enough():
    edges = (0.0, 10.0, 20.0, 30.0)
    cells = ring(20.0, 200.0, 199.75)
    table, contamination = profile(cells, edges)
    assert list(table["area_arcsec2"]) == [20.0, 200.0, 199.75]
    assert (contamination.r_lo, contamination.r_hi) == (10.0, 20.0)
    assert table["n_corrected"][1] == 0
    outer = (cells.n_good[0] > 1) & (cells.radius >= 20)
    assert table["light"][2] == pytest.approx(0, abs=1e-12)  # 20 arcsec^2 are enough for the light
    assert table["light"][0] == pytest.approx(
        mean(cells.light[0][(cells.n_good[0] > 1) & (cells.radius < 10)]) - mean(cells.light[0][outer])
    )
    table, contamination = profile(ring(19.75, 199.75, 19.75), edges)
    assert list(table["r_lo"]) == [10.0]
    assert table["light"][0] == pytest.approx(0, abs=1e-12)
    assert np.isnan([contamination.n, contamination.err, contamination.r_lo, table["n_corrected"][0]]).all()
    assert profile(ring(20.0, 20.0, 200.0), edges)[1].r_lo == 20.0
    none, _ = profile(ring(1.0), edges)
    assert len(none) == 11
    assert all(len(column) == 0 for column in none.values())


RADII = np.array([0.0, 59.999, 60.001, 100.0])
SEEN = 11_000.0
"""Good area within 60 arcsec, arcsec^2: nearly all of it."""


def test_masses_by_hand():
    c, G, Msun, kpc = 299792.458e3, 6.6743e-11, 1.98840987e30, 3.0856775814913674e19

    def comoving(z):  # m; Om0 0.3, H0 70: Simpson's rule by hand
        edges = np.linspace(0, z, 2001)
        f = 1 / np.sqrt(0.3 * (1 + edges) ** 3 + 0.7)
        return c / (70e3 / (1e3 * kpc)) * z / 6000 * (f[0] + 4 * f[1::2].sum() + 2 * f[2:-1:2].sum() + f[-1])

    lens = comoving(0.348) / 1.348
    scaling = 1 - comoving(0.348) / comoving(3.0)
    sigma_cr = c**2 / (4 * math.pi * G * lens * scaling) * kpc**2 / Msun
    within = sigma_cr * 0.4 * math.pi * (60 / 3600 * math.pi / 180 * lens / kpc) ** 2
    found = masses(settings(), flat_kappa(np.full((151, 151), 0.4)), RADII, SEEN)
    assert found.sigma_cr == pytest.approx(sigma_cr, rel=1e-5)
    assert found.sigma_cr == pytest.approx(2.088e9, rel=1e-3)
    assert found.mean_kappa == pytest.approx(0.4, rel=1e-12)
    assert found.lens == pytest.approx(within, rel=1e-5)
    assert found.n_gc_aperture == 2
    assert found.virial_from_counts == 4 * 5e9
    assert found.gc_from_ratio == pytest.approx(found.lens * 2.9e-5, rel=1e-12)
    assert found.mean_gc == pytest.approx(found.lens * 2.9e-5 / 2, rel=1e-12)
    assert np.isnan(masses(settings(), flat_kappa(np.full((151, 151), 0.4)), RADII[2:], SEEN).mean_gc)
    assert np.isnan(masses(settings(), None, RADII, SEEN).lens)
    assert masses(settings(convergence=None), None, RADII, SEEN).virial_from_counts == 4 * 5e9


@pytest.mark.parametrize(("missing", "enough"), [(0.0095, True), (0.0105, False)])
def test_a_mass_needs_the_whole_aperture(missing, enough):
    values = np.full((301, 301), 0.4)
    inside = np.argwhere(np.hypot(*np.indices(values.shape) - 150) * 0.5 <= 59)
    lost = inside[: round(missing * math.pi * 60**2 / 0.25)]
    values[lost[:, 0], lost[:, 1]] = np.nan
    found = masses(settings(), flat_kappa(values, 0.5), RADII, SEEN)
    derived = [found.mean_kappa, found.lens, found.gc_from_ratio, found.mean_gc]
    assert np.isfinite(derived).all() == enough
    assert np.isnan(derived).all() != enough
    assert found.virial_from_counts == 4 * 5e9
