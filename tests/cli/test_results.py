"""The lines on the terminal: no fraction is rounded to 1, and a missing value is explained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tilegc.cli.results import _contamination, _depth, _likelihood, _limit, _part
from tilegc.relation import products


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.9962, "0.996"), (0.99996, "0.99996"), (1.0, "1.00"), (0.514, "0.51"), (0.0, "0.00"), (None, "-")],
)
def test_shares(value, words):
    assert _part(value) == words


def test_contamination_that_was_not_measured_says_why():
    none = {"per_kpc2": None, "err": None}
    small, empty = ({"a": {"good_area_arcsec2": area}} for area in (90.0, 0.0))
    assert "no annulus has 200 arcsec^2" in _contamination({"contamination": none, "fields": small})
    assert "no good pixel" in _contamination({"contamination": none, "fields": empty})
    there = {"per_kpc2": 0.0151, "err": 0.002}
    assert _contamination({"contamination": there, "fields": small}) == "0.0151 +- 0.0020 per kpc^2"


def test_the_law_of_counts():
    law = {
        "c": 1.4,
        "c_err": 0.05,
        "index": 1 / 1.4,
        "index_err": 0.025,
        "floor": 0.35,
        "floor_err": 0.04,
        "c_interval": [1.35, 1.45],
        "floor_interval_95": [0.27, 0.43],
    }
    assert _likelihood(law) == [
        (
            "n = a kappa^c + f",
            "c = 1.400 +- 0.050, b = 1/c = 0.714 +- 0.025, floor 0.350 +- 0.040 per arcsec^2",
        )
    ]
    law |= {"floor_err": None, "c_interval": [1.25, None], "floor_interval_95": [-3.7, 9.0]}
    ((_, said),) = _likelihood(law | {"floor": -3.7})
    assert "c = 1.400 (1.250 to -), b = 1/c = 0.714 (- to 0.800), floor -3.700 (at its bound; < 9.000" in said
    assert _likelihood(None) == _likelihood({"c": None}) == []


def test_a_local_limit_is_a_multiple_of_local_noise():
    field = {"threshold": 0.21, "threshold_snr": 2.05}
    assert _limit(field, local=False) == "T = 0.2100 nJy"
    assert _limit(field, local=True) == "T = 2.05 x local noise (0.2100 nJy at its median)"
    for local in (True, False):
        assert "no good pixels to measure the noise on" in _limit(
            {"threshold": None, "threshold_snr": None}, local=local
        )


@pytest.mark.parametrize("index", [0.7, np.nan])
def test_the_headline_is_the_likelihood_s_where_it_found_a_law(monkeypatch, index):
    monkeypatch.setattr(products, "describe", lambda _: {})
    binned, counts = (
        SimpleNamespace(amplitude=0.4, amplitude_err=0.1, index=value, index_err=0.1, index_err_total=0.2)
        for value in (0.8, index)
    )
    found = products._law(SimpleNamespace(binned=binned, counts=counts), 3.0)
    assert found["boxes"]["index"] == 0.8
    assert (found["method"], found["index"]) == (("likelihood", 0.7) if index == 0.7 else ("boxes", 0.8))


def test_depth_is_in_magnitudes():
    bands = {"F115W": {"mag_5sigma": 30.123}, "F150W": {"mag_5sigma": None}}
    assert _depth("a", bands) == [("depth a", "F115W 30.12 mag (AB, 5 sigma, point sources)")]
    assert _depth("a", None) == _depth("a", {"F150W": {"mag_5sigma": None}}) == []
