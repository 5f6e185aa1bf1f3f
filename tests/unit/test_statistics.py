"""The science stages against hand-made cells, and loops that follow DESIGN 3.8-3.13 word for word."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from tilegc.config import RunConfig
from tilegc.engine import FieldTiles
from tilegc.engine.serial import SerialEngine
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.convergence import Kappa
from tilegc.io.fits import BandSource, FieldSource
from tilegc.schema import ARRAYS
from tilegc.sky import SkyGrid
from tilegc.stages import relation
from tilegc.stages.density import hidden, inpaint
from tilegc.stages.detection_map import add_bands
from tilegc.stages.masses import masses
from tilegc.stages.profile import profile
from tilegc.stages.relation import Boxes, boxes, compare, fit
from tilegc.stages.setup import Setup
from tilegc.stages.sky_grid import SkyCells, add_up
from tilegc.stages.truth import planted

RA, DEC = 342.18, -44.53
AREA = 0.25
"""arcsec^2 a pixel, four to a cell of 1 arcsec: sums of areas are exact."""


def sky(shape=(48, 48), *, seed=0, j0=-24, i0=-24, fields=("a", "b"), full=False) -> SkyCells:
    """Cells of 1 arcsec, field by field, each cell in one field at most."""
    draw = np.random.default_rng(seed)
    whole = (len(fields), *shape)
    owner = draw.integers(0, len(fields), shape) == np.arange(len(fields))[:, None, None]
    n_pixels = np.where(owner, 4, 0)
    n_good = n_pixels if full else np.where(owner, draw.choice([0, 1, 2, 3, 4, 4, 4, 4, 4, 4], whole), 0)
    n_inside = n_pixels if full else np.clip(n_good + draw.integers(0, 3, whole), 0, n_pixels)
    kappa = draw.uniform(0.1, 1.0, shape)
    kappa[draw.random(shape) < 0.1] = np.nan
    n_gc = np.where(owner, draw.poisson(0.5, whole), 0)
    light, rho = draw.normal(5, 1, whole), np.round(draw.exponential(1, whole), 1)
    light[n_good == 0], rho[n_inside == 0] = np.nan, np.nan
    grid = SkyGrid(RA, DEC, 1.0)
    return SkyCells(
        grid, j0, i0, fields, np.full(len(fields), AREA), n_pixels, n_good, n_inside, n_gc, light, rho, kappa
    )


def each_cell(cells: SkyCells):
    """Yield indices and centre (eta, xi) of every cell."""
    for j, i in np.ndindex(cells.kappa.shape):
        yield j, i, cells.j0 + j + 0.5, cells.i0 + i + 0.5


def test_what_cells_say_of_themselves():
    cells = replace(sky((3, 5), j0=-1, i0=2), pixel_area=np.array([0.25, 0.2]))
    kept, inside = np.zeros((3, 5), bool), np.zeros((2, 3, 5), bool)
    for j, i, eta, xi in each_cell(cells):
        good = [int(n) * a for n, a in zip(cells.n_good[:, j, i], (0.25, 0.2), strict=True)]
        kept[j, i] = sum(good) >= 0.5
        assert cells.radius[j, i] == pytest.approx(math.sqrt(eta**2 + xi**2), rel=1e-14)
        assert (cells.eta[j], cells.xi[i]) == (eta, xi)
        for field, area in enumerate(good):
            assert cells.good_area[field, j, i] == area
            assert cells.kept_of(field)[j, i] == (area >= 0.5)
            inside[field, j, i] = cells.n_inside[field, j, i] * (0.25, 0.2)[field] >= 0.5
    np.testing.assert_array_equal(cells.kept, kept)
    np.testing.assert_array_equal([cells.inside_of(0), cells.inside_of(1)], inside)
    assert 0 < kept.sum() < kept.size
    xi, eta = np.array([2.5, 2.5, 6.9, 1.9, 7.1, 2.5]), np.array([-0.5, -0.1, 1.9, 0.5, 0.5, 2.1])
    ra, dec = cells.grid.radec(xi, eta)
    count = np.zeros((3, 5), int)
    count[0, 0], count[2, 4] = 2, 1
    np.testing.assert_array_equal(cells.count(ra, dec), count)
    np.testing.assert_array_equal(
        cells.kept_at(ra, dec), [kept[0, 0], kept[0, 0], kept[2, 4], False, False, False]
    )


@pytest.mark.parametrize("given", [False, True])
def test_boxes(given):
    cells = sky(j0=-24, i0=-27)  # whole boxes of 3 arcsec: an edge of theirs is at the centre
    count = np.random.default_rng(9).poisson(1.0, cells.kappa.shape) if given else None
    gathered: dict[Any, Any] = defaultdict(lambda: [0.0, 0, []])
    for j, i, eta, xi in each_cell(cells):
        if sum(cells.n_good[:, j, i]) * AREA < 0.5:
            continue  # left out, with its sources
        box = gathered[math.floor(eta / 3), math.floor(xi / 3)]
        box[0] += sum(cells.n_good[:, j, i]) * AREA
        box[1] += sum(cells.n_gc[:, j, i]) if count is None else count[j, i]
        box[2] += [cells.kappa[j, i]] if np.isfinite(cells.kappa[j, i]) else []
    want = {
        ((column + 0.5) * 3, (row + 0.5) * 3): (area, n, sum(kappas) / len(kappas))
        for (row, column), (area, n, kappas) in gathered.items()
        if area >= 7.2 and kappas
    }
    found = boxes(cells, 3.0, count)
    got = dict(
        zip(
            zip(found.xi, found.eta, strict=True),
            zip(found.area, found.count, found.kappa, strict=True),
            strict=True,
        )
    )
    assert got.keys() == want.keys()
    assert 40 < len(got) < 200
    for place, values in want.items():
        assert got[place] == pytest.approx(values, rel=1e-13)
    np.testing.assert_allclose(found.n, [n / area for area, n, _ in got.values()])


def test_boxes_are_filled_with_four_fifths_and_no_less():
    cells = sky((5, 15), j0=-5, i0=0, full=True, fields=("a",))
    n_good = np.full((1, 5, 15), 4)
    n_good[0, 0, :5] = 0  # 20 of 25 arcsec^2
    n_good[0, 0, 5:10], n_good[0, 2, 7] = 0, 3
    found = boxes(replace(cells, n_good=n_good, kappa=np.ones((5, 15))), 5.0)
    assert list(zip(found.xi, found.eta, found.area, strict=True)) == [(2.5, -2.5, 20.0), (12.5, -2.5, 25.0)]


def of(n, kappa) -> Boxes:
    n = np.asarray(n, float)
    return Boxes(np.zeros(n.size), np.zeros(n.size), np.full(n.size, 8.0), n * 8, np.asarray(kappa, float))


def fitted(n, kappa, low, high):
    """Bins and fit of DESIGN 3.10, box by box: n_boxes, n_mean, kappa_mean, kappa_std of each bin; A and b."""
    step = (math.log(high) - math.log(low)) / 15
    bins: list[list[tuple[float, float]]] = [[] for _ in range(15)]
    for one, value in zip(n, kappa, strict=True):
        bins[min(int((math.log(one) - math.log(low)) / step + 1e-9), 14)].append((one, value))
    rows, x, y = [], [], []
    for held in bins:
        number = len(held)
        mean = [sum(column) / number for column in zip(*held, strict=True)] if number else [math.nan] * 2
        spread = math.sqrt(sum((k - mean[1]) ** 2 for _, k in held) / number) if number else math.nan
        rows.append((number, *mean, spread))
        if number >= 5 and mean[1] > 0:
            x.append(math.log(mean[0]))
            y.append(math.log(mean[1]))
    b, log_a = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), np.array(y), rcond=None)[0]
    return rows, math.exp(log_a), b


def scattered(size, seed=1):
    draw = np.random.default_rng(seed)
    n = draw.integers(1, 60, size) / 8
    return n, 0.4 * n**0.7 * draw.lognormal(0, 0.3, size)


def test_fit_bin_by_bin():
    n, kappa = scattered(120)
    found = fit(of(np.append(n, [0, 0, 0]), np.append(kappa, [0.2, 0.3, 0.7])))
    rows, a, b = fitted(n, kappa, n.min(), n.max())
    sizes = [row[0] for row in rows]
    assert 4 in sizes or 3 in sizes  # bins that do not enter the fit
    assert 5 in sizes or 6 in sizes  # and such as just do
    edges = [n.min() * (n.max() / n.min()) ** (k / 15) for k in range(16)]
    table = found.bins
    np.testing.assert_array_equal(table["bin"], range(-1, 15))
    np.testing.assert_allclose(table["n_lo"][1:], edges[:-1], rtol=1e-12)
    np.testing.assert_allclose(table["n_hi"][1:], edges[1:], rtol=1e-12)
    for column, name in enumerate(("n_boxes", "n_mean", "kappa_mean", "kappa_std")):
        np.testing.assert_allclose(table[name][1:], [row[column] for row in rows], rtol=1e-10, atol=1e-12)
    empty = [table[name][0] for name in ("n_lo", "n_hi", "n_boxes", "n_mean", "kappa_mean", "kappa_std")]
    np.testing.assert_allclose(empty, [0, 0, 3, 0, 0.4, math.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 3)])
    assert (found.amplitude, found.index) == pytest.approx((a, b), rel=1e-10)
    # 200 resamples of the boxes; the bins stay where they are.
    draws = np.random.Generator(np.random.PCG64(relation.RESAMPLE_SEED))
    picks = [draws.integers(0, n.size, n.size) for _ in range(200)]
    again = np.array([fitted(n[pick], kappa[pick], n.min(), n.max())[1:] for pick in picks])
    errors = [math.sqrt(((column - column.mean()) ** 2).sum() / 199) for column in again.T]
    assert (found.amplitude_err, found.index_err) == pytest.approx(errors, rel=1e-9)


def test_fit_gives_an_exact_power_law_back():
    n = np.repeat(np.geomspace(0.125, 8, 16)[::3], 5)  # one n to a bin: its means lie on the curve
    found = fit(of(n, 0.4 * n**0.7))
    assert (found.amplitude, found.index) == pytest.approx((0.4, 0.7), rel=1e-12)
    assert (found.amplitude_err, found.index_err) == pytest.approx((0, 0), abs=1e-12)


def test_fit_knows_more_from_more_boxes():
    few, many = (fit(of(*scattered(size))) for size in (200, 20_000))
    assert many.index_err == pytest.approx(few.index_err / 10, rel=0.5)
    assert many.amplitude_err == pytest.approx(few.amplitude_err / 10, rel=0.5)


@pytest.mark.parametrize("n", [[], [0, 0], [1] * 30, [1] * 5 + [2] * 4, [1, 2, 3, 4]])
def test_no_fit_without_two_bins(n):
    found = fit(of(n, np.ones(len(n))))
    assert np.isnan([found.amplitude, found.amplitude_err, found.index, found.index_err]).all()
    assert found.bins["n_boxes"][0] == n.count(0)


def pearson(a, b):
    a_mean, b_mean = math.fsum(a) / len(a), math.fsum(b) / len(b)
    cross = math.fsum((x - a_mean) * (y - b_mean) for x, y in zip(a, b, strict=True))
    return cross / math.sqrt(
        math.fsum((x - a_mean) ** 2 for x in a) * math.fsum((y - b_mean) ** 2 for y in b)
    )


def ranks(values):
    return [sum(v < one for v in values) + (sum(v == one for v in values) + 1) / 2 for one in values]


@pytest.mark.parametrize("field", [0, 1])
def test_compare(field):
    edge = math.hypot(3.5, 8.5)  # the radius of some cells: not below it
    cells = sky()
    pairs = [
        (cells.kappa[j, i], cells.rho[field, j, i])
        for j, i, eta, xi in each_cell(cells)
        if cells.n_inside[field, j, i] * AREA >= 0.5
        and np.isfinite(cells.kappa[j, i])
        and math.hypot(eta, xi) < edge
    ]
    kappa, rho = map(list, zip(*pairs, strict=True))
    beta = math.fsum(k * r for k, r in pairs) / math.fsum(r * r for r in rho)
    found = compare(cells, field, edge)
    assert found.beta == pytest.approx(beta, rel=1e-12)
    rms = math.sqrt(math.fsum((k - beta * r) ** 2 for k, r in pairs) / len(pairs))
    assert found.residual_rms == pytest.approx(rms, rel=1e-12)
    assert found.pearson == pytest.approx(pearson(kappa, rho), abs=1e-12)
    assert found.spearman == pytest.approx(pearson(ranks(kappa), ranks(rho)), abs=1e-12)


EDGES = (2.0, 5.0, math.hypot(2.5, 7.5), 9.0, 13.0, 18.0, 23.0, 30.0)
"""The third is the radius of some cells, which belong to the annulus outside of it."""


def mean(values):
    values = [value for value in values if np.isfinite(value)]
    return math.fsum(values) / len(values) if values else math.nan


def annuli(cells, edges, counts):
    """Cells of each annulus: dicts of what DESIGN 3.12 adds up, by field."""
    found = [[defaultdict(list) for _ in cells.fields] for _ in edges[1:]]
    for j, i, eta, xi in each_cell(cells):
        r = math.hypot(eta, xi)
        number = sum(r >= edge for edge in edges) - 1
        for field in range(len(cells.fields)) if 0 <= number < len(edges) - 1 else ():
            area = int(cells.n_good[field, j, i]) * AREA
            held = found[number][field]
            if area >= 0.5:
                held["area"].append(area)
                held["n"].append(int(counts[field, j, i]))
                held["block"].append((math.floor(eta / 15), math.floor(xi / 15)))
                held["light"].append(cells.light[field, j, i])
                held["kappa"].append(cells.kappa[j, i])
            if cells.n_inside[field, j, i] * AREA >= 0.5:
                held["rho"].append(cells.rho[field, j, i])
    return found


@pytest.mark.parametrize("given", [False, True])
def test_profile(given):
    cells = sky()
    # As everywhere, sources lie in cells of their own field.
    counts = np.random.default_rng(4).poisson(1.0 * (cells.n_pixels > 0)) if given else cells.n_gc
    found, contamination = profile(cells, EDGES, counts if given else None)
    by_annulus = annuli(cells, EDGES, counts)
    far = [list(chain(*(held[name] for held in by_annulus[-1]))) for name in ("area", "n", "block", "light")]
    area, n = sum(far[0]), sum(far[1])
    assert area >= 200
    blocks: dict[Any, Any] = defaultdict(lambda: [0.0, 0])
    for one, count, block in zip(*far[:3], strict=True):
        blocks[block][0] += one
        blocks[block][1] += count
    excess = sum((count - n / area * one) ** 2 for one, count in blocks.values())
    scatter = math.sqrt(excess * len(blocks) / (len(blocks) - 1)) / area
    assert contamination.n == pytest.approx(n / area, rel=1e-13)
    assert contamination.err == pytest.approx(math.sqrt(n / area**2 + scatter**2), rel=1e-12)
    assert (contamination.r_lo, contamination.r_hi) == (23.0, 30.0)
    rows = [
        (
            name, lo, hi, sum(held["area"]), sum(held["n"]), sum(held["n"]) / sum(held["area"]),
            math.sqrt(sum(held["n"])) / sum(held["area"]), sum(held["n"]) / sum(held["area"]) - n / area,
            mean(held["kappa"]), mean(held["light"]) - mean(far[3]), mean(held["rho"]),
        )
        for field, name in enumerate(cells.fields)
        for lo, hi, held in zip(EDGES, EDGES[1:], [row[field] for row in by_annulus], strict=False)
        if sum(held["area"]) >= 20
    ]  # fmt: skip
    assert len(rows) > 8
    for (name, values), column in zip(found.items(), zip(*rows, strict=True), strict=True):
        if name == "field":
            assert tuple(values) == column
        else:
            np.testing.assert_allclose(values, column, rtol=1e-12, atol=1e-13, err_msg=name)


def ring(*annuli_area):
    """Cells of one field, all open in annuli of 10 arcsec up to a given area (arcsec^2) and shut elsewhere."""
    cells = sky(fields=("a",), full=True)
    n_good = np.zeros_like(cells.n_good)
    for number, area in enumerate(annuli_area):
        at = np.argwhere(np.floor(cells.radius / 10) == number)[: math.ceil(area)]
        n_good[0, at[:, 0], at[:, 1]] = 4
        n_good[0, at[-1, 0], at[-1, 1]] -= round((math.ceil(area) - area) * 4)
    return replace(cells, n_good=n_good)


def test_profile_takes_annuli_that_are_large_enough():
    edges = (0.0, 10.0, 20.0, 30.0)
    cells = ring(20.0, 200.0, 199.75)
    table, contamination = profile(cells, edges)
    assert list(table["area_arcsec2"]) == [20.0, 200.0, 199.75]
    assert (contamination.r_lo, contamination.r_hi) == (10.0, 20.0)
    assert table["n_corrected"][1] == 0
    outer = (cells.n_good[0] > 1) & (cells.radius >= 20)
    assert table["light"][2] == pytest.approx(0, abs=1e-12)  # 20 arcsec^2 are enough for the light
    assert table["light"][0] == pytest.approx(
        mean(cells.light[0][(cells.n_good[0] > 1) & (cells.radius < 10)]) - mean(cells.light[0][outer])
    )
    table, contamination = profile(ring(19.75, 199.75, 19.75), edges)
    assert list(table["r_lo"]) == [10.0]
    assert table["light"][0] == pytest.approx(0, abs=1e-12)
    assert np.isnan([contamination.n, contamination.err, contamination.r_lo, table["n_corrected"][0]]).all()
    assert profile(ring(20.0, 20.0, 200.0), edges)[1].r_lo == 20.0
    none, _ = profile(ring(1.0), edges)
    assert len(none) == 11
    assert all(len(column) == 0 for column in none.values())


def settings(**more) -> RunConfig:
    content = {
        "recipe": "seed",
        "cluster": {"name": "hand", "redshift": 0.348, "ra": RA, "dec": DEC},
        "fields": [{"name": name, "bands": {"F": f"{name}.fits"}} for name in ("a", "b")],
        "convergence": {"path": "kappa.fits", "source_redshift": 3.0},
        **more,
    }
    return RunConfig.model_validate(content)


def tan(shape, scale, y, x) -> str:
    """WCS cards of a field without rotation whose pixel (y, x) lies on the cluster's centre."""
    cards = {
        "NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0], "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
        "CRVAL1": RA, "CRVAL2": DEC, "CRPIX1": x + 1, "CRPIX2": y + 1, "CDELT1": -scale / 3600,
        "CDELT2": scale / 3600, "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS",
    }  # fmt: skip
    return fits.Header(cards).tostring("\n")


