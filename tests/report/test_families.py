"""The law by family of the lens model, as a sentence and as a figure."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from tilegc.report.answer import _law
from tilegc.report.families import PARTS, families, largest
from tilegc.report.law_tables import _systematic

OWN = {"name": "kappa", "a": 4.0, "c": 1.4, "floor": 0.3, "index": 1 / 1.4, "ln_kappa_rms": 0.0}
OTHER = {"name": "CATS", "a": 4.2, "c": 1.2, "floor": 0.2, "index": 1 / 1.2, "ln_kappa_rms": 0.31}
NONE = {"name": "flat", "a": None, "c": None, "floor": None, "index": None, "ln_kappa_rms": 0.5}


def summary(*, guess: bool, members=(OWN, OTHER, NONE)):
    return {
        "relation": {
            "method": "likelihood",
            "index": 0.714,
            "index_err": 0.02,
            "index_err_total": 0.13,
            "likelihood": {
                "c_err_systematic": 0.2,
                "c_err_systematic_largest": "lens_family",
                "c_err_systematic_parts": {"crowding": 0.03, "lens_family": 0.2},
                "lens_families": {
                    "guess": guess,
                    "ln_kappa_rms": 0.3,
                    "c_err": 0.2,
                    "index_err": 0.119,
                    "families": list(members),
                },
            },
        }
    }


def material(**more):
    radius = np.hypot(*np.mgrid[-20:20, -20:20])
    return SimpleNamespace(
        summary=summary(**more),
        sky={"kappa": xr.DataArray(1 / (1 + radius / 5))},
        radius=radius,
        config=SimpleNamespace(relation=SimpleNamespace(max_radius=15.0)),
    )


def test_the_sentence_has_both_errors_and_names_the_largest():
    (words,) = _law(summary(guess=False)["relation"])
    assert "0.714 ± 0.020" in words.replace("\N{NO-BREAK SPACE}", " ")
    assert f"± 0.13 (systematic; the largest part is {PARTS['lens_family']}), ± 0.13 in total" in words
    (words,) = _law(summary(guess=True)["relation"])
    assert ", an assumed one as there is only one model" in words
    assert largest({"c_err_systematic_largest": None}) is None


def test_rows_say_what_is_measured_and_what_is_assumed():
    rows = [row[0] for row in _systematic(summary(guess=False)["relation"]["likelihood"])]
    assert rows == ["Systematic error of c", "Index b with CATS", "Index b with flat"]
    (_, guessed) = _systematic(summary(guess=True)["relation"]["likelihood"])
    assert "assumed" in guessed[2]
    assert "convergence.alternatives" in guessed[2]


def test_the_figure_has_a_law_for_every_family_that_has_one():
    drawing = families(material(guess=False))
    labels = [line.get_label() for line in drawing.figure.axes[0].lines]
    assert labels == ["this κ map: b = 1/c = 0.71", "CATS: b = 1/c = 0.83"]
    assert "0.30" in drawing.caption


@pytest.mark.parametrize("more", [{"guess": True}, {"guess": False, "members": (OWN, NONE)}])
def test_there_is_no_figure_of_one_family(more):
    assert families(material(**more)) is None
