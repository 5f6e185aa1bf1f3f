"""Masked areas do not depend on the tiles."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.geometry import Box, TileGrid
from tilegc.kernels.mesh import Mesh, nodes
from tilegc.mask.area_counts import count_masks

SHAPE = (71, 58)


@given(st.integers(5, 80), st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_counts(size, seed):
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*nodes(SHAPE, 16), indexing="ij")
    mesh = Mesh(0.3 * (x - 20) + rng.normal(size=x.shape) * 0.1, 0.3 * (y - 31.0), 16)
    mask = rng.integers(0, 128, SHAPE).astype(np.uint8)
    edges = np.sort(rng.uniform(0.1, 20, 4))
    whole = count_masks(mesh, Box(0, 0, *SHAPE), mask, edges)
    parts = [
        count_masks(mesh, tile.core, mask[tile.core.slices], edges) for tile in TileGrid(SHAPE, size).tiles()
    ]
    np.testing.assert_array_equal(sum(parts), whole)
    assert whole.sum() == mask.size
