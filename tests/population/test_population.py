"""Statistics of samples, against brute force and against mocks of known law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy

from tilegc.population.cluster_counts import Quadratic, quadratic_at
from tilegc.population.hierarchical import fit_population, fit_sample_law
from tilegc.population.mocks import PLANTED, mock_clusters
from tilegc.population.richness import fit_mass_relation
from tilegc.population.stacking import Profile, r_200_of, r_200_of_mass, stack
from tilegc.relation.counts_law import score


@pytest.fixture(scope="module")
def sample():
    clusters, laws = mock_clusters(12, 5)
    return clusters, laws, fit_sample_law(clusters)


def test_the_marginal_likelihood_of_a_node_is_that_of_the_normal_distribution():
    # With proper likelihoods the best fits are drawn from a normal distribution of variance C + T: its density,
    # integrated over a flat mean, must differ between nodes as the code says.
    draw = np.random.default_rng(3)
    covariances = [np.cov(draw.normal(size=(3, 9))) for _ in range(5)]
    fits = draw.normal(size=(5, 3))
    population = fit_population(
        [Quadratic(np.linalg.inv(c), np.linalg.solve(c, x)) for c, x in zip(covariances, fits, strict=True)]
    )

    def direct(node):
        widened = [c + np.diag(node**2) for c in covariances]
        total = sum(np.linalg.inv(w) for w in widened)
        centre = np.linalg.solve(
            total, sum(np.linalg.solve(w, x) for w, x in zip(widened, fits, strict=True))
        )
        log = sum(
            scipy.stats.multivariate_normal(centre, w).logpdf(x) for w, x in zip(widened, fits, strict=True)
        )
        return log - 0.5 * np.linalg.slogdet(total)[1], centre

    picks = draw.integers(0, len(population.nodes), 12)
    logs, centres = zip(*(direct(population.nodes[k]) for k in picks), strict=True)
    np.testing.assert_allclose(population.centres[picks], centres, rtol=1e-9)
    # the weight of a node is its density times prior and volume, which go as fourth and cube root of each scatter
    found = np.log(population.weight[picks] / (population.nodes[picks] ** (1 / 3 + 1 / 4)).prod(axis=1))
    np.testing.assert_allclose(found - found[0], np.array(logs) - logs[0], atol=1e-8)


def test_a_cluster_that_says_nothing_changes_nothing(sample):
    clusters, _, _ = sample
    mean, precision = np.array(PLANTED.mean), np.diag(np.array(PLANTED.scatter) ** -2.0)
    likelihoods = [quadratic_at(one, mean, precision) for one in clusters]
    with_blank = fit_population([*likelihoods, Quadratic(np.zeros((3, 3)), np.zeros(3))])
    # but for the grid of the floor's scatter, which is chosen anew
    np.testing.assert_allclose(with_blank.mean.mean, fit_population(likelihoods).mean.mean, rtol=1e-5)
    blank = with_blank.shrunken(Quadratic(np.zeros((3, 3)), np.zeros(3)))
    np.testing.assert_allclose(blank.mean, with_blank.predictive.mean, atol=1e-10)
    np.testing.assert_allclose(blank.covariance, with_blank.predictive.covariance, atol=1e-10)


def test_the_quadratic_touches_the_likelihood_where_it_is_expanded(sample):
    one = sample[0][0]
    mean, precision = np.array(PLANTED.mean), np.diag(np.array(PLANTED.scatter) ** -2.0)
    found = quadratic_at(one, mean, precision)
    # Conditional maximum: the slope of the quadratic there is that of the counts, in physical units.
    top = np.linalg.solve(found.precision + precision, found.slope + precision @ mean)
    _, gradient, _ = score(one.data, one.in_own_units(top), one.law.dispersion)
    turn, _ = one.to_physical
    middle, width = one.floor_range
    gradient[2] += (middle - one.in_own_units(top)[2]) / width**2
    np.testing.assert_allclose(
        found.slope - found.precision @ top, np.linalg.solve(turn.T, gradient), rtol=1e-3, atol=1e-3
    )


def test_mean_and_scatter_of_a_sample_lie_near_what_was_planted(sample):
    _clusters, laws, found = sample
    population = found.population
    assert (np.abs(population.mean.mean - PLANTED.mean) < 3 * population.mean.err).all()
    assert (population.scatter_interval[:, 0] < np.array(PLANTED.scatter) * 2).all()
    away = np.array([(one.mean - law) / one.err for one, law in zip(found.shrunken, laws, strict=True)])
    assert np.abs(away).max() < 4.5
    # Shrinking brings laws nearer to the truth than the clusters' own fits.
    shrunken = np.array([one.mean for one in found.shrunken])
    assert ((shrunken - laws) ** 2).mean() < 0.7 * np.nanmean((found.alone - laws) ** 2)


def test_clusters_left_out_are_predicted_within_their_errors(sample):
    _, laws, found = sample
    away = np.array([(one.mean - law) / one.err for one, law in zip(found.left_out, laws, strict=True)])
    assert 0.6 < away.std() < 1.5
    wider = [out.err / kept.err for out, kept in zip(found.left_out, found.shrunken, strict=True)]
    assert (np.median(wider, axis=0) > 1.2).all()


def test_inflation_widens_the_law_of_a_cluster(sample):
    mean, precision = np.array(PLANTED.mean), np.diag(np.array(PLANTED.scatter) ** -2.0)
    plain = quadratic_at(sample[0][0], mean, precision)
    wide = quadratic_at(replace(sample[0][0], inflation=4.0), mean, precision)
    np.testing.assert_allclose(np.diag(wide.precision) / np.diag(plain.precision), 0.25, rtol=0.1)


def test_too_few_clusters_are_refused(sample):
    with pytest.raises(ValueError, match="at least 3"):
        fit_sample_law(sample[0][:2])
    with pytest.raises(ValueError, match="at least 4"):
        fit_mass_relation([1, 2], [1, 1], [1, 1], [0.1, 0.1])


def test_slope_and_scatter_of_number_against_mass():
    draw, pulls, naive = np.random.default_rng(8), [], []
    for _ in range(150):
        x = draw.normal(0, 0.4, 24)
        mass = 2e14 * np.exp(x + draw.normal(0, 0.25, 24))
        truth = np.exp(7.0 + 0.9 * x + draw.normal(0, 0.2, 24))
        number = draw.poisson(truth).clip(1)
        found = fit_mass_relation(number, np.sqrt(number), mass, np.full(24, 0.25))
        pulls.append((found.slope - 0.9) / found.slope_err)
        naive.append(np.polyfit(np.log(mass), np.log(number), 1)[0] - 0.9)
    # Errors of mass flatten the naive slope by 0.4^2 / (0.4^2 + 0.25^2) = 0.72.
    assert np.mean(naive) == pytest.approx(0.9 * (0.72 - 1), abs=0.05)
    assert abs(np.mean(pulls)) < 0.35
    assert 0.8 < np.std(pulls) < 1.15


def test_a_cluster_off_the_relation_is_named():
    mass = np.geomspace(1e14, 1e15, 12)
    number = 2e3 * (mass / 3e14)
    number[4] *= 6
    found = fit_mass_relation(number, 0.02 * number, mass, np.full(12, 0.02))
    assert set(found.outliers) <= {4}
    assert found.slope == pytest.approx(1.0, abs=3 * found.slope_err)


def test_a_stack_of_equal_profiles_is_that_profile():
    lo, hi = np.arange(0.0, 10.0), np.arange(1.0, 11.0)
    value = 5.0 / (1 + lo)
    one = Profile(lo=lo, hi=hi, value=value, err=np.full(10, 0.1))
    found = stack([one] * 4, np.arange(0.0, 11.0))
    np.testing.assert_allclose(found.mean, value)
    np.testing.assert_allclose(found.err, 0.05)
    np.testing.assert_array_equal(found.scatter, 0)
    half = stack([one] * 2, [0.0, 0.5, 1.0, 12.5])
    assert half.n_clusters.tolist() == [2, 2, 2]
    np.testing.assert_allclose(half.mean[:2], value[0])
    # half of the area of an annulus determines its value with an error larger by the root of what was left out
    np.testing.assert_allclose(half.err[:2] ** -2.0, 2 * 100 * np.array([0.25, 0.75]))


def test_scatter_between_profiles_is_measured():
    draw = np.random.default_rng(2)
    profiles = [
        Profile(lo=np.zeros(1), hi=np.ones(1), value=np.array([v]), err=np.array([0.3]))
        for v in draw.normal(4, 0.8, 60) + draw.normal(0, 0.3, 60)
    ]
    found = stack(profiles, [0.0, 1.0])
    assert found.scatter[0] == pytest.approx(0.8, abs=0.2)
    assert found.mean[0] == pytest.approx(4.0, abs=3.5 * found.err[0])
    assert np.isnan(stack(profiles[:1], [0.0, 1.0]).mean[0])


def test_r_200_gives_back_the_projected_mass():
    # The halo's projected mass within 250 kpc, by integrating its density along the line of sight.
    density, r_200, concentration = 130.0 * 1.5, 1900.0, 5.0
    r_s = r_200 / concentration
    rho_s = 200 / 3 * density * concentration**3 / (np.log(6) - 5 / 6)

    def surface(radius):
        def rho(z):
            x = np.hypot(radius, z) / r_s
            return rho_s / (x * (1 + x) ** 2)

        return 2 * scipy.integrate.quad(rho, 0, 2e6, points=(radius, 1e3, 1e4, 1e5), limit=500)[0]

    mass = scipy.integrate.quad(lambda r: 2 * np.pi * r * surface(r), 1e-3, 250.0, epsrel=1e-5)[0]
    assert r_200_of(mass, 250.0, density) == pytest.approx(r_200, rel=1e-3)
    assert np.isnan(r_200_of(0.0, 250.0, density))
    m_200 = 200 * density * 4 / 3 * np.pi * r_200**3
    assert r_200_of_mass(m_200, density) == pytest.approx(r_200, rel=1e-12)


@pytest.mark.slow
def test_two_hundred_mock_samples_have_honest_errors():
    pulls, naive = [], []
    for seed in range(3000, 3200):
        clusters, _ = mock_clusters(12, seed)
        found = fit_sample_law(clusters, leave_one_out=False)
        pulls.append((found.population.mean.mean - PLANTED.mean) / found.population.mean.err)
        naive.append(np.nanstd(found.alone, axis=0, ddof=1) / PLANTED.scatter)
    spread = np.std(pulls, axis=0)
    # 200 samples give the standard deviation to 5 %.
    assert (np.abs(spread - 1) < 0.15).all(), spread
    assert (np.abs(np.mean(pulls, axis=0)) < 0.35).all()
    # The scatter of the best fits is the planted one and their errors: 1.5 times and more what was planted.
    assert (np.median(naive, axis=0) > 1.3).all()
