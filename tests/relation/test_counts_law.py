"""The law of counts given kappa compared with likelihoods summed box by box and maximised without derivatives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy
from scipy.optimize import minimize

from tests.support import counts
from tilegc.relation.attenuation import attenuation
from tilegc.relation.clumping import LENGTHS, REACH, Clumping, _widened, clumping, sandwich
from tilegc.relation.counts import LEAST_LN_KAPPA, BoxCounts, OuterField, gather
from tilegc.relation.counts_law import fit_law, least_floor
from tilegc.relation.intervals import FLOOR, C, _end, _NoFitError, interval
from tilegc.relation.resampling import block_numbers, block_weights, bootstrap


def some(seed=0, a=6.0, c=1.3, floor=0.8, phi=0.0, side=8, outer=None) -> BoxCounts:
    """Boxes of a small square lattice, nine cells each."""
    draw = np.random.default_rng(seed)
    row, column = (axis.ravel() for axis in np.indices((side, side)))
    kappa = draw.uniform(0.1, 1.8, row.size)[:, None] * draw.uniform(0.8, 1.2, (row.size, 9))
    area = draw.uniform(0.2, 1.0, kappa.shape)
    mu = (area * (a * kappa**c + floor)).sum(axis=1)
    count = draw.poisson(mu * (draw.gamma(1 / phi, phi, mu.size) if phi else 1.0)).astype(float)
    return BoxCounts(
        row, column, 3.0, count, np.arange(row.size) * 9, np.log(kappa).ravel(), area.ravel(), outer
    )


OUTER = OuterField(1.1, 0.05, np.log([0.12, 0.08]), np.array([0.2, 0.3]), np.array([0.75, 0.25]))


def beyond(outer, theta):
    """Density that a law expects of an outer field, kappa there being lognormal."""
    sky = zip(outer.share, outer.ln_kappa, outer.ln_kappa_err, strict=True)
    a, c, floor = math.exp(theta[0]), theta[1], theta[2]
    return sum(share * (a * math.exp(c * ln + 0.5 * (c * err) ** 2) + floor) for share, ln, err in sky)


def ln_likelihood(data, theta, phi, weight, variance=math.nan):
    a, c, floor = math.exp(theta[0]), theta[1], theta[2]
    ends = [*data.start[1:], data.area.size]
    cell = data.area * (a * np.exp(data.ln_kappa) ** c + floor)
    mu = np.array([cell[first:end].sum() for first, end in zip(data.start, ends, strict=True)])
    law = scipy.stats.nbinom(1 / phi, 1 / (1 + phi * mu)) if phi else scipy.stats.poisson(mu)
    total = (weight * law.logpmf(data.count)).sum()
    if data.outer is not None:
        mean = beyond(data.outer, theta)
        total -= 0.5 * (data.outer.density - mean) ** 2 / variance
    return total


@pytest.mark.parametrize(
    ("phi", "floor", "outer", "hold"),
    [
        (0.0, True, None, None),
        (0.3, True, None, None),
        (0.0, False, None, None),
        (0.0, True, OUTER, None),
        (0.0, True, None, (1, 1.0)),
        (0.2, True, OUTER, (2, 0.5)),
    ],
)
def test_the_fit_is_the_maximum(phi, floor, outer, hold):
    data = some(phi=phi, outer=outer)
    weight = np.random.default_rng(5).integers(0, 3, data.count.size).astype(float)
    found = fit_law(data, floor=floor, dispersion=phi, weight=weight, hold=hold)
    free = [k for k in range(3) if not (k == 2 and not floor) and not (hold and k == hold[0])]

    def loss(given):
        theta = found.theta.copy()
        theta[free] = given
        if theta[2] < 0:
            return math.inf
        return -ln_likelihood(data, theta, phi, weight, found.outer_variance)

    begin = np.array([1.0, 1.0, 0.5])[free]
    best = minimize(
        loss, begin, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000}
    )
    np.testing.assert_allclose(found.theta[free], best.x, atol=2e-5)
    if hold:
        assert found.theta[hold[0]] == hold[1]
    if not floor:
        assert found.floor == 0
    if outer is not None:
        # Drawn: ln kappa is normal, the parts move together.
        shift = np.random.default_rng(1).normal(size=(100_000, 1)) * outer.ln_kappa_err
        power = (outer.share * np.exp(found.c * (outer.ln_kappa + shift))).sum(axis=1)
        assert found.outer_variance == pytest.approx(outer.err**2 + (found.a * power.std()) ** 2, rel=0.02)
        assert outer.terms(found.c)[0] == pytest.approx(power.mean(), rel=5e-3)


def test_information_is_the_curvature_of_the_expected_likelihood():
    data = some(outer=OUTER)
    law = fit_law(data, dispersion=0.0)
    exact = replace(data, count=data.expected(law))  # counts as expected: no scatter in the curvature
    mean = beyond(OUTER, law.theta)
    exact = replace(exact, outer=replace(OUTER, density=mean))
    mu = exact.count

    def value(theta):
        # Poisson's ln L without the factorial, which stands for counts that are no whole numbers.
        expected = exact.expected(replace(law, ln_a=theta[0], c=theta[1], floor=theta[2]))
        return (mu * np.log(expected) - expected).sum() - 0.5 * (
            mean - beyond(OUTER, theta)
        ) ** 2 / law.outer_variance

    step = 1e-4
    eye = np.eye(3) * step
    for i in range(3):
        for k in range(3):
            corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
            second = sum(s * t * value(law.theta + s * eye[i] + t * eye[k]) for s, t in corners) / (
                4 * step**2
            )
            assert law.information[i, k] == pytest.approx(-second, rel=2e-4)


def test_over_dispersed_counts_are_told_from_poisson_ones():
    clumped = fit_law(some(seed=3, phi=0.4, side=24))
    assert clumped.dispersion == pytest.approx(0.4, rel=0.25)
    plain = [fit_law(some(seed=seed, side=12)).dispersion for seed in range(20)]
    assert sum(phi > 0 for phi in plain) <= 3


@pytest.mark.parametrize("floor", [0.0, 0.8])
def test_exact_counts_give_the_law_back(floor):
    data = some(floor=floor)
    law = fit_law(data, dispersion=0.0)
    exact = replace(data, count=data.expected(replace(law, ln_a=math.log(6.0), c=1.3, floor=floor)))
    found = fit_law(exact, dispersion=0.0)
    np.testing.assert_allclose(found.theta, [math.log(6.0), 1.3, floor], atol=1e-6)


def test_nothing_to_fit():
    data = some()
    assert not fit_law(replace(data, count=0 * data.count)).found
    assert not fit_law(data, weight=np.arange(data.count.size) < 2).found
    flat = replace(data, ln_kappa=0 * data.ln_kappa)
    assert not fit_law(flat).found  # a and f are one: no law
    assert np.isnan(fit_law(flat).theta).all()


def test_gather():
    draw = np.random.default_rng(2)
    shape, first, cells, pixel = (14, 17), (-5, -9), 4, 0.5
    kappa = draw.uniform(-0.2, 1, shape)
    kappa[draw.random(shape) < 0.1] = np.nan
    area, count = draw.uniform(0, 0.25, shape), draw.poisson(1.0, shape)
    area[3, 4] = 0.0
    use = draw.random(shape) < 0.8
    want: dict[tuple[int, int], list[float]] = {}
    for j in range(shape[0]):
        for i in range(shape[1]):
            if use[j, i] and np.isfinite(kappa[j, i]) and area[j, i] > 0:
                box = want.setdefault(((j + first[0]) // cells, (i + first[1]) // cells), [0.0, 0.0, 0.0])
                box[0] += count[j, i]
                box[1] += area[j, i]
                box[2] += area[j, i] * max(kappa[j, i], math.exp(LEAST_LN_KAPPA)) ** 1.2
    found = gather(kappa, area, count, use, first=first, cells=cells, pixel=pixel)
    got = zip(
        zip(found.row, found.column, strict=True),
        zip(found.count, found.box_area, found.powers(1.2)[0], strict=True),
        strict=True,
    )
    got = dict(got)
    assert got.keys() == want.keys()
    for place, values in want.items():
        assert got[place] == pytest.approx(values, rel=1e-12)
    assert found.side == 2.0


def test_two_point_function_and_sandwich_pair_by_pair():
    place = counts.sky(0.6, seed=3)
    draw = np.random.default_rng(4)
    data = counts.in_boxes(place, counts.draw_counts(place, counts.LAWS["0.83"], 0.3, 0.4, draw))
    near = (np.abs(data.row) < 9) & (np.abs(data.column + 2) < 8)  # a few hundred boxes
    ends = np.append(data.start[1:], data.area.size)
    cells = np.concatenate([np.arange(a, b) for a, b in zip(data.start[near], ends[near], strict=True)])
    sizes = (ends - data.start)[near]
    data = BoxCounts(
        data.row[near],
        data.column[near],
        3.0,
        data.count[near],
        np.cumsum(sizes) - sizes,
        data.ln_kappa[cells],
        data.area[cells],
        OUTER,
    )
    law = fit_law(data)
    assert law.dispersion > 0
    found = clumping(data, law)
    mu = data.expected(law)
    above, variance = mu - law.floor * data.box_area, mu * (1 + law.dispersion * mu)
    distance = 3.0 * np.hypot(data.row[:, None] - data.row, data.column[:, None] - data.column)
    pairs = (distance > 0) & (distance <= REACH)
    lags: dict[tuple[int, int], list[float]] = {}
    products = [np.outer(v, v) for v in (data.count - mu, above, variance)]
    for b, d in zip(*np.nonzero(pairs), strict=True):
        lag = lags.setdefault((data.row[b] - data.row[d], data.column[b] - data.column[d]), [0.0] * 4)
        for k, product in enumerate(products):
            lag[k] += product[b, d]
        lag[3] = distance[b, d]
    residual, model, noise, d = np.array(list(lags.values())).T
    gains = {}
    for shape in ("exponential", "gaussian"):
        for length in LENGTHS:
            form = model * (
                np.exp(-d / length) if shape == "exponential" else np.exp(-0.5 * (d / length) ** 2)
            )
            size, weight = (form * residual / noise).sum(), (form**2 / noise).sum()
            gains[size**2 / weight / 2 if size > 0 else 0.0] = (size / weight, length, shape)
    assert found.gain == pytest.approx(max(gains), rel=1e-9)
    best = gains[max(gains)]
    assert (found.length, found.shape) == best[1:]
    assert found.variance == pytest.approx(best[0], rel=1e-9)
    # V written out, with a correlation that is strong enough to be seen.
    strong = Clumping(0.3, 4.0, "exponential", 99.0)
    power, slope = data.powers(law.c)
    score = np.stack([law.a * power, law.a * slope, data.box_area]) / variance
    between = np.where(pairs, np.outer(above, above) * 0.3 * np.exp(-distance / 4.0), 0.0)
    far = np.array([law.a * OUTER.terms(law.c)[0], law.a * OUTER.terms(law.c)[1], 1.0])
    middle = score @ (np.diag(variance) + between) @ score.T + np.outer(far, far) / law.outer_variance
    inverse = np.linalg.inv(law.information)
    want = inverse @ middle @ inverse
    got = sandwich(data, law, strong)
    assert (
        np.linalg.eigvalsh(want - inverse) > -1e-9
    ).all()  # wider than Fisher's everywhere: nothing is mended
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(sandwich(data, law, Clumping(0.0, 4.0, "gaussian", 0.0)), inverse, rtol=1e-9)


def test_blocks_and_their_resamples():
    xi, eta = np.array([-0.1, 0.1, 14.9, 15.0, 29.9]), np.array([0.0, 0.0, 14.9, 0.0, 0.1])
    assert block_numbers(xi, eta).tolist() == [0, 1, 1, 2, 2]
    assert block_numbers(np.zeros(0), np.zeros(0)).tolist() == []
    number = np.repeat(np.arange(30), 4)
    weights = np.array(list(block_weights(number, 300)))
    assert (weights[:, ::4] == weights[:, 3::4]).all()  # a block is drawn as one
    assert (weights.sum(axis=1) == number.size).all()
    assert weights.std() == pytest.approx(1.0, abs=0.05)
    again = np.array(list(block_weights(number, 300)))
    np.testing.assert_array_equal(weights, again)


def test_bootstrap_agrees_with_the_errors_of_independent_counts():
    place = counts.sky(0.6)
    draw = np.random.default_rng(8)
    law = counts.LAWS["0.7"]
    data = counts.in_boxes(
        place, counts.draw_counts(place, law, 0.36, 0.0, draw), counts.draw_outer(place, law, 0.36, draw)
    )
    found = fit_law(data)
    spread = bootstrap(data, found).std(axis=0, ddof=1)
    np.testing.assert_allclose(spread, np.sqrt(np.diag(np.linalg.inv(found.information))), rtol=0.35)


@pytest.mark.parametrize("parameter", [C, FLOOR])
def test_interval_inside_is_the_profile_of_the_likelihood(parameter):
    data = some(side=16)
    law = fit_law(data, dispersion=0.0)
    covariance = np.linalg.inv(law.information)
    low, high = interval(data, law, parameter, covariance)
    assert low < law.theta[parameter] < high
    for end in (low, high):
        there = fit_law(data, dispersion=0.0, hold=(parameter, end))
        assert 2 * (law.ln_likelihood - there.ln_likelihood) == pytest.approx(1.0, abs=2e-3)
    wide = interval(data, law, parameter, 4 * covariance)  # clumped: as if there were a quarter of the counts
    assert (wide[1] - wide[0]) / (high - low) == pytest.approx(2.0, rel=0.15)


def test_the_end_of_an_interval_is_a_root_a_bound_or_not_found():
    def excess(value):
        return (value - 2.0) ** 2 - 9.0

    assert _end(excess, 2.0, 0.5, math.inf) == pytest.approx(5.0, abs=1e-3)
    assert _end(excess, 2.0, -0.5, 0.0) == 0.0  # the bound comes first
    assert math.isnan(_end(lambda _: -1.0, 2.0, 0.5, math.inf))  # the likelihood never falls far enough

    def fails(value):
        raise _NoFitError

    assert math.isnan(_end(fails, 2.0, 0.5, math.inf))


def test_no_interval_without_a_law_or_an_inverse():
    law, covariance = fit_law(some(), dispersion=0.0), np.eye(4)
    assert np.isnan(interval(some(), replace(law, c=math.nan), C, covariance)).all()
    singular = replace(law, information=np.zeros_like(law.information))
    assert np.isnan(interval(some(), singular, C, covariance)).all()


def _pull(data, law):
    """By how much ln L falls with a floor, in errors."""
    above = fit_law(data, dispersion=0.0, hold=(2, 0.05))
    return above.ln_likelihood - law.ln_likelihood


def test_interval_of_a_floor_on_its_bound():
    tried = [
        (data, fit_law(data, dispersion=0.0, below=False))
        for data in (some(seed=seed, floor=0.0) for seed in range(20))
    ]
    # The one that is just about to have a floor.
    data, law = max((one for one in tried if one[1].floor == 0), key=lambda one: _pull(*one))
    assert law.free.tolist() == [True, True, False]
    covariance = sandwich(data, law, Clumping(0.0, 1.0, "gaussian", 0.0))
    assert covariance[2].tolist() == [0.0, 0.0, 0.0]
    low, high = interval(data, law, FLOOR, covariance, 2.0)
    assert low == 0.0
    there = fit_law(data, dispersion=0.0, hold=(2, high))
    assert 2 * (law.ln_likelihood - there.ln_likelihood) == pytest.approx(4.0, abs=5e-3)
    fixed = np.sqrt(covariance[1, 1])
    c_low, c_high = interval(data, law, C, covariance)
    assert c_high - law.c > 1.1 * fixed  # a floor would steepen the law, none can flatten it
    assert law.c - c_low == pytest.approx(fixed, rel=0.1)


def test_interval_of_a_floor_below_zero_holds_the_floor():
    tried = [
        (data, fit_law(data, dispersion=0.0)) for data in (some(seed=seed, floor=0.0) for seed in range(12))
    ]
    below = [one for one in tried if one[1].floor < 0]
    assert below
    for data, law in below:
        covariance = sandwich(data, law, Clumping(0.0, 1.0, "gaussian", 0.0))
        low, high = interval(data, law, FLOOR, covariance, 2.0)
        least = least_floor(data, law)
        assert least <= low <= law.floor < high
        if not law.free[2]:
            assert low == law.floor
        elif low > least:
            there = fit_law(data, dispersion=0.0, hold=(FLOOR, low))
            assert there.floor == low
            assert 2 * (law.ln_likelihood - there.ln_likelihood) == pytest.approx(4.0, abs=5e-3)


def test_attenuation_by_a_wrong_lens_map():
    place = counts.sky(0.6)
    law = counts.LAWS["0.7"]
    draw = np.random.default_rng(11)

    def wrong(kappa, rms):
        return kappa * counts.clumped(kappa.shape, place.pixel, rms, draw)

    flattened = []
    for rms in (0.1, 0.3):
        seen = wrong(place.kappa, rms)
        count = counts.draw_counts(place, law, 0.36, 0.0, draw)
        outer = counts.draw_outer(place, law, 0.36, draw)
        found = fit_law(counts.in_boxes(place, count, outer, seen))
        maps = [wrong(seen, rms) for _ in range(6)]
        result = attenuation(
            seen,
            maps,
            place.area,
            count,
            place.use,
            found,
            boxes=lambda kappa, n, outer=outer: counts.in_boxes(place, n, outer, kappa),
        )
        assert result.realisations == 6
        assert result.kappa_rms == pytest.approx(rms, rel=0.1)
        assert result.ratio < 1
        assert result.c_corrected == pytest.approx(found.c / result.ratio)
        assert abs(result.c_corrected - law[1]) < abs(found.c - law[1]) or abs(found.c - law[1]) < 0.06
        flattened.append(result.ratio)
    assert flattened[1] < flattened[0] - 0.05
    exact = attenuation(
        seen,
        [seen, seen],
        place.area,
        count,
        place.use,
        found,
        boxes=lambda kappa, n: counts.in_boxes(place, n, outer, kappa),
    )
    assert exact.ratio == pytest.approx(1.0, abs=1e-6)
    assert (exact.kappa_rms, exact.c_scatter) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_information_without_an_inverse_gives_no_errors():
    information = np.array([[2.0, 2.0], [2.0, 2.0]])
    assert np.isnan(_widened(information, np.eye(2))).all()
    regular = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert np.allclose(_widened(regular, regular), np.linalg.inv(regular))


def test_range_maps_that_give_no_law_back_tell_nothing():
    """A map of little contrast, and range maps whose errors drown it."""
    place, draw = counts.sky(0.6), np.random.default_rng(2)
    use = place.use & (np.hypot(place.xi, place.eta) < 20.0)
    kappa = 1.5 + 0.02 * place.xi / 20.0
    law = replace(fit_law(some(), dispersion=0.0), ln_a=math.log(3.0), c=1.4, floor=0.4)
    count = draw.poisson((3.0 * kappa**1.4 + 0.4) * place.area)

    def boxes(values, n):
        return counts.in_boxes(replace(place, area=np.where(use, place.area, 0.0)), n, None, values)

    maps = [kappa * counts.clumped(kappa.shape, place.pixel, 0.3, draw) for _ in range(5)]
    powers = [fit_law(boxes(values, count), dispersion=0.0) for values in maps]
    assert not all(one.free[1] for one in powers)  # some end on the bound of the power
    told = attenuation(kappa, maps, place.area, count, use, law, boxes=boxes)
    assert told.realisations < 5
    assert np.isnan(told.c_corrected)
    assert told.kappa_rms == pytest.approx(0.3, rel=0.2)
    if told.realisations < 3:
        assert np.isnan([told.ratio, told.ratio_err, told.c_scatter]).all()
    one = attenuation(kappa, [kappa], place.area, count, use, law, boxes=boxes)
    assert np.isnan(one.ratio)
