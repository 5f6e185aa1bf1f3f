"""What the phase `luminosity` writes: its counts are those of the catalogue."""

from __future__ import annotations

import numpy as np


def test_counts_by_annulus_are_those_of_the_catalogue(mock_runs):
    run = mock_runs["calibrated"]
    table, sources = run.luminosity, run.catalogue
    radius, low, high = sources["radius_arcsec"].value, table["r_lo"].value, table["r_hi"].value
    for name, start, end in set(zip(table["field"], low, high, strict=True)):
        rows = (table["field"] == name) & (low == start) & (high == end)
        inside = (sources["field"] == name) & (radius >= start) & (radius < end)
        assert table["n_found"][rows].sum() == inside.sum()
        assert (np.diff(table["mag_lo"][rows].value) > 0).all()
    assert table["n_found"].sum() == len(sources)
    assert (table["n_clusters"] >= 0).all()


def test_members_have_probabilities(mock_runs):
    table = mock_runs["calibrated"].catalogue
    assert np.isfinite(table["p_point"]).all()
    for column in ("p_gc", "p_point", "p_gc_colour"):
        known = np.asarray(table[column])[np.isfinite(table[column])]
        assert ((known >= 0) & (known <= 1)).all()


def test_the_summary_has_the_fitted_function(mock_runs):
    told = mock_runs["calibrated"].summary["luminosity"]
    assert told["band"] in ("F090W", "F150W")
    assert 25 < told["turnover"] < 36
    assert told["width"] > 0
    assert told["n_total"] >= told["brighter"]["n"]
    assert mock_runs["diego2026"].summary["luminosity"] is None
