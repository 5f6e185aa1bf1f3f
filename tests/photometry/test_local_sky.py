"""The plane of the sky under each source: compared with dense least squares, and beside a galaxy."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.kernels.psf_model import model
from tilegc.photometry.local_sky import BOX, HALF, kernel, planes
from tilegc.photometry.spline_psf import from_psf

PSF = from_psf(model("F150W", 0.031, 40), 10)
SIDE = 41
AT = 20


def dense(
    residual: np.ndarray, weight: np.ndarray, shape: np.ndarray, terms: int
) -> tuple[np.ndarray, float]:
    """Plane and variance of the flux, by least squares over the box."""
    box = slice(AT - HALF, AT + HALF + 1), slice(AT - HALF, AT + HALF + 1)
    y, x = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
    image = np.zeros((SIDE, SIDE))
    image[AT - 10 : AT + 11, AT - 10 : AT + 11] = shape
    columns = [np.ones_like(y), y, x][:terms]
    design = np.stack([*columns, image[box]], axis=-1).reshape(-1, terms + 1)
    root = np.sqrt(weight[box].astype(float).ravel())
    solution, *_ = np.linalg.lstsq(root[:, None] * design, root * residual[box].ravel(), rcond=None)
    matrix = (root[:, None] * design).T @ (root[:, None] * design)
    return solution[:terms], np.linalg.inv(matrix)[-1, -1] * matrix[-1, -1]


def fit(residual: np.ndarray, weight: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, float]:
    one = np.array([AT])
    plane, growth = planes(residual, weight, (one, one), (one, one), shape[None], np.array([0]))
    return plane[0], growth[0]


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-AT : AT + 1, -AT : AT + 1]
    residual = 0.3 + 0.02 * y - 0.05 * x + rng.normal(0, 0.02, (SIDE, SIDE))
    weight = rng.uniform(1000, 3000, (SIDE, SIDE))
    shape = PSF.image(0.2, -0.3)
    residual[AT - 10 : AT + 11, AT - 10 : AT + 11] += 4.0 * shape
    return residual.astype(np.float32), weight.astype(np.float32), shape


def test_the_plane_is_that_of_dense_least_squares_with_a_free_flux(scene):
    residual, weight, shape = scene
    plane, growth = fit(residual, weight, shape)
    expected, more = dense(residual, weight, shape, 3)
    np.testing.assert_allclose(plane, expected, atol=1e-9)
    assert growth == pytest.approx(more)
    assert 1.0 < growth < 1.2


def test_half_a_box_gives_a_plane_and_a_corner_a_constant_or_nothing(scene):
    residual, weight, shape = scene
    half = weight.copy()
    half[:, AT + 2 :] = 0
    plane, growth = fit(np.where(half > 0, residual, np.float32(np.nan)), half, shape)
    expected, more = dense(residual, half, shape, 3)
    np.testing.assert_allclose(plane, expected, atol=1e-9)
    assert growth == pytest.approx(more)
    strip = np.zeros_like(weight)
    strip[AT - 1 : AT + 2, AT - 2 : AT + 6] = weight[AT - 1 : AT + 2, AT - 2 : AT + 6]
    plane, growth = fit(residual, strip, shape)
    assert dense(residual, strip, shape, 3)[1] > 2.0
    expected, more = dense(residual, strip, shape, 1)
    np.testing.assert_allclose(plane, [expected[0], 0, 0], atol=1e-9)
    assert growth == pytest.approx(more)
    lone = np.zeros_like(weight)
    lone[AT, AT] = 1000
    plane, growth = fit(residual, lone, shape)
    assert not plane.any()
    assert growth == 1.0


def test_the_kernel_measures_fluxes_and_does_not_see_planes():
    weights = kernel(PSF.image())
    y, x = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
    cut = PSF.radius - HALF
    point = PSF.image()[cut : cut + BOX, cut : cut + BOX]
    assert (weights * point).sum() == pytest.approx(1.0)
    for light in (np.ones((BOX, BOX)), y, x):
        assert abs((weights * light).sum()) < 1e-10
