"""What the phase `detect` tells of a run, recomputed from its maps."""

from __future__ import annotations

import numpy as np
import pytest

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_noise_and_area_are_those_of_the_good_pixels(mock_runs, recipe):
    run = mock_runs[recipe]
    for name in run.fields:
        field, told = run.field(name), run.summary["fields"][name]
        values = field.detection.values[field.mask.values == 0]
        assert told["sigma"] == pytest.approx(
            1.4826 * np.median(np.abs(values - np.median(values))), rel=1e-6
        )
        assert told["good_area_arcsec2"] == pytest.approx(values.size * field.attrs["pixel_area_arcsec2"])
        assert told["n_candidates"] == (run.candidates["field"] == name).sum()
        assert told["n_detected"] == (run.catalogue["field"] == name).sum()


@pytest.mark.parametrize("recipe", RECIPES)
def test_sources_are_pixels_of_the_map_above_the_threshold(mock_runs, recipe):
    run = mock_runs[recipe]
    for name in run.fields:
        field, told = run.field(name), run.summary["fields"][name]
        rows = run.candidates[run.candidates["field"] == name]
        at = rows["y_peak"].value.astype(int), rows["x_peak"].value.astype(int)
        assert len(rows) > 10
        assert np.array_equal(field.detection.values[at], rows["peak"].value)
        assert (field.mask.values[at] == 0).all()
        # In units of the noise, or in nJy per pixel: the recipes differ in what they compare with T.
        by = rows["snr"] if recipe == "calibrated" else rows["peak"].value
        limit = told["threshold_snr"] if recipe == "calibrated" else told["threshold"]
        assert by.min() >= limit * (1 - 1e-6)
        kept = set(run.catalogue["id"][run.catalogue["field"] == name])
        assert kept <= set(rows["id"][by >= 1.5 * limit * (1 - 1e-6)])


@pytest.mark.parametrize("recipe", RECIPES)
def test_purity_falls_with_the_noise_peaks_of_each_slice(mock_runs, recipe):
    run = mock_runs[recipe]
    table = run.purity[np.isfinite(run.purity["purity"]) & (run.purity["n_found"] > 0)]
    share = 1 - table["n_noise"] / table["n_found"]
    np.testing.assert_allclose(table["purity"], np.clip(share, 0, 1), rtol=1e-12)
    assert set(run.pattern["field"]) == set(run.fields)
