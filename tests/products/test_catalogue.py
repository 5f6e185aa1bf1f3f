"""Profiles of bare catalogues: drawn ones with a known law, and globular clusters of Perseus galaxies."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from scipy.spatial import ConvexHull

import tilegc
from tilegc.catalogue import _within
from tilegc.errors import ConfigError
from tilegc.sky import SkyGrid

CENTRE = (49.3, 41.4)


def drawn(seed=1, half=90.0):
    """Sources of 0.1 (1 + (r / 20)^2)^-1.5 + 0.004 per arcsec^2 in a square turned by 30 degrees."""
    draw = np.random.default_rng(seed)
    x, y = draw.uniform(-half, half, (2, draw.poisson(0.105 * 4 * half**2)))
    keep = draw.uniform(0, 0.105, x.size) < 0.1 * (1 + (x**2 + y**2) / 400) ** -1.5 + 0.004
    turn = math.radians(30)
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    wheel = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    places, corners = np.column_stack([x[keep], y[keep]]) @ wheel, corners @ wheel
    grid = SkyGrid(*CENTRE, 1.0)
    return (*grid.radec(*places.T), np.column_stack(grid.radec(*corners.T)), places)


def test_a_drawn_catalogue():
    ra, dec, footprint, places = drawn()
    found = tilegc.profile_of(ra, dec, centre=CENTRE, footprint=footprint, edges=(0, 10, 30, 60, 120))
    assert found.area == pytest.approx(180.0**2, rel=2e-3)
    radius = np.hypot(*places.T)
    table = found.annuli
    for row in table:
        inside = (radius >= row["r_lo"].value) & (radius < row["r_hi"].value)
        assert row["n_gc"] == inside.sum()
        assert row["n"].value == pytest.approx(inside.sum() / row["area"].value)
        assert row["n_err"].value == pytest.approx(math.sqrt(inside.sum()) / row["area"].value)
    # whole annuli inside, the corners of a square outside of them
    assert table["area"][:3].value == pytest.approx([math.pi * a for a in (100, 800, 2700)], rel=1e-2)
    assert table["area"][3].value == pytest.approx(180**2 - math.pi * 3600, rel=2e-2)
    law = found.cored
    for name, value in (
        ("ln_peak", math.log(0.1)),
        ("ln_core", math.log(20)),
        ("slope", 3.0),
        ("floor", 0.004),
    ):
        assert abs(law[name] - value) < 4 * law.error(name)
    j, i = (np.argmin(np.abs(axis)) for axis in (found.eta, found.xi))
    squared = (places[:, 0] - found.xi[i]) ** 2 + (places[:, 1] - found.eta[j]) ** 2
    smoothed = np.exp(-squared / 200).sum() / (200 * math.pi)
    assert found.density.n[j, i] == pytest.approx(smoothed, rel=0.02)
    assert found.density.variance[j, i] == pytest.approx(smoothed / (400 * math.pi), rel=0.03)


def test_without_a_footprint_the_hull_stands_for_it():
    ra, dec, _, places = drawn(2)
    found = tilegc.profile_of(ra, dec, centre=CENTRE, edges=(0, 20, 50))
    assert found.area == pytest.approx(ConvexHull(places).volume, rel=3e-3)
    assert found.cored.n == ra.size
    with pytest.raises(ConfigError, match="2 sources span no area"):
        tilegc.profile_of(ra[:2], dec[:2], centre=CENTRE)
    with pytest.raises(ConfigError, match="three corners"):
        tilegc.profile_of(ra, dec, centre=CENTRE, footprint=[[1.0, 2.0]])
    with pytest.raises(ConfigError, match="above 0 arcsec"):
        tilegc.profile_of(ra, dec, centre=CENTRE, resolution=0.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"edges": (0, 20, 10)}, "edges must increase"),
        ({"edges": (-5, 20)}, "0 arcsec or more"),
        ({"edges": (5,)}, "at least two radii"),
        ({"ra": [49.3, 49.31]}, r"equal length, got \(2,\) and \(4,\)"),
        ({"ra": [49.3, math.nan, 49.29, 49.3]}, r"1 of 4 sources have no finite ra and dec \(first: row 1\)"),
        ({"dec": [41.4, 41.4, 91.0, 41.4]}, r"dec\[2\] = 91 is beyond 90 degrees"),
        ({"centre": (49.3, 95.0)}, "centre must be"),
        ({"centre": (math.nan, 41.4)}, "centre must be"),
        ({"centre": (41.4, 0.0)}, "no source within 10 degrees of centre"),
        ({"centre": (229.3, -41.4)}, "no source within 10 degrees of centre"),
        ({"dec": [41.4, 41.4, 41.41, 61.0]}, "1 sources lie farther than 10 degrees from the centre"),
        ({"cell": math.inf}, "finite and above 0"),
        ({"cell": -1.0}, "finite and above 0"),
        ({"resolution": math.nan}, "finite and above 0"),
        ({"ra": [], "dec": []}, "catalogue is empty"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(wrong, says):
    given = {"ra": [49.3, 49.31, 49.29, 49.3], "dec": [41.4, 41.4, 41.41, 41.39], "centre": CENTRE} | wrong
    with pytest.raises(ConfigError, match=says) as refused:
        tilegc.profile_of(given.pop("ra"), given.pop("dec"), **given)
    assert "\n" not in str(refused.value)


def perseus(real_data, name):
    """Return globular clusters of a field, its centre at pixel (3350, 2800), and its footprint."""
    path = real_data / "catalogs" / "piper_perseus_sextractor_point_sources.csv.gz"
    with gzip.open(path, "rt") as file:
        table = np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf8")
    field = table[table["field"] == name]
    plane = np.column_stack([field["x"] - 3350, field["y"] - 2800, np.ones(len(field))])
    centre = tuple(float(np.linalg.lstsq(plane, field[axis], rcond=None)[0][2]) for axis in ("RA", "DEC"))
    places = np.column_stack([field["RA"], field["DEC"]])
    colour = (field["C"] > 1.0) & (field["C"] < 2.4) & (field["F814W"] < 26.0)
    return field[colour], centre, places[ConvexHull(places).vertices]


def test_perseus_v14acs_and_the_even_v6acs(real_data):
    clusters, centre, footprint = perseus(real_data, "V14ACS")
    found = tilegc.profile_of(clusters["RA"], clusters["DEC"], centre=centre, footprint=footprint)
    assert found.cored.n == len(clusters) == 340
    assert found.area == pytest.approx(202.0**2, rel=0.02)  # ACS/WFC
    n, error = found.annuli["n"].value, found.annuli["n_err"].value
    # falls by a factor of 20 from 10 to 100 arcsec; the galaxy's own light hides some within 5
    assert n[1] / n[-3] > 20
    assert n[1] > 4 * error[1]
    core, slope, floor = math.exp(found.cored["ln_core"]), found.cored["slope"], found.cored["floor"]
    assert 12 < core < 40
    assert slope - found.cored.error("slope") > 2
    assert floor == pytest.approx(0.0031, abs=0.0008)
    assert 0.5 < found.shape.axis_ratio < 0.9
    j, i = np.unravel_index(np.nanargmax(found.density.n), found.density.n.shape)
    assert math.hypot(found.xi[i], found.eta[j]) < 15
    even, centre, footprint = perseus(real_data, "V6ACS")
    flat = tilegc.profile_of(even["RA"], even["DEC"], centre=centre, footprint=footprint)
    assert flat.cored["floor"] == pytest.approx(len(even) / flat.area, rel=0.1)
    assert (flat.density.n < 0.03)[np.isfinite(flat.density.n)].all()


def test_points_in_a_polygon_are_those_of_matplotlib():
    random = np.random.default_rng(4)
    for corners in (
        random.uniform(-5, 5, (3, 2)),
        np.array([[-4, -4], [4, -4], [4, 4], [0, -1], [-4, 4.0]]),
        np.array([[-2, 3], [-2, -3], [2, -3], [2, 3.0]]),
    ):
        x, y = random.uniform(-6, 6, (2, 500))
        expected = Outline(corners).contains_points(np.column_stack([x, y]))
        assert 0 < expected.sum() < 500
        assert (_within(corners, x, y) == expected).all()
