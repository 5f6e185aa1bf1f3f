"""The figure of other samples where the law's floor lies on its bound."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from astropy.table import QTable

from tests.report.test_report import LIKELIHOOD
from tilegc.report import law, law_tables


def material(floor_err, interval):
    """Two samples: the run itself, c = 1.25, and another with a floor."""
    table = QTable(
        {
            "sample": ["all", "snr_5"],
            "n_sources": [40, 30],
            "binned_index": [0.7, 0.7],
            "binned_index_err": [0.1, 0.1],
            "index": [0.8, 0.9],
            "index_err": [0.2, 0.1],
            "floor": [-1.0, 0.2],
            "floor_err": [floor_err, 0.1],
            "pearson": [0.5, 0.5],
        }
    )
    found = {"c": 1.25, "c_interval": interval}
    return SimpleNamespace(
        run=SimpleNamespace(sensitivity=table), summary={"relation": {"likelihood": found}}
    )


@pytest.mark.parametrize(
    ("interval", "bar", "arrows"), [([1.0, 2.0], (0.5, 1.0), 0), ([1.0, None], (0.8, 1.0), 1)]
)
def test_a_bar_at_the_bound_is_the_profile(interval, bar, arrows):
    drawn = law.sensitivity(material(float("nan"), interval))
    axes = drawn.figure.axes[0]
    (lines,) = axes.containers[0][2]
    assert lines.get_segments()[0][:, 0] == pytest.approx(bar)
    assert lines.get_segments()[1][:, 0] == pytest.approx((0.8, 1.0))
    assert sum(text.arrow_patch is not None for text in axes.texts) == arrows
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all*", "S/N ≥ 5"]
    assert law.HELD in drawn.caption
    assert [row[0] for row in law_tables.sensitivity_rows(material(float("nan"), interval))] == [
        "all*",
        "S/N ≥ 5",
    ]
    plt.close(drawn.figure)


def test_a_floor_of_its_own_has_plain_bars():
    drawn = law.sensitivity(material(0.3, [1.0, None]))
    axes = drawn.figure.axes[0]
    assert axes.containers[0][2][0].get_segments()[0][:, 0] == pytest.approx((0.6, 1.0))
    assert not axes.texts
    assert law.HELD not in drawn.caption
    plt.close(drawn.figure)


@pytest.mark.parametrize(
    ("ratio", "corrected", "value", "says"),
    [
        (0.951, 1.452, "1.45", "5 range maps of the lens model recover a fraction 0.951 of c"),
        (0.14, None, "–", "too uncertain for a correction"),
        (None, None, "–", "only 5 range maps of the lens model give a law"),
    ],
)
def test_what_range_maps_tell_is_said(ratio, corrected, value, says):
    told = {"realisations": 5, "ratio": ratio, "c_corrected": corrected}
    found = LIKELIHOOD | {"attenuation": told}
    rows = law_tables.likelihood_rows(SimpleNamespace(summary={"relation": {"likelihood": found}}))
    (row,) = [row for row in rows if row[0] == "c corrected for errors of the lens map"]
    assert str(row[1]).startswith(value)
    assert says in row[2]
