"""The light of galaxies as a term of the law: what counts as a galaxy, and what the term recovers."""

from dataclasses import replace

import numpy as np
import pytest
import scipy

from tests.support import counts
from tilegc.relation.clumping import clumping, sandwich
from tilegc.relation.counts_law import fit_law
from tilegc.relation.intervals import MEMBERS, interval
from tilegc.relation.likelihood import describe, fit_counts
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.galaxy_light import _convolved, galaxies, galaxy_light

LAW, PIXEL = counts.LAWS["0.7"], 0.6
PLACE = counts.sky(PIXEL)
NO_STARS = {name: np.zeros(0) for name in ("ra", "dec", "radius_arcsec")}
MEMBERS_AT = np.random.default_rng(8).normal(0.0, 30.0, (40, 2))
"""xi, eta; arcsec."""


def members(scale: float = 1.0) -> np.ndarray:
    """Light of galaxies as the sources follow it, normalised to mean 1; a few galaxies dominate."""
    light = np.zeros(PLACE.kappa.shape)
    for flux, (x, y) in zip(np.random.default_rng(9).pareto(0.9, 40) + 0.1, MEMBERS_AT, strict=True):
        light += min(flux, 20.0) * np.exp(-np.hypot(PLACE.xi - x, PLACE.eta - y) / scale)
    on = PLACE.use
    return light / (light * PLACE.area)[on].sum() * PLACE.area[on].sum()


def mocks(share: float, number: int, *, term: bool, seed: int) -> np.ndarray:
    """c less the truth, its error, and g, of mocks in which galaxies add so many sources per arcsec^2."""
    light, draw = members(), np.random.default_rng(seed)
    rows = []
    for _ in range(number):
        count = counts.draw_counts(PLACE, LAW, counts.FLOOR, 0.0, draw) + draw.poisson(
            share * light * PLACE.area
        )
        outer = counts.draw_outer(PLACE, LAW, counts.FLOOR, draw)
        data = counts.in_boxes(PLACE, count, outer, light=light if term else None)
        found = fit_law(data)
        error = np.sqrt(sandwich(data, found, clumping(data, found))[1, 1])
        rows.append((found.c - LAW[1], error, found.members))
    return np.array(rows)


def test_the_term_gives_the_power_back():
    without, with_term = (mocks(0.6, 24, term=term, seed=4) for term in (False, True))
    apart, error, g = with_term.T
    assert abs(without[:, 0].mean()) > 0.05  # what galaxies' own sources do
    assert abs(apart.mean()) < 0.01 + 2.5 * apart.std() / 24**0.5
    assert g.mean() == pytest.approx(0.6, abs=0.05)
    assert 0.5 < (apart / error).std() < 2.0


