"""Splines between pixels and lattices against SciPy's B-splines and plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from tilegc.density.splines import (
    coarsen,
    interpolate,
    norm,
    refine,
    spread,
    spread_image,
    touched,
    weights,
)
from tilegc.geometry import Box


def spline(degree, distance):
    """Value of the centred B-spline, from SciPy."""
    knots = np.arange(degree + 2) - (degree + 1) / 2
    return np.nan_to_num(BSpline.basis_element(knots, extrapolate=False)(distance))


@pytest.mark.parametrize(("step", "degree"), [(1, 1), (2, 3), (8, 5), (16, 3), (32, 3), (7, 5)])
def test_weights_are_those_of_b_splines(step, degree):
    table = weights(step, degree)
    assert (table.sum(axis=1) == norm(step, degree)).all()
    for phase in {0, step // 3, step - 1}:
        nodes = np.arange(degree + 1) - degree // 2
        expected = spline(degree, phase / step - nodes)
        np.testing.assert_allclose(table[phase] / norm(step, degree), expected, atol=1e-13)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 3), (8, 5), (1, 0), (3, 1)]))
def test_spreading_and_interpolating_by_loops(seed, lattice):
    step, degree = lattice
    draw = np.random.default_rng(seed)
    box = Box(*(start := draw.integers(0, 40, 2)), *(start + draw.integers(1, 20, 2)))
    nodes = touched(box, step, degree)
    y, x = draw.integers(box.y0, box.y1, 6), draw.integers(box.x0, box.x1, 6)
    weight = draw.random(6)

    def at(position, index):
        if degree == 0:
            return float(position == index)
        return float(spline(degree, np.array([position / step - index]))[0])

    expected = np.array(
        [
            [
                sum(w * at(a, j) * at(b, i) for w, a, b in zip(weight, y, x, strict=True))
                for i in range(nodes.x0, nodes.x1)
            ]
            for j in range(nodes.y0, nodes.y1)
        ]
    )
    found = spread(y, x, weight, step, degree, nodes)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert found.sum() == pytest.approx(weight.sum())  # every point lies among its nodes
    wide = interpolate(found, nodes, box, step, degree)
    py, px = y[0], x[0]
    here = sum(
        found[j - nodes.y0, i - nodes.x0] * at(py, j) * at(px, i)
        for j in range(nodes.y0, nodes.y1)
        for i in range(nodes.x0, nodes.x1)
    )
    assert wide[py - box.y0, px - box.x0] == pytest.approx(here)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 3), (1, 0), (32, 3), (2, 1)]))
def test_images_are_spread_exactly_in_any_cut(seed, lattice):
    draw = np.random.default_rng(seed)
    box = Box(*(start := draw.integers(0, 300, 2)), *(start + draw.integers(2, 40, 2)))
    image = draw.integers(0, 3, box.shape).astype(np.uint8)
    nodes, sums = spread_image(image, box, *lattice)
    cut = box.y0 + int(draw.integers(1, box.shape[0]))
    parts = np.zeros_like(sums)
    for y0, y1 in ((box.y0, cut), (cut, box.y1)):
        part = Box(y0, box.x0, y1, box.x1)
        of, values = spread_image(image[y0 - box.y0 : y1 - box.y0], part, *lattice)
        parts[of.within(nodes)] += values
    np.testing.assert_array_equal(parts, sums)
    y, x = np.nonzero(image)
    points = spread(y + box.y0, x + box.x0, image[y, x].astype(float), *lattice, nodes)
    np.testing.assert_allclose(sums / norm(*lattice) ** 2, points, rtol=1e-12, atol=1e-14)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 5]))
def test_lattices_of_half_the_step_hold_the_same_sums(seed, degree):
    draw = np.random.default_rng(seed)
    box = Box(*(start := draw.integers(0, 60, 2)), *(start + draw.integers(1, 50, 2)))
    step = int(draw.choice([2, 8]))
    fine, coarse = touched(box, step, degree), touched(box, 2 * step, degree)
    values = draw.normal(size=coarse.shape)
    finer = refine(values, coarse, fine, degree)
    np.testing.assert_allclose(
        interpolate(finer, fine, box, step, degree),
        interpolate(values, coarse, box, 2 * step, degree),
        atol=1e-12,
    )
    y, x = draw.integers(box.y0, box.y1, 9), draw.integers(box.x0, box.x1, 9)
    charges = spread(y, x, np.ones(9), step, degree, fine)
    np.testing.assert_allclose(
        coarsen(charges, fine, coarse, degree), spread(y, x, np.ones(9), 2 * step, degree, coarse), atol=1e-12
    )


def test_what_would_not_be_exact_is_refused():
    with pytest.raises(ValueError, match="must be 0 or odd"):
        weights(4, 2)
    with pytest.raises(ValueError, match="step 1"):
        weights(4, 0)
    with pytest.raises(ValueError, match="up to 32"):
        spread_image(np.ones((3, 3), bool), Box(0, 0, 3, 3), 64, 3)
    # At the largest step a full image of the largest values stays below 2^63.
    _, sums = spread_image(np.full((128, 128), 65_535, np.uint16), Box(0, 0, 128, 128), 32, 3)
    assert sums.min() >= 0
    assert sum(sums.ravel().tolist()) == 65_535 * 128**2 * norm(32, 3) ** 2
