"""Ranks are those of SciPy, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from tilegc.kernels.ranks import ranks


@pytest.mark.parametrize("n", [0, 1, 2, 999])
@pytest.mark.parametrize("levels", [3, 10**9])
def test_ranks_with_and_without_ties(n, levels):
    values = np.random.default_rng(n).integers(0, levels, n) - levels / 2
    assert ranks(values).tobytes() == rankdata(values).tobytes()


def test_infinities_have_ranks_and_a_nan_leaves_none():
    assert ranks([np.inf, -np.inf, 0.0, np.inf]).tolist() == [3.5, 1.0, 2.0, 3.5]
    assert np.isnan(ranks([1.0, np.nan])).all()
    assert np.isnan(rankdata([1.0, np.nan])).all()
