"""The radial trend: exact sums over annuli, and holes in a steep profile filled with the original density."""

import math

import numpy as np
import pytest

from tilegc.density.local_density import Sources, density_window, widths
from tilegc.density.splines import norm, spread_image
from tilegc.density.trend_fit import (
    TOP,
    add_annuli,
    annuli_edges,
    combine_annuli,
    fit_trend,
    trend_at,
)
from tilegc.geometry import Box, TileGrid
from tilegc.kernels import exact
from tilegc.simulation.mass import AnalyticMass
from tilegc.simulation.population import surface_density

SCALE, HALF = 0.25, 62.0
"""Arcsec a pixel, and half the side of the test's fields."""


def fields():
    axis = (np.arange(round(2 * HALF / SCALE)) + 0.5) * SCALE - HALF
    return np.meshgrid(axis, axis)


def on_lattices(values, box, lattices):
    """Return a reader of what an image of numbers leaves on the lattices."""
    scaled = np.round(values * (60_000 / max(values.max(), 1e-300))).astype(np.uint16)
    factor = max(values.max(), 1e-300) / 60_000

    def read(number, nodes):
        width = lattices[number]
        whole, sums = spread_image(scaled, box, width.step, width.degree)
        part, out = nodes.clip(whole), np.zeros(nodes.shape)
        out[part.within(nodes)] = sums[part.within(whole)] * (factor / norm(width.step, width.degree) ** 2)
        return out

    return read


def filled(counts, good, hidden, centre, steps):
    """Return the density under the masks after some fits of the trend; `counts` may be expected counts."""
    box, lattices, area = Box(0, 0, *counts.shape), widths(2.0 / SCALE), SCALE**2
    sources = Sources(*(on_lattices(v, box, lattices) for v in (good.astype(float), counts, counts)))
    y, x = np.nonzero(counts)
    weight = counts[y, x]
    edges = annuli_edges(*np.nonzero(np.random.default_rng(1).random(counts.shape) < counts), centre)
    found = density_window(box, lattices, sources, area).density
    for _ in range(steps):
        sums = add_annuli(box, centre, edges, good, hidden, found.astype(np.float32))
        trend = fit_trend(y, x, weight, centre, edges, sums, area, math.hypot(*counts.shape))
        values = trend_at(trend, box)
        read = on_lattices(values * good.astype(float), box, lattices)
        found = density_window(box, lattices, sources, area, (values, read)).density
    return found


@pytest.mark.parametrize("steps", [0, 2])
def test_holes_of_5_arcsec_hold_what_was_there(steps):
    """With expected counts as input the result is the mean over all Poisson skies: 15 % in the core, 5 % from 20
    arcsec on."""
    xi, eta = fields()
    truth = surface_density(AnalyticMass().kappa(xi, eta))
    errors = {}
    for radius in (0, 5, 20, 50):
        error = []
        for angle in np.radians([50.0, 140.0, 230.0, 320.0] if radius else [0.0]):
            hole = np.hypot(xi - radius * np.cos(angle), eta - radius * np.sin(angle)) < 2.5
            found = filled(truth * SCALE**2 * ~hole, ~hole, hole, (248, 248), steps)
            error.append(found[hole].sum() / truth[hole].sum() - 1)
        errors[radius] = float(np.mean(error))
        print(
            f"{radius} arcsec, {steps} steps: off by {errors[radius]:+.4f}, at most {np.abs(error).max():.4f}"
        )
    assert max(abs(errors[radius]) for radius in (20, 50)) < (0.05 if steps == 0 else 0.02)
    assert max(abs(errors[radius]) for radius in (0, 5)) < (0.15 if steps == 0 else 0.05)


def test_a_uniform_sky_is_filled_to_1_per_cent():
    draw = np.random.default_rng(6)
    xi, eta = fields()
    holes = np.zeros(xi.shape, bool)
    for _ in range(40):
        holes |= np.hypot(xi - draw.uniform(-55, 55), eta - draw.uniform(-55, 55)) < 2.5
    counts = draw.poisson(30 * SCALE**2, xi.shape) * ~holes.astype(bool)
    found = filled(counts.astype(float), ~holes, holes, (248, 248), 2)
    print(f"uniform sky, 2 steps: {found[holes].mean() / 30:.4f}")
    assert found[holes].mean() == pytest.approx(30, rel=0.01)


def test_annuli_add_up_in_any_cut():
    draw = np.random.default_rng(2)
    shape, centre = (70, 50), (-10, 80)
    good, hidden = draw.random((2, *shape)) < 0.5
    hidden &= ~good
    density = draw.random(shape).astype(np.float32)
    y, x = np.nonzero(draw.random(shape) < 0.2)
    edges = annuli_edges(y, x, centre)
    assert edges[0] == 0
    assert edges.size > 5
    whole = add_annuli(Box(0, 0, *shape), centre, edges, good, hidden, density)
    total = None
    for tile in TileGrid(shape, 17).tiles():
        at = tile.core.slices
        part = add_annuli(tile.core, centre, edges, good[at], hidden[at], density[at])
        total = part if total is None else combine_annuli(part, total)
    for name in ("n_good", "n_hidden", "filled"):
        np.testing.assert_array_equal(getattr(total, name), getattr(whole, name))
    d2 = (np.arange(70) + 10)[:, None] ** 2 + (np.arange(50) - 80) ** 2
    ring = (d2 >= edges[2]) & (d2 < edges[3])
    assert whole.n_good[2] == (good & ring).sum()
    assert exact.total(whole.filled)[2] == math.fsum(density[hidden & ring].tolist())
    trend = fit_trend(y, x, np.ones(y.size), centre, edges, whole, 1.0, 200.0)
    field = trend_at(trend, Box(0, 0, *shape))
    assert 1 <= field.min() <= field.max() <= TOP
    for tile in TileGrid(shape, 17).tiles():
        np.testing.assert_array_equal(trend_at(trend, tile.core), field[tile.core.slices])
    # a fifth of the pixels of every ring, whatever its radius, over good and hidden ones
    assert field.std() / field.mean() < 0.4


def test_no_source_has_no_trend():
    none, box = np.zeros(0, np.int64), Box(0, 0, 5, 5)
    edges = annuli_edges(none, none, (2, 2))
    mask = np.zeros((5, 5), bool)
    sums = add_annuli(box, (2, 2), edges, ~mask, mask, np.zeros((5, 5), np.float32))
    assert fit_trend(none, none, np.zeros(0), (2, 2), edges, sums, 1.0, 9.0) is None
