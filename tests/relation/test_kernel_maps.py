"""Kernel sums on cells by direct sums; the fitted kernel; what radius does not explain; parts of the sources."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy

from tests.relation.test_likelihood import cluster
from tests.support import counts
from tests.support.hand import DEC, RA
from tilegc.relation.boxes import boxes, fit
from tilegc.relation.ellipses import Ellipse, beyond_radius, moment_ellipse
from tilegc.relation.kernel import cell_maps, kernel_statistics
from tilegc.relation.kernel_maps import (
    CellMaps,
    cell_kernel,
    fit_kernel,
    kernel_sums,
    likeness,
    likeness_errors,
)
from tilegc.relation.likelihood import fit_counts
from tilegc.relation.sensitivity import Settings, sample_row, sensitivity
from tilegc.sky import SkyGrid
from tilegc.skygrid.galaxies import galaxy_discs


def test_the_kernel_between_cells():
    kernel = cell_kernel((8, 7), 0.9, 1.6, 0.9)
    draw = np.random.default_rng(1).random((4, 200_000)) - 0.5
    for j, i in ((0, 0), (0, 1), (1, 2), (3, 3)):
        distance = 0.9 * np.hypot(j + draw[0] - draw[1], i + draw[2] - draw[3])
        assert kernel[j, i] == pytest.approx(((0.9 + distance) ** -1.6).mean(), rel=0.01)
    assert kernel[6, 5] == pytest.approx((0.9 + 0.9 * math.hypot(6, 5)) ** -1.6)


def some(shape=(21, 26), seed=0, density=0.3):
    draw = np.random.default_rng(seed)
    n = draw.poisson(density, shape).astype(float)
    xi, eta = (np.arange(size) - size / 2 + 0.5 for size in (shape[1], shape[0]))
    use = draw.random(shape) < 0.9
    return CellMaps(n, np.ones(shape), draw.uniform(0.1, 1, shape), use, xi, eta, 1.0)


def test_kernel_sums_source_by_source():
    maps = some()
    (found,) = kernel_sums(maps, iter([maps.counts]), 1.6, 0.9)
    kernel = cell_kernel(maps.counts.shape, 1.0, 1.6, 0.9)
    want = np.zeros(found.shape)
    for j, i in zip(*np.nonzero(maps.counts), strict=True):
        y, x = np.indices(found.shape)
        want += maps.counts[j, i] * kernel[np.abs(y - j), np.abs(x - i)]
    np.testing.assert_allclose(found, want, rtol=1e-11)


def test_likeness_of_cells_that_count_more_than_once():
    draw = np.random.default_rng(3)
    kappa, rho, weight = draw.random(60), np.round(draw.random(60), 1), draw.integers(0, 3, 60)
    found = likeness(kappa, rho, weight.astype(float))
    a, b = np.repeat(kappa, weight), np.repeat(rho, weight)
    assert found.beta == pytest.approx((a * b).sum() / (b * b).sum())
    assert found.pearson == pytest.approx(scipy.stats.pearsonr(a, b).statistic)
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert np.isnan(likeness(kappa[:2], rho[:2]).beta)


def test_a_flat_map_is_like_nothing():
    draw = np.random.default_rng(3)
    rho, flat = draw.random(60), 0.4 + 1e-16 * draw.integers(-2, 3, 60)
    assert np.ptp(flat) > 0  # as interpolation leaves it
    found = likeness(flat, rho)
    assert found.beta > 0
    assert np.isnan([found.pearson, found.spearman]).all()
    maps = over_the_lens(draw)
    sheet = replace(maps, kappa=0.4 + 1e-16 * draw.integers(-2, 3, maps.kappa.shape))
    assert np.isnan([fit_kernel(sheet, (1.6, 0.9)).alpha, fit_kernel(sheet, (1.6, 0.9)).score]).all()


def over_the_lens(draw, pixel=2.0, half=30):
    """Counts over the lens on a square, and kappa."""
    along = (np.arange(-half, half) + 0.5) * pixel
    xi, eta = np.meshgrid(along, along)
    kappa = counts.WHOLE.kappa(xi, eta)
    n = draw.poisson(pixel**2 * 3.0 * kappa**1.4).astype(float)
    return CellMaps(n, np.full(kappa.shape, pixel**2), kappa, np.hypot(xi, eta) < 50, along, along, pixel)


def test_errors_of_the_likeness_are_those_of_other_skies():
    draw = np.random.default_rng(6)
    rows = []
    for _ in range(60):
        maps = over_the_lens(draw)
        rho = next(kernel_sums(maps, iter([maps.counts]), 1.6, 0.9))
        rows.append([*vars(likeness(maps.kappa[maps.use], rho[maps.use])).values()])
    scatter = np.std(rows, axis=0)
    error = likeness_errors(maps, 1.6, 0.9, 80)
    # Blocks also differ by where they lie: their scatter is an upper bound, 5 to 8 times that of the counts here.
    assert scatter[0] < error.beta < 12 * scatter[0]
    assert 0.5 * scatter[1] < error.pearson < 12 * scatter[1]
    assert 0.5 * scatter[2] < error.spearman < 12 * scatter[2]
    assert error == likeness_errors(maps, 1.6, 0.9, 80)
    assert np.isnan(likeness_errors(replace(maps, use=maps.use & False), 1.6, 0.9).beta)


def test_the_fitted_kernel_is_that_which_made_kappa():
    maps = over_the_lens(np.random.default_rng(2))
    rho = next(kernel_sums(maps, iter([maps.counts]), 1.2, 3.0))
    noise = np.random.default_rng(3).normal(0, 0.01 * rho.std(), rho.shape)
    found = fit_kernel(replace(maps, kappa=0.02 * (rho + noise)), (1.6, 0.9))
    assert found.alpha == pytest.approx(1.2, abs=0.03)
    assert found.softening == pytest.approx(3.0, abs=0.3)
    assert found.alpha_err < 0.05
    assert found.score > 0.995
    assert found.fitted_score >= found.score > found.given_score
    # Against the lens itself, whose map no kernel makes: what was fitted elsewhere is worth less.
    lens = fit_kernel(maps, (1.6, 0.9))
    assert lens.score < lens.fitted_score
    assert lens.given_score <= lens.fitted_score
    assert np.isnan(fit_kernel(replace(maps, counts=0 * maps.counts), (1.6, 0.9)).alpha)


def test_shape_of_an_ellipse():
    along = np.arange(-70, 70) + 0.5
    xi, eta = np.meshgrid(along, along)
    true = Ellipse(0.6, 40.0)
    values = (1 + (true.polar(xi, eta)[0] / 10) ** 2) ** -0.7
    found = moment_ellipse(values, xi, eta, 50.0)
    assert found.axis_ratio == pytest.approx(0.6, abs=0.03)
    assert found.position_angle == pytest.approx(40.0, abs=2.0)
    m = true.polar(xi, eta)[0]
    assert (m < 30).sum() == pytest.approx(math.pi * 900, rel=0.01)
    assert moment_ellipse(np.full(xi.shape, np.nan), xi, eta, 50.0) == Ellipse(1.0, 0.0)


def test_what_radius_does_not_explain():
    place = counts.sky(1.0, mass=counts.WITH_SECOND)
    draw = np.random.default_rng(3)
    data = counts.in_boxes(place, counts.draw_counts(place, counts.LAWS["0.7"], counts.FLOOR, 0.0, draw))
    xi, eta = (data.column + 0.5) * 3.0, (data.row + 0.5) * 3.0
    kappa = data.powers(1.0)[0] / data.box_area
    ellipse = moment_ellipse(np.where(place.use, place.kappa, np.nan), place.xi, place.eta, 50.0)
    found = beyond_radius(xi, eta, data.box_area, data.count, kappa, ellipse, draws=100)
    assert found.p_value < 0.02
    assert found.correlation > found.null_mean + 5 * found.null_std
    # Counts that fall with radius as these do, and know nothing of the second clump.
    m = ellipse.polar(xi, eta)[0]
    mean = 60.0 * (1 + (m / 12) ** 2) ** -0.7 * data.box_area / 9
    blind = [
        beyond_radius(xi, eta, data.box_area, draw.poisson(mean).astype(float), kappa, ellipse, draws=60)
        for _ in range(20)
    ]
    assert sum(one.p_value < 0.05 for one in blind) <= 4
    assert abs(np.mean([(one.correlation - one.null_mean) / one.null_std for one in blind])) < 0.8
    assert np.isnan(beyond_radius(xi, eta, data.box_area, 0 * data.count, kappa, ellipse).correlation)


def placed(seed=1):
    """Cells on the sky with sources that have places and peaks."""
    cells = replace(cluster(seed), grid=SkyGrid(RA, DEC, 1.0))
    draw = np.random.default_rng(seed)
    rows = []
    for number, name in enumerate(cells.fields):
        j, i = np.nonzero(cells.n_gc[number])
        times = cells.n_gc[number][j, i]
        eta = np.repeat(cells.j0 + j + 0.5, times) + draw.uniform(-0.4, 0.4, times.sum())
        xi = np.repeat(cells.i0 + i + 0.5, times) + draw.uniform(-0.4, 0.4, times.sum())
        rows += [(name, *place) for place in zip(*cells.grid.radec(xi, eta), strict=True)]
    field, ra, dec = zip(*rows, strict=True)
    peak = (2.0 + draw.pareto(1.5, len(rows))).astype(np.float32)
    return cells, {"field": np.array(field, object), "ra": np.array(ra), "dec": np.array(dec), "peak": peak}


def test_sensitivity():
    cells, sources = placed()
    discs = np.hypot(cells.eta[:, None], cells.xi - 12.0) < 4.0
    settings = Settings(0, 3.0, 45.0, (1.6, 0.9), np.zeros(cells.kappa.shape), discs)
    table = sensitivity(cells, sources, {"a": 0.3, "b": 0.4}, 2.0, settings)
    samples = table["sample"].tolist()
    assert samples == [
        "all",
        "snr_5",
        "snr_7",
        "snr_10",
        "bright_half",
        "faint_half",
        "members_removed",
        "members_kept",
        "crowding_kept",
        "no_outer_field",
    ]
    rows = {name: {key: column[k] for key, column in table.items()} for k, name in enumerate(samples)}
    found = fit_counts(cells, 3.0, 45.0, kept=cells.kept & ~discs, thorough=False)
    assert rows["all"]["c"] == rows["members_removed"]["c"] == found.law.c
    assert rows["members_kept"]["c"] == fit_counts(cells, 3.0, 45.0, thorough=False).law.c
    assert rows["members_removed"]["binned_index"] != rows["members_kept"]["binned_index"]
    assert rows["members_kept"]["binned_index"] == rows["all"]["binned_index"]
    assert rows["members_kept"]["area_arcsec2"] - rows["all"]["area_arcsec2"] == pytest.approx(
        16 * np.pi, rel=0.15
    )
    assert rows["no_outer_field"]["c_err"] > rows["all"]["c_err"]
    near = replace(cells, n_good=np.where(cells.radius < 90.0, cells.n_good, 0))  # nothing to do without
    row = sample_row("no_outer_field", near, sources, {"a": 0.3, "b": 0.4}, 2.0, settings)
    assert np.isnan([row["c"], row["c_err"], row["index"], row["floor"]]).all()
    assert row["n_sources"] == rows["all"]["n_sources"]
    assert rows["crowding_kept"]["c"] == rows["all"]["c"]  # no zones: nothing is hidden
    apart = rows["bright_half"]["c"] - rows["all"]["c"]
    by_chance = rows["bright_half"]["c_err"] ** 2 - rows["all"]["c_err"] ** 2
    assert rows["bright_half"]["c_err_systematic"] == pytest.approx(max(apart**2 - by_chance, 0.0) ** 0.5)
    assert rows["all"]["c_err_systematic"] == 0.0
    light = np.exp(-np.hypot(cells.eta[:, None], cells.xi - 12.0))
    with_term = replace(settings, left_out=False, light=light)
    again = sample_row("all", cells, sources, {"a": 0.3, "b": 0.4}, 2.0, with_term)
    assert again["c"] == fit_counts(cells, 3.0, 45.0, light=light, thorough=False).law.c
    assert (
        sample_row("members_removed", cells, sources, {}, 2.0, with_term)["c"] == rows["members_removed"]["c"]
    )
    assert rows["no_outer_field"]["n_sources"] == rows["all"]["n_sources"]
    assert rows["all"]["binned_index"] == fit(boxes(cells, 3.0)).index
    assert (
        rows["snr_5"] | {"sample": "all"} == rows["all"]
    )  # 5 sigma of the noisier field: all of these sources
    xi, eta = cells.grid.offsets(sources["ra"], sources["dec"])
    near = (np.hypot(xi, eta) < 44.0) & (np.hypot(xi - 12.0, eta) >= 4.0)
    for level in (7, 10):
        number = (near & (sources["peak"] >= level * 0.4)).sum()
        assert rows[f"snr_{level}"]["n_sources"] == pytest.approx(number, rel=0.07)
    halves = rows["bright_half"]["n_sources"], rows["faint_half"]["n_sources"]
    assert sum(halves) == rows["all"]["n_sources"]
    assert halves[0] == pytest.approx(halves[1], rel=0.1)
    assert rows["bright_half"]["c"] != rows["faint_half"]["c"]
    assert abs(rows["bright_half"]["c"] - rows["faint_half"]["c"]) < 5 * rows["faint_half"]["c_err"]
    assert rows["all"]["pearson"] > 0.8


def test_discs_round_members():
    cells = replace(cluster(), n_good=cluster().n_pixels)
    good = cells.n_good.copy()
    good[0, 40:44, 50:53] = 0  # 12 arcsec^2 hidden
    good[0, 100, 100] = 1  # a cell with a little hidden: no galaxy
    good[1, 60:64, 200:204] = 0  # beyond where kappa is used
    cells = replace(cells, n_good=good, n_inside=cells.n_pixels)
    j, i = np.indices(cells.kappa.shape)
    for reach, radius in ((80.0, 3 * math.sqrt(12 / math.pi) + 1), (45.0, 4.5)):
        found = galaxy_discs(cells, reach)
        np.testing.assert_array_equal(found, (np.hypot(j - 41.5, i - 51) <= radius) & (cells.radius < reach))
    assert not galaxy_discs(replace(cells, n_good=cells.n_pixels), 80.0).any()


def test_kernel_statistics_of_a_run():
    cells, _ = placed()
    drawn = np.zeros(cells.kappa.shape)
    drawn[60:64, 60:64] = 0.5
    maps = cell_maps(cells, 0, 45.0, drawn)
    assert maps.counts.sum() == pytest.approx(cells.n_gc[0].sum() + drawn.sum())
    assert maps.area.sum() == pytest.approx(cells.inside_area[0].sum())
    assert maps.pixel == 2.0  # no more than a hundred cells along a field
    kappa, area = cells.kappa[:, :138], cells.inside_area[0, :, :138]
    for j, i in ((0, 0), (30, 41), (68, 68)):
        four = np.s_[2 * j : 2 * j + 2, 2 * i : 2 * i + 2]
        if area[four].sum() > 0:
            assert maps.kappa[j, i] == pytest.approx(np.average(kappa[four], weights=area[four]))
    assert (maps.eta[0], maps.xi[0]) == (cells.j0 + 1.0, cells.i0 + 1.0)
    assert (np.hypot(maps.eta[:, None], maps.xi[None, :])[maps.use] < 45).all()
    found = kernel_statistics(cells, 0, 45.0, 3.0, drawn, (1.6, 0.9))
    assert 0 < found.errors.pearson < 0.2
    assert found.kernel.score > found.kernel.given_score
    assert found.beyond.p_value < 0.1
    assert found.beyond.ellipse.position_angle == pytest.approx(45, abs=25)
    no_sky = replace(
        cells,
        **{
            name: getattr(cells, name)[..., :0, :0]
            for name in ("n_pixels", "n_good", "n_inside", "n_gc", "light", "rho", "kappa")
        },
    )
    assert np.isnan(kernel_statistics(no_sky, 0, 45.0, 3.0, no_sky.kappa, (1.6, 0.9)).errors.beta)
    nowhere = {name: column[:0] for name, column in placed()[1].items()}
    settings = Settings(0, 3.0, 45.0, (1.6, 0.9), no_sky.kappa, galaxy_discs(no_sky, 45.0))
    table = sensitivity(no_sky, nowhere, {"a": math.nan, "b": math.nan}, math.inf, settings)
    assert table["n_sources"].tolist() == [0] * 10
    nothing = replace(cells, n_pixels=0 * cells.n_pixels, n_good=0 * cells.n_good, n_inside=0 * cells.n_good)
    empty = kernel_statistics(nothing, 0, 45.0, 3.0, 0 * drawn, (1.6, 0.9))
    assert np.isnan([empty.errors.beta, empty.kernel.alpha, empty.beyond.correlation]).all()
