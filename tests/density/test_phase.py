"""What the phase `density` writes, against the direct sum and the masks."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.schema import Bit

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_sources_are_drawn_under_masks_only(mock_runs, recipe):
    run = mock_runs[recipe]
    realisations = run.config.inpaint.realisations
    assert run.summary["n_inpainted"] == pytest.approx(len(run.inpainted) / realisations)
    for name in run.fields:
        rows, mask = run.inpainted[run.inpainted["field"] == name], run.field(name).mask.values
        drawn = mask[rows["y"].value.astype(int), rows["x"].value.astype(int)]
        assert (drawn != 0).all()
        assert ((drawn & Bit.EDGE) == 0).all()
        assert run.summary["fields"][name]["n_inpainted"] == pytest.approx(len(rows) / realisations)
    assert len(run.inpainted) > 10


@pytest.mark.parametrize("recipe", RECIPES)
def test_rho_is_the_direct_sum_over_detected_and_drawn_sources(mock_runs, recipe):
    run = mock_runs[recipe]
    settings, realisations = run.config.density, run.config.inpaint.realisations
    for name in run.fields:
        field = run.field(name)
        scale = field.attrs["pixel_scale_arcsec"]
        own, drawn = (table[table["field"] == name] for table in (run.catalogue, run.inpainted))
        y = np.concatenate([own["y_peak"].value, drawn["y"].value]).astype(float)
        x = np.concatenate([own["x_peak"].value, drawn["x"].value]).astype(float)
        weight = np.concatenate([np.ones(len(own)), np.full(len(drawn), 1 / realisations)])
        for row, column in np.argwhere(np.isfinite(field.rho.values))[::997]:
            distance = scale * np.hypot(y - row, x - column)
            direct = (weight * (settings.softening + distance) ** -settings.alpha).sum()
            assert field.rho.values[row, column] == pytest.approx(direct, rel=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_density_integrates_to_about_the_sources(mock_runs, recipe):
    run = mock_runs[recipe]
    field = run.field("a")
    good = field.mask.values == 0
    expected = np.nansum(field.density.values[good]) * field.attrs["pixel_area_arcsec2"]
    counted = (run.catalogue["field"] == "a").sum()
    assert expected == pytest.approx(counted, rel=0.6 if recipe == "calibrated" else 0.15)
