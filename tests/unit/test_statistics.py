"""The science stages against hand-made cells, and loops that follow DESIGN 3.8-3.13 word for word."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from tilegc.config import RunConfig
from tilegc.engine import FieldTiles
from tilegc.engine.serial import SerialEngine
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.convergence import Kappa
from tilegc.io.fits import BandSource, FieldSource
from tilegc.schema import ARRAYS
from tilegc.sky import SkyGrid
from tilegc.stages import relation
from tilegc.stages.density import hidden, inpaint
from tilegc.stages.detection_map import add_bands
from tilegc.stages.masses import masses
from tilegc.stages.profile import profile
from tilegc.stages.relation import Boxes, boxes, compare, fit
from tilegc.stages.setup import Setup
from tilegc.stages.sky_grid import SkyCells, add_up
from tilegc.stages.truth import planted

RA, DEC = 342.18, -44.53
AREA = 0.25
"""arcsec^2 a pixel, four to a cell of 1 arcsec: sums of areas are exact."""


def sky(shape=(48, 48), *, seed=0, j0=-24, i0=-24, fields=("a", "b"), full=False) -> SkyCells:
    """Cells of 1 arcsec, field by field, each cell in one field at most."""
    draw = np.random.default_rng(seed)
    whole = (len(fields), *shape)
    owner = draw.integers(0, len(fields), shape) == np.arange(len(fields))[:, None, None]
    n_pixels = np.where(owner, 4, 0)
    n_good = n_pixels if full else np.where(owner, draw.choice([0, 1, 2, 3, 4, 4, 4, 4, 4, 4], whole), 0)
    n_inside = n_pixels if full else np.clip(n_good + draw.integers(0, 3, whole), 0, n_pixels)
    kappa = draw.uniform(0.1, 1.0, shape)
    kappa[draw.random(shape) < 0.1] = np.nan
    n_gc = np.where(owner, draw.poisson(0.5, whole), 0)
    light, rho = draw.normal(5, 1, whole), np.round(draw.exponential(1, whole), 1)
    light[n_good == 0], rho[n_inside == 0] = np.nan, np.nan
    grid = SkyGrid(RA, DEC, 1.0)
    return SkyCells(
        grid, j0, i0, fields, np.full(len(fields), AREA), n_pixels, n_good, n_inside, n_gc, light, rho, kappa
    )


def each_cell(cells: SkyCells):
    """Yield indices and centre (eta, xi) of every cell."""
    for j, i in np.ndindex(cells.kappa.shape):
        yield j, i, cells.j0 + j + 0.5, cells.i0 + i + 0.5


def test_what_cells_say_of_themselves():
    cells = replace(sky((3, 5), j0=-1, i0=2), pixel_area=np.array([0.25, 0.2]))
    kept, inside = np.zeros((3, 5), bool), np.zeros((2, 3, 5), bool)
    for j, i, eta, xi in each_cell(cells):
        good = [int(n) * a for n, a in zip(cells.n_good[:, j, i], (0.25, 0.2), strict=True)]
        kept[j, i] = sum(good) >= 0.5
        assert cells.radius[j, i] == pytest.approx(math.sqrt(eta**2 + xi**2), rel=1e-14)
        assert (cells.eta[j], cells.xi[i]) == (eta, xi)
        for field, area in enumerate(good):
            assert cells.good_area[field, j, i] == area
            assert cells.kept_of(field)[j, i] == (area >= 0.5)
            inside[field, j, i] = cells.n_inside[field, j, i] * (0.25, 0.2)[field] >= 0.5
    np.testing.assert_array_equal(cells.kept, kept)
    np.testing.assert_array_equal([cells.inside_of(0), cells.inside_of(1)], inside)
    assert 0 < kept.sum() < kept.size
    xi, eta = np.array([2.5, 2.5, 6.9, 1.9, 7.1, 2.5]), np.array([-0.5, -0.1, 1.9, 0.5, 0.5, 2.1])
    ra, dec = cells.grid.radec(xi, eta)
    count = np.zeros((3, 5), int)
    count[0, 0], count[2, 4] = 2, 1
    np.testing.assert_array_equal(cells.count(ra, dec), count)
    np.testing.assert_array_equal(
        cells.kept_at(ra, dec), [kept[0, 0], kept[0, 0], kept[2, 4], False, False, False]
    )


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


def of(n, kappa) -> Boxes:
    n = np.asarray(n, float)
    return Boxes(np.zeros(n.size), np.zeros(n.size), np.full(n.size, 8.0), n * 8, np.asarray(kappa, float))


def fitted(n, kappa, low, high):
    """Bins and fit of DESIGN 3.10, box by box: n_boxes, n_mean, kappa_mean, kappa_std of each bin; A and b."""
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
