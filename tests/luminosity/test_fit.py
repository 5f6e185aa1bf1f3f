"""The luminosity function from catalogues drawn through a known completeness and response."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import ndtr

from tilegc.luminosity.annuli import GROUPS, Annuli
from tilegc.luminosity.fit import Priors, fit
from tilegc.luminosity.numbers import assumed, number

EDGES = np.arange(28.5, 32.01, 0.25)
MAGNITUDE = np.arange(28.05, 33.6, 0.1)
RADIUS = np.array([2, 4, 6, 9, 13, 18, 26, 130, 160.0])
AREA = np.array([20, 60, 100, 200, 400, 800, 1200, 900, 900.0])
OUTER = RADIUS > 100
LIMIT = 31.6
TURNOVER, WIDTH = 32.05, 1.4
DENSITY = np.where(OUTER, 40 * (26 / 5) ** -1.4 * (RADIUS / 26) ** -1.7, 40 * (RADIUS / 5) ** -1.4)
PRIORS = Priors(turnover=(32.7, 1.0), width=(1.25, 0.3))
STARS = 40_000


@cache
def chance() -> np.ndarray:
    """Probability that a source of each true magnitude is listed in each bin: blends, a limit, noise of 0.15 mag."""
    edges = np.minimum(EDGES, LIMIT)
    step = ndtr((edges[1:, None] - MAGNITUDE) / 0.15) - ndtr((edges[:-1, None] - MAGNITUDE) / 0.15)
    return (1 - 0.3 * np.exp(-RADIUS / 5))[:, None, None] * step


def drawn(rng: np.random.Generator, gradient: float = 0.0, background: float = 0.05) -> Annuli:
    """Sources by Poisson's law, and stars, of which a share is listed."""
    seen = AREA[:, None, None] * 0.1 * chance()
    turnover = TURNOVER + gradient * np.log10(RADIUS / 10)
    z = (MAGNITUDE - turnover[:, None]) / WIDTH
    clusters = DENSITY[:, None] * np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * WIDTH)
    law = clusters + background * 10 ** (0.25 * (MAGNITUDE - 31))
    counts = rng.poisson(np.einsum("jkl,jl->jk", seen, law))
    each = STARS / (RADIUS.size * MAGNITUDE.size)
    listed = rng.poisson(np.broadcast_to(each / GROUPS * chance(), (GROUPS, *chance().shape)))
    return Annuli(
        field=np.zeros(RADIUS.size, np.int64),
        r_lo=RADIUS * 0.9,
        r_hi=RADIUS * 1.1,
        radius=RADIUS,
        area=AREA,
        outer=OUTER,
        edges=EDGES,
        magnitude=MAGNITUDE,
        counts=counts,
        seen=listed * AREA[:, None, None] * 0.1 / each,
    )


def test_pulls_over_200_catalogues():
    """Turnover, width, and the numbers of clusters, with the errors of the counts and of the stars."""
    rng = np.random.default_rng(11)
    whole = float((DENSITY * AREA)[~OUTER].sum())
    pulls = []
    for _ in range(200):
        annuli = drawn(rng)
        found = fit(annuli, PRIORS)
        assert found is not None
        total, bright = number(found, annuli), number(found, annuli, 31.5)
        measured = whole * ndtr((31.5 - TURNOVER) / WIDTH)
        pulls.append(
            [
                (found.turnover - TURNOVER) / found.error(0),
                (found.width - WIDTH) / found.error(1),
                (np.log(total.n / whole)) / (total.err / total.n),
                (bright.n - measured) / bright.err,
            ]
        )
    mean, width = np.mean(pulls, axis=0), np.std(pulls, axis=0)
    # The error of a width of 200 pulls is 0.05.
    assert (np.abs(width - 1) < 0.15).all(), width
    assert (np.abs(mean) < 0.4).all(), mean
    inside = np.abs(pulls) < 1
    assert (np.abs(inside.mean(axis=0) - 0.68) < 0.1).all()


def test_what_is_brighter_than_the_depth_hardly_depends_on_the_function():
    """A turnover 0.65 mag too faint moves the number of all clusters by far more than that of the measured ones."""
    annuli = drawn(np.random.default_rng(3))
    free, wrong = fit(annuli, PRIORS), fit(annuli, PRIORS.held(32.7, 1.6))
    bright = [number(one, annuli, 31.5).n for one in (free, wrong)]
    whole = [number(one, annuli).n for one in (free, wrong)]
    assert abs(np.log(bright[1] / bright[0])) < 0.02
    assert np.log(whole[1] / whole[0]) > 0.3
    given = assumed(annuli, PRIORS, 32.7, 1.6)
    assert given.number.n == pytest.approx(whole[1])
    further = fit(annuli, PRIORS.held(32.8, 1.6))
    assert np.log(number(further, annuli).n / whole[1]) == pytest.approx(0.1 * given.per_turnover, rel=0.1)
    assert given.per_width < 0 < given.per_turnover


def test_a_gradient_is_found_where_it_may_be():
    annuli = drawn(np.random.default_rng(5), gradient=0.6)
    common = fit(annuli, PRIORS)
    radial = fit(annuli, replace(PRIORS, gradient=(0.0, 0.5)))
    assert abs(common.gradient) < 1e-3
    assert radial.gradient == pytest.approx(0.6, abs=3 * radial.error(2))
    assert radial.error(2) < 0.2
    assert radial.deviance < common.deviance


def test_the_background_comes_from_the_outer_field():
    annuli = drawn(np.random.default_rng(7), background=0.2)
    found = fit(annuli, PRIORS)
    expected = 0.2 * 10 ** (0.25 * (found.reference - 31))
    assert np.log(found.background / expected) == pytest.approx(0, abs=4 * found.error(3))
    nowhere = replace(annuli, counts=np.where(OUTER[:, None], 0, annuli.counts))
    alone = fit(nowhere, PRIORS)
    assert alone.background == 0
    assert np.isfinite(alone.turnover)


def test_without_sources_there_is_no_function():
    annuli = drawn(np.random.default_rng(9))
    assert fit(replace(annuli, counts=0 * annuli.counts), PRIORS) is None


def test_slopes_are_those_of_the_cost():
    """Gradient against differences of the cost, at a place that is no maximum."""
    from tilegc.luminosity.fit import _Model

    annuli = drawn(np.random.default_rng(13))
    model = _Model.of(annuli, replace(PRIORS, gradient=(0.0, 0.5)), np.flatnonzero(~OUTER))
    seen = annuli.seen.sum(axis=0)
    at = model.start(seen) + 0.1
    gradient, _ = model.slopes(at, seen)
    for place in range(at.size):
        step = np.zeros(at.size)
        step[place] = 1e-5
        slope = (model.cost(at - step, seen) - model.cost(at + step, seen)) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-2), place
