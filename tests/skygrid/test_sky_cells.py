"""The mesh and the cells of the sky grid, pixel by pixel."""

import math
from collections import defaultdict

import numpy as np
import pytest

from tilegc.geometry import Box
from tilegc.kernels.mesh import Mesh, nodes, offsets
from tilegc.skygrid.cell_sums import SkyPartial, accumulate_cells, cells, combine_sky

SHAPE = (150, 200)


def linear(shape=SHAPE, step=64, scale=0.03, angle=0.4, corner=(-2.0, 1.5)):
    y, x = np.meshgrid(*nodes(shape, step), indexing="ij")
    xi = -scale * (np.cos(angle) * x + np.sin(angle) * y) - corner[0]
    eta = scale * (np.cos(angle) * y - np.sin(angle) * x) - corner[1]
    return Mesh(xi, eta, step)


def test_nodes_cover_the_field_and_no_more_than_needed():
    for shape in ((1, 1), (64, 65), (128, 129), (63, 4400)):
        rows, columns = nodes(shape)
        for size, places in zip(shape, (rows, columns), strict=True):
            assert places[0] == 0
            assert (np.diff(places) == 64).all()
            assert places[-2] <= size - 1 < places[-1]


def test_offsets_of_a_linear_sky_are_linear():
    mesh = linear()
    xi, eta = offsets(mesh, Box(0, 0, *SHAPE))
    y, x = np.indices(SHAPE)
    np.testing.assert_allclose(xi, -0.03 * (np.cos(0.4) * x + np.sin(0.4) * y) + 2.0, atol=1e-13)
    np.testing.assert_allclose(eta, 0.03 * (np.cos(0.4) * y - np.sin(0.4) * x) - 1.5, atol=1e-13)
    assert xi[64, 128] == mesh.xi[1, 2]
    assert eta[128, 0] == mesh.eta[2, 0]


def test_offsets_are_bilinear_between_nodes():
    rng = np.random.default_rng(3)
    mesh = Mesh(rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), 8)
    xi, eta = offsets(mesh, Box(0, 0, 24, 32))
    for y, x in ((0, 0), (3, 5), (8, 16), (23, 31), (12, 7)):
        (j, v), (i, u) = divmod(y / 8, 1), divmod(x / 8, 1)
        j, i = int(j), int(i)
        for values, result in ((mesh.xi, xi), (mesh.eta, eta)):
            expected = (1 - v) * ((1 - u) * values[j, i] + u * values[j, i + 1])
            expected += v * ((1 - u) * values[j + 1, i] + u * values[j + 1, i + 1])
            assert result[y, x] == pytest.approx(expected, abs=1e-14)


def test_the_mesh_is_fine_enough_for_two_tangent_planes():
    """A mosaic on its own tangent plane, 3 arcmin from the cluster's: the error stays below 1e-5 px."""

    def offsets_at(y, x):
        arcsec = math.pi / 180 / 3600
        u, v = np.tan(0.0) - 0.03 * arcsec * (x - 2200), 0.03 * arcsec * (y - 2200)
        distance = 180 * arcsec  # gnomonic to gnomonic: rotate the sphere by this, along v
        depth = np.cos(distance) - v * np.sin(distance)
        return u / depth / arcsec, (np.sin(distance) + v * np.cos(distance)) / depth / arcsec

    y, x = np.meshgrid(*nodes((4400, 4400)), indexing="ij")
    mesh = Mesh(*offsets_at(y, x))
    for box in (Box(0, 0, 70, 70), Box(2190, 2190, 2260, 2260), Box(4330, 4330, 4400, 4400)):
        ys, xs = np.mgrid[box.slices]
        for found, true in zip(offsets(mesh, box), offsets_at(ys, xs), strict=True):
            assert np.abs(found - true).max() < 1e-5 * 0.03


def test_a_cell_holds_its_lower_edge():
    rows = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    mesh = Mesh(rows, rows.T, 4)
    i_eta, i_xi = cells(mesh, Box(0, 0, 4, 4), 0.5)
    np.testing.assert_array_equal(i_xi, [[-2, -1, 0, 1]] * 4)
    np.testing.assert_array_equal(i_eta, np.transpose([[-2, -1, 0, 1]] * 4))
    assert i_xi.dtype == i_eta.dtype == np.int64


def test_sums_are_those_of_every_single_pixel():
    rng = np.random.default_rng(8)
    mesh, box = linear(), Box(20, 30, 150, 200)
    mask = rng.choice(np.array([0, 0, 0, 1, 2, 3, 4, 32, 34], np.uint8), box.shape)
    light = (rng.normal(size=box.shape) * 10.0 ** rng.integers(-20, 20, box.shape)).astype(np.float32)
    rho = rng.exponential(size=box.shape).astype(np.float32)
    light[mask != 0], rho[(mask & 3) != 0] = np.nan, np.nan
    xi, eta = offsets(mesh, box)
    lists = defaultdict(lambda: ([], [], []))
    for y, x in np.ndindex(box.shape):
        data, good, inside = lists[math.floor(eta[y, x] / 0.3), math.floor(xi[y, x] / 0.3)]
        if not mask[y, x] & 1:
            data.append(1)
        if mask[y, x] == 0:
            good.append(light[y, x])
        if not mask[y, x] & 3:
            inside.append(rho[y, x])
    partial = accumulate_cells(4, mesh, box, 0.3, mask=mask, light=light, rho=rho)
    assert list(partial.fields) == [4]
    found = partial.fields[4]
    light_sum, rho_sum = found.light_sum(), found.rho_sum()
    held = {key for key, (data, _, _) in lists.items() if data}
    assert found.box == Box(
        min(j for j, _ in held),
        min(i for _, i in held),
        max(j for j, _ in held) + 1,
        max(i for _, i in held) + 1,
    )
    for (j, i), _ in np.ndenumerate(found.n_pixels):
        data, good, inside = lists[j + found.origin[0], i + found.origin[1]]
        assert found.n_pixels[j, i] == len(data)
        assert found.n_good[j, i] == len(good)
        assert found.n_inside[j, i] == len(inside)
        assert light_sum[j, i] == math.fsum(good)
        assert rho_sum[j, i] == math.fsum(inside)


def test_a_tile_without_data_adds_nothing():
    mesh, box = linear(), Box(0, 0, 3, 4)
    nothing = np.full(box.shape, np.nan, np.float32)
    partial = accumulate_cells(
        0, mesh, box, 0.3, mask=np.ones(box.shape, np.uint8), light=nothing, rho=nothing
    )
    assert not partial.fields
    assert not combine_sky(partial, SkyPartial()).fields


def test_what_makes_no_sense_is_refused():
    mesh, box = linear(), Box(0, 0, 3, 4)
    mask, values = np.zeros(box.shape, np.uint8), np.ones(box.shape, np.float32)
    with pytest.raises(ValueError, match="extends beyond"):
        offsets(mesh, Box(0, 0, 193, 10))
    with pytest.raises(ValueError, match="extends beyond"):
        cells(mesh, Box(-1, 0, 3, 3), 0.3)
    with pytest.raises(ValueError, match="for a box"):
        accumulate_cells(0, mesh, box, 0.3, mask=mask, light=values[:2], rho=values)
    with pytest.raises(ValueError, match="finite"):
        accumulate_cells(0, mesh, box, 0.3, mask=mask, light=values * np.float32(np.nan), rho=values)
    with pytest.raises(ValueError, match="one shape"):
        Mesh(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no sky position"):
        Mesh(np.zeros((2, 2)), np.full((2, 2), np.nan))
