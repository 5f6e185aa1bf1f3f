"""The warnings of a run: an impure catalogue, a limit that could not be chosen, unknown noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.detection.test_purity import noise_of
from tilegc.config import resolve
from tilegc.detection.limits import Threshold
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.null_maps import SLICES
from tilegc.detection.threshold import Selection
from tilegc.images.audits import Line
from tilegc.images.psfs import BandPsf
from tilegc.kernels.psf_model import model
from tilegc.products import warnings


def config_of(**detect):
    return resolve(
        {
            "recipe": "calibrated",
            "cluster": {"name": "c", "redshift": 0.3, "ra": 10.0, "dec": 0.0},
            "fields": [{"name": "f", "store": "/nowhere"}],
            "detect": detect,
        },
        source="test",
    )


def told(purity, *, n_good=1000, kinds=("wht", "wht"), limit=None, **detect):
    local = replace(noise_of([[1.0]], 1000, 1000, np.zeros((1, 1, len(SLICES)))), kinds=kinds)
    n = len(purity)
    catalogue = {"field": np.full(n, "f", object), "purity": np.array(purity, float)}
    limit = limit or Threshold(2.5, local=True, typical=2.5)
    selection = Selection({"f": local}, {}, {}, {"f": limit}, catalogue, catalogue)
    found = warnings.on_detection(
        config_of(**detect), {"f": Noise(0.0, 1.0, n_good)}, selection, {"f": ("F115W", "F150W")}
    )
    return {one.code: one for one in found}


def test_a_pure_catalogue_is_nothing_to_warn_of():
    assert told([0.995] * 50) == {}
    assert told([]) == {}


@pytest.mark.parametrize(
    ("purity", "code", "words"),
    [
        (0.3, "mostly_noise", "Most of the catalogue is noise: 70 of 100"),
        (0.9, "purity_below_target", "impure: 10 of"),
    ],
)
def test_an_impure_catalogue(purity, code, words):
    found = told([purity] * 100)
    assert set(found) == {code}
    assert words in found[code].text
    assert "threshold: auto" in found[code].remedy
    assert "threshold: auto" not in told([purity] * 100, threshold="auto")[code].remedy


def test_what_is_not_known():
    assert set(told([np.nan] * 4)) == {"purity_unknown"}
    assert set(told([1.0], n_good=0)) == {"no_good_pixel"}
    assert set(told([1.0], limit=Threshold(np.nan, local=True, typical=np.nan))) == {"no_noise"}
    missed = Threshold(4.0, local=True, typical=4.0, missed=True)
    found = told([1.0], limit=missed, threshold="auto")
    assert "used S/N 8.00" in found["threshold_not_pure"].text
    zones = replace(
        missed, by_zone={1: 4.5, 2: 8.0}, reason="no limit in the shallow part; limits: usual 4.50"
    )
    text = told([1.0], limit=zones, threshold="auto")["threshold_not_pure"].text
    assert text == "threshold: auto: no limit in the shallow part; limits: usual 4.50."
    assert "F115W" in told([1.0], kinds=("data", "wht"))["noise_from_the_image"].text
    assert "F150W" in told([1.0], kinds=("wht", "flat"))["noise_without_weights"].text


def test_what_the_audit_calls_wrong():
    lines = [
        Line("weights", "f", "F115W", 3.0, "", "wrong", "steps by 3", "cut it"),
        Line("psf", "f", "F115W", 3.0, "", "look", "wide", "look at it"),
    ]
    (found,) = warnings.rows(warnings.on_audit(lines))
    assert found == {
        "code": "audit_weights",
        "field": "f",
        "text": "The audit calls weights wrong: F115W: steps by 3.",
        "remedy": "Cut it.",
    }


@pytest.mark.parametrize(
    ("share", "told"), [(0.2, False), (0.25, False), (0.26, True), (1.0, True), (None, False)]
)
def test_an_edge_mask_that_takes_much(share, told):
    found = list(warnings.on_edges(config_of(), {"f": share}))
    assert [one.code for one in found] == (["edge_mask_large"] if told else [])
    if found:
        assert found[0].field == "f"
        assert f"{100 * share:.0f} %" in found[0].text
        assert "6.6 arcsec" in found[0].text
        assert "mask.edge" in found[0].remedy


@pytest.mark.parametrize(
    ("band", "origin", "told"),
    [
        ("F115W", "model", False),
        ("f444w", "model", False),
        ("F814W", "stars", False),
        ("F814W", "given", False),
        ("F814W", "model", True),
        ("F105W", "model", True),
        ("blue", "model", True),
    ],
)
def test_the_psf_of_another_camera(band, origin, told):
    psf = BandPsf(band, model("F115W", 0.03, 4), origin, 0)
    found = list(warnings.on_psfs({"f": (psf,)}))
    assert [one.code for one in found] == (["psf_of_another_camera"] if told else [])
    if found:
        assert found[0].field == "f"
        assert found[0].text.startswith(f"{band}: ")


@pytest.mark.parametrize(
    ("name", "gain", "error", "told"),
    [
        ("mirrored", 40.0, 8.0, True),
        ("transposed", 9.0, 1.0, True),
        ("rotated_90", 30.0, 9.0, False),
        ("rotated_180", 7.0, 0.5, False),
        ("rotated_180", -40.0, 5.0, False),
        ("circularised", 40.0, 5.0, False),
        ("mirrored", np.nan, np.nan, False),
    ],
)
def test_a_map_that_sources_prefer_turned(name, gain, error, told):
    ranking = {
        "map": np.array([name, "kappa"], object),
        "delta": np.array([gain, 0.0]),
        "delta_err": np.array([error, 0.0]),
    }
    found = list(warnings.on_ranking(ranking))
    assert [one.code for one in found] == (["kappa_turned"] if told else [])
    assert all("WCS" in one.remedy for one in found)