def flat_kappa(values, scale=1.0) -> Kappa:
    middle = (np.array(values.shape) - 1) / 2
    return Kappa(values, tan(values.shape, scale, *middle), 0.785, 0.785, 1.0, "kappa.fits")


RADII = np.array([0.0, 59.999, 60.001, 100.0])


def test_masses_by_hand():
    c, G, Msun, kpc = 299792.458e3, 6.6743e-11, 1.98840987e30, 3.0856775814913674e19

    def comoving(z):  # m; Om0 0.3, H0 70: Simpson's rule by hand
        edges = np.linspace(0, z, 2001)
        f = 1 / np.sqrt(0.3 * (1 + edges) ** 3 + 0.7)
        return c / (70e3 / (1e3 * kpc)) * z / 6000 * (f[0] + 4 * f[1::2].sum() + 2 * f[2:-1:2].sum() + f[-1])

    lens = comoving(0.348) / 1.348
    scaling = 1 - comoving(0.348) / comoving(3.0)
    sigma_cr = c**2 / (4 * math.pi * G * lens * scaling) * kpc**2 / Msun
    within = sigma_cr * 0.4 * math.pi * (60 / 3600 * math.pi / 180 * lens / kpc) ** 2
    found = masses(settings(), flat_kappa(np.full((151, 151), 0.4)), RADII)
    assert found.sigma_cr == pytest.approx(sigma_cr, rel=1e-5)
    assert found.sigma_cr == pytest.approx(2.088e9, rel=1e-3)
    assert found.mean_kappa == pytest.approx(0.4, rel=1e-12)
    assert found.lens == pytest.approx(within, rel=1e-5)
    assert found.n_gc_aperture == 2
    assert found.virial_from_counts == 4 * 5e9
    assert found.gc_from_ratio == pytest.approx(found.lens * 2.9e-5, rel=1e-12)
    assert found.mean_gc == pytest.approx(found.lens * 2.9e-5 / 2, rel=1e-12)
    assert np.isnan(masses(settings(), flat_kappa(np.full((151, 151), 0.4)), RADII[2:]).mean_gc)
    assert np.isnan(masses(settings(), None, RADII).lens)
    assert masses(settings(convergence=None), None, RADII).virial_from_counts == 4 * 5e9


