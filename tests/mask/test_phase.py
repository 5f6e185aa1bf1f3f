"""What the phase `mask` tells of the masked area, recounted pixel by pixel."""

from __future__ import annotations

import pytest

from tilegc.schema import Bit

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_areas_of_all_bits(mock_runs, recipe):
    run = mock_runs[recipe]
    for name in run.fields:
        mask, area = run.field(name).mask.values, run.field(name).attrs["pixel_area_arcsec2"]
        rows, told = run.masked[run.masked["field"] == name], run.summary["fields"][name]["masked"]
        data = (mask & Bit.NO_DATA) == 0
        inside = (mask & (Bit.NO_DATA | Bit.EDGE)) == 0
        expected = {"data": data, "inside": inside, "good": mask == 0, "edge": data & ~inside}
        for bit in (Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE, Bit.REGION, Bit.ARC):
            expected[bit.name.lower()] = inside & ((mask & bit) != 0)
        for key, pixels in expected.items():
            total = rows[f"{key}_arcsec2"].value.sum()
            assert total == pytest.approx(pixels.sum() * area, rel=1e-9, abs=1e-9), key
            if key in told:
                assert told[key]["arcsec2"] == pytest.approx(total, abs=1e-9)
                whole = data if key == "edge" else inside
                assert told[key]["fraction"] == pytest.approx(pixels.sum() / whole.sum())
        own = sum(rows[column].value.sum() for column in rows.colnames if column.endswith("_own_arcsec2"))
        assert own + rows["good_arcsec2"].value.sum() == pytest.approx(data.sum() * area)
        assert (mask & Bit.BRIGHT).any()
        assert (mask & Bit.REGION).any()


def test_bright_stars_lie_in_masked_discs(mock_runs):
    for run in mock_runs.values():
        for row in run.stars:
            mask = run.field(row["field"]).mask.values
            assert mask[int(row["y"].value), int(row["x"].value)] != 0
