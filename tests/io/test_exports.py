"""Catalogues for other programs are valid, contain the original values, and always have the same bytes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.table import Table

from tilegc.io import exports
from tilegc.schema import CANDIDATES, photometry_columns

COLUMNS = (*CANDIDATES, *photometry_columns(("F115W", "F200W"), (0.1, 0.2)))


def content(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    texts = np.array(["a", "module b"], object)
    return {
        column.name: texts[np.arange(n) % 2]
        if column.dtype == "string"
        else (rng.normal(0, 100, n)).astype(column.dtype)
        for column in COLUMNS
    }


def assert_same(table: Table, data: dict[str, np.ndarray], columns: tuple = COLUMNS) -> None:
    assert table.colnames == [column.name for column in columns]
    for column in columns:
        found = table[column.name]
        if column.dtype == "string":
            assert [str(text).strip() for text in found] == list(data[column.name])
        else:
            np.testing.assert_array_equal(np.asarray(found), data[column.name])
            assert str(found.unit or "") == column.unit or column.unit == "nJy pix"


@pytest.mark.parametrize("n", [0, 1, 40])
def test_votable(tmp_path, n):
    data = content(n)
    for name in ("one.vot", "two.vot"):
        exports.write_votable(tmp_path / name, COLUMNS, data, {"recipe": "calibrated"})
    assert (tmp_path / "one.vot").read_bytes() == (tmp_path / "two.vot").read_bytes()
    assert_same(Table.read(tmp_path / "one.vot", format="votable"), data)
    fields = {field.name: field for field in parse(tmp_path / "one.vot").get_first_table().fields}
    assert fields["ra"].ucd == "pos.eq.ra;meta.main"
    assert fields["mag_err_F200W"].ucd == "stat.error;phot.mag"
    assert "total flux" in fields["flux_F115W"].description
    with (tmp_path / "report.txt").open("w") as report:
        assert validate(str(tmp_path / "one.vot"), report), (tmp_path / "report.txt").read_text()


@pytest.mark.parametrize("n", [0, 1, 40])
def test_votable_has_the_bytes_that_astropy_writes(tmp_path, n):
    data = content(n) | {
        "shape": np.array(["Kräuter", "\N{GREEK SMALL LETTER KAPPA}"], object)[np.arange(n) % 2]
    }
    exports.write_votable(tmp_path / "ours.vot", COLUMNS, data, {"recipe": "calibrated"})
    whole = parse(tmp_path / "ours.vot")
    theirs = BytesIO()
    whole.to_xml(theirs, tabledata_format="binary2")
    assert (tmp_path / "ours.vot").read_bytes() == theirs.getvalue()


@pytest.mark.parametrize("n", [0, 1, 40])
def test_fits(tmp_path, n):
    data = content(n)
    for name in ("one.fits", "two.fits"):
        exports.write_fits_table(tmp_path / name, COLUMNS, data, {"recipe": "calibrated"})
    assert (tmp_path / "one.fits").read_bytes() == (tmp_path / "two.fits").read_bytes()
    assert_same(Table.read(tmp_path / "one.fits"), data)
    header = fits.getheader(tmp_path / "one.fits", 1)
    assert header["RECIPE"] == "calibrated"
    number = 1 + [column.name for column in COLUMNS].index("flux_F115W")
    assert header[f"TUCD{number}"] == "phot.flux.density;em.IR"


def test_the_short_table_has_places_and_magnitudes(tmp_path):
    data = content(7)
    exports.write_short(tmp_path / "gc.ecsv", COLUMNS, data, {"recipe": "calibrated"})
    table = Table.read(tmp_path / "gc.ecsv")
    assert {"id", "ra", "dec", "mag_F115W", "mag_err_F200W", "flags"} <= set(table.colnames)
    assert not {"chi_F115W", "sky_F115W", "y_peak", "roundness"} & set(table.colnames)
    np.testing.assert_array_equal(np.asarray(table["mag_F115W"]), data["mag_F115W"])
