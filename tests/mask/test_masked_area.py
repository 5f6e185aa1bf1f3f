"""Areas of the mask bits, pixel by pixel."""

import math

import numpy as np
import pytest

from tilegc.geometry import Box
from tilegc.kernels.mesh import Mesh, nodes
from tilegc.mask.area_counts import annulus_of, count_masks
from tilegc.mask.masked_area import annuli, areas, by_radius, shares
from tilegc.schema import MASKED

SHAPE = (37, 300)
EDGES = np.array([1.0, 2.5, 6.0])
AREA = 0.01


@pytest.fixture(scope="module")
def field():
    """A mask of all kinds on pixels of 0.1 arcsec, the centre on that of pixel (18, 30), and its counts."""
    y, x = np.meshgrid(*nodes(SHAPE, 8), indexing="ij")
    mask = np.random.default_rng(5).choice(
        np.array([0, 0, 0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 32, 36, 37, 60, 62, 64, 72, 120], np.uint8), SHAPE
    )
    mesh = Mesh(0.1 * (x - 30.0), 0.1 * (y - 18.0), 8)
    return mask, count_masks(mesh, Box(0, 0, *SHAPE), mask, EDGES)


def slow(mask):
    """By annulus: how many pixels count for what, one by one."""
    found = [dict.fromkeys((column.name for column in MASKED[3:]), 0) for _ in range(4)]
    for (y, x), value in np.ndenumerate(mask):
        bits = int(value)
        row = found[sum(100 * radius**2 <= (y - 18) ** 2 + (x - 30) ** 2 for radius in (1.0, 2.5, 6.0))]
        if bits & 1:
            continue
        row["data_arcsec2"] += 1
        if bits & 2:
            row["edge_arcsec2"] += 1
            row["edge_own_arcsec2"] += 1
            continue
        row["inside_arcsec2"] += 1
        row["good_arcsec2"] += not bits
        last = None
        for bit, name in ((4, "bright"), (8, "extended"), (16, "spike"), (32, "region"), (64, "arc")):
            if bits & bit:
                row[f"{name}_arcsec2"] += 1
                last = name
        if last:
            row[f"{last}_own_arcsec2"] += 1
    return found


def test_areas_are_those_of_single_pixels(field):
    mask, counts = field
    found = areas(counts, AREA)
    assert set(found) == {column.name for column in MASKED[3:]}
    for number, row in enumerate(slow(mask)):
        for name, pixels in row.items():
            assert found[name][number] == pytest.approx(pixels * AREA), name


def test_own_areas_and_the_good_one_add_up(field):
    found = areas(field[1], AREA)
    own = sum(values for name, values in found.items() if name.endswith("_own_arcsec2"))
    np.testing.assert_allclose(own + found["good_arcsec2"], found["data_arcsec2"])


def test_shares_of_the_summary(field):
    mask, counts = field
    found = shares(counts, AREA)
    inside = (mask & 3) == 0
    assert found["spike"]["fraction"] == (inside & (mask & 16 > 0)).sum() / inside.sum()
    assert found["any"]["arcsec2"] == pytest.approx((inside & (mask > 0)).sum() * AREA)
    assert found["edge"]["fraction"] == ((mask & 3) == 2).sum() / ((mask & 1) == 0).sum()
    nothing = shares(np.zeros_like(counts), AREA)
    assert nothing["bright"] == {"fraction": None, "arcsec2": 0.0}


def test_rows_without_data_are_left_out(field):
    counts = field[1].copy()
    counts[1] = 0
    counts[1, 1] = 7  # no data
    table = by_radius({"f": counts}, EDGES, {"f": AREA})
    assert table["r_lo"].tolist() == [0.0, 2.5, 6.0]
    assert table["r_hi"].tolist() == [1.0, 6.0, math.inf]
    assert set(table) == {column.name for column in MASKED}


def test_a_place_on_an_edge_belongs_to_the_outer_annulus_whatever_its_last_bit():
    at = np.array([2.5, np.nextafter(2.5, 0), np.nextafter(2.5, 9), 2.4999, 0.0, 6.0])
    assert annulus_of(at, np.zeros(6), EDGES).tolist() == [2, 2, 2, 1, 0, 3]


def test_radii_of_zero_are_no_edges():
    assert annuli((0.0, 3.0, 5.0)).tolist() == [3.0, 5.0]


def test_a_mask_of_another_shape_is_refused():
    mesh = Mesh(np.zeros((3, 3)), np.zeros((3, 3)), 8)
    with pytest.raises(ValueError, match="for a box"):
        count_masks(mesh, Box(0, 0, 4, 4), np.zeros((4, 5), np.uint8), EDGES)
