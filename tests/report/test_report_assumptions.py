"""Rows of the law under other assumptions, and sentences on how its map was changed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from astropy.table import QTable

from tilegc.report.assumptions import assumption_rows, map_changes

NAMES = ("own", "linear_floor", "lensed_floor", "no_centre", "central_light", "registered")


def material(changes=None, likelihood=True):
    table = QTable(
        {
            "assumption": list(NAMES),
            "index": np.full(6, 0.71),
            "index_err": np.full(6, 0.02),
            "gain": [0.0, 3.2, -1.5, np.nan, 0.4, 5.0],
            "first": [np.nan, -0.31, 0.25, np.nan, 0.12, -0.4],
            "first_err": [np.nan, 0.1, np.nan, np.nan, 0.05, 0.2],
            "second": [np.nan, 0.2, np.nan, np.nan, np.nan, 0.3],
            "second_err": [np.nan, 0.1, np.nan, np.nan, np.nan, 0.2],
        }
    )
    found = {"c": 1.4} if likelihood else {"c": None}
    return SimpleNamespace(
        summary={"relation": {"likelihood": found, "map": changes or {}}},
        run=SimpleNamespace(assumptions=table),
    )


def test_rows_give_b_and_what_was_fitted():
    rows = assumption_rows(material())
    assert [row[0] for row in rows][:2] == ["as in this run", "floor linear in position"]
    assert {row[1] for row in rows} == {"0.710 ± 0.020"}
    assert [row[2] for row in rows] == ["–", "+3.2", "−1.5", "–", "+0.4", "+5.0"]
    assert rows[1][3] == "−0.31 ± 0.10 to the east and 0.20 ± 0.10 to the north, per arcsec² and arcmin"
    assert "s = 0.25" in rows[2][3]
    assert rows[3][3] == ""
    assert rows[5][3] == "−0.40 ± 0.20 arcsec to the east, 0.30 ± 0.20 to the north"
    assert assumption_rows(material(likelihood=False)) == []


def test_changes_of_the_map_are_said():
    assert map_changes(material()) == []
    moved = {"xi_arcsec": 0.5, "eta_arcsec": -1.0, "xi_err": 0.1, "eta_err": 0.1}
    words = map_changes(
        material(
            {
                "resolution_arcsec": 2.0,
                "registration": {**moved, "verdict": "applied"},
                "central_galaxy": {"kappa_at_1_arcsec": 0.2, "err": 0.05},
            }
        )
    )
    assert "2 arcsec (FWHM)" in words[0]
    assert words[1] == (
        "The map was displaced by 0.50 ± 0.10 arcsec to the east and −1.00 ± 0.10 arcsec to the north, where the "
        "sources prefer it."
    )
    assert "0.200 ± 0.050 at 1 arcsec" in words[2]
    assert "too far" in map_changes(material({"registration": {**moved, "verdict": "refused"}}))[0]
    assert (
        "do not prefer" in map_changes(material({"registration": {**moved, "verdict": "not significant"}}))[0]
    )
