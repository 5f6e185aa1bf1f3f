"""Random numbers of pixels: against a second splitmix64 in plain integers, and against scipy's Poisson."""

import math
import zlib

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.density.random import LARGEST_RATE, _exp_minus, draw_counts, draw_sources, poisson, uniform
from tilegc.geometry import TileGrid

NAMES = st.integers(0, 2**32 - 1)
COORDINATES = st.integers(0, 10**6)


def splitmix(key, value):
    """Return the output number `value` (from 0) of splitmix64 started at `key`, after Steele et al. 2014."""
    z = (key + 0x9E3779B97F4A7C15 * (value + 1)) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def draw(rate, select=None, *, seed=1, stream=2, realisation=0, y0=0, x0=0):
    select = np.ones(rate.shape, bool) if select is None else select
    return draw_counts(rate, select, seed=seed, stream=stream, realisation=realisation, y0=y0, x0=x0)


def test_the_oracle_is_splitmix64():
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # published, seed 0
    assert [splitmix(0, n) for n in range(3)] == known


@given(st.integers(0, 2**63 - 1), NAMES, st.integers(0, 10**4), COORDINATES, COORDINATES)
@settings(max_examples=100, deadline=None)
def test_uniform_is_a_chain_of_splitmix64(seed, stream, realisation, y, x):
    key = 0
    for value in (seed, stream, realisation, y, x):
        key = splitmix(key, value)
    u = uniform(seed, stream, realisation, y, x)
    assert u == ((key >> 12) * 2 + 1) / 2**53
    assert 0 < u < 1


@pytest.mark.parametrize("axis", ["seed", "stream", "realisation", "y", "x"])
def test_uniform_is_uniform_and_uncorrelated_along_every_axis(axis):
    place = {"seed": 1, "stream": 7, "realisation": 3, "y": 100, "x": 200}
    n = 20_000
    u = np.array([uniform(*{**place, axis: value}.values()) for value in range(n)])
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-3
    for lag in (1, 2, 64, 256):
        assert abs(np.corrcoef(u[lag:], u[:-lag])[0, 1]) < 4 / math.sqrt(n)


@given(st.floats(0, LARGEST_RATE), st.floats(1e-12, 1 - 1e-12))
@settings(max_examples=300, deadline=None)
def test_poisson_inverts_the_cumulative_distribution(rate, u):
    k = poisson(rate, u)
    assert scipy.stats.poisson.cdf(k, rate) >= u * (1 - 1e-12)
    assert k == 0 or scipy.stats.poisson.cdf(k - 1, rate) < u + 1e-12


@given(st.one_of(st.floats(0, 2), st.floats(0, LARGEST_RATE)))
@settings(max_examples=300, deadline=None)
def test_the_exponential_is_that_of_the_c_library(rate):
    assert _exp_minus(rate) == pytest.approx(math.exp(-rate), rel=3e-16 * (1 + rate), abs=0)


def test_poisson_ends_for_every_u():
    assert poisson(0.0, 1 - 2.0**-53) == 0
    for rate in (1e-300, 1e-3, 1.0, 37.7, LARGEST_RATE):
        assert poisson(rate, 2.0**-53) <= rate
        largest = poisson(rate, 1 - 2.0**-53)
        assert largest > rate or rate < 2.0**-53
        assert largest < rate + 12 * math.sqrt(rate) + 20


@pytest.mark.parametrize("rate", [0.003, 0.4, 5.0, 60.0])
def test_draws_follow_poisson(rate):
    counts = draw(np.full((300, 400), rate), realisation=3, y0=10, x0=20).ravel()
    n = counts.size
    assert abs(counts.mean() - rate) < 4 * math.sqrt(rate / n)
    assert abs(counts.var() - rate) < 4 * math.sqrt((rate + 2 * rate**2) / n)
    low, top = (int(scipy.stats.poisson.ppf(q, rate)) for q in (20 / n, 1 - 20 / n))
    observed = np.bincount(np.clip(counts, low, top) - low, minlength=top - low + 1)
    chance = np.diff([0.0, *scipy.stats.poisson.cdf(np.arange(low, top), rate), 1.0])
    assert scipy.stats.chisquare(observed, chance * n).pvalue > 1e-3


def test_realisations_seeds_and_fields_are_independent():
    rate = np.ones((200, 200))
    first = draw(rate, stream=zlib.crc32(b"a"))
    others = (
        draw(rate, stream=zlib.crc32(b"a"), realisation=1),
        draw(rate, stream=zlib.crc32(b"a"), seed=2),
        draw(rate, stream=zlib.crc32(b"b")),
        first.T,
    )
    off_diagonal = ~np.eye(200, dtype=bool)
    for other in others:
        r = np.corrcoef(first[off_diagonal], other[off_diagonal])[0, 1]
        assert abs(r) < 4 / math.sqrt(first.size)


def test_only_selected_pixels_are_drawn():
    rate = np.array([[np.nan, 3.0], [1e9, 0.0]])
    select = np.array([[False, True], [False, True]])
    counts = sum(draw(rate, select, realisation=n, y0=5, x0=6) for n in range(50))
    assert counts[0, 1] > 100
    assert counts.sum() == counts[0, 1]


@given(st.integers(1, 12), NAMES, st.integers(0, 2**63 - 1))
@settings(max_examples=15, deadline=None)
def test_draws_belong_to_pixels_not_to_tiles(size, stream, seed):
    rng = np.random.default_rng(stream)
    rate, select = rng.uniform(0, 2, (8, 11)), rng.random((8, 11)) < 0.6
    key = {"seed": seed, "stream": stream}
    whole = [draw(rate, select, **key, realisation=n) for n in range(3)]
    rows = []
    for tile in TileGrid(rate.shape, size).tiles():
        cut, corner = tile.core.slices, {"y0": tile.core.y0, "x0": tile.core.x0}
        for n in range(3):
            part = draw(rate[cut], select[cut], **key, realisation=n, **corner)
            np.testing.assert_array_equal(part, whole[n][cut])
        rows += zip(*draw_sources(rate[cut], select[cut], **key, realisations=3, **corner), strict=True)
    expected = [
        (n, y, x) for n in range(3) for y in range(8) for x in range(11) for _ in range(whole[n][y, x])
    ]
    assert sorted(rows) == expected
    sources = draw_sources(rate, select, **key, realisations=3, y0=0, x0=0)
    assert [column.dtype for column in sources] == [np.int32] * 3
    assert list(zip(*sources, strict=True)) == expected


def test_nothing_selected_gives_no_rows():
    for realisations in (0, 2):
        sources = draw_sources(
            np.ones((3, 4)), np.zeros((3, 4), bool), seed=1, stream=1, realisations=realisations, y0=0, x0=0
        )
        assert [(column.shape, column.dtype) for column in sources] == [((0,), np.int32)] * 3


@pytest.mark.parametrize("rate", [-1.0, np.nan, np.inf, LARGEST_RATE * 1.01])
def test_an_impossible_rate_is_named(rate):
    rates = np.ones((4, 4))
    rates[1, 2] = rate
    with pytest.raises(ValueError, match=r"\(11, 22\).*between 0 and 500"):
        draw(rates, y0=10, x0=20)
    with pytest.raises(ValueError, match=r"\(11, 22\)"):
        draw_sources(rates, np.ones((4, 4), bool), seed=1, stream=1, realisations=2, y0=10, x0=20)
