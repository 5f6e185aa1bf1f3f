"""What the phase `sky grid` tells of the fields, recounted from their masks."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.schema import Bit

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_shares_of_pixels(mock_runs, recipe):
    run = mock_runs[recipe]
    for name in run.fields:
        mask, told = run.field(name).mask.values, run.summary["fields"][name]
        data = int(((mask & Bit.NO_DATA) == 0).sum())
        assert told["no_data_fraction"] == pytest.approx(1 - data / mask.size)
        assert told["masked_fraction"] == pytest.approx(1 - (mask == 0).sum() / data)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_pixel_and_every_source_is_in_a_cell(mock_runs, recipe):
    run = mock_runs[recipe]
    sky = run.sky()
    for number, name in enumerate(run.fields):
        mask = run.field(name).mask.values
        assert int(sky.n_pixels[number].sum()) == ((mask & Bit.NO_DATA) == 0).sum()
        inside = (mask & (Bit.NO_DATA | Bit.EDGE)) == 0
        assert int(sky.n_inside[number].sum()) <= inside.sum()  # cells of another field are left out
        assert 0 < int(sky.n_gc[number].sum()) <= (run.catalogue["field"] == name).sum()
    kept = (sky.n_good.values * np.array(sky.attrs["pixel_area_arcsec2"])[:, None, None]).sum(axis=0)
    kept = kept[kept >= 0.5 * sky.attrs["cell_arcsec"] ** 2].sum()
    assert run.summary["sky_grid"]["kept_area_arcsec2"] == pytest.approx(kept)
