"""Tables: Parquet and ECSV with units, DS9 regions; the same content always gives the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy.io import ascii as astropy_ascii
from astropy.table import Column as TableColumn
from astropy.table import QTable, Table
from numpy.typing import ArrayLike, NDArray

from tilegc.errors import InputError, one_line
from tilegc.io.atomic import replacing, write_bytes
from tilegc.places import Place, buffered, place
from tilegc.schema import SCHEMA_VERSION, Column

__all__ = ["read_ecsv", "read_parquet", "write_ecsv", "write_parquet", "write_regions"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.+-]+")
"""Text that stands in a table without quotes."""

Meta = Mapping[str, str | int | float]

ROW_GROUP: Final = 1 << 20
"""Rows of a row group: part of the bytes, so not left to pyarrow's default."""


def write_parquet(
    path: str | Place, columns: Sequence[Column], data: Mapping[str, ArrayLike], meta: Meta | None = None
) -> None:
    """Write a table as Parquet, whole or not at all.

    Unit and meaning of every column stand in its field's metadata, `meta` and the schema's version in the
    table's. The bytes depend on the arguments and on pyarrow's version, on nothing else.

    Parameters
    ----------
    path : str or Place
        Place of the file.
    columns : sequence of Column
        All columns, in order.
    data : mapping of str to array_like
        One array a column, all of one length, which may be 0.
    meta : mapping, optional
        What the table says of itself, `recipe` for one; it comes back as text.

    Raises
    ------
    ValueError
        If `data` does not fit `columns`.
    """
    arrays = _checked(columns, data)
    fields = [
        pa.field(
            column.name,
            pa.string() if column.dtype == "string" else pa.from_numpy_dtype(np.dtype(column.dtype)),
            nullable=False,
            metadata={"unit": column.unit, "meaning": column.meaning},
        )
        for column in columns
    ]
    about = {"tilegc_schema": str(SCHEMA_VERSION)} | {key: str(value) for key, value in (meta or {}).items()}
    table = pa.table(
        [_arrow(arrays[field.name], field.type) for field in fields],
        schema=pa.schema(fields, metadata=about),
    )
    with replacing(path) as beside:
        pq.write_table(
            table,
            beside,
            version="2.6",
            data_page_version="1.0",
            compression="zstd",
            compression_level=3,
            row_group_size=ROW_GROUP,
            # Dictionaries save space where texts repeat. Chosen by type and not by content, so that the
            # encoding, and the bytes, do not depend on how many values happen to repeat.
            use_dictionary=[column.name for column in columns if column.dtype == "string"],
            write_statistics=True,
        )


def _arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Return a column as an Arrow array without missing values.

    It is made from the buffers: `pyarrow.array` would ask pandas whether the values are a series, and pandas takes
    half a second to import.
    """
    if pa.types.is_boolean(kind):  # a bit each
        return pa.array(values, type=kind)
    if not pa.types.is_string(kind):
        plain = np.ascontiguousarray(values, kind.to_pandas_dtype())
        return pa.Array.from_buffers(kind, len(plain), [None, pa.py_buffer(plain)])
    texts = [str(text).encode() for text in values]
    ends = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=ends[1:])
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts)))


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers; from its buffers, for the same reason."""
    if column.null_count or pa.types.is_boolean(column.type):  # not in a table of ours
        found: NDArray[Any] = column.to_numpy()
        return found
    dtype = np.dtype(column.type.to_pandas_dtype())
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * dtype.itemsize)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, dtype), *parts])


def read_parquet(path: str | Place) -> QTable:
    """Read what `write_parquet` wrote.

    Parameters
    ----------
    path : str or Place
        Place of the file.

    Returns
    -------
    astropy.table.QTable
        Columns with a unit are Quantities of the written dtype, the others plain columns; `meta` holds the
        table's.

    Raises
    ------
    InputError
        If it is absent or no Parquet.
    """
    try:
        # `pyarrow.parquet.read_table` would import the datasets of Arrow, and with them pandas.
        with pq.ParquetFile(buffered(place(path))) as file:
            table = file.read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({one_line(error)})") from None
    parts = []
    for field, column in zip(table.schema, table.columns, strict=True):
        text = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        if pa.types.is_string(field.type):
            values = np.array(column.to_pylist(), dtype=np.str_)
        else:
            values = _numbers(column)
        parts.append((field.name, values, text.get("unit", ""), text.get("meaning", "")))
    about = {
        key.decode(): value.decode()
        for key, value in (table.schema.metadata or {}).items()
        if key != b"ARROW:schema"
    }
    return _qtable(parts, about)


def write_ecsv(
    path: str | Place, columns: Sequence[Column], data: Mapping[str, ArrayLike], meta: Meta | None = None
) -> None:
    """Write a table as ECSV: text that a person and astropy read, with units; whole or not at all.

    Parameters
    ----------
    path : str or Place
        Place of the file.
    columns : sequence of Column
        All columns, in order.
    data : mapping of str to array_like
        One array a column, all of one length, which may be 0. Floats are written with as many digits as
        bring back the same bits.
    meta : mapping, optional
        What the table says of itself.

    Raises
    ------
    ValueError
        If `data` does not fit `columns`.
    """
    arrays = _checked(columns, data)
    table = Table(
        [
            TableColumn(
                np.asarray(arrays[column.name], np.str_) if column.dtype == "string" else arrays[column.name],
                name=column.name,
                unit=column.unit or None,
                description=column.meaning,
            )
            for column in columns
        ],
        meta={"tilegc_schema": SCHEMA_VERSION, **(meta or {})},
    )
    text = io.StringIO()
    # astropy formats cell by cell, which for a large catalogue takes longer than everything else about the
    # file. Its header is kept, and the rows are formed column by column.
    body = _rows(arrays.values())
    (table if body is None else table[:0]).write(text, format="ascii.ecsv")
    write_bytes(path, (text.getvalue() + (body or "")).encode())


