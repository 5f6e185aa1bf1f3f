"""The likelihood of a run's sky grid: its boxes and its outer field by loops, and what goes into the summary."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support import counts
from tests.support.hand import AREA, each_cell, sky
from tilegc.geometry import Box
from tilegc.relation import phase
from tilegc.relation.boxes import boxes
from tilegc.relation.likelihood import describe, fit_counts
from tilegc.relation.sky_counts import SLOPE, box_counts, too_small_outer
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.lens_models import Realisations


@pytest.mark.parametrize("given", [False, True])
def test_boxes_and_outer_field(given):
    cells, reach = sky(j0=-24, i0=-27), 9.0
    more = {}
    if given:
        draw = np.random.default_rng(3)
        more = {
            "count": draw.poisson(1.0, cells.kappa.shape),
            "kept": draw.random(cells.kappa.shape) < 0.7,
            "recovery": draw.uniform(0.3, 1.0, cells.kappa.shape),
        }
    found = box_counts(cells, 3.0, reach, **more)
    want, far, rim = {}, [], []
    for j, i, eta, xi in each_cell(cells):
        area = sum(cells.n_good[:, j, i]) * AREA
        kept = more["kept"][j, i] if given else area >= 0.5
        area *= more["recovery"][j, i] if given else 1.0
        n = more["count"][j, i] if given else sum(cells.n_gc[:, j, i])
        r = math.hypot(eta, xi)
        if 0.9 * reach <= r < reach and np.isfinite(cells.kappa[j, i]):
            rim.append(cells.kappa[j, i])
        if kept and r >= 2 * reach:
            far.append((area, n, math.floor(eta / 15), math.floor(xi / 15), math.log(r / (0.95 * reach))))
        if kept and area > 0 and r < reach and np.isfinite(cells.kappa[j, i]):
            box = want.setdefault((math.floor(eta / 3), math.floor(xi / 3)), [0.0, 0.0, 0.0])
            for k, value in enumerate((n, area, area * cells.kappa[j, i] ** 1.4)):
                box[k] += value
    got = dict(
        zip(
            zip(found.row.tolist(), found.column.tolist(), strict=True),
            zip(found.count, found.box_area, found.powers(1.4)[0], strict=True),
            strict=True,
        )
    )
    assert got.keys() == want.keys()
    for place, values in want.items():
        assert got[place] == pytest.approx(values, rel=1e-12)
    outer, total = found.outer, math.fsum(area for area, *_ in far)
    number = sum(n for _, n, *_ in far)
    assert total > 200
    assert outer.density == pytest.approx(number / total)
    excess: dict[tuple[int, int], float] = {}
    for area, n, row, column, _ in far:
        excess[row, column] = excess.get((row, column), 0.0) + n - number / total * area
    scatter = math.sqrt(sum(e * e for e in excess.values()) * len(excess) / (len(excess) - 1))
    assert outer.err == pytest.approx(max(scatter, math.sqrt(number)) / total)
    # The mean of kappa^c there, with kappa falling on from the rim.
    level = math.fsum(rim) / len(rim)
    wide = [(area, ln, (1.4 * SLOPE[1] * ln) ** 2 / 2) for area, *_, ln in far]
    power = (
        math.fsum(a * (level * math.exp(-SLOPE[0] * ln)) ** 1.4 * math.exp(s) for a, ln, s in wide) / total
    )
    assert outer.terms(1.4)[0] == pytest.approx(power, rel=1e-4)
    np.testing.assert_allclose(outer.ln_kappa_err / SLOPE[1], (math.log(level) - outer.ln_kappa) / SLOPE[0])


def test_no_outer_field_without_area():
    assert box_counts(sky(), 3.0, 20.0).outer is None
    dark = sky()
    assert box_counts(replace(dark, kappa=dark.kappa * 0), 3.0, 9.0).outer is None


def test_an_outer_field_that_is_too_small_is_said(caplog):
    cells = sky()
    everywhere = np.ones(cells.kappa.shape)
    reach = 0.49 * float(cells.radius[cells.kept].max())
    area, names = too_small_outer(cells, reach, cells.kept, everywhere)
    far = cells.kept & (cells.radius >= 2 * reach)
    assert area == pytest.approx(cells.good_area[:, far].sum())
    assert 0 < area < 200
    assert names == tuple(name for k, name in enumerate(cells.fields) if cells.n_good[k][far].any())
    with caplog.at_level("INFO", "tilegc"):
        phase._remark((area, names))
        phase._remark(too_small_outer(cells, 9.0, cells.kept, everywhere))  # large enough
        phase._remark(too_small_outer(cells, 900.0, cells.kept, everywhere))  # none at all
    (message,) = caplog.messages
    assert message.startswith(f"field {', '.join(names)}: the outer field has {area:.0f} arcsec^2")


def cluster(seed=1, floor=counts.FLOOR) -> SkyCells:
    """A run's cells over the mock lens: one field of 140 arcsec and one beside it."""
    draw = np.random.default_rng(seed)
    pixel, j0, i0, shape = 1.0, -69, -69, (138, 300)
    xi, eta = np.meshgrid((np.arange(shape[1]) + i0 + 0.5) * pixel, (np.arange(shape[0]) + j0 + 0.5) * pixel)
    kappa = counts.WHOLE.kappa(xi, eta)
    n_pixels = np.zeros((2, *shape), np.int64)
    n_pixels[0, :, :138], n_pixels[1, :, 150:] = 4, 4
    n_good = np.where(draw.random(shape) < 0.95, n_pixels, 0)
    a, c = counts.LAWS["0.7"]
    n_gc = draw.poisson((a * kappa**c + floor) * n_good * 0.25)
    none = np.full(n_pixels.shape, np.nan)
    return SkyCells(
        SkyGrid(342.0, -44.0, pixel),
        j0,
        i0,
        ("a", "b"),
        np.full(2, 0.25),
        n_pixels,
        n_good,
        n_good,
        n_gc,
        none,
        none,
        kappa,
    )


