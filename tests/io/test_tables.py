"""Tables are read as they were written: values to the bit, units, schema; equal content has equal bytes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import regions
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc import schema
from tilegc.errors import InputError
from tilegc.io import atomic, tables

TABLES = {
    "candidates": schema.CANDIDATES,
    "inpainted": schema.INPAINTED,
    "relation": schema.RELATION,
    "profile": schema.PROFILE,
}
KINDS = {
    "parquet": (tables.write_parquet, tables.read_parquet),
    "ecsv": (tables.write_ecsv, tables.read_ecsv),
}
META = {"recipe": "diego2026", "realisations": 20}

each_table = pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES)
each_kind = pytest.mark.parametrize(("write", "read"), KINDS.values(), ids=KINDS)


def content(columns, rows, seed=1):
    """Values that use the whole range of each dtype, NaN and infinities among the floats."""
    random = np.random.default_rng(seed)
    data = {}
    for column in columns:
        if column.dtype == "string":
            data[column.name] = np.array([f"field-{i % 3}" for i in range(rows)], dtype=object)
        elif column.dtype.startswith("int"):
            info = np.iinfo(column.dtype)
            data[column.name] = random.integers(info.min, info.max, rows, column.dtype, endpoint=True)
        else:
            values = (random.normal(size=rows) * 10.0 ** random.integers(-30, 30, rows)).astype(column.dtype)
            values[::7], values[3::11] = np.nan, np.inf
            data[column.name] = values
    return data


@each_table
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_parquet_has_the_bytes_that_arrow_writes_of_the_same_arrays(tmp_path, monkeypatch, columns, rows):
    data = content(columns, rows)
    tables.write_parquet(tmp_path / "ours", columns, data, META)
    monkeypatch.setattr(tables, "_arrow", lambda values, kind: pa.array(values, type=kind))
    tables.write_parquet(tmp_path / "theirs", columns, data, META)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_tables_are_written_and_read_without_pandas(tmp_path):
    code = """
import sys
from tilegc.io import tables
from tilegc.schema import INPAINTED
tables.write_parquet("t", INPAINTED, {column.name: [] for column in INPAINTED})
assert len(tables.read_parquet("t")) == 0
print("pandas" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@each_kind
@each_table
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_what_is_written_comes_back_with_units_and_dtypes(tmp_path, columns, write, read, rows):
    data = content(columns, rows)
    write(tmp_path / "t", columns, data, META)
    table = read(tmp_path / "t")
    assert isinstance(table, QTable)
    assert table.colnames == [column.name for column in columns]
    assert len(table) == rows
    assert table.meta["recipe"] == "diego2026"
    assert str(table.meta["realisations"]) == "20"
    assert str(table.meta["tilegc_schema"]) == str(schema.SCHEMA_VERSION)
    for column in columns:
        back = table[column.name]
        assert back.info.description == column.meaning
        if column.unit:
            assert back.unit == u.Unit(column.unit)
            back = back.value
        else:
            assert getattr(back, "unit", None) is None
        if column.dtype == "string":
            assert np.asarray(back).dtype.kind == "U"
            assert list(back) == list(data[column.name])
        else:
            assert back.dtype == np.dtype(column.dtype)
            np.testing.assert_array_equal(np.asarray(back), data[column.name])


@each_kind
@each_table
@pytest.mark.parametrize("rows", [0, 200])
def test_twice_written_is_the_same_bytes(tmp_path, columns, write, read, rows):
    data = content(columns, rows)
    write(tmp_path / "one", columns, data, META)
    other = {name: data[name].copy() for name in reversed(data)}  # the mapping's order is no content
    write(tmp_path / "elsewhere" / "two", columns, other, META)
    one, two = (tmp_path / "one").read_bytes(), (tmp_path / "elsewhere" / "two").read_bytes()
    assert one == two
    assert str(tmp_path).encode() not in one
    if rows:
        name = next(column.name for column in columns if column.dtype == "float64")
        other[name][1] = np.nextafter(other[name][1], np.inf)
        write(tmp_path / "two", columns, other, META)
        assert (tmp_path / "two").read_bytes() != one


@each_kind
def test_another_process_with_another_hash_seed_writes_the_same_bytes(tmp_path, write, read):
    write(tmp_path / "here", schema.CANDIDATES, content(schema.CANDIDATES, 40), META)
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "import test_tables as t\n"
        "t.tables."
        + write.__name__
        + "(sys.argv[2], t.schema.CANDIDATES, t.content(t.schema.CANDIDATES, 40), t.META)"
    )
    environment = os.environ | {
        "PYTHONHASHSEED": "77",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


@each_kind
def test_every_nan_is_one_nan(tmp_path, write, read):
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0123))[0]
    plain, strange = content(schema.RELATION, 4), content(schema.RELATION, 4)
    plain["kappa_std"][:] = np.nan
    strange["kappa_std"][:] = odd
    assert plain["kappa_std"].tobytes() != strange["kappa_std"].tobytes()
    write(tmp_path / "a", schema.RELATION, plain)
    write(tmp_path / "b", schema.RELATION, strange)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert strange["kappa_std"].tobytes() == np.full(4, odd).tobytes()  # the caller's array is not touched


