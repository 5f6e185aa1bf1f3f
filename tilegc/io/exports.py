"""Catalogues for other programs: VOTable and FITS with units, UCDs and descriptions, and a short table to share."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Column as TableColumn
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray

from tilegc.io.atomic import write_bytes
from tilegc.io.tables import write_ecsv
from tilegc.places import Place
from tilegc.schema import SCHEMA_VERSION, Column

__all__ = ["short_columns", "ucd", "write_fits_table", "write_short", "write_votable"]

Meta = Mapping[str, str]

UCDS: Final = (
    (r"id", "meta.id;meta.main"),
    (r"ra", "pos.eq.ra;meta.main"),
    (r"dec", "pos.eq.dec;meta.main"),
    (r"y(_peak)?", "pos.cartesian.y;instr.pixel"),
    (r"x(_peak)?", "pos.cartesian.x;instr.pixel"),
    (r"y_err", "stat.error;pos.cartesian.y;instr.pixel"),
    (r"x_err", "stat.error;pos.cartesian.x;instr.pixel"),
    (r"peak", "phot.flux.density;stat.max"),
    (r"snr", "stat.snr"),
    (r"radius_(arcsec|kpc)", "pos.angDistance"),
    (r"purity", "stat.probability"),
    (r"flux_err_.*", "stat.error;phot.flux.density"),
    (r"flux_.*", "phot.flux.density;em.IR"),
    (r"mag_err_.*", "stat.error;phot.mag"),
    (r"mag0?_.*", "phot.mag;em.IR"),
    (r"aperture\d_.*", "phot.flux.density"),
    (r"sky_.*", "phot.flux.density.sb;instr.background"),
    (r"chi_.*", "stat.fit.chi2"),
    (r"good_.*", "meta.code.qual"),
    (r"flags", "meta.code"),
    (r"field", "meta.id"),
    (r"shape", "src.morph.type"),
    (r"sharpness|roundness|concentration", "src.morph.param"),
    (r"reliability|p_.*", "stat.probability"),
)
"""Unified content descriptors by the column's name, the first that fits."""

_STREAM: Final = b'<STREAM encoding="base64">'
"""What precedes the rows of a VOTable."""

_SHORT: Final = re.compile(r"id|field|ra|dec|snr|peak|purity|flags|mag0?_.*|flux_.*")


def ucd(name: str) -> str | None:
    """Return the unified content descriptor of a catalogue's column; None for a column without one."""
    return next((found for pattern, found in UCDS if re.fullmatch(pattern, name)), None)


def short_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of the table that is shared: places, fluxes and magnitudes, flags."""
    return tuple(column for column in columns if _SHORT.fullmatch(column.name))


def write_votable(
    path: str | Place, columns: Sequence[Column], data: Mapping[str, ArrayLike], meta: Meta
) -> None:
    """Write a catalogue as a binary VOTable 1.4; the same content gives the same bytes.

    Parameters
    ----------
    path : str or Place
    columns : sequence of Column
    data : mapping of str to array_like
        One array a column, all of one length.
    meta : mapping
        Texts about the table: its parameters.
    """
    file = from_table(_table(columns, data, meta), table_id="catalogue")
    table = file.get_first_table()
    for field, column in zip(table.fields, columns, strict=True):
        field.ucd = ucd(column.name)
    # Astropy encodes every value by itself, 0.2 ms for each row. Here it writes the first row and everything that
    # surrounds the rows; the rows themselves are encoded column by column, to the same bytes.
    rows = table.array.data
    table.array = table.array[:1]
    content = io.BytesIO()
    file.to_xml(content, tabledata_format="binary2")
    text = content.getvalue()
    if len(rows):
        first = text.partition(_STREAM)[2].partition(b"<")[0].strip()
        text = text.replace(first, base64.b64encode(_binary2(rows)), 1)
    write_bytes(path, text)


def _binary2(rows: NDArray[Any]) -> bytes:
    """Return rows as the content of a BINARY2 stream: flags of missing values, of which there are none, and values."""
    assert rows.dtype.names is not None
    parts = {name: _encoded(rows[name]) for name in rows.dtype.names}
    flags = (len(parts) + 7) // 8
    layout = np.dtype(
        [("missing values", "u1", (flags,)), *((name, part.dtype) for name, part in parts.items())]
    )
    out = np.zeros(len(rows), layout)
    for name, part in parts.items():
        out[name] = part
    return out.tobytes()


def _encoded(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a column as a BINARY2 stream has them: big-endian numbers, texts in UTF-16 of one length."""
    if values.dtype.kind != "U":
        return values.astype(values.dtype.newbyteorder(">"))
    length = values.dtype.itemsize // 4
    return np.array([text.encode("utf-16-be")[: 2 * length] for text in values], f"S{2 * length}")


def write_fits_table(
    path: str | Place, columns: Sequence[Column], data: Mapping[str, ArrayLike], meta: Meta
) -> None:
    """Write a catalogue as a FITS binary table, with TUNIT, TUCD and the meaning in TCOMM; parameters as above."""
    hdu = fits.table_to_hdu(_table(columns, data, {}))
    hdu.name = "CATALOGUE"
    for number, column in enumerate(columns, 1):
        if (found := ucd(column.name)) is not None:
            hdu.header[f"TUCD{number}"] = found
        hdu.header[f"TCOMM{number}"] = column.meaning
    hdu.header["SCHEMA"] = (SCHEMA_VERSION, "version of the columns")
    for key, value in meta.items():
        hdu.header[key.upper()[:8]] = value
    content = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(content)
    write_bytes(path, content.getvalue())


def write_short(
    path: str | Place, columns: Sequence[Column], data: Mapping[str, ArrayLike], meta: Meta
) -> None:
    """Write the table that is shared as ECSV; parameters as above."""
    short = short_columns(columns)
    write_ecsv(path, short, {column.name: data[column.name] for column in short}, meta)


def _table(columns: Sequence[Column], data: Mapping[str, ArrayLike], meta: Meta) -> Table:
    parts = []
    for column in columns:
        values = np.asarray(data[column.name], np.str_ if column.dtype == "string" else column.dtype)
        if values.dtype.kind == "U" and values.dtype.itemsize == 0:
            values = values.astype("U1")  # no format has texts of no length
        parts.append(
            TableColumn(values, name=column.name, unit=column.unit or None, description=column.meaning)
        )
    return Table(parts, meta=dict(meta))
