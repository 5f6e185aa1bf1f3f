"""All fluxes and the sky at once against dense least squares, and the same floats in any tiling."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.kernels.psf_model import model
from tilegc.photometry import sky_spline as sky
from tilegc.photometry import solve as solver
from tilegc.photometry.local_sky import Planes
from tilegc.photometry.normal_matrix import Points, neighbours, rows, stamps
from tilegc.photometry.spline_psf import SplinePsf, from_psf

SHAPE = (90, 77)
PSF = from_psf(model("F150W", 0.031, 40), 10)
RADIUS = PSF.radius
N = 40


@pytest.fixture(scope="module")
def scene() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    y, x = rng.uniform(-0.5, SHAPE[0] - 0.5, N), rng.uniform(-0.5, SHAPE[1] - 0.5, N)
    weight = rng.uniform(500, 1500, SHAPE).astype(np.float32)
    weight[20:30, 10:14] = 0
    data = (design(y, x) @ rng.uniform(1, 50, N)).reshape(SHAPE) + rng.normal(0, 0.03, SHAPE) + 0.1
    data[22, 12] = np.nan
    return {"y": y, "x": x, "data": data.astype(np.float32), "weight": weight}


def points(y: np.ndarray, x: np.ndarray, y0: int = 0, x0: int = 0, own: np.ndarray | None = None) -> Points:
    row, column = np.floor(y + 0.5).astype(np.int64), np.floor(x + 0.5).astype(np.int64)
    own = np.ones(y.size, bool) if own is None else own
    return Points(np.arange(y.size), row - y0, column - x0, y - row, x - column, own)


def design(y: np.ndarray, x: np.ndarray, psf: SplinePsf = PSF) -> np.ndarray:
    """Every source's model, pixel by pixel: (pixels, sources)."""
    out = np.zeros((*SHAPE, y.size))
    for n in range(y.size):
        row, column = int(np.floor(y[n] + 0.5)), int(np.floor(x[n] + 0.5))
        image = psf.image(y[n] - row, x[n] - column)
        for j in range(-RADIUS, RADIUS + 1):
            for i in range(-RADIUS, RADIUS + 1):
                if 0 <= row + j < SHAPE[0] and 0 <= column + i < SHAPE[1]:
                    out[row + j, column + i, n] = image[j + RADIUS, i + RADIUS]
    return out.reshape(SHAPE[0] * SHAPE[1], y.size)


