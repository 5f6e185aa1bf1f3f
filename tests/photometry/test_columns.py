"""Columns of the catalogue: magnitudes, flags and depth from a fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import mock
from tilegc import running
from tilegc.config import resolve
from tilegc.errors import ConfigError
from tilegc.photometry.catalogue import typical_depth
from tilegc.photometry.stamps import stamp_radius
from tilegc.run_folder import Run
from tilegc.schema import Flag, photometry_columns


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, no_report: None) -> Run:
    folder = tmp_path_factory.mktemp("photometry")
    run_file = mock.write_inputs(folder)
    changes = {**mock.CALIBRATED, "detect.threshold": {"sigma": 2.5}, "photometry": {"apertures": [1.0]}}
    changed = mock.edited(run_file, "calibrated.yaml", changes)
    return running.run(changed, folder / "run", workers=0)


def test_every_candidate_has_its_columns(run):
    table = run.candidates
    bands = mock.BANDS
    columns = [column.name for column in photometry_columns(bands, (1.0,))]
    first = table.colnames.index(columns[0])
    assert table.colnames[first : first + len(columns)] == columns
    assert len(table) > 10
    fitted = np.ones(len(table), bool)
    for band in bands:
        flux = table[f"flux_{band}"].value
        magnitude, positive = table[f"mag_{band}"].value, flux > 0
        np.testing.assert_allclose(magnitude[positive], 31.4 - 2.5 * np.log10(flux[positive]), rtol=1e-12)
        assert np.isnan(magnitude[~positive]).all()
        error = table[f"flux_err_{band}"].value
        assert (error[np.isfinite(flux)] > 0).all()
        np.testing.assert_allclose(
            table[f"mag_err_{band}"].value[positive], 1.0857362 * error[positive] / flux[positive], rtol=1e-6
        )
        fitted &= np.isfinite(flux)
    flags = np.asarray(table["flags"])
    assert ((flags & Flag.UNFITTED) == 0).tolist() == fitted.tolist()
    shift = np.maximum(
        abs(table["y"].value - table["y_peak"].value), abs(table["x"].value - table["x_peak"].value)
    )
    assert shift.max() <= 1
    np.testing.assert_array_equal(shift == 1, (flags & Flag.MOVED) != 0)


def test_positions_on_the_sky_are_those_of_y_and_x(run):
    from tilegc.sky import header_text, pixel_to_world

    for name in run.fields:
        rows = run.candidates[np.asarray(run.candidates["field"]).astype(str) == name]
        ra, dec = pixel_to_world(header_text(run.wcs(name)), rows["y"].value, rows["x"].value)
        np.testing.assert_allclose(ra, rows["ra"].value, atol=1e-9)
        np.testing.assert_allclose(dec, rows["dec"].value, atol=1e-9)


def test_the_summary_has_the_depth(run):
    for name in run.fields:
        depth = run.summary["fields"][name]["photometry"]
        assert set(depth) == set(mock.BANDS)
        errors = run.candidates[f"flux_err_{mock.BANDS[0]}"].value[
            np.asarray(run.candidates["field"]).astype(str) == name
        ]
        expected = 31.4 - 2.5 * np.log10(5 * np.nanmedian(errors))
        assert depth[mock.BANDS[0]]["mag_5sigma"] == pytest.approx(expected)


def test_no_source_has_no_depth():
    table = {"field": np.zeros(0, object), "flux_err_F115W": np.zeros(0)}
    assert np.isnan(typical_depth(table, "a", ("F115W",))["F115W"])


def test_stamps_fit_the_pixels():
    assert [stamp_radius(scale) for scale in (0.015, 0.02, 0.031, 0.04, 0.1)] == [14, 14, 10, 8, 8]


def test_settings(tmp_path: Path):
    content = {
        "recipe": "diego2026",
        "cluster": {"name": "c", "redshift": 0.3, "ra": 1, "dec": 2},
        "fields": [{"name": "a", "store": str(tmp_path)}],
    }
    assert resolve(content, source="x").photometry_settings is None
    assert resolve({**content, "recipe": "calibrated"}, source="x").photometry_settings.apertures == (
        0.1,
        0.2,
        0.3,
    )
    assert (
        resolve({**content, "recipe": "calibrated", "photometry": False}, source="x").photometry_settings
        is None
    )
    given = resolve({**content, "photometry": {"apertures": [0.15]}}, source="x")
    assert given.photometry_settings.apertures == (0.15,)
    for wrong, words in (
        ({"apertures": [0.2, 0.1]}, "larger than the one before"),
        ({"apertures": [3]}, "many sources"),
        ("on", "expected off, auto, or"),
        ({"aperture": [0.1]}, "apertur"),
    ):
        with pytest.raises(ConfigError, match=words):
            resolve({**content, "photometry": wrong}, source="x")