@given(values=st.lists(st.floats(width=64), max_size=20))
@settings(max_examples=50, deadline=None)
def test_ecsv_brings_back_every_double_to_the_bit(tmp_path_factory, values):
    columns = (schema.Column("v", "float64", "arcsec", "anything"),)
    path = tmp_path_factory.mktemp("ecsv") / "t.ecsv"
    tables.write_ecsv(path, columns, {"v": np.array(values, np.float64)})
    back = tables.read_ecsv(path)["v"].value
    np.testing.assert_array_equal(back, np.array(values, np.float64))
    np.testing.assert_array_equal(np.signbit(back[back == 0]), np.signbit(np.array(values)[back == 0]))


@each_kind
def test_names_that_look_like_numbers_or_gaps_stay_names(tmp_path, write, read):
    names = ["1", "007", "nan", "N/A", "--", "1e5", "True", "a.b_c+d-e"]
    columns = (schema.Column("field", "string", "", "name"), schema.Column("id", "int64", "", "row"))
    write(tmp_path / "t", columns, {"field": names, "id": np.arange(len(names))})
    assert list(read(tmp_path / "t")["field"]) == names


def test_parquet_is_plain_to_others(tmp_path):
    path = tmp_path / "t.parquet"
    tables.write_parquet(path, schema.CANDIDATES, content(schema.CANDIDATES, 5), META)
    table = pq.read_table(path)
    assert b"pandas" not in table.schema.metadata
    assert table.schema.field("ra").metadata == {
        b"unit": b"deg",
        b"meaning": b"right ascension of the source, ICRS",
    }
    assert not any(field.nullable for field in table.schema)
    assert str(table.schema.field("peak").type) == "float"


def test_ecsv_is_plain_to_others(tmp_path):
    tables.write_ecsv(tmp_path / "t.ecsv", schema.PROFILE, content(schema.PROFILE, 5), META)
    table = QTable.read(tmp_path / "t.ecsv", format="ascii.ecsv")
    assert table["r_lo"].unit == u.arcsec
    assert table["n_per_arcsec2"].unit == u.arcsec**-2


@each_kind
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bin": None}, "bin"),
        ({"more": np.zeros(3)}, "more"),
        ({"n_lo": np.zeros(4)}, "lengths"),
        ({"n_boxes": np.array([0.5, 1.0, 2.0])}, "n_boxes"),
        ({"n_lo": np.array(["a", "b", "c"])}, "n_lo"),
        ({"n_lo": np.zeros((3, 1))}, "n_lo"),
    ],
)
def test_data_that_do_not_fit_the_schema_are_refused(tmp_path, write, read, change, says):
    data = content(schema.RELATION, 3) | change
    data = {name: values for name, values in data.items() if values is not None}
    with pytest.raises(ValueError, match=says):
        write(tmp_path / "t", schema.RELATION, data)
    assert list(tmp_path.iterdir()) == []


