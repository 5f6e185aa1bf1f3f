"""What the phase `relation` writes: the law of the boxes and beta follow from its own tables and sky grid."""

from __future__ import annotations

import numpy as np
import pytest

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_line_through_the_bins(mock_runs, recipe):
    run = mock_runs[recipe]
    table, told = run.relation, run.summary["relation"]["boxes"]
    use = (table["bin"] >= 0) & (table["n_boxes"] >= 5) & (table["kappa_mean"] > 0)
    assert use.sum() >= 2
    x, y = np.log10(np.asarray(table["n_mean"][use])), np.log10(np.asarray(table["kappa_mean"][use]))
    slope, start = np.polyfit(x, y, 1)
    assert told["index"] == pytest.approx(slope, rel=1e-9)
    assert told["amplitude"] == pytest.approx(10**start, rel=1e-9)


@pytest.mark.parametrize("recipe", RECIPES)
def test_beta_is_the_ratio_of_the_sums(mock_runs, recipe):
    run = mock_runs[recipe]
    sky, told = run.sky(), run.summary["comparison"]
    area = sky.n_inside[0].values * sky.attrs["pixel_area_arcsec2"][0]
    radius = np.hypot(*np.meshgrid(sky.xi.values, sky.eta.values))
    use = (area >= 0.5 * sky.attrs["cell_arcsec"] ** 2) & np.isfinite(sky.kappa.values)
    use &= radius < run.config.relation.max_radius
    kappa, rho = sky.kappa.values[use], sky.rho[0].values[use]
    assert told["beta"] == pytest.approx((kappa * rho).sum() / (rho**2).sum(), rel=1e-9)
    assert told["pearson"] == pytest.approx(np.corrcoef(kappa, rho)[0, 1], rel=1e-9)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_law_of_counts_is_the_inverse_of_the_relation(mock_runs, recipe):
    run = mock_runs[recipe]
    law = run.summary["relation"]
    assert law["method"] == "likelihood"
    assert law["index"] == pytest.approx(1 / law["likelihood"]["c"], rel=1e-12)
    assert law["box_arcsec"] == run.config.relation.box
    assert len(run.sensitivity) > 3
    assert len(run.ranking) >= 1
