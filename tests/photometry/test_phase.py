"""What the phase `photometry` tells: depths and magnitudes from the fluxes of the tables."""

from __future__ import annotations

import numpy as np
import pytest

BANDS = ("F090W", "F150W")


def test_depth_is_five_times_the_median_error(mock_runs):
    run = mock_runs["calibrated"]
    for name in run.fields:
        rows = run.candidates[run.candidates["field"] == name]
        for band in BANDS:
            errors = rows[f"flux_err_{band}"].value
            errors = errors[errors > 0]
            depth = 31.4 - 2.5 * np.log10(5 * np.median(errors))
            assert run.summary["fields"][name]["photometry"][band]["mag_5sigma"] == pytest.approx(depth)


def test_magnitudes_are_those_of_the_fluxes(mock_runs):
    table = mock_runs["calibrated"].candidates
    for band in BANDS:
        flux, error = table[f"flux_{band}"].value, table[f"flux_err_{band}"].value
        some = flux > 0
        magnitude = np.asarray(table[f"mag_{band}"].value)
        np.testing.assert_allclose(magnitude[some], -2.5 * np.log10(flux[some] * 1e-9 / 3631), atol=2e-3)
        assert np.isnan(magnitude[~some]).all()
        np.testing.assert_allclose(
            np.asarray(table[f"mag_err_{band}"].value)[some], 1.0857 * error[some] / flux[some], rtol=1e-3
        )


def test_sources_stay_near_their_peaks(mock_runs):
    table = mock_runs["calibrated"].candidates
    for axis in ("y", "x"):
        off = table[axis].value - table[f"{axis}_peak"].value
        assert (np.abs(off) <= 1.0 + 1e-9).all()
        assert off.std() > 0.05


def test_there_is_none_in_the_other_recipe(mock_runs):
    run = mock_runs["diego2026"]
    assert all(run.summary["fields"][name]["photometry"] is None for name in run.fields)
    assert not [column for column in run.candidates.colnames if column.startswith("flux")]
