"""One-to-one matching of detections with the truth, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.matching import OneToOne, count, isolated, magnitudes, matched, of_field

SIDE = 120


def truth(*rows):
    kind, y, x, mag = zip(*rows, strict=True)
    columns = {"y": y, "x": x, "mag": mag, "all": mag}
    return {"kind": np.array(kind), **{name: np.array(column, float) for name, column in columns.items()}}


def image_of(places, mags):
    """Return an image whose peaks have these magnitudes, 2 mag off their zero point."""
    image = np.zeros((SIDE, SIDE))
    for (y, x), mag in zip(places, mags, strict=True):
        image[round(y), round(x)] = 10 ** (-0.4 * (mag - 2.0))
    return image


def test_each_object_is_taken_once_by_the_brightest():
    objects, mags = np.array([[10.0, 10.0], [10.0, 11.5]]), np.array([29.0, 29.5])
    places = np.array([[10.0, 10.2], [10.0, 10.4], [10.0, 30.0]])
    # the brighter one takes the nearer object, the other one what is left, the third is alone
    assert matched(places, np.array([29.0, 29.4, 28.0]), objects, mags).tolist() == [0, 1, -1]
    assert matched(places, np.array([29.4, 29.0, 28.0]), objects, mags).tolist() == [1, 0, -1]
    assert matched(places[:2], np.array([29.0, 29.1]), objects[:1], mags[:1]).tolist() == [0, -1]


@pytest.mark.parametrize(
    ("dy", "dm", "takes"), [(1.5, 0.0, 0), (1.51, 0.0, -1), (0.0, 0.75, 0), (0.0, 0.76, -1)]
)
def test_limits_of_a_match(dy, dm, takes):
    found = matched(
        np.array([[50.0 + dy, 50.0]]), np.array([29.0 + dm]), np.array([[50.0, 50.0]]), np.array([29.0])
    )
    assert found.tolist() == [takes]


def test_isolated():
    rows = truth(
        ("gc", 20, 20, 29),
        ("gc", 20, 24, 29.5),
        ("gc", 20, 60, 29),
        ("gc", 23, 60, 30.5),
        ("bcg", 90, 90, 17),
    )
    assert isolated(rows).tolist() == [False, False, True, False, False]


def test_counts_by_hand():
    objects = [("gc", 30, 30, 29.5), ("gc", 30, 70, 29.2), ("gc", 70, 30, 30.2), ("gc", 70, 70, 29.5)]
    rows = truth(*objects, ("field_galaxy", 100, 60, 25))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[65:75, 65:75] = 8
    places = np.array([[30, 30], [30, 71], [100, 61], [100, 20], [70, 30]], float)
    mags = [29.5, 29.2, 28.0, 29.0, 31.5]  # the last one is too faint for its object
    counts = count(places, rows, mask, image_of(places, mags), chance=False)
    assert (counts.found, counts.real, counts.resolved, counts.false) == (5, 2, 1, 2)
    assert counts.planted == (2, 1)
    assert counts.recovered == (2, 0)
    assert counts.purity == pytest.approx(0.5)
    assert counts.masked_share == pytest.approx(100 / SIDE**2)


def test_magnitudes_have_the_zero_point_of_the_truth():
    rows = truth(*(("gc", y, x, 27.0 + y / 50 + x / 500) for y in (20, 50, 80) for x in (20, 50, 80)))
    places = np.column_stack([rows["y"], rows["x"]])
    np.testing.assert_allclose(magnitudes(places, image_of(places, rows["mag"]), rows), rows["mag"])


def test_chance_is_taken_off():
    counts = OneToOne(100, 90, 0, (0, 0), (0, 0), 1, 0, drawn=800, chance=400)
    # ten on nothing that missed, as many that hit by chance
    assert counts.purity == pytest.approx(0.8)
    assert (counts + counts).purity == pytest.approx(0.8)
    # of detections thrown at random into a crowd all purity is chance
    draw = np.random.default_rng(2)
    crowd = truth(*(("gc", *place, 29.0) for place in draw.uniform(0, SIDE, (1500, 2))))
    thrown = np.unique(np.rint(draw.uniform(1, SIDE - 2, (300, 2))), axis=0)
    flat = np.full((SIDE, SIDE), 10 ** (-0.4 * 27.0))
    rows = {**crowd, "mag": np.full(1500, 29.0)}
    alone = isolated(rows)
    assert not alone.all()
    found = count(thrown, rows, np.zeros((SIDE, SIDE), np.uint8), flat * 10 ** (-0.4 * 2.0))
    raw = found.real / found.found
    assert raw > 0.1
    assert abs(found.purity) < 0.5 * raw or found.purity < 0.1


def test_rows_of_a_field_have_their_light_in_all_bands():
    table = {
        "kind": ["gc", "gc"],
        "field": ["a", "b"],
        "y": [1, 2],
        "x": [3, 4],
        "mag_f150w": [29, 30],
        "flux_F150W": [1.0, 2.0],
        "flux_F200W": [3.0, 8.0],
    }
    rows = of_field(table, "b")
    assert rows["mag"].tolist() == [30]
    assert rows["all"] == pytest.approx(-2.5)
