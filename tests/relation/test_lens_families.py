"""The law with lens models of other families, for maps whose law is known and for the published pair of Abell 2744."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.hand import DEC, RA, flat_kappa
from tilegc.config import Cosmology, LensMap
from tilegc.io.convergence import read_convergence
from tilegc.relation.clumping import Clumping
from tilegc.relation.counts_law import fit_law
from tilegc.relation.lens_families import LENGTH, _field, lens_families
from tilegc.relation.likelihood import CountsRelation, fit_counts
from tilegc.relation.sky_counts import box_counts
from tilegc.relation.systematics import Systematic
from tilegc.sky import SkyGrid, cosmology
from tilegc.skygrid.cells import SkyCells

SIDE, RADIUS = 3.0, 27.0
C = 1.4


def lens(power: float = 1.0) -> np.ndarray:
    """A lens without an axis of symmetry, on pixels of 0.5 arcsec."""
    y, x = np.indices((161, 161)) * 0.5 - 40.0
    return (0.9 / (1 + (np.hypot(1.3 * x, y + 0.2 * x) / 8.0) ** 1.2)) ** power


def cells(seed: int = 1, kappa=None) -> SkyCells:
    """Cells of 1 arcsec with Poisson sources, n = 4 kappa^1.4 + 0.3."""
    grid = SkyGrid(RA, DEC, 1.0)
    axis = np.arange(-30, 30) + 0.5
    true = flat_kappa(lens(), 0.5).at(*grid.radec(*np.meshgrid(axis, axis)))
    count = np.random.default_rng(seed).poisson(4.0 * true**C + 0.3)
    four, zero = np.full((1, 60, 60), 4), np.zeros((1, 60, 60))
    return SkyCells(
        grid,
        -30,
        -30,
        ("a",),
        np.array([0.25]),
        four,
        four,
        four,
        count[None],
        zero,
        zero,
        true if kappa is None else kappa,
    )


def measured(found: SkyCells, alternatives=None, rms: float = 0.3):
    return lens_families(
        found,
        SIDE,
        RADIUS,
        kept=found.kept,
        recovery=np.ones(found.kappa.shape),
        light=None,
        alternatives=alternatives or {},
        assumed_rms=rms,
    )


def test_the_same_map_is_no_other_family():
    found = measured(cells(), {"same": flat_kappa(lens(), 0.5)})
    assert not found.guess
    assert [one.name for one in found.members] == ["kappa", "same"]
    assert found.c_err == pytest.approx(0, abs=1e-6)
    assert found.members[1].ln_kappa_rms == pytest.approx(0, abs=1e-9)


def test_a_map_to_a_power_has_that_law():
    # n = a kappa^c is a (kappa^p)^(c / p): the power follows without any fit.
    grid = cells()
    powered = flat_kappa(lens(), 0.5).at(*grid.grid.radec(*np.meshgrid(grid.xi, grid.eta))) ** 1.25
    squeezed = flat_kappa(lens(), 0.5)
    squeezed = replace(squeezed, values=squeezed.values**1.25)
    found = measured(grid, {"steep": squeezed})
    own, steep = found.members
    assert steep.c == pytest.approx(own.c / 1.25, rel=2e-3)
    assert found.index_err == pytest.approx(0.25 * own.index, rel=1e-2)
    assert found.c_err == pytest.approx(own.c * 0.2, rel=1e-2)
    inside = (grid.radius < RADIUS) & (powered > 0)
    assert steep.ln_kappa_rms == pytest.approx(0.25 * np.log(grid.kappa[inside]).std(), rel=1e-2)
    assert found.ln_kappa_rms == steep.ln_kappa_rms


def test_families_are_compared_where_both_have_data():
    half = lens()
    half[:, :70] = np.nan
    grid = cells()
    found = measured(grid, {"half": flat_kappa(half, 0.5), "flat": flat_kappa(0 * lens() + 0.5, 0.5)})
    values = flat_kappa(half, 0.5).at(*grid.grid.radec(*np.meshgrid(grid.xi, grid.eta)))
    alone = fit_law(box_counts(grid, SIDE, RADIUS, kept=grid.kept & np.isfinite(values)))
    assert found.members[0].c == pytest.approx(alone.c, rel=1e-9)
    assert found.members[1].c == pytest.approx(alone.c, rel=1e-6)
    # A flat map has no law, and says nothing of the scatter.
    assert np.isnan(found.members[2].c)
    assert found.c_err == pytest.approx(0, abs=1e-6)


def test_one_family_is_given_an_assumed_difference():
    grid = cells()
    found = measured(grid)
    assert found.guess
    assert found.ln_kappa_rms == 0.3
    assert len(found.members) > 10
    for one in found.members[1:]:
        assert one.ln_kappa_rms == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    small = measured(grid, rms=0.05)
    assert 0 < small.index_err < 0.5 * found.index_err
    assert measured(grid, rms=0.0) is None
    assert found.described() == measured(grid).described()
    assert [one["name"] for one in found.described()["families"]] == ["kappa"]


def test_without_a_law_there_is_nothing_to_compare():
    empty = replace(cells(), n_gc=np.zeros((1, 60, 60), int))
    assert measured(empty) is None


def test_the_assumed_difference_has_its_scale():
    draw = np.random.Generator(np.random.PCG64(3))
    near = np.ones((300, 300), np.bool_)
    fields = [_field(draw, near.shape, LENGTH, near) for _ in range(4)]
    for field in fields:
        assert field.mean() == pytest.approx(0, abs=1e-12)
        assert field.std() == pytest.approx(1)
    lag = round(LENGTH)
    alike = np.mean([(field[:, lag:] * field[:, :-lag]).mean() for field in fields])
    assert alike == pytest.approx(np.exp(-0.5), abs=0.06)
    near[:150] = False
    part = _field(draw, near.shape, LENGTH, near)
    assert not part[~near].any()
    assert part[near].std() == pytest.approx(1)


def test_the_whole_error_adds_the_parts_of_b():
    grid = cells()
    one = fit_counts(grid, SIDE, RADIUS, thorough=False)
    assert isinstance(one, CountsRelation)
    assert isinstance(one.clumping, Clumping)
    assert np.isnan(one.index_err_total)
    families = measured(grid)
    parts = Systematic(np.nan, 0.03, 0.04, np.nan, 0.0, families.c_err)
    found = replace(one, systematic=parts, families=families)
    rest = 0.05 / one.law.c**2
    assert found.index_err_total == pytest.approx(np.sqrt(one.index_err**2 + rest**2 + families.index_err**2))
    assert parts.largest == "lens_family"
    assert replace(parts, lens_family=np.nan).largest == "crowding"
    assert Systematic(*[np.nan] * 5).largest is None


def test_abell_2744_between_two_published_families(real_data):
    folder = real_data / "kappa"
    cosmo = cosmology(Cosmology())
    free = read_convergence(
        LensMap(
            path=str(folder / "hlsp_frontier_model_abell2744_williams_v4_kappa.fits.gz"), lens_scaling=1.0
        ),
        cosmo,
        0.308,
        3.0,
    )
    parametric = read_convergence(
        LensMap(path=str(folder / "abell2744_cats_v3.1_kappa_derived.fits.gz"), lens_scaling=1.0),
        cosmo,
        0.308,
        3.0,
    )
    grid = SkyGrid(3.586259, -30.400174, 1.0)
    axis = np.arange(-62, 62) + 0.5
    kappa = {
        name: one.at(*grid.radec(*np.meshgrid(axis, axis)))
        for name, one in (("free", free), ("parametric", parametric))
    }
    four, zero = np.full((1, 124, 124), 4), np.zeros((1, 124, 124))
    draw = np.random.default_rng(2)
    for truth, other, used in (("free", parametric, "free"), ("parametric", parametric, "free")):
        n = 3.7 * np.maximum(kappa[truth], 0) ** (1 / 0.7) + 0.36
        sky = SkyCells(
            grid,
            -62,
            -62,
            ("a",),
            np.array([0.25]),
            four,
            four,
            four,
            draw.poisson(n)[None],
            zero,
            zero,
            kappa[used],
        )
        found = lens_families(
            sky,
            SIDE,
            60.0,
            kept=sky.kept,
            recovery=np.ones(sky.kappa.shape),
            light=None,
            alternatives={"other": other},
            assumed_rms=0.3,
        )
        own, second = found.members
        right, wrong = (own, second) if truth == used else (second, own)
        assert right.index == pytest.approx(0.7, abs=0.03)
        # The wrong family is off by 0.1, and the scatter between both says so.
        assert wrong.index - 0.7 == pytest.approx(0.11, abs=0.05)
        assert found.index_err == pytest.approx(abs(wrong.index - right.index))
        assert 0.4 < second.ln_kappa_rms < 0.65
