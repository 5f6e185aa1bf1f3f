"""The budget of the contamination, magnification, and the table of masses, checked by independent arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from tests.radial.test_radial import table
from tests.support.hand import AREA, flat_kappa, settings, sky
from tilegc.io.divergence import half_divergence
from tilegc.kernels.magnification import count_factor, magnification, shear
from tilegc.radial import contamination, mass_table, masses
from tilegc.radial.contamination import Contamination
from tilegc.radial.mass_table import Counts
from tilegc.radial.profile_laws import fit_cored
from tilegc.radial.published import is_as1063
from tilegc.radial.radial_laws import sample_of
from tilegc.skygrid.lens_models import LensModels

KPC = 4.9214


def test_counts_behind_a_lens():
    assert count_factor(5.0)[0] == pytest.approx(0.5469, abs=1e-4)
    assert count_factor(5.0)[1] == pytest.approx((5**-0.125 - 5**-0.625) / 2)
    assert count_factor(1.0) == (1.0, 0.0)
    assert count_factor(7.0, 0.4, 0.0) == (1.0, 0.0)
    assert count_factor(np.array([1.0, np.nan, 16.0]), 0.2, 0.0)[0] == pytest.approx((1 + 0.25) / 2)
    assert np.isnan(count_factor(np.nan)[0])


def test_shear_and_magnification_of_a_cored_lens():
    # kappa = k0 (1 + r^2)^-2 has the mean k0 / (1 + r^2) inside r, and gamma = mean - kappa, tangential
    step, k0, core = 0.5, 0.8, 10.0
    axis = (np.arange(321) - 160) * step / core
    x, y = np.meshgrid(axis, axis)
    r2 = x**2 + y**2
    kappa, inside = k0 / (1 + r2) ** 2, k0 / (1 + r2)
    gamma1, gamma2 = shear(kappa)
    with np.errstate(invalid="ignore"):
        want1, want2 = ((inside - kappa) * part / r2 for part in (-(x**2 - y**2), -2 * x * y))
    use = (r2 > 0.05) & (r2 < 25)
    # what is missing of the mass beyond the map's edge shows as a part in a hundred
    assert np.abs(gamma1 - want1)[use].max() < 0.01 * k0
    assert np.abs(gamma2 - want2)[use].max() < 0.01 * k0
    mu = 1 / np.abs((1 - kappa) ** 2 - (inside - kappa) ** 2)
    np.testing.assert_allclose(magnification(kappa)[use], mu[use], rtol=0.03)


def test_budget():
    cells = sky((60, 70), j0=-30, i0=-35, seed=6)
    floor = fit_cored(sample_of(cells, table(cells)))
    level = Contamination(0.25, 0.03, 30.0, 40.0)
    purity = np.array([1.0, 0.9, np.nan, 0.25])
    kappa = flat_kappa(np.full((300, 300), 0.3), 0.5)
    thinned = contamination.behind(kappa, cells.grid.ra, cells.grid.dec)
    found = {one.name: one for one in contamination.budget(cells, level, floor, 0, thinned, purity)}
    area = (
        sum(cells.n_good[:, j, i].sum() for j, i in np.ndindex(60, 70) if cells.n_good[:, j, i].sum() >= 2)
        * AREA
    )
    assert found["noise peaks"].n == pytest.approx(0.85 / area)
    assert found["noise peaks"].err == pytest.approx(math.sqrt(0.85) / area)
    assert (found["outermost annulus"].n, found["outermost annulus"].err) == (0.25, 0.03)
    assert found["floor of the profile"].n == floor["floor"]
    use = cells.n_good[1] >= 2
    count, good = cells.n_gc[1][use].sum(), cells.n_good[1][use].sum() * AREA
    control = found["control field b"]
    assert control.n == pytest.approx(count / good)
    # sources are Poisson here: blocks scatter by what they count
    assert control.err == pytest.approx(math.sqrt(count) / good, rel=0.5)
    behind = found["background within 60 arcsec"]
    assert behind.n == pytest.approx(control.n * behind.factor)
    assert behind.err == pytest.approx(math.hypot(control.err * behind.factor, control.n * behind.factor_err))
    # a sheet of 0.3 magnifies by 1 / 0.49; the sheet ends at 75 arcsec, and its edge shears
    assert behind.factor == pytest.approx(0.49**0.375, rel=0.05)
    assert contamination.published(KPC).n == pytest.approx(0.3633, abs=1e-4)
    written = contamination.as_table(list(found.values()), KPC)
    np.testing.assert_allclose(written["per_kpc2"] * KPC**2, written["per_arcsec2"])
    assert all(written["how"])


def test_budget_of_what_is_not_there():
    cells = sky((20, 20), j0=-10, i0=-10, fields=("a",))
    nothing = fit_cored(
        sample_of(sky((0, 0)), {"field": np.zeros(0, "U1"), "ra": np.zeros(0), "dec": np.zeros(0)})
    )
    found = contamination.budget(cells, Contamination(*[np.nan] * 4), nothing, 0, None, None)
    for one in found[:3] + found[4:5]:
        assert math.isnan(one.n)
        assert one.how
    assert found[-1].name == "background within 60 arcsec"


def models(scale=1.0, members=()):
    class Members:
        def __len__(self):
            return len(members)

        def maps(self):
            return iter(members)

    y, x = np.indices((241, 241)) - 120.0
    kappa = flat_kappa(scale * 0.5 * (1 + np.hypot(x, y) / 10) ** -0.8)
    kappa = replace(kappa, scaling_in=1.0, scaling=0.785, factor=0.785)
    return LensModels(kappa, Members() if members else None, {})


def test_masses_line_by_line():
    lens = models(members=[models(scale).kappa for scale in (0.9, 1.0, 1.1)])
    counts = Counts(np.array([1.0, 59.9, 60.0, 100.0]), 10_000.0)
    lines = {
        line.quantity: line
        for line in mass_table.mass_table(settings(), lens, counts, Contamination(1e-4, 2e-5, 1, 2))
    }
    value = {name: line.value for name, line in lines.items()}
    assert value["kpc per arcsec"] == pytest.approx(4.921, abs=5e-4)
    assert value["Sigma_cr at D_LS/D_S = 1"] == pytest.approx(1.638e9, rel=5e-4)
    assert value["Sigma_cr at z_s = 3"] == pytest.approx(2.088e9, rel=5e-4)
    assert value["check: published mass times 2.9e-5"] == pytest.approx(1.227e10, rel=1e-3)
    y, x = np.indices((241, 241)) - 120.0
    for radius in (10.0, 30.0, 60.0, 100.0):
        inside = np.hypot(x, y) <= radius
        mean = lens.kappa.values[inside].mean()
        assert value[f"mean kappa(<{radius:g} arcsec)"] == pytest.approx(mean, rel=2e-4)
        mass = value[f"M_lens(<{radius:g} arcsec)"]
        assert mass == pytest.approx(mean * 2.0876e9 * math.pi * (radius * 4.9214) ** 2, rel=1e-3)
        # the three members lie a tenth apart
        assert lines[f"M_lens(<{radius:g} arcsec)"].err == pytest.approx(0.1 * mass, rel=1e-6)
    assert value["check: the same at D_LS/D_S = 1, ratio"] == pytest.approx(1.0, abs=1e-12)
    assert value["sources within 60 arcsec"] == 2
    assert value["the same less contamination"] == pytest.approx(2 - 1.0)
    assert lines["the same less contamination"].err == pytest.approx(math.sqrt(2 + 0.2**2))
    assert value["searched share of the 60 arcsec disc"] == pytest.approx(10_000 / (math.pi * 60**2))
    assert value["virial mass from counts"] == 4 * 5e9
    assert value["M_GC(<60 arcsec) from the mass ratio"] == pytest.approx(
        2.9e-5 * value["M_lens(<60 arcsec)"]
    )
    assert value["mean mass of a globular cluster"] == pytest.approx(
        value["M_GC(<60 arcsec) from the mass ratio"] / 2
    )
    assert all(line.arithmetic for line in lines.values())


@pytest.mark.parametrize(
    ("more", "own"),
    [
        ({}, True),
        ({"truth": "truth.parquet"}, False),
        ({"cluster": {"name": "AS1063", "redshift": 0.348, "ra": 100.0, "dec": -44.53}}, False),
        ({"cluster": {"name": "AS1063", "redshift": 0.5, "ra": 342.18322, "dec": -44.53091}}, False),
    ],
)
def test_published_numbers_stand_beside_as1063_alone(more, own):
    config = settings(convergence=None, **more)
    assert is_as1063(config) is own
    lines = mass_table.mass_table(config, None, Counts(np.zeros(0), 0.0), Contamination(*[np.nan] * 4))
    assert any("published" in line.quantity for line in lines) is own
    assert any("AS1063" in line.arithmetic for line in lines) is own


@pytest.mark.parametrize(("area", "given"), [(0.79, False), (0.81, True), (1.001, True)])
def test_a_mean_mass_needs_most_of_the_aperture(area, given):
    good = area * math.pi * 60**2
    found = masses.masses(settings(), models().kappa, np.array([1.0, 59.0, 70.0]), good)
    assert found.coverage == pytest.approx(min(area, 1.0))
    assert found.gc_from_ratio > 0
    assert bool(np.isfinite(found.mean_gc)) is given
    counts = Counts(np.array([1.0, 59.0, 70.0]), good)
    lines = {
        one.quantity: one
        for one in mass_table.mass_table(settings(), models(), counts, Contamination(0.1, 0.1, 1, 2))
    }
    mean = lines["mean mass of a globular cluster"]
    np.testing.assert_equal(mean.value, found.mean_gc)
    assert f"{100 * min(area, 1):.0f} % of the aperture was searched" in mean.arithmetic


def test_masses_without_a_map_or_beyond_it():
    none = mass_table.mass_table(
        settings(convergence=None), None, Counts(np.zeros(0), 0.0), Contamination(*[np.nan] * 4)
    )
    written = mass_table.as_table(none)
    assert np.isnan(written["value"][written["quantity"] == "M_lens(<60 arcsec)"]).all()
    small = LensModels(flat_kappa(np.ones((81, 81))), None, {})
    lines = mass_table.mass_table(settings(), small, Counts(np.ones(3), 50.0), Contamination(0.1, 0.1, 1, 2))
    value = {line.quantity: line.value for line in lines}
    assert value["M_lens(<30 arcsec)"] > 0
    assert math.isnan(value["M_lens(<60 arcsec)"])
    assert math.isnan(value["mean mass of a globular cluster"])
    checked = next(line for line in lines if line.quantity.startswith("check: the same"))
    assert checked.arithmetic == "the map does not cover the aperture"
    assert not any("nan" in line.arithmetic for line in lines)


def test_shear_of_as1063_is_that_of_its_deflections(real_data):
    stem = real_data / "kappa" / "hlsp_frontier_model_abells1063_williams_v4_{}-arcsec-deflect.fits.gz"
    x, y = (fits.getdata(str(stem).format(axis)).astype(float) for axis in "xy")
    kappa, _ = half_divergence(x, y, np.diag([0.25, 0.25]))
    true1 = (np.gradient(x, 0.25, axis=1) - np.gradient(y, 0.25, axis=0)) / 2
    gamma1, _ = shear(kappa)
    row, column = np.indices(kappa.shape)
    core = np.hypot(row - 319, column - 470) < 240  # 60 arcsec
    # mass beyond the map's edge, 40 arcsec farther out in the south, is not known to it
    assert np.corrcoef(gamma1[core], true1[core])[0, 1] > 0.99
    assert np.abs(gamma1 - true1)[core].max() < 0.15
    mu = 1 / np.abs(
        (1 - kappa) ** 2 - true1**2 - ((np.gradient(x, 0.25, axis=0) + np.gradient(y, 0.25, axis=1)) / 2) ** 2
    )
    assert count_factor(magnification(kappa)[core])[0] == pytest.approx(count_factor(mu[core])[0], abs=0.02)