def test_numbers_beyond_the_columns_integers_are_refused(tmp_path):
    data = content(schema.INPAINTED, 1) | {"y": np.array([2**31], np.int64)}
    with pytest.raises(ValueError, match="column y: numbers beyond int32"):
        tables.write_parquet(tmp_path / "t", schema.INPAINTED, data)


@each_kind
def test_absent_and_foreign_files_give_one_line(tmp_path, write, read):
    with pytest.raises(InputError, match="no such table"):
        read(tmp_path / "absent")
    (tmp_path / "foreign").write_text("SIMPLE  =                    T\n")
    with pytest.raises(InputError, match="cannot be read as") as caught:
        read(tmp_path / "foreign")
    assert "\n" not in str(caught.value)


# --- DS9 ---------------------------------------------------------------------------------------------------


def test_regions_are_read_by_others(tmp_path):
    path = tmp_path / "c.reg"
    ra, dec = np.array([342.18322, 0.000123456789]), np.array([-44.53091, 89.5])
    tables.write_regions(path, ra, dec, [0.3, 1.25], ["one {two}\nthree", "4"], meta={"recipe": "diego2026"})
    found = regions.Regions.read(path, format="ds9")
    assert [region.center.frame.name for region in found] == ["icrs", "icrs"]
    np.testing.assert_allclose([region.center.ra.deg for region in found], ra, rtol=0, atol=5.1e-10)
    np.testing.assert_allclose([region.center.dec.deg for region in found], dec, rtol=0, atol=5.1e-10)
    assert [region.radius.to_value("arcsec") for region in found] == pytest.approx([0.3, 1.25])
    assert [str(region.meta["text"]) for region in found] == ["one two three", "4"]
    assert "# recipe: diego2026" in path.read_text().splitlines()


def test_regions_twice_and_none(tmp_path):
    for name in ("a", "b"):
        tables.write_regions(tmp_path / name, [1.0, 2.0], [3.0, 4.0], 0.3)
        tables.write_regions(tmp_path / f"{name}0", [], [], 0.3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a0").read_bytes() == (tmp_path / "b0").read_bytes()
    assert len(regions.Regions.read(tmp_path / "a0", format="ds9")) == 0
    with pytest.raises(ValueError):
        tables.write_regions(tmp_path / "c", [1.0, 2.0], [3.0, 4.0], 0.3, ["one label"])
    assert not (tmp_path / "c").exists()


# --- atomic writing ----------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "new" / "t"
    atomic.write_bytes(path, b"old")
    with pytest.raises(RuntimeError, match="half"), atomic.replacing(path) as beside:
        beside.write_bytes(b"half of the new")
        assert beside.parent == path.parent
        assert path.read_bytes() == b"old"
        raise RuntimeError("half")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
    atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_written_file_has_the_users_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    atomic.write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("texts", [("a", "b_2"), ("with space", ""), ('"quoted"', "ä")])
def test_rows_are_those_that_astropy_writes(tmp_path, monkeypatch, texts) -> None:
    columns = (
        schema.Column("name", "string", "", "a name"),
        schema.Column("n", "int64", "", "a number"),
        schema.Column("x", "float64", "deg", "an angle"),
        schema.Column("p", "float32", "nJy", "a peak"),
    )
    rng = np.random.default_rng(5)
    wide = rng.normal(size=60) * 10.0 ** rng.integers(-30, 30, 60)
    wide[:5] = [0.0, -0.0, np.nan, np.inf, 1e16]
    data = {"name": list(texts) * 30, "n": np.arange(60) - 7, "x": wide, "p": wide.astype(np.float32)}
    tables.write_ecsv(tmp_path / "fast.ecsv", columns, data, {"recipe": "diego2026"})
    monkeypatch.setattr(tables, "_rows", lambda _: None)
    tables.write_ecsv(tmp_path / "astropy.ecsv", columns, data, {"recipe": "diego2026"})
    assert (tmp_path / "fast.ecsv").read_bytes() == (tmp_path / "astropy.ecsv").read_bytes()
