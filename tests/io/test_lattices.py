"""Lattices and points in the store of a field: any window equals that part of the full arrays."""

import numpy as np
import zarr

from tilegc.geometry import Box
from tilegc.io.lattices import put_lattice, put_points, take_lattice, take_points


def test_a_window_of_a_lattice(tmp_path):
    path = str(tmp_path / "f.zarr")
    zarr.open_group(path, mode="w", zarr_format=3)
    nodes = Box(-2, -1, 6, 4)
    values = np.arange(40.0).reshape(8, 5)
    put_lattice(path, "good_0", nodes, values)
    found = take_lattice(path, "good_0", Box(-4, 0, 3, 9))
    expected = np.zeros((7, 9))
    expected[2:, :4] = values[:5, 1:]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(take_lattice(path, "good_0", Box(50, 50, 52, 51)), np.zeros((2, 1)))
    put_lattice(path, "good_0", Box(0, 0, 1, 1), np.ones((1, 1)))  # in place of what was there
    np.testing.assert_array_equal(take_lattice(path, "good_0", Box(0, 0, 1, 2)), [[1.0, 0.0]])


def test_points_come_in_one_order_from_any_window(tmp_path):
    path, shape = str(tmp_path / "f.zarr"), (900, 700)
    zarr.open_group(path, mode="w", zarr_format=3)
    draw = np.random.default_rng(3)
    y, x = draw.integers(0, 900, 500), draw.integers(0, 700, 500)
    order = put_points(path, "points", shape, y, x, weight=np.arange(500.0))
    everything = take_points(path, "points", Box(0, 0, *shape), "weight")
    np.testing.assert_array_equal(everything[0], y[order])
    np.testing.assert_array_equal(everything[2], order)
    for _ in range(20):
        low = draw.integers(-300, 800, 2)
        window = Box(*(int(v) for v in low), *(int(v) for v in low + draw.integers(1, 600, 2)))
        inside = (everything[0] >= window.y0) & (everything[0] < window.y1)
        inside &= (everything[1] >= window.x0) & (everything[1] < window.x1)
        for found, whole in zip(take_points(path, "points", window, "weight"), everything, strict=True):
            np.testing.assert_array_equal(found, whole[inside])


def test_no_point_is_a_table_too(tmp_path):
    path, none = str(tmp_path / "f.zarr"), np.zeros(0, np.int64)
    zarr.open_group(path, mode="w", zarr_format=3)
    put_points(path, "points", (30, 40), none, none, weight=np.zeros(0))
    assert [part.size for part in take_points(path, "points", Box(0, 0, 30, 40), "weight")] == [0, 0, 0]
