"""Profiles and masses against loops that follow the text (algorithm.md, sections 12 and 13)."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest

from tests.support.hand import AREA, each_cell, flat_kappa, mean, settings, sky
from tilegc.radial.masses import masses
from tilegc.radial.profile import profile

EDGES = (2.0, 5.0, math.hypot(2.5, 7.5), 9.0, 13.0, 18.0, 23.0, 30.0)
"""The third is the radius of some cells, which belong to the annulus outside of it."""


def annuli(cells, edges, counts):
    """Sums over the cells of each annulus, as dicts by field (algorithm.md, section 12)."""
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
            name,
            lo,
            hi,
            sum(held["area"]),
            sum(held["n"]),
            sum(held["n"]) / sum(held["area"]),
            math.sqrt(sum(held["n"])) / sum(held["area"]),
            sum(held["n"]) / sum(held["area"]) - n / area,
            mean(held["kappa"]),
            mean(held["light"]) - mean(far[3]),
            mean(held["rho"]),
        )
        for field, name in enumerate(cells.fields)
        for lo, hi, held in zip(EDGES, EDGES[1:], [row[field] for row in by_annulus], strict=False)
        if sum(held["area"]) >= 20
    ]
    assert len(rows) > 8
    for (name, values), column in zip(found.items(), zip(*rows, strict=True), strict=True):
        if name == "field":
            assert tuple(values) == column
        else:
            np.testing.assert_allclose(values, column, rtol=1e-12, atol=1e-13, err_msg=name)


def ring(*annuli_area):
    """Cells of one field: annuli of 10 arcsec are good up to a given area (arcsec^2), all other cells are masked."""
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


RADII = np.array([0.0, 59.999, 60.001, 100.0])
SEEN = 11_000.0
"""Good area within 60 arcsec, arcsec^2: nearly all of it."""


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
    found = masses(settings(), flat_kappa(np.full((151, 151), 0.4)), RADII, SEEN)
    assert found.sigma_cr == pytest.approx(sigma_cr, rel=1e-5)
    assert found.sigma_cr == pytest.approx(2.088e9, rel=1e-3)
    assert found.mean_kappa == pytest.approx(0.4, rel=1e-12)
    assert found.lens == pytest.approx(within, rel=1e-5)
    assert found.n_gc_aperture == 2
    assert found.virial_from_counts == 4 * 5e9
    assert found.gc_from_ratio == pytest.approx(found.lens * 2.9e-5, rel=1e-12)
    assert found.mean_gc == pytest.approx(found.lens * 2.9e-5 / 2, rel=1e-12)
    assert np.isnan(masses(settings(), flat_kappa(np.full((151, 151), 0.4)), RADII[2:], SEEN).mean_gc)
    assert np.isnan(masses(settings(), None, RADII, SEEN).lens)
    assert masses(settings(convergence=None), None, RADII, SEEN).virial_from_counts == 4 * 5e9


@pytest.mark.parametrize(("missing", "enough"), [(0.0095, True), (0.0105, False)])
def test_a_mass_needs_the_whole_aperture(missing, enough):
    values = np.full((301, 301), 0.4)
    inside = np.argwhere(np.hypot(*np.indices(values.shape) - 150) * 0.5 <= 59)
    lost = inside[: round(missing * math.pi * 60**2 / 0.25)]
    values[lost[:, 0], lost[:, 1]] = np.nan
    found = masses(settings(), flat_kappa(values, 0.5), RADII, SEEN)
    derived = [found.mean_kappa, found.lens, found.gc_from_ratio, found.mean_gc]
    assert np.isfinite(derived).all() == enough
    assert np.isnan(derived).all() != enough
    assert found.virial_from_counts == 4 * 5e9
