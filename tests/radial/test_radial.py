"""Laws, annuli and shapes against direct sums, integrals and samples of known laws."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, optimize

from tests.support.hand import AREA, each_cell, mean, sky
from tilegc.geometry import Box
from tilegc.radial.contamination import Contamination
from tilegc.radial.intensity import Fit, Sample, fit
from tilegc.radial.profile_laws import (
    _cored_model,
    cored,
    elliptical_radius,
    fit_cored,
    fit_nfw,
    fit_ring,
    fitted_shape,
    nfw_surface_density,
)
from tilegc.radial.radial_laws import LAWS, MAPS, _gathered, fitted, radial, sample_of, shapes_of_map
from tilegc.skygrid.lens_models import Realisations

TRUTH = {"peak": 5.0, "core": 9.0, "slope": 1.9, "floor": 0.4}


def draw(seed, intensity, reach=45.0, step=1.5, hole=True):
    """Return a sample of Poisson points in a disk with a rectangle cut out."""
    random = np.random.default_rng(seed)
    axis = np.arange(-reach, reach, step) + step / 2
    xi, eta = (one.ravel() for one in np.meshgrid(axis, axis))
    use = np.hypot(xi, eta) < reach
    if hole:
        use &= ~((np.abs(xi - 12) < 6) & (np.abs(eta + 6) < 9))
    xi, eta = xi[use], eta[use]
    highest = intensity(np.zeros(1), np.zeros(1))[0] * 1.02
    cell = random.integers(0, xi.size, random.poisson(highest * step**2 * xi.size))
    x, y = (axis[cell] + random.uniform(-step / 2, step / 2, cell.size) for axis in (xi, eta))
    keep = random.uniform(0, highest, cell.size) < intensity(x, y)
    return Sample(x[keep], y[keep], np.ones(keep.sum()), xi, eta, np.full(xi.size, step**2))


def law(e1=0.0, e2=0.0):
    return lambda xi, eta: cored(elliptical_radius(xi, eta, e1, e2), 5.0, 9.0, 1.9) + 0.4


def test_elliptical_radius_turns_and_stretches():
    random = np.random.default_rng(3)
    xi, eta = random.normal(0, 20, (2, 50))
    for q, angle in ((1.0, 0.0), (0.5, 0.0), (0.8, 30.0), (0.3, 140.0)):
        e, turn = (1 - q) / (1 + q), math.radians(angle)
        along, across = xi * math.sin(turn) + eta * math.cos(turn), xi * math.cos(turn) - eta * math.sin(turn)
        got = elliptical_radius(xi, eta, e * math.cos(2 * turn), e * math.sin(2 * turn))
        np.testing.assert_allclose(got, np.sqrt(q * along**2 + across**2 / q), rtol=1e-12)


def test_nfw_is_the_projection_of_its_density():
    def column(x):
        return 2 * integrate.quad(lambda z: 1 / (np.hypot(x, z) * (1 + np.hypot(x, z)) ** 2), 0, np.inf)[0]

    x = np.array([0.01, 0.3, 0.98, 0.9995, 1.0, 1.0004, 1.2, 4.0, 30.0])
    want = np.array([column(one) for one in x]) / column(1.0)
    np.testing.assert_allclose(nfw_surface_density(x), want, rtol=2e-5)


def test_the_fit_is_the_highest_point_of_the_likelihood():
    sample = draw(1, law())

    def negative(theta):
        peak, core, slope, floor = math.exp(theta[0]), math.exp(theta[1]), theta[2], theta[3]
        if floor < 0 or slope <= 0:
            return np.inf

        def at(x, y):
            return peak * (1 + (x * x + y * y) / core**2) ** (-slope / 2) + floor

        expected = math.fsum(at(x, y) * 2.25 for x, y in zip(sample.cell_xi, sample.cell_eta, strict=True))
        return expected - math.fsum(np.log(at(sample.xi, sample.eta)))

    found = fit_cored(sample)
    best = optimize.minimize(negative, found.values, method="Nelder-Mead", options={"maxiter": 120})
    assert found.log_likelihood >= -best.fun - 1e-3
    assert found.n == sample.xi.size
    for name, value in zip(found.names, (math.log(5), math.log(9), 1.9, 0.4), strict=True):
        assert abs(found[name] - value) < 4 * found.error(name)
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()


def test_errors_are_those_of_poisson_samples():
    truth = np.array([math.log(5), math.log(9), 3.0, 0.8])
    pulls, robust = [], []

    def steep(xi, eta):
        return cored(np.hypot(xi, eta), 5.0, 9.0, 3.0) + 0.8

    for seed in range(16):
        found = fit_cored(draw(100 + seed, steep, reach=36.0))
        pulls.append((found.values - truth) / np.sqrt(np.diag(found.covariance)))
        robust.append(found.robust_error("slope") / found.error("slope"))
    # 16 of them: means to 0.25, spreads to 0.18
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.75
    assert 0.55 < np.std(pulls, axis=0).min() < np.std(pulls, axis=0).max() < 1.6
    assert 0.7 < np.median(robust) < 1.2


def test_robust_errors_see_clumps():
    sample = draw(5, law())
    xi, eta, weight = (np.repeat(one, 4) for one in (sample.xi, sample.eta, sample.weight))
    heavy = replace(sample, xi=xi, eta=eta, weight=weight)
    found = fit_cored(heavy)
    # the same points four times: half the Poisson error, the scatter of blocks as before
    assert found.robust_error("slope") / found.error("slope") == pytest.approx(2.0, rel=0.5)


@pytest.mark.parametrize(("q", "angle"), [(0.6, 35.0), (0.75, 150.0)])
def test_shapes(q, angle):
    e, turn = (1 - q) / (1 + q), math.radians(angle)
    sample = draw(7, law(e * math.cos(2 * turn), e * math.sin(2 * turn)))
    found = fitted_shape(fit_cored(sample, elliptical=True))
    ring = fitted_shape(fit_ring(sample, 12.0, 35.0, 0.4))
    for shape in (found, ring):
        assert abs(shape.axis_ratio - q) < 4 * shape.axis_ratio_err
        assert abs((shape.position_angle - angle + 90) % 180 - 90) < 4 * shape.position_angle_err
        assert 0 < shape.axis_ratio_err < 0.15
        assert 0 < shape.position_angle_err < 15


def test_nfw_is_found_again():
    sample = draw(11, lambda xi, eta: 2.0 * nfw_surface_density(np.hypot(xi, eta).clip(4) / 25.0) + 0.3)
    outside = np.hypot(sample.xi, sample.eta) > 4.5
    cells = np.hypot(sample.cell_xi, sample.cell_eta) > 4.5
    found = fit_nfw(
        Sample(
            sample.xi[outside],
            sample.eta[outside],
            sample.weight[outside],
            sample.cell_xi[cells],
            sample.cell_eta[cells],
            sample.area[cells],
        )
    )
    for name, value in (("ln_at_rs", math.log(2)), ("ln_rs", math.log(25)), ("floor", 0.3)):
        assert abs(found[name] - value) < 4 * found.error(name)


def test_at_a_bound_and_with_too_few_points():
    falling = draw(2, lambda xi, eta: cored(np.hypot(xi, eta), 5.0, 9.0, 1.0))
    found = fit_cored(falling)
    assert found.at_bound == ("floor",)
    assert np.isnan(found.error("floor"))
    assert 0 < found.error("slope") < 0.2  # for the floor held at zero
    none = fit_cored(Sample(*(np.zeros(n) for n in (3, 3, 3, 9, 9, 9))))
    assert np.isnan(none.values).all()
    assert np.isnan(none.covariance).all()
    bounded = replace(_cored_model(elliptical=False), high=(1.5, 9.0, 8.0, 9.0))
    upper = fit(draw(2, law()), bounded, np.array([1.0, 2.0, 1.0, 0.2]), np.array([0.5, 0.5, 0.5, 0.2]))
    assert upper.at_bound == ("ln_peak",)
    assert np.isnan(upper.error("ln_peak"))
    assert upper.error("slope") > 0


# --- on the sky grid ---------------------------------------------------------------------------------------


def of(cells, sources, edges, contamination, members=None):
    """All that depends on radius, as a run puts it together."""
    fits = {name: fitted(name, cells, sources) for name in LAWS}
    shapes = {name: shapes_of_map(name, cells) for name in MAPS}
    return radial(cells, sources, edges, contamination, fits, shapes, members)


def table(cells):
    """Return a source in the middle of a cell for every count."""
    rows = [
        (name, cells.i0 + i + 0.5, cells.j0 + j + 0.5)
        for index, name in enumerate(cells.fields)
        for j, i in np.ndindex(cells.kappa.shape)
        for _ in range(cells.n_gc[index, j, i])
    ]
    names, xi, eta = (np.array(column) for column in zip(*rows, strict=True))
    ra, dec = cells.grid.radec(xi, eta)
    return {"field": names, "ra": ra, "dec": dec}


def test_annuli_round_and_elliptical():
    cells = sky((60, 56), j0=-30, i0=-28, seed=4)
    edges = (2.0, 6.0, 11.0, 16.0, 27.0, 50.0)
    draws = np.random.default_rng(1).normal(1.0, 0.1, (5, 40, 36))
    members = Realisations(Box(10, 10, 50, 46), draws)
    found = of(cells, table(cells), edges, Contamination(0.3, 0.02, 30.0, 40.0), members)
    e1, e2 = found.elliptical["e1"], found.elliptical["e2"]
    rows = list(zip(*found.annuli.values(), strict=True))
    want = []
    for geometry, (r_lo, r_hi) in itertools.product(("circle", "ellipse"), itertools.pairwise(edges)):
        shape = (0.0, 0.0) if geometry == "circle" else (e1, e2)
        area = n = weighted = 0.0
        kappas, rhos, layers, covered = [], [], [[] for _ in draws], True
        for j, i, eta, xi in each_cell(cells):
            radius = float(elliptical_radius(np.array(xi), np.array(eta), *shape))
            if not r_lo <= radius < r_hi:
                continue
            owner = int(np.argmax(cells.n_pixels[:, j, i]))
            if cells.n_inside[owner, j, i] * AREA >= 0.5:
                rhos.append(cells.rho[owner, j, i])
            if cells.n_good[:, j, i].sum() * AREA < 0.5:
                continue
            here = cells.n_good[:, j, i].sum() * AREA
            area, n, weighted = area + here, n + cells.n_gc[:, j, i].sum(), weighted + radius * here
            kappas.append(cells.kappa[j, i])
            inside = 10 <= j < 50 and 10 <= i < 46
            covered &= inside
            for layer, values in zip(layers, draws, strict=True):
                layer.extend([values[j - 10, i - 10]] if inside else [])
        if area < 20:
            continue
        scatter = np.std([mean(layer) for layer in layers], ddof=1) if covered else math.nan
        want.append(
            (
                geometry,
                r_lo,
                r_hi,
                weighted / area,
                area,
                n,
                n / area,
                math.sqrt(n) / area,
                n / area - 0.3,
                math.hypot(math.sqrt(n) / area, 0.02),
                mean(kappas),
                scatter,
                None,
                mean(rhos),
            )
        )
    assert len(rows) == len(want) == 10
    assert any(math.isnan(row[11]) for row in want)
    assert any(math.isfinite(row[11]) for row in want)
    for got, expected in zip(rows, want, strict=True):
        assert got[0] == expected[0]
        for value, other in zip(got[1:], expected[1:], strict=True):
            if other is not None:
                assert value == pytest.approx(other, rel=1e-9, nan_ok=True)


def test_a_source_counts_once_where_fields_overlap():
    cells = sky((48, 48), full=True)
    n_pixels = np.full((2, 48, 48), 4)
    n_pixels[1, :, 24:] = 9  # both fields everywhere; b has the eastern half
    cells = replace(
        cells,
        n_pixels=n_pixels,
        n_good=np.where(n_pixels.argmax(axis=0) == np.arange(2)[:, None, None], 4, 0),
    )
    xi, eta = np.array([-5.0, 5.0, 5.0, -5.0, 80.0]), np.array([3.0, 3.0, -3.0, 3.0, 0.0])
    ra, dec = cells.grid.radec(xi, eta)
    field = np.array(["a", "b", "a", "b", "a"])
    assert cells.owned(ra, dec, field).tolist() == [True, True, False, False, False]
    assert sample_of(cells, {"ra": ra, "dec": dec, "field": field}).xi == pytest.approx([-5.0, 5.0])


def test_coarse_cells_keep_area_and_integrals():
    cells = sky((200, 180), j0=-60, i0=-100, full=True)
    area = np.where(cells.kept, cells.good_area.sum(axis=0), 0.0)
    xi, eta, total, more = _gathered(cells, area, area * cells.radius)
    assert total.sum() == pytest.approx(area.sum(), rel=1e-12)
    assert more.sum() == pytest.approx((area * cells.radius).sum(), rel=1e-12)
    assert xi.size < 0.6 * (area > 0).sum()
    direct = (area * cored(cells.radius, 5.0, 9.0, 1.9)).sum()
    assert (total * cored(np.hypot(xi, eta), 5.0, 9.0, 1.9)).sum() == pytest.approx(direct, rel=2e-4)


def test_nothing_there_gives_empty_tables():
    cells = sky((0, 0))
    none = {"field": np.zeros(0, "U1"), "ra": np.zeros(0), "dec": np.zeros(0)}
    found = of(cells, none, (1.0, 5.0, 10.0), Contamination(*[np.nan] * 4))
    assert found.annuli["r_lo"].size == found.shapes["tracer"].size == 0
    assert np.isnan(found.cored.values).all()
    assert math.isnan(found.shape.axis_ratio)


def test_a_variance_below_zero_is_no_error():
    """Likelihoods that are not concave in every direction, as with a few sources in a ring."""
    covariance = np.array([[4.0, 0.0], [0.0, -1e-9]])
    found = Fit(("a", "b"), np.ones(2), covariance, np.full((2, 2), np.nan), 0.0, 5.0, ())
    assert found.error("a") == 2
    assert math.isnan(found.error("b"))
    assert math.isnan(found.robust_error("a"))
