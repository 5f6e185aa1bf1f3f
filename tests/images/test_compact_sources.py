"""Bright sources of a window: positions, fluxes and shapes compared with those of the simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.images.audits.compact_sources import APERTURE, MARGIN, RADII, compact_sources
from tilegc.images.audits.points import width

SIGMA = 0.9


def scene(flux=50.0, sigma=SIGMA, seed=1, shape=(200, 200), step=20):
    """Gaussians of one flux on a grid, at any phase of a pixel; returns image and (y, x)."""
    draw = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.arange(15, n - 14, step, dtype=float) for n in shape), indexing="ij")
    y, x = y.ravel() + draw.uniform(-0.5, 0.5, y.size), x.ravel() + draw.uniform(-0.5, 0.5, x.size)
    rows, columns = np.indices(shape)
    image = np.zeros(shape)
    for cy, cx in zip(y, x, strict=True):
        image += (
            flux / (2 * np.pi * sigma**2) * np.exp(-((rows - cy) ** 2 + (columns - cx) ** 2) / (2 * sigma**2))
        )
    return image.astype(np.float32), np.column_stack([y, x])


def in_order(table, places):
    """Return for every planted place the row of the source nearest to it."""
    distance = np.hypot(table["y"][None] - places[:, :1], table["x"][None] - places[:, 1:])
    assert (distance.min(axis=1) < 1).all()
    return distance.argmin(axis=1)


def test_places_and_fluxes():
    image, places = scene()
    table = compact_sources(image, np.ones(image.shape, bool), 0.1)
    assert len(table["y"]) == len(places)
    row = in_order(table, places)
    np.testing.assert_allclose(np.column_stack([table["y"], table["x"]])[row], places, atol=0.03)
    np.testing.assert_allclose(table["flux"], 50, rtol=0.01)
    assert table["isolated"].all()
    assert np.isnan(table["weight_dip"]).all()


@pytest.mark.parametrize("sigma", [0.75, 0.9, 1.2, 1.7])
def test_width_of_the_median_profile(sigma):
    image, _ = scene(sigma=sigma)
    table = compact_sources(image, np.ones(image.shape, bool), 0.01)
    assert width(table["profile"]) == pytest.approx(2.3548 * sigma, rel=0.06)


def test_no_width_without_a_profile():
    assert np.isnan(width(np.full((9, RADII.size), np.nan)))
    assert np.isnan(width(np.ones((9, RADII.size))))


def test_a_lower_core_and_a_dip_of_the_weight_show():
    image, places = scene()
    weight = np.full(image.shape, 4.0, np.float32)
    whole = compact_sources(image, np.ones(image.shape, bool), 0.1, weight)
    np.testing.assert_allclose(whole["weight_dip"], 0, atol=1e-12)
    eaten = image.copy()
    for y, x in np.rint(places).astype(int):
        eaten[y - 1 : y + 2, x - 1 : x + 2] *= 0.6
        weight[y - 1 : y + 2, x - 1 : x + 2] = 1.0
    table = compact_sources(eaten, np.ones(image.shape, bool), 0.1, weight)
    # A core that is cut in whole pixels is not round: its centroid may lie a pixel beside the cut's middle.
    assert (table["weight_dip"] > 0.3).all()
    assert np.median(table["weight_dip"]) >= 0.5
    assert table["weight_dip"].max() == pytest.approx(0.75)
    assert np.median(table["core"]) < 0.95 * np.median(whole["core"])


def test_what_is_left_out():
    image, places = scene()
    valid = np.ones(image.shape, bool)
    y, x = np.rint(places[0]).astype(int)
    valid[y, x + 2] = False
    assert len(compact_sources(image * valid, valid, 0.1)["y"]) == len(places) - 1
    near = image.copy()
    near[y, x + 5] += 200  # a brighter neighbour
    table = compact_sources(near, np.ones(image.shape, bool), 0.1)
    assert (~table["isolated"]).sum() == 1
    assert not len(compact_sources(image, np.ones(image.shape, bool), np.nan)["y"])
    assert not len(compact_sources(image, np.ones(image.shape, bool), 1e6)["y"])
    assert not len(compact_sources(image[: 2 * MARGIN], np.ones((2 * MARGIN, 200), bool), 0.1)["y"])
    assert APERTURE < MARGIN
