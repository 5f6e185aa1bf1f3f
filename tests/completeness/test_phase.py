"""What the phase `completeness` writes: about as many stars as requested, and bright ones found more often."""

from __future__ import annotations

import numpy as np
import pytest


def test_about_as_many_stars_as_requested(mock_runs):
    run = mock_runs["calibrated"]
    for name in run.fields:
        number = int((run.artificial["field"] == name).sum())
        assert run.summary["fields"][name]["artificial_stars"] == 300
        assert abs(number - 300) < 3 * 300**0.5  # each place decides for itself whether it holds a star


def test_bright_stars_are_found_more_often_than_faint_ones(mock_runs):
    table = mock_runs["calibrated"].artificial
    magnitude = np.asarray(table["mag_in_F150W"].value)
    bright = magnitude < np.median(magnitude)
    found = np.asarray(table["recovered"], bool)
    assert found[bright].mean() > found[~bright].mean() + 0.1


def test_depths_of_the_summary_are_those_of_the_table(mock_runs):
    run = mock_runs["calibrated"]
    table = run.completeness
    for name in run.fields:
        for band, told in run.summary["fields"][name]["depth"].items():
            rows = table[(table["field"] == name) & (table["band"] == band)]
            values = [value for value in np.asarray(rows["m50"].value) if np.isfinite(value)]
            assert told["m50"] is None or told["m50"] == pytest.approx(values[0])


def test_sources_have_a_probability_of_recovery(mock_runs):
    recovery = np.asarray(mock_runs["calibrated"].catalogue["p_recovery"])
    assert ((recovery > 0) & (recovery <= 1)).all()
    assert mock_runs["diego2026"].config.completeness_settings is None
