"""Shares that crowding leaves, cell by cell: against plain sums, against greedy blanking, and in the law of counts."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad

from tests.support import counts
from tests.support.hand import sky
from tilegc.relation.boxes import boxes, fit
from tilegc.relation.likelihood import fit_counts
from tilegc.relation.sensitivity import Settings, sensitivity
from tilegc.relation.sky_counts import box_counts
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.crowding import WIDTH, free, of_cells, zone

SIDE = 20
"""Pixels along a cell of an arcsec: large ones, so that crowding is heavy."""

REACH = 3


def seen_share(density, area):
    """The share by numerical quadrature."""
    covered = density * area / 4
    if covered > 0.5:
        return math.nan
    if covered == 0:
        return 1.0
    return covered / quad(lambda t: 1 / float(free(np.array(t))), 0, covered)[0]


def test_room_that_is_left():
    t = np.array([0.0, 0.001, 0.01, 0.03])
    np.testing.assert_allclose(free(t), 1 - 4 * t + 3.308 * t**2 + 1.407 * t**3, atol=3e-6)
    room = free(np.linspace(0, 0.547, 300))
    assert (np.diff(room) < 0).all()
    assert room[-1] == pytest.approx(0, abs=1e-12)
    # Discs thrown down one by one: at which covered share is how much of the plane left?
    draw, side, radius = np.random.default_rng(2), 240, 6.0
    y, x = np.indices((side, side))
    there = np.ones((side, side), bool)
    number = 0
    for target in (0.1, 0.25, 0.4):
        while number * math.pi * (radius / 2) ** 2 < target * side**2:
            rows = np.flatnonzero(there)
            cy, cx = divmod(int(draw.choice(rows)), side)
            dy, dx = (np.abs(axis - at) for axis, at in ((y, cy), (x, cx)))
            near = np.minimum(dy, side - dy) ** 2 + np.minimum(dx, side - dx) ** 2 <= radius**2
            there &= ~near
            number += 1
        assert there.mean() == pytest.approx(float(free(np.array(target))), abs=0.02)


@pytest.mark.parametrize("brighter", [False, True])
def test_shares_by_plain_sums(brighter):
    cells = sky((14, 17), seed=4)
    cells = replace(cells, n_gc=6 * cells.n_gc)
    areas = (0.1, 0.2)
    more = cells.n_gc[:, ::-1] // 2 if brighter else None
    found = of_cells(cells, areas, more)
    reach = 4 * WIDTH

    def around(values, j, i):
        near = [(k, m) for k, m in np.ndindex(14, 17) if abs(k - j) <= reach and abs(m - i) <= reach]
        return math.fsum(
            float(values[k, m]) * math.exp(-0.5 * ((k - j) ** 2 + (m - i) ** 2) / WIDTH**2) for k, m in near
        )

    for j, i in np.ndindex(14, 17):
        want = 1.0
        for field in range(2):
            if not cells.n_good[field, j, i]:
                continue
            area = around(cells.good_area[field], j, i)
            above = around(more[field], j, i) / area if brighter else 0.0
            seen = above + around(cells.n_gc[field], j, i) / area
            there = seen / seen_share(seen, areas[field]) - above / seen_share(above, areas[field])
            want = (seen - above) / there
        assert found[j, i] == pytest.approx(want, rel=1e-9, nan_ok=True)
    assert np.isnan(found).any() == (found[np.isfinite(found)].size < found.size)


def test_where_nothing_is_known():
    cells = sky((12, 12), full=True)
    assert (of_cells(replace(cells, n_gc=0 * cells.n_gc), (0.1, 0.1)) == 1.0).all()
    assert (of_cells(replace(cells, n_good=0 * cells.n_good), (0.1, 0.1)) == 1.0).all()
    assert np.isnan(of_cells(replace(cells, n_gc=0 * cells.n_gc + 30), (0.1, 0.1))).all()


@cache
def crowded(seed=5) -> tuple[SkyCells, SkyCells, np.ndarray, np.ndarray]:
    """Cells with all sources, cells with those that greedy blanking leaves; the bright of these, and of all."""
    draw = np.random.default_rng(seed)
    shape, j0, i0 = (114, 240), -57, -57
    xi, eta = np.meshgrid(np.arange(shape[1]) + i0 + 0.5, np.arange(shape[0]) + j0 + 0.5)
    kappa = counts.WHOLE.kappa(xi, eta)
    n_pixels = np.zeros((2, *shape), np.int64)
    n_pixels[0, :, :114], n_pixels[1, :, 120:] = SIDE**2, SIDE**2
    a, c = counts.LAWS["0.7"]
    number = draw.poisson((a * kappa**c + counts.FLOOR) * n_pixels.sum(axis=0) / SIDE**2)
    cell = np.repeat(np.arange(number.size), number.ravel())
    j, i = np.divmod(cell, shape[1])
    y, x = SIDE * j + draw.integers(0, SIDE, j.size), SIDE * i + draw.integers(0, SIDE, i.size)
    # Brightest first, which is in the order of a shuffle; each one blanks its disc of pixels.
    disc = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if dy * dy + dx * dx <= REACH**2]
    blanked, kept = set(), []
    order = draw.permutation(cell.size)
    for row in order.tolist():
        place = (int(y[row]), int(x[row]))
        if place not in blanked:
            kept.append(row)
            blanked.update((place[0] + dy, place[1] + dx) for dy, dx in disc)
    bright = set(order[: order.size // 2].tolist())

    def counted(rows):
        flat = np.bincount(cell[np.array(rows)], minlength=number.size).reshape(shape)
        return np.where(n_pixels > 0, flat, 0)

    none = np.full(n_pixels.shape, np.nan)
    every = SkyCells(
        SkyGrid(342.0, -44.0, 1.0),
        j0,
        i0,
        ("a", "b"),
        np.full(2, 1 / SIDE**2),
        n_pixels,
        n_pixels,
        n_pixels,
        np.where(n_pixels > 0, number, 0),
        none,
        none,
        kappa,
    )
    return (
        every,
        replace(every, n_gc=counted(kept)),
        counted([row for row in kept if row in bright]),
        counted(list(bright)),
    )


AREAS = (zone(REACH) / SIDE**2,) * 2


def test_the_law_comes_back_from_a_crowd():
    every, seen, _, _ = crowded()
    core = every.radius < 8
    assert seen.n_gc[:, core].sum() < 0.85 * every.n_gc[:, core].sum()
    recovery = of_cells(seen, AREAS)
    whole = fit_counts(every, 3.0, 45.0, thorough=False)
    blind = fit_counts(seen, 3.0, 45.0, thorough=False)
    found = fit_counts(seen, 3.0, 45.0, found=boxes(seen, 3.0), recovery=recovery)
    c = counts.LAWS["0.7"][1]
    assert abs(whole.law.c - c) < 3 * whole.c_err
    assert blind.law.c < whole.law.c - 2 * blind.c_err
    # The same sky: over many they differ by -0.000 +- 0.006, with a scatter of 0.022.
    assert abs(found.law.c - whole.law.c) < 0.08
    assert found.law.a == pytest.approx(whole.law.a, rel=0.02)
    assert found.area == pytest.approx(blind.area)
    assert found.recovery == pytest.approx(float(recovery[every.kept & (every.radius < 45)].mean()))
    assert blind.recovery == 1.0
    # The bins see the crowd: their simulation must too.
    assert abs(found.bias.index_mean - boxes_index(seen)) < 3 * found.bias.index_std


def boxes_index(cells):

    return fit(boxes(cells, 3.0)).index


def test_the_faint_half_is_hidden_by_the_bright_one():
    every, seen, bright, all_bright = crowded()
    core = every.radius < 12
    faint, all_faint = seen.n_gc - bright, every.n_gc - all_bright
    for part, hiding, planted, lost in ((bright, None, all_bright, 0.1), (faint, bright, all_faint, 0.25)):
        recovery = of_cells(replace(seen, n_gc=part), AREAS, hiding)
        there = (part.sum(axis=0)[core] / recovery[core]).sum()
        assert there == pytest.approx(planted[:, core].sum(), rel=0.03)
        assert part[:, core].sum() < (1 - lost) * planted[:, core].sum()
    # In the table of samples, each half has the law of its planted half (the scatter is 0.011 and 0.034).
    nothing = np.zeros(seen.kappa.shape)
    settings = Settings(0, 3.0, 45.0, (1.6, 0.9), nothing, nothing > 0, zones=AREAS)
    table = sensitivity(seen, *peaks(seen, bright), settings)
    rows = dict(zip(table["sample"].tolist(), table["c"].tolist(), strict=True))
    whole = fit_counts(seen, 3.0, 45.0, recovery=of_cells(seen, AREAS), thorough=False)
    assert rows["all"] == whole.law.c
    for name, planted, error in (("bright_half", all_bright, 0.05), ("faint_half", all_faint, 0.14)):
        want = fit_counts(replace(every, n_gc=planted), 3.0, 45.0, thorough=False).law.c
        assert abs(rows[name] - want) < error


def peaks(cells, bright):
    """Sources in the middles of their cells: bright ones of 4, faint ones of 2; noise and limit."""
    rows = {"field": [], "ra": [], "dec": [], "peak": []}
    for number, name in enumerate(cells.fields):
        for value, counted in ((4.0, bright[number]), (2.0, (cells.n_gc - bright)[number])):
            j, i = np.nonzero(counted)
            times = counted[j, i]
            ra, dec = cells.grid.radec(np.repeat(cells.xi[i], times), np.repeat(cells.eta[j], times))
            rows["ra"].append(ra)
            rows["dec"].append(dec)
            rows["field"].append(np.full(ra.size, name, object))
            rows["peak"].append(np.full(ra.size, value))
    table = {name: np.concatenate(parts) for name, parts in rows.items()}
    return table, {"a": 0.1, "b": 0.1}, 1.0


def test_saturated_cells_do_not_count():
    every, seen, _, _ = crowded()
    recovery = of_cells(seen, AREAS)
    hole = every.radius < 5
    given = np.where(hole, np.nan, recovery)
    far = every.radius > 150
    given[far & (every.eta[:, None] > 0)] = np.nan
    found = box_counts(seen, 3.0, 45.0, recovery=given)
    without = box_counts(seen, 3.0, 45.0, recovery=recovery, kept=seen.kept & np.isfinite(given))
    np.testing.assert_array_equal(found.count, without.count)
    np.testing.assert_array_equal(found.area, without.area)
    assert found.outer.density == without.outer.density
    assert found.outer.density != box_counts(seen, 3.0, 45.0, recovery=recovery).outer.density
    said = fit_counts(seen, 3.0, 45.0, found=boxes(seen, 3.0), recovery=given)
    assert np.isfinite(said.bias.index_mean)
    assert said.recovery < 1
