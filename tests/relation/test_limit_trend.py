"""The trend of b with the limit, against nested samples drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.products.warnings import on_limits
from tilegc.relation.limit_trend import LIMITS, limit_trend

ERRORS = np.array([0.02, 0.03, 0.045])


def table(index: list[float], error: np.ndarray = ERRORS) -> dict[str, np.ndarray]:
    names = np.array(["all", *LIMITS, "bright_half"], dtype=object)
    return {
        "sample": names,
        "index": np.array([0.5, *index, 9.0]),
        "index_err": np.array([0.02, *error, 1.0]),
    }


def test_differences_of_nested_samples_are_judged_by_the_difference_of_their_variances():
    """Powers of nested samples: each is the one before plus an independent step."""
    rng = np.random.default_rng(1)
    steps = np.sqrt(np.diff(ERRORS**2))
    index = 0.7 + np.cumsum(
        np.column_stack([rng.normal(0, ERRORS[0], 4000), rng.normal(0, steps, (4000, 2))]), axis=1
    )
    found = [limit_trend(table(list(row))) for row in index]
    assert np.mean([one.chi2 for one in found]) == pytest.approx(2.0, abs=0.1)
    assert np.std([one.sigma for one in found]) == pytest.approx(1.0, abs=0.05)
    assert np.mean([one.significant for one in found]) < 0.05


def test_a_trend_is_a_warning_only_if_it_is_monotone_and_significant():
    falling = limit_trend(table([0.89, 0.82, 0.74]))
    assert falling.significant
    (warning,) = on_limits(falling)
    assert warning.code == "completeness"
    assert "0.89, 0.82, 0.74" in warning.text
    for index in ([0.70, 0.71, 0.72], [0.70, 0.90, 0.60], [0.70, np.nan, 0.9]):
        assert not list(on_limits(limit_trend(table(index))))
    assert np.isnan(limit_trend(table([0.7, np.nan, 0.9])).chi2)