def test_the_law_of_a_run():
    cells = cluster()
    inside = Box(20, 20, 118, 118)
    draw = np.random.default_rng(2)
    part = cells.kappa[inside.slices]
    range_maps = Realisations(
        inside, np.stack([part * counts.clumped(part.shape, 1.0, 0.2, draw) for _ in range(3)])
    )
    found = fit_counts(cells, 3.0, 45.0, found=boxes(cells, 3.0), ensemble=range_maps)
    c = counts.LAWS["0.7"][1]
    assert abs(found.law.c - c) < 3 * found.c_err
    assert 0.02 < found.c_err < 0.15
    assert found.index == 1 / found.law.c
    assert found.index_err == pytest.approx(found.c_err / found.law.c**2)
    assert found.amplitude == pytest.approx(found.law.a ** (-1 / found.law.c))
    assert abs(found.amplitude - 0.4) < 3 * found.amplitude_err
    # dA by finite differences of A(ln a, c).
    steps = [
        (math.exp(-(found.law.ln_a + da) / (found.law.c + dc)) - found.amplitude) * 1e5
        for da, dc in ((1e-5, 0), (0, 1e-5))
    ]
    assert found.amplitude_err == pytest.approx(math.sqrt(steps @ found.covariance[:2, :2] @ steps), rel=1e-3)
    assert abs(found.law.floor - counts.FLOOR) < 3 * found.floor_err
    assert found.c_interval[0] < found.law.c < found.c_interval[1]
    assert found.resampled[1] == pytest.approx(found.c_err, rel=0.5)
    assert found.attenuation.realisations == 3
    assert found.attenuation.ratio < 0.97
    # The bins of the recipe make something else of the same law.
    assert found.bias.mocks == 200
    assert abs(found.bias.index_mean - found.bias.index) > 2 * found.bias.index_std
    said = describe(found)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["c"] == found.law.c
    assert np.array(said["covariance"]).shape == (3, 3)


def test_the_same_numbers_in_any_process_order():
    first, second = (fit_counts(cluster(), 3.0, 45.0, found=boxes(cluster(), 3.0)) for _ in range(2))
    assert describe(first) == describe(second)


def test_what_cannot_be_fitted_is_null():
    empty = cluster()
    empty = replace(empty, n_gc=0 * empty.n_gc)
    said = describe(fit_counts(empty, 3.0, 45.0, found=boxes(empty, 3.0)))
    assert (said["c"], said["c_err"], said["covariance"], said["distribution"]) == (None, None, None, None)
    assert said["n_sources"] == 0
    nowhere = replace(empty, n_good=0 * empty.n_good)
    assert describe(fit_counts(nowhere, 3.0, 45.0))["n_boxes"] == 0


def test_a_kappa_that_is_the_same_everywhere_has_no_power():
    """But for its last bits, as bilinear interpolation leaves them."""
    cells = cluster()
    draw = np.random.default_rng(4)
    sheet = 0.4 + 1e-9 * draw.normal(size=cells.kappa.shape)
    for kappa in (sheet, np.full(sheet.shape, 0.4)):
        said = describe(fit_counts(replace(cells, kappa=kappa), 3.0, 45.0))
        assert said["n_sources"] > 1000
        assert [said[name] for name in ("c", "c_err", "index", "floor", "covariance")] == [None] * 5
