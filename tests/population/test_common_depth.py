"""Numbers of clusters of different depth and distance, brought to one absolute magnitude."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tilegc.population.common_depth import Limit, LuminosityFunction, bring_to_common_depth, k_correction

FUNCTION = LuminosityFunction(turnover=-8.9, width=1.25, lookback=4.0)


def limit(name, m50, modulus=41.0, redshift=0.35, lookback=4.0):
    return Limit(name=name, redshift=redshift, modulus=modulus, lookback=lookback, m50=m50)


def test_drawn_clusters_are_as_many_at_the_common_depth():
    draw = np.random.default_rng(1)
    magnitudes = draw.normal(FUNCTION.turnover, FUNCTION.width, 400_000)
    limits = [limit("deep", 32.5), limit("near", 31.0, 39.2, 0.2), limit("far", 32.0, 42.1, 0.55)]
    found = bring_to_common_depth(limits, FUNCTION, magnitude=-9.0)
    at_common = (magnitudes < -9.0).sum()
    for one in limits:
        here = found[one.name]
        assert here.limit == pytest.approx(one.m50 - one.modulus + 2.5 * math.log10(1 + one.redshift))
        seen = (magnitudes < here.limit).sum()
        assert seen * here.factor == pytest.approx(at_common, rel=0.02)
        assert here.extrapolated == (seen < at_common)
    assert {name for name, one in found.items() if one.extrapolated} == {"far"}


def test_the_common_depth_is_the_median_and_unknown_depths_are_left_out():
    limits = [limit("a", 31.0), limit("b", 32.0), limit("c", 33.0), limit("d", math.nan)]
    found = bring_to_common_depth(limits, FUNCTION)
    assert set(found) == {"a", "b", "c"}
    assert found["b"].factor == pytest.approx(1.0)
    assert found["a"].factor > 1 > found["c"].factor
    assert bring_to_common_depth(limits[3:], FUNCTION) == {}


def test_younger_clusters_are_brighter():
    fading = LuminosityFunction(turnover=-8.9, width=1.25, lookback=4.0, fading=0.1)
    assert fading.brighter(-9.0, 6.0) == pytest.approx(FUNCTION.brighter(-8.8, 4.0))


def test_a_table_of_k_corrections_is_interpolated_and_not_extrapolated():
    table = [(0.6, -0.5), (0.2, -0.1)]
    assert k_correction(0.3, table) == pytest.approx(-0.2)
    assert k_correction(0.3) == pytest.approx(-2.5 * math.log10(1.3))
    with pytest.raises(ValueError, match=r"redshift 0.7 is outside .* 0.2 to 0.6"):
        k_correction(0.7, table)
