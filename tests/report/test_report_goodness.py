"""What the report says of the residuals of the law: a verdict, maps, sums and the rows of the excesses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from astropy.table import QTable

from tilegc.io.maps import write_planes
from tilegc.report.goodness import cumulative, excess_rows, residual_maps, verdict
from tilegc.schema import FILES
from tilegc.sky import SkyGrid, header_text


def summary(p=0.002, clumped=0.4, statistic="excess", scale=10.0):
    return {
        "relation": {
            "goodness": {
                "p_value": p,
                "p_value_clumped": clumped,
                "simulated_skies": 499,
                "least_probable": {"statistic": statistic, "scale_arcsec": scale},
                "n_excesses": 1,
                "n_deficits": 0,
            }
        }
    }


def material(tmp_path, **more):
    (tmp_path / "maps").mkdir(exist_ok=True)
    values = np.full((3, 20, 30), np.nan)
    values[:2] = np.linspace(-4, 4, 600).reshape(20, 30)
    planes = [(f"RESIDUAL{scale}", values[k].astype("f4"), "", "") for k, scale in enumerate((5, 10, 20))]
    write_planes(tmp_path / FILES.residual_map, header_text(SkyGrid(10.0, 5.0, 1.5).wcs(-15, -8)), planes)
    excesses = QTable(
        {
            "kind": ["excess", "deficit"],
            "xi": [12.0, -3.0],
            "eta": [4.5, 1.5],
            "scale": [10.0, 5.0],
            "n_sources": [40, 2],
            "n_expected": [17.25, 9.5],
            "kappa": [0.31, 0.8],
            "significance": [5.2, 3.1],
            "p_value": [0.002, 0.6],
            "p_value_clumped": [0.01, 0.9],
        }
    )
    value = np.linspace(0.1, 1.0, 12)
    names = ("kappa", "radius", "angle")
    curves = QTable(
        {
            "quantity": [name for name in names for _ in value],
            "value": np.tile(value, 3),
            "residual": np.tile(0.1 * value, 3),
            **{key: np.tile(-value, 3) for key in ("low", "low_clumped")},
            **{key: np.tile(value, 3) for key in ("high", "high_clumped")},
        }
    )
    return SimpleNamespace(
        summary=summary(**more), run=SimpleNamespace(path=tmp_path, excesses=excesses, cumulative=curves)
    )


def test_the_verdict_depends_on_both_probabilities(tmp_path):
    assert "such clumping explains them" in verdict(material(tmp_path))
    assert "the largest excess on 10 arcsec" in verdict(material(tmp_path))
    assert "clumping explains" not in verdict(material(tmp_path, clumped=0.01))
    assert "a trend with κ." in verdict(material(tmp_path, clumped=0.01, statistic="kappa", scale=None))
    good = verdict(material(tmp_path, p=0.3, clumped=0.3))
    assert good.endswith("The law describes the sources within their noise.")
    assert "clump" not in good
    assert verdict(SimpleNamespace(summary={"relation": None})) is None


def test_maps_show_tested_scales_and_circle_improbable_places(tmp_path):
    drawing = residual_maps(material(tmp_path))
    panels = [axes for axes in drawing.figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["5 arcsec", "10 arcsec"]
    assert [len(axes.patches) for axes in panels] == [0, 1]
    assert panels[1].patches[0].center == (12.0, 4.5)
    image = panels[0].images[0]
    np.testing.assert_allclose(image.get_extent(), (-22.5, 22.5, -12.0, 18.0))
    # East is to the left.
    west, east = panels[0].get_xlim()
    assert west > 22 > -22 > east


def test_sums_have_a_panel_for_each_quantity(tmp_path):
    drawing = cumulative(material(tmp_path))
    labels = [axes.get_xlabel() for axes in drawing.figure.axes if axes.get_visible()]
    assert labels == ["κ", "radius (arcsec)", "position angle (deg)"]


def test_rows_name_place_and_probability(tmp_path):
    rows = excess_rows(material(tmp_path))
    assert rows[0] == ["excess", "12.0, 4.50", "10", "40", "17.2", "0.31", "5.2", "0.0020", "0.010"]
    assert excess_rows(SimpleNamespace(summary={"relation": {"goodness": None}})) == []