def _rows(arrays: Iterable[NDArray[Any]]) -> str | None:
    """Return the rows as astropy writes them, which it does a cell at a time; None where a text needs quotes."""
    columns: list[list[str]] = []
    for array in arrays:
        if array.dtype.kind == "O":
            texts = list(map(str, array.tolist()))
            if not all(map(_PLAIN.fullmatch, set(texts))):
                return None
            columns.append(texts)
        elif array.dtype.kind in "iuf":
            # Of float32, NumPy's own text: Python's would have the digits of a float64.
            columns.append(list(map(str, array if array.dtype == np.float32 else array.tolist())))
        else:
            return None
    return "".join(f"{row}\n" for row in map(" ".join, zip(*columns, strict=True)))


def read_ecsv(path: str | Place) -> QTable:
    """Read what `write_ecsv` wrote.

    Parameters
    ----------
    path : str or Place
        Place of the file.

    Returns
    -------
    astropy.table.QTable
        As `read_parquet` gives it.

    Raises
    ------
    InputError
        If it is absent or no ECSV.
    """
    try:
        text = place(path).read_text(encoding="utf-8")
        # Empty cells are empty names here, never missing values.
        # Split into lines here, because astropy takes a text without a line break for a file's name.
        table = Table.read(text.splitlines(), format="ascii.ecsv", fill_values=[])
    except FileNotFoundError:
        raise InputError(f"{path}: no such table") from None
    except (OSError, ValueError, astropy_ascii.InconsistentTableError) as error:
        raise InputError(f"{path}: cannot be read as ECSV ({one_line(error)})") from None
    parts = [
        (
            column.name,
            np.asarray(column.data),
            str(column.unit) if column.unit is not None else "",
            column.description or "",
        )
        for column in table.columns.values()
    ]
    return _qtable(parts, dict(table.meta))


def write_regions(
    path: str | Place,
    ra: ArrayLike,
    dec: ArrayLike,
    radius_arcsec: float | ArrayLike,
    labels: Sequence[str] | None = None,
    *,
    meta: Meta | None = None,
) -> None:
    """Write circles as a DS9 region file (ICRS), whole or not at all.

    Parameters
    ----------
    path : str or Place
        Place of the file.
    ra, dec : array_like
        Centres, degrees.
    radius_arcsec : float or array_like
        Radius of all or of each, arcsec.
    labels : sequence of str, optional
        A text for each; braces in it are left out, as DS9 uses them to delimit it.
    meta : mapping, optional
        Written as comments.
    """
    centres = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    radii = np.broadcast_to(np.asarray(radius_arcsec, np.float64), centres[0].shape)
    texts = [""] * radii.size if labels is None else [_label(label) for label in labels]

    def lines() -> Iterator[str]:
        yield "# Region file format: DS9 version 4.1"
        for key, value in (meta or {}).items():
            yield f"# {key}: {one_line(value)}"
        yield "icrs"
        for a, d, r, text in zip(*centres, radii, texts, strict=True):
            # nine decimals of a degree: 4 microarcsec
            yield f'circle({a:.9f},{d:.9f},{r:.4f}"){text}'

    write_bytes(path, ("\n".join(lines()) + "\n").encode())


def _label(text: str) -> str:
    return f" # text={{{one_line(text).translate({123: None, 125: None})}}}"


def _checked(columns: Sequence[Column], data: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Return the arrays in the columns' dtypes, with one NaN for all; refuse what does not fit."""
    names = [column.name for column in columns]
    if set(names) != set(data):
        raise ValueError(f"columns {sorted(set(names) ^ set(data))} are not in both the schema and the data")
    arrays = {column.name: _cast(column, np.asarray(data[column.name])) for column in columns}
    lengths = {name: array.size for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    return arrays


def _cast(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 1:
        raise ValueError(f"column {column.name}: expected one dimension, got {values.ndim}")
    if column.dtype == "string":
        kinds = set(map(type, values.tolist())) if values.dtype.kind not in "UT" else {str}
        if not all(issubclass(kind, str) for kind in kinds):
            raise ValueError(f"column {column.name}: expected text")
        return values.astype(object)
    dtype = np.dtype(column.dtype)
    if values.size == 0:
        return np.empty(0, dtype)
    # Casting must not lose kinds, as floats to integers would; narrowing a float is meant.
    if not np.can_cast(values.dtype, dtype, casting="same_kind"):
        raise ValueError(f"column {column.name}: {values.dtype} cannot be {dtype}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise ValueError(f"column {column.name}: numbers beyond {dtype}")
    cast = values.astype(dtype)
    if dtype.kind == "f":
        # NaNs differ in their bits by where they come from, and bits are what the files are compared by.
        cast[np.isnan(cast)] = np.nan
    return cast


def _qtable(parts: Sequence[tuple[str, NDArray[Any], str, str]], meta: Mapping[str, object]) -> QTable:
    table = QTable(meta=dict(meta))
    for name, values, unit, meaning in parts:
        if unit:
            # With the dtype given: a Quantity of integers would turn into floats.
            table[name] = units.Quantity(values, unit, dtype=values.dtype, copy=False)
        else:
            table[name] = values
        table[name].info.description = meaning
    return table