def splines(length: int) -> np.ndarray:
    """All splines along one axis: (pixels, splines)."""
    out = np.zeros((length, (length - 1) // sky.STEP + 4))
    for pixel in range(length):
        for k in range(out.shape[1]):
            d = abs(pixel / sky.STEP - (k - 1))
            out[pixel, k] = (4 - 6 * d**2 + 3 * d**3) / 6 if d < 1 else max(2 - d, 0.0) ** 3 / 6
    return out


def system(scene: dict[str, np.ndarray]) -> solver.System:
    found = points(scene["y"], scene["x"])
    part = rows(
        scene["data"],
        scene["weight"],
        found,
        PSF,
        stamps(found, PSF),
        (sky.basis(), 0, 0),
        Planes.flat(found.row.size),
    )
    shape = sky.grid_shape(SHAPE)
    band, right = sky.moments(
        *sky.cells(scene["data"], scene["weight"], (0, 0)), (0, 0), (0, shape[0]), (0, shape[1]), shape
    )
    return solver.System(
        part.diagonal, part.right, part.first, part.second, part.overlap, part.knot, part.sky, band, right
    )


def test_fluxes_and_sky_are_those_of_dense_least_squares(scene):
    stars, surface = design(scene["y"], scene["x"]), np.kron(splines(SHAPE[0]), splines(SHAPE[1]))
    both, weight = np.hstack([stars, surface]), scene["weight"].astype(float).ravel()
    matrix = both.T @ (weight[:, None] * both)
    right = both.T @ (weight * np.nan_to_num(scene["data"].astype(float).ravel()))
    masses, smooth = [], []
    for length in SHAPE:
        line = splines(length)
        masses.append(line.T @ line + solver.RIDGE * sky.STEP * np.eye(line.shape[1]))
        bend = np.diff(np.eye(line.shape[1]), 2, axis=0)
        smooth.append(masses[-1] + solver.SMOOTHNESS * sky.STEP * bend.T @ bend)
    local = np.diag(surface.T @ (weight[:, None] * surface)) / np.kron(*(np.diag(m) for m in masses))
    penalty = np.kron(*smooth) - (1 - solver.RIDGE) * np.kron(*masses)
    matrix[N:, N:] += np.median(local[local > 0]) * penalty
    expected = np.linalg.solve(matrix, right)
    found = solver.solve(system(scene), SHAPE)
    assert found.converged
    np.testing.assert_allclose(found.flux, expected[:N], rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.sky.ravel(), expected[N:], rtol=0, atol=1e-8)


def test_an_exact_sky_is_recovered_where_there_are_data(scene):
    stars = design(scene["y"], scene["x"])
    flux = np.linspace(1.0, 60.0, N)
    plane = 0.3 + 0.002 * np.arange(SHAPE[0])[:, None] - 0.001 * np.arange(SHAPE[1])
    data = ((stars @ flux).reshape(SHAPE) + plane).astype(np.float32)
    found = solver.solve(system({**scene, "data": data}), SHAPE)
    np.testing.assert_allclose(found.flux, flux, atol=2e-3)
    np.testing.assert_allclose(sky.evaluate(found.sky, (0, 0), SHAPE), plane, atol=2e-4)


def test_rows_are_the_same_floats_in_any_tile(scene):
    y, x = scene["y"], scene["x"]
    every = points(y, x)
    terms = np.random.default_rng(5).normal(0, 0.1, (N, 3))
    whole = rows(
        scene["data"],
        scene["weight"],
        every,
        PSF,
        stamps(every, PSF),
        (sky.basis(), 0, 0),
        Planes(every.row, every.column, terms),
    )
    pairs = dict(zip(zip(whole.first, whole.second, strict=True), whole.overlap, strict=True))
    shape = sky.grid_shape(SHAPE)
    cells = sky.cells(scene["data"], scene["weight"], (0, 0))
    knots = sky.moments(*cells, (0, 0), (0, shape[0]), (0, shape[1]), shape)
    seen, knots_seen = 0, np.zeros(shape, int)
    row, column = np.clip(np.floor(y + 0.5), 0, None), np.clip(np.floor(x + 0.5), 0, None)
    halo = 2 * sky.STEP
    for y0 in range(0, SHAPE[0], 31):
        for x0 in range(0, SHAPE[1], 17):
            y1, x1 = min(y0 + 31, SHAPE[0]), min(x0 + 17, SHAPE[1])
            top, left = max(y0 - halo, 0), max(x0 - halo, 0)
            window = slice(top, min(y1 + halo, SHAPE[0])), slice(left, min(x1 + halo, SHAPE[1]))
            own = (row >= y0) & (row < y1) & (column >= x0) & (column < x1)
            near = np.flatnonzero(
                (row >= y0 - 21) & (row < y1 + 21) & (column >= x0 - 21) & (column < x1 + 21)
            )
            some = points(y[near], x[near], top, left, own[near])
            some = Points(near, some.row, some.column, some.dy, some.dx, some.own)
            data, weight = scene["data"][window], scene["weight"][window]
            skies = Planes(some.row[some.own], some.column[some.own], terms[near[some.own]])
            part = rows(data, weight, some, PSF, stamps(some, PSF), (sky.basis(), top, left), skies)
            for name in ("diagonal", "right", "knot", "sky"):
                np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[part.number])
            for i, j, value in zip(part.first, part.second, part.overlap, strict=True):
                assert pairs[i, j] == value
            seen += part.first.size
            down, along = sky.knots_of(y0, y1, SHAPE[0]), sky.knots_of(x0, x1, SHAPE[1])
            first = top // sky.STEP, left // sky.STEP
            band, right = sky.moments(*sky.cells(data, weight, (top, left)), first, down, along, shape)
            place = slice(*down), slice(*along)
            np.testing.assert_array_equal(band, knots[0][place])
            np.testing.assert_array_equal(right, knots[1][place])
            knots_seen[place] += 1
    assert seen == len(pairs) > 50
    assert (knots_seen == 1).all()


def test_pairs_are_all_that_are_near_enough():
    rng = np.random.default_rng(0)
    y, x = rng.uniform(0, 200, 300), rng.uniform(0, 150, 300)
    some = points(y, x, own=rng.random(300) < 0.5)
    first, second = neighbours(some, 20)
    expected = [
        (i, j)
        for i in range(300)
        for j in range(i + 1, 300)
        if some.own[i] and max(abs(some.row[i] - some.row[j]), abs(some.column[i] - some.column[j])) <= 20
    ]
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == expected


@pytest.mark.parametrize("n", [0, 1])
def test_none_and_one_source(n):
    rng = np.random.default_rng(1)
    y, x = np.full(n, 40.2), np.full(n, 30.7)
    data = (design(y, x) @ np.full(n, 20.0)).reshape(SHAPE) + rng.normal(0, 1e-3, SHAPE) + 0.5
    scene = {"y": y, "x": x, "data": data.astype(np.float32), "weight": np.full(SHAPE, 1e6, np.float32)}
    found = solver.solve(system(scene), SHAPE)
    np.testing.assert_allclose(found.flux, np.full(n, 20.0), atol=0.02)


def test_without_any_data_fluxes_and_sky_are_nought():
    scene = {
        "y": np.array([40.2]),
        "x": np.array([30.7]),
        "data": np.full(SHAPE, np.nan, np.float32),
        "weight": np.zeros(SHAPE, np.float32),
    }
    found = solver.solve(system(scene), SHAPE)
    assert found.flux[0] == 0
    assert not found.sky.any()
