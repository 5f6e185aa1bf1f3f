"""Groups of places with the same keys, against NumPy's unique along an axis."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.kernels.groups import groups


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 2000), st.integers(0, 2**32))
def test_groups_and_their_order(places, keys, spread, seed):
    values = np.random.default_rng(seed).integers(-spread, spread, (keys, places)).astype(np.float64)
    count, number = groups(*values)
    if not places:
        assert count == number.size == 0
        return
    found, inverse = np.unique(values, axis=1, return_inverse=True)
    assert count == found.shape[1]
    np.testing.assert_array_equal(number, inverse.ravel())
