"""From masks and pixels to cells on the sky: each pixel counted once, and what masks hide."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.support.hand import DEC, RA, each_cell, flat_kappa, mean, sky, tan
from tilegc.config import Inpaint
from tilegc.density.inpainting import hidden, inpaint
from tilegc.engine import FieldTiles
from tilegc.filter.detection_map import add_bands
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.phases.context import Context
from tilegc.schema import ARRAYS
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import add_up


def test_what_cells_say_of_themselves():
    cells = replace(sky((3, 5), j0=-1, i0=2), pixel_area=np.array([0.25, 0.24]))
    cells.n_good[:, 1, 1] = 1  # 0.49 of the cell in both together
    cells.n_good[:, 1, 2] = 2, 0  # just half of it
    kept, inside = np.zeros((3, 5), bool), np.zeros((2, 3, 5), bool)
    for j, i, eta, xi in each_cell(cells):
        good = [int(n) * a for n, a in zip(cells.n_good[:, j, i], (0.25, 0.24), strict=True)]
        kept[j, i] = sum(good) >= 0.5
        assert cells.radius[j, i] == pytest.approx(math.sqrt(eta**2 + xi**2), rel=1e-14)
        assert (cells.eta[j], cells.xi[i]) == (eta, xi)
        for field, area in enumerate(good):
            assert cells.good_area[field, j, i] == area
            assert cells.kept_of(field)[j, i] == (area >= 0.5)
            inside[field, j, i] = cells.n_inside[field, j, i] * (0.25, 0.24)[field] >= 0.5
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
        mask = draw.choice([0, 0, 0, 0, 0, 0, 1, 2, 4, 5, 8, 16, 32, 33, 64], shape).astype(np.uint8)
        light, rho, density = draw.exponential(1, (3, *shape)).astype(np.float32)
        light[mask & 1 > 0], rho[mask & 1 > 0] = np.nan, np.nan
        held[name] = {"mask": mask, "light": light, "rho": rho, "density": density * np.float32(4)}
        grid = TileGrid(shape, 16)
        for array, values in held[name].items():
            for tile in grid.tiles():
                store.write(path, array, tile.core, values[tile.core.slices])
        source = FieldSource(
            name,
            shape,
            (BandSource("F", None),),
            "",
            tan(shape, scale, float(y), float(x)),
            scale,
            scale**2,
            has_err=False,
            has_wht=False,
            store=path,
        )
        tiles.append(FieldTiles(source, path, grid))
    return Context(fields=tuple(tiles)), held


def test_add_up_counts_the_sky_once(fields, caplog):
    context, held = fields
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
        axis: np.array([p[k] for p in places], np.int32) for k, axis in ((1, "y_peak"), (2, "x_peak"))
    }
    values = np.add(*np.indices((21, 21)) * np.array([0.1, 0.03])[:, None, None])
    cells = add_up(context, SkyGrid(RA, DEC, 1.0), 3.0, sources, flat_kappa(values, 2.0))
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
    context, held = fields
    drawn = inpaint(context, Inpaint(realisations=40, seed=5))
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