@pytest.mark.parametrize(("missing", "enough"), [(0.0095, True), (0.0105, False)])
def test_a_mass_needs_the_whole_aperture(missing, enough):
    values = np.full((301, 301), 0.4)
    inside = np.argwhere(np.hypot(*np.indices(values.shape) - 150) * 0.5 <= 59)
    lost = inside[: round(missing * math.pi * 60**2 / 0.25)]
    values[lost[:, 0], lost[:, 1]] = np.nan
    found = masses(settings(), flat_kappa(values, 0.5), RADII)
    derived = [found.mean_kappa, found.lens, found.gc_from_ratio, found.mean_gc]
    assert np.isfinite(derived).all() == enough
    assert np.isnan(derived).all() != enough
    assert found.virial_from_counts == 4 * 5e9


def test_hidden_in_all_combinations_of_bits():
    for bits in range(64):
        no_data, edge, bright, extended, spike, region = (bool(bits & 1 << k) for k in range(6))
        want = (bright or extended or spike or region) and not edge
        if no_data and not (bright or spike):  # a saturated core inside a star's mask is masked like the rest
            want = False
        assert hidden(np.array([[bits]], np.uint8))[0, 0] == want, bits


FIELDS = {
    "a": ((41, 37), 0.5, Fraction(20), Fraction(17)),
    "b": ((50, 45), 0.4, Fraction("-3.3"), Fraction("20.3")),
}
"""Shape, arcsec a pixel, and the pixel (y, x) on the cluster's centre: in a it is the centre of one."""


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Two fields that overlap, in stores, and what is in them."""
    folder, tiles, held = tmp_path_factory.mktemp("hand"), [], {}
    for name, (shape, scale, y, x) in FIELDS.items():
        draw = np.random.default_rng(ord(name))
        path = str(folder / f"{name}.zarr")
        store.create(path, ARRAYS, shape=shape, bands=("F",), shard=16, attrs={})
        mask = draw.choice([0, 0, 0, 0, 0, 0, 1, 2, 4, 5, 8, 16, 32, 33], shape).astype(np.uint8)
        light, rho, density = draw.exponential(1, (3, *shape)).astype(np.float32)
        light[mask & 1 > 0], rho[mask & 1 > 0] = np.nan, np.nan
        held[name] = {"mask": mask, "light": light, "rho": rho, "density": density * np.float32(4)}
        grid = TileGrid(shape, 16)
        for array, values in held[name].items():
            for tile in grid.tiles():
                store.write(path, array, tile.core, values[tile.core.slices])
        source = FieldSource(
            name, shape, (BandSource("F", None),), "", tan(shape, scale, float(y), float(x)), scale, scale**2,
            has_err=False, has_wht=False, store=path,
        )  # fmt: skip
        tiles.append(FieldTiles(source, path, grid))
    nowhere: Any = SimpleNamespace()
    config = settings(comparison={"pixel": 1.0}, inpaint={"realisations": 40, "seed": 5})
    return Setup(config, nowhere, nowhere, SerialEngine(), tuple(tiles), SkyGrid(RA, DEC, 1.0)), held


def test_add_up_counts_the_sky_once(fields, caplog):
    setup, held = fields
    pixels: dict[Any, Any] = defaultdict(lambda: ([], []))
    for number, (name, (shape, scale, y0, x0)) in enumerate(FIELDS.items()):
        size = Fraction(str(scale))
        for y, x in np.ndindex(shape):
            if not held[name]["mask"][y, x] & 1:
                pixels[math.floor((y - y0) * size), math.floor((x0 - x) * size)][number].append((name, y, x))
    draw = np.random.default_rng(3)
    places = [(name, y, x) for lists in pixels.values() for one in lists for name, y, x in one]
    places = [places[k] for k in sorted(draw.choice(len(places), 900, replace=False))]
    sources = {"field": np.array([p[0] for p in places], object)} | {
        axis: np.array([p[k] for p in places], np.int32) for k, axis in ((1, "y"), (2, "x"))
    }
    values = np.add(*np.indices((21, 21)) * np.array([0.1, 0.03])[:, None, None])
    cells = add_up(setup, sources, flat_kappa(values, 2.0))
    assert "overlap on" in caplog.text
    assert (cells.j0 % 3, cells.i0 % 3) == (0, 0)
    assert (cells.kappa.shape[0] % 3, cells.kappa.shape[1] % 3) == (0, 0)
    shared = 0
    for j, i, eta, xi in each_cell(cells):
        lists = pixels.pop((cells.j0 + j, cells.i0 + i), ([], []))
        owner = 0 if len(lists[0]) >= len(lists[1]) else 1
        shared += bool(lists[0] and lists[1])
        for number, listed in enumerate(lists):
            own = listed if number == owner else []
            bits = [held[name]["mask"][y, x] for name, y, x in own]
            assert cells.n_pixels[number, j, i] == len(listed)
            assert cells.n_good[number, j, i] == sum(bit == 0 for bit in bits)
            assert cells.n_inside[number, j, i] == sum(not bit & 3 for bit in bits)
            assert cells.n_gc[number, j, i] == sum(place in own for place in places)
            if any(bit == 0 for bit in bits):
                light = [held[name]["light"][y, x] for name, y, x in own if held[name]["mask"][y, x] == 0]
                assert cells.light[number, j, i] == pytest.approx(
                    mean(light) / cells.pixel_area[number], rel=1e-12
                )
            if any(not bit & 3 for bit in bits):
                rho = [held[name]["rho"][y, x] for name, y, x in own if not held[name]["mask"][y, x] & 3]
                assert cells.rho[number, j, i] == pytest.approx(mean(rho), rel=1e-12)
        kappa = 0.1 * (10 + eta / 2) + 0.03 * (10 - xi / 2)
        within = abs(eta) < 20 and abs(xi) < 20
        assert cells.kappa[j, i] == pytest.approx(kappa if within else math.nan, abs=1e-9, nan_ok=True)
    assert shared > 30
    assert not pixels  # every pixel with data lies in a cell
    np.testing.assert_allclose(cells.pixel_area, [0.25, 0.16])


def test_inpaint_draws_what_the_masks_hide(fields):
    setup, held = fields
    drawn = inpaint(setup)
    assert list(drawn["realisation"]) == sorted(drawn["realisation"])
    for name, arrays in held.items():
        mine = drawn["field"] == name
        count = np.zeros(arrays["mask"].shape)
        np.add.at(count, (drawn["y"][mine], drawn["x"][mine]), 1)
        want = hidden(arrays["mask"])
        assert not count[~want].any()
        expected = float(arrays["density"][want].sum()) * FIELDS[name][1] ** 2 * 40
        assert count.sum() == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert set(drawn["realisation"]) == set(range(40))


def test_weights_that_are_no_weights_are_no_data():
    sci = np.arange(12, dtype=np.float32).reshape(2, 1, 6) / 4
    sci[1, 0, 5] = np.inf
    wht = np.ones((2, 1, 6), np.float32)
    wht[0, 0, :4] = [np.nan, 0, -1, 1e-30]
    light, valid = add_bands(sci, wht)
    np.testing.assert_array_equal(valid, [[False, False, False, True, True, False]])
    np.testing.assert_array_equal(light, [[np.nan, np.nan, np.nan, 0.75 + 2.25, 1.0 + 2.5, np.nan]])
    np.testing.assert_array_equal(add_bands(sci, None)[1], [[True] * 5 + [False]])


KINDS = ("gc", "member_gc", "background_point", "background_extended", "star", "galaxy")
LIMIT = 0.5


@pytest.fixture(scope="module")
def mock():
    """Planted objects in two fields of 100 x 200 pixels of 0.2 arcsec, and a catalogue of some of them and others."""
    draw = np.random.default_rng(11)
    grid, size = SkyGrid(RA, DEC, 1.0), 400
    field = draw.choice(["a", "b", ""], size, p=[0.5, 0.45, 0.05])
    y, x = draw.uniform(-0.5, 99.5, size), draw.uniform(-0.5, 199.5, size)
    y[60:90], x[60:90] = y[:30] + draw.normal(0, 1.5, 30), x[:30] + draw.normal(0, 1.5, 30)
    field[60:90] = field[:30]
    xi, eta = 20 - 0.2 * x, 0.2 * y - np.where(field == "a", 0, 20)
    y[field == ""] = x[field == ""] = np.nan
    xi[field == ""] = eta[field == ""] = 300.0
    ra, dec = grid.radec(xi, eta)
    flux = draw.pareto(0.8, (size, 2)) * 2
    truth = QTable(
        {
            "kind": draw.choice(KINDS, size, p=[0.4, 0.1, 0.1, 0.2, 0.1, 0.1]), "field": field, "ra": ra, "dec": dec,
            "y": y, "x": x, "flux_F1": flux[:, 0], "flux_F2": flux[:, 1],
        }
    )  # fmt: skip
    peak = 0.1 * flux.sum(axis=1) * draw.lognormal(0, 0.2, size)
    on = np.flatnonzero((field != "") & (peak > LIMIT) & (draw.random(size) < 0.8))
    catalogue = {
        "field": np.append(field[on], ["a", "b"] * 10).astype(object),
        "y": np.append(np.rint(y[on]) + draw.integers(-1, 2, on.size), draw.integers(0, 100, 20)).astype(
            np.int32
        ),
        "x": np.append(np.rint(x[on]) + draw.integers(-1, 2, on.size), draw.integers(0, 200, 20)).astype(
            np.int32
        ),
        "peak": np.append(peak[on], draw.uniform(LIMIT, 3, 20)).astype(np.float32),
    }
    cells = sky((42, 42), j0=-21, i0=-21, seed=6)
    belongs = np.stack([cells.eta > 0, cells.eta < 0])[:, :, None] & (draw.random(cells.kappa.shape) < 0.9)
    cells = replace(cells, n_pixels=4 * belongs, n_good=4 * belongs, n_inside=4 * belongs)
    return truth, cells, catalogue, (xi, eta)


def test_truth(mock):
    truth, cells, catalogue, (xi, eta) = mock
    edges = (2.0, 7.0, 12.0, 21.0)
    found = planted(truth, cells, catalogue, LIMIT, edges, 3.0, 3.0)
    rows = range(len(truth))
    flux = [truth["flux_F1"][k] + truth["flux_F2"][k] for k in rows]
    peaks = list(zip(*(catalogue[name] for name in ("field", "y", "x", "peak")), strict=True))

    def near(k, field, y, x):
        return truth["field"][k] == field and math.hypot(truth["y"][k] - y, truth["x"][k] - x) <= 1.5

    points = [k for k in rows if truth["kind"][k] in {"gc", "member_gc", "background_point"}]
    ratios = []
    for field, y, x, peak in peaks:
        under = [flux[k] for k in points if near(k, field, y, x)]
        if peak >= 2 * LIMIT and under:
            ratios.append(peak / max(under))
    assert len(ratios) > 20
    response = float(np.median(ratios))
    assert found.response == pytest.approx(response, rel=1e-6)
    limit = LIMIT / response
    assert found.flux_limit == pytest.approx(limit, rel=1e-6)
    resolved = [k for k in rows if truth["kind"][k] == "background_extended"]
    seen = {**{k: flux[k] for k in points}, **{k: 0.18 * flux[k] for k in resolved}}

    kept = {}
    for k in rows:
        j, i = math.floor(eta[k]) - cells.j0, math.floor(xi[k]) - cells.i0
        kept[k] = abs(eta[k]) < 21 and abs(xi[k]) < 21 and bool(cells.kept[j, i])
    bright = [k for k in seen if seen[k] >= limit]
    assert found.n == sum(kept[k] for k in bright)
    assert 0 < found.n < len(bright)
    sought = [k for k in seen if seen[k] >= 2 * limit and kept[k]]
    caught = [k for k in sought if any(near(k, *peak[:3]) for peak in peaks)]
    assert found.completeness == pytest.approx(len(caught) / len(sought), rel=1e-14)
    likely = [k for k in seen if seen[k] >= limit / 3]
    real = [peak for peak in peaks if any(near(k, *peak[:3]) for k in likely)]
    assert found.purity == pytest.approx(len(real) / len(peaks), rel=1e-14)
    assert 0.3 < found.completeness < 1
    assert 0.3 < found.purity < 1

    apart: list[tuple[str, int, int, int]] = []
    for k in sorted((k for k in bright if truth["field"][k]), key=lambda k: -seen[k]):
        place = truth["field"][k], math.floor(truth["y"][k] + 0.5), math.floor(truth["x"][k] + 0.5)
        if not any(f == place[0] and (v - place[1]) ** 2 + (u - place[2]) ** 2 <= 9 for f, v, u, _ in apart):
            apart.append((*place, k))
    count = np.zeros(cells.n_gc.shape, np.int64)
    for name, chosen in (("n_gc", bright), ("n_apart", [k for *_, k in apart])):
        want = []
        for field, r_lo in zip(found.profile["field"], found.profile["r_lo"], strict=True):
            r_hi = edges[edges.index(r_lo) + 1]
            number = 0
            for k in chosen:
                j, i = math.floor(eta[k]), math.floor(xi[k])
                at = truth["field"][k] == field and r_lo <= math.hypot(j + 0.5, i + 0.5) < r_hi
                number += at and bool(cells.kept_of(cells.fields.index(field))[j - cells.j0, i - cells.i0])
            want.append(number)
        assert found.profile[name].tolist() == want, name
    assert len(found.profile["n_gc"]) == 6
    assert sum(found.profile["n_apart"]) < sum(found.profile["n_gc"])
    for k in bright:
        if kept[k]:
            count[
                cells.fields.index(truth["field"][k]),
                math.floor(eta[k]) - cells.j0,
                math.floor(xi[k]) - cells.i0,
            ] += 1
    again = fit(boxes(replace(cells, n_gc=count), 3.0))
    assert found.relation.bins["n_boxes"].sum() > 50
    for name, values in found.relation.bins.items():
        np.testing.assert_array_equal(values, again.bins[name])


def test_truth_without_a_catalogue_knows_nothing(mock):
    truth, cells, catalogue, _ = mock
    empty = {name: column[:0] for name, column in catalogue.items()}
    found = planted(truth, cells, empty, LIMIT, (2.0, 7.0, 21.0), 3.0, 3.0)
    assert np.isnan([found.response, found.flux_limit, found.completeness, found.purity]).all()
    assert found.n == 0
    assert not found.profile["n_gc"].any()
