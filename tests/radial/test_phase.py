"""What the phase `radial` tells of masses and profiles, from its own tables by plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_profiles_are_counts_over_areas(mock_runs, recipe):
    table = mock_runs[recipe].profile
    n, area = np.asarray(table["n_gc"], float), table["area_arcsec2"].value
    assert len(table) > 5
    np.testing.assert_allclose(table["n_per_arcsec2"].value, n / area, rtol=1e-12)
    np.testing.assert_allclose(table["n_err"].value, np.sqrt(n) / area, rtol=1e-12)
    assert (area >= 20).all()
    assert ((table["crowding"] > 0) & (table["crowding"] <= 1)).all()
    for name in mock_runs[recipe].fields:
        rows = table[table["field"] == name]
        assert (np.diff(rows["r_lo"].value) > 0).all()
        assert rows["n_gc"].sum() <= (mock_runs[recipe].catalogue["field"] == name).sum()


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_mass_of_the_lens(mock_runs, recipe):
    run = mock_runs[recipe]
    told = run.summary["mass"]
    kpc = 60 * 4.921  # at z = 0.348
    mass = told["sigma_cr_msun_per_kpc2"] * told["mean_kappa_within_60arcsec"] * np.pi * kpc**2
    assert told["lens_within_60arcsec_msun"] == pytest.approx(mass, rel=1e-3)
    assert told["gc_total_from_ratio_msun"] == pytest.approx(2.9e-5 * told["lens_within_60arcsec_msun"])
    within = told["n_gc_within_60arcsec"]
    # Sources in cells that belong to another field are left out.
    assert 0 <= (run.catalogue["radius_arcsec"].value < 60).sum() - within <= 2
    assert told["virial_from_counts_msun"] == pytest.approx(5e9 * within)
    assert len(run.masses) > 10
    assert np.isfinite(run.contamination["per_arcsec2"].value).any()
    assert set(run.radial["geometry"]) == {"circle", "ellipse"}
