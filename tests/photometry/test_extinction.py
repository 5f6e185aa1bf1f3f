"""Foreground extinction: the law against its published table, and what a run file may say."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.config import Extinction, resolve
from tilegc.errors import ConfigError
from tilegc.photometry.extinction import PIVOTS, extinctions, over_av


@pytest.mark.parametrize(
    ("x", "ratio"),
    [
        (2.27, 1 + 1 / 3.1),  # A(B) - A(V) = A(V) / R_V by definition; their table has 1.337
        (1.82, 1.000),
        (1.43, 0.751),
        (1.11, 0.479),
        (0.80, 0.282),
        (0.63, 0.190),
        (0.46, 0.114),
        (0.29, 0.056),
    ],
    ids="BVRIJHKL",
)
def test_the_law_is_that_of_the_published_table(x, ratio):
    # Cardelli, Clayton & Mathis 1989, table 3, for R_V = 3.1; x in inverse micrometres
    assert over_av(1 / x) == pytest.approx(ratio, abs=0.003)


def test_it_falls_with_wavelength_and_has_no_ultraviolet():
    ordered = [over_av(wavelength) for wavelength in np.linspace(0.31, 5, 400)]
    assert (np.diff(ordered) < 0).all()
    with pytest.raises(ValueError, match="ultraviolet"):
        over_av(0.27)
    assert all(0.33 < wavelength < 5 for wavelength in PIVOTS.values())


def test_the_three_ways_to_give_it():
    bands = ("F090W", "F444W")
    by_av = extinctions(Extinction(av=0.31), bands)
    assert by_av == pytest.approx(extinctions(Extinction(ebv=0.1), bands))
    assert by_av["F090W"] == pytest.approx(0.31 * over_av(0.901))
    assert extinctions(Extinction(bands={"F090W": 0.2, "F444W": 0.01}), bands) == {
        "F090W": 0.2,
        "F444W": 0.01,
    }
    assert extinctions(None, bands) == {}
    assert extinctions(Extinction(ebv=0), bands) == {"F090W": 0, "F444W": 0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Extinction(av=0.1), "wavelength of band B is not known; give the extinction of every band"),
        (Extinction(bands={"F090W": 0.1}), "no extinction of B; add it"),
    ],
)
def test_bands_that_are_not_known_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        extinctions(given, ("F090W", "B"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give one of av, ebv and bands, not none"),
        ({"av": 0.1, "ebv": 0.1}, "give one of av, ebv and bands, not av and ebv"),
        ({"av": -1}, r"photometry\.extinction\.av: .*0"),
        ({"a_v": 1}, r"photometry\.extinction\.a_v: unknown key"),
        ({"bands": {"B": "x"}}, r"photometry\.extinction\.bands\.B: .*not a number"),
    ],
)
def test_refusals_name_the_key(given, said):
    content = {"recipe": "calibrated", "fields": [{"name": "a", "bands": {"B": "a.fits"}}]}
    with pytest.raises(ConfigError, match=said):
        resolve({**content, "photometry": {"extinction": given}})