def test_without_such_sources_the_term_lies_on_its_bound_or_near():
    apart, _, g = mocks(0.0, 24, term=True, seed=5).T
    assert (g >= 0).all()
    assert 4 <= (g == 0).sum() <= 20
    assert abs(apart.mean()) < 0.01 + 2.5 * apart.std() / 24**0.5
    light, draw = members(), np.random.default_rng(6)
    count = counts.draw_counts(PLACE, LAW, counts.FLOOR, 0.0, draw)
    data = counts.in_boxes(PLACE, count, None, light=light)
    law = fit_law(data)
    low, high = interval(data, law, MEMBERS, sandwich(data, law, clumping(data, law)), 2.0)
    assert low == 0.0
    assert 0.0 < high < 0.4
    there = fit_law(data, dispersion=law.dispersion, hold=(MEMBERS, high))
    assert 2 * (law.ln_likelihood - there.ln_likelihood) == pytest.approx(4.0, rel=0.3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_four_hundred_mocks_with_galaxies(share):
    for term in (False, True):
        apart, error, g = mocks(share, 400, term=term, seed=1).T
        print(
            f"galaxies {share:g} term {term}: c off by {apart.mean():+.4f} ± {apart.std() / 20:.4f}, "
            f"pull {(apart / error).std():.3f}, mean {(apart / error).mean():+.3f}; g {g.mean():.3f}"
        )
    assert abs(apart.mean()) < 0.02


def seen(light: np.ndarray) -> SkyCells:
    """The sky grid of a mock run with this light (nJy per arcsec^2)."""
    n = np.rint(PLACE.area / 1e-3).astype(np.int64)[None]
    whole = np.full(n.shape, round(PIXEL**2 / 1e-3))
    j0, i0 = PLACE.first
    return SkyCells(
        SkyGrid(30.0, -20.0, PIXEL),
        j0,
        i0,
        ("a",),
        np.array([1e-3]),
        whole,
        n,
        whole,
        np.zeros_like(n),
        light[None],
        np.zeros(n.shape),
        PLACE.kappa,
    )


def sky_light() -> np.ndarray:
    """A halo, its brightest galaxy, two members and a star; a gap."""
    xi, eta = PLACE.xi, PLACE.eta
    light = 300.0 / (1.0 + np.hypot(xi, eta) / 20.0) + 5e4 * np.exp(-np.hypot(xi, eta) / 0.8)
    for x, y, flux in ((20.1, 10.2, 800.0), (-30.3, 5.1, 200.0), (9.9, -24.9, 5000.0)):
        light += flux * np.exp(-0.5 * ((xi - x) ** 2 + (eta - y) ** 2) / 0.36) / (2 * np.pi * 0.36)
    light[:10, :10] = np.nan
    return light


def test_galaxies_are_peaks_that_are_neither_stars_nor_the_brightest():
    light = sky_light()
    cells = seen(light)
    ra, dec = cells.grid.radec(np.array([9.9]), np.array([-24.9]))
    stars = {"ra": ra, "dec": dec, "radius_arcsec": np.array([1.0])}
    found = galaxies(light, cells, stars, 60.0)
    bright = np.flatnonzero(found.ravel() > 20.0)
    at = np.stack([PLACE.xi.ravel()[bright], PLACE.eta.ravel()[bright]], axis=1)
    np.testing.assert_allclose(at[np.argsort(at[:, 0])], [[-30.3, 5.1], [20.1, 10.2]], atol=0.31)
    # 1 arcsec holds 0.75 of such a galaxy.
    assert found[found > 300] == pytest.approx(800 * 0.75, rel=0.1)
    assert galaxies(light, cells, NO_STARS, 60.0).max() > 3000
    assert galaxies(light, cells, stars, 28.0).max() == found.max()
    assert not galaxies(np.full(light.shape, np.nan), cells, stars, 60.0).any()
    spread = galaxy_light(light, cells, stars, 60.0)
    on = cells.kept & (cells.radius < 60.0)
    area = cells.good_area[0]
    assert (spread * area)[on].sum() / area[on].sum() == pytest.approx(1.0)
    assert (spread >= 0).all()
    assert not spread[cells.radius >= 60.0].any()
    j, i = np.unravel_index(np.argmax(spread), spread.shape)
    assert np.hypot(PLACE.xi[j, i] - 20.1, PLACE.eta[j, i] - 10.2) < 0.7
    two = spread[j, [i, i + 2]]
    assert two[1] / two[0] == pytest.approx(np.exp(-1.2), rel=0.05)


def test_the_law_of_a_run_has_the_term():
    light, draw = members(), np.random.default_rng(10)
    cells = seen(np.zeros(PLACE.kappa.shape))
    count = counts.draw_counts(PLACE, LAW, counts.FLOOR, 0.0, draw) + draw.poisson(0.5 * light * PLACE.area)
    cells = replace(cells, n_gc=count[None])
    found = fit_counts(cells, 3.0, 60.0, light=light, thorough=False)
    told = describe(found)["members"]
    assert told["g"] == pytest.approx(0.5, abs=5 * told["g_err"])
    assert 0.003 < told["g_err"] < 0.1
    assert told["share"] == pytest.approx(0.5 * PLACE.area[PLACE.use].sum() / count[PLACE.use].sum(), rel=0.4)
    plain = fit_counts(cells, 3.0, 60.0, thorough=False)
    assert describe(plain)["members"] is None
    assert plain.law.ln_likelihood < found.law.ln_likelihood
    none = fit_counts(cells, 3.0, 60.0, light=0 * light, thorough=False)
    assert none.law == plain.law or none.law.c == plain.law.c
    assert describe(none)["members"] is None


@pytest.mark.parametrize("shape", [(200, 181), (31, 77), (5, 6)])
@pytest.mark.parametrize("side", [3, 61])
def test_convolution_gives_the_floats_of_scipy(shape, side) -> None:
    random = np.random.default_rng(side)
    image, kernel = random.random(shape), random.random((side, side))
    assert np.array_equal(_convolved(image, kernel), scipy.signal.fftconvolve(image, kernel, mode="same"))
