"""Maps as FITS images with a WCS, written row band by row band, always the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from tilegc.io.atomic import replacing
from tilegc.places import Place
from tilegc.sky import header_text, wcs_from_text

__all__ = ["write_map", "write_planes"]

BLOCK: Final = 2880
"""FITS files are a whole number of blocks of this many bytes."""

BITPIX: Final = {"u1": 8, "i2": 16, "i4": 32, "i8": 64, "f4": -32, "f8": -64}


def write_map(
    path: str | Place,
    wcs_text: str,
    rows: Iterable[NDArray[Any]],
    *,
    shape: tuple[int, int],
    dtype: DTypeLike,
    unit: str,
    name: str,
    meaning: str = "",
    meta: Mapping[str, tuple[str | int | float, str]] | None = None,
) -> None:
    """Write an image with its WCS, whole or not at all, never holding more than a band of rows.

    No card tells a date, a path or a program's version, and NaN has one pattern of bits: the same map gives
    the same bytes.

    Parameters
    ----------
    path : str or Place
        Place of the file.
    wcs_text : str
        Header text that holds the WCS, as `tilegc.sky.wcs_from_text` takes it.
    rows : iterable of ndarray
        Bands of rows from the first row (y = 0) on, each (any number of rows, shape[1]).
    shape : tuple of int
        Rows and columns of the whole.
    dtype : dtype_like
        uint8, int16, int32, int64, float32 or float64.
    unit : str
        Unit in astropy's spelling, for BUNIT; empty where there is none.
    name : str
        Name of the map, for EXTNAME.
    meaning : str
        One line on what it shows, for EXTNAME's comment.
    meta : mapping of str to (value, comment), optional
        Further cards; the keywords at most 8 characters.

    Raises
    ------
    ValueError
        If the bands do not make up `shape`, or a keyword cannot be one.
    AstrometryError
        If the text has no celestial WCS.
    """
    kind = np.dtype(dtype).newbyteorder(">")
    cards: dict[str, tuple[str | int | float, str]] = {"EXTNAME": (name, meaning)}
    if unit:
        cards["BUNIT"] = (unit, "")
    header = _header(shape, np.dtype(dtype), cards | dict(meta or {}))
    # The WCS comes last and updates: a card of `meta` cannot replace one of the WCS.
    header.extend(fits.Header.fromstring(header_text(wcs_from_text(wcs_text))), update=True)
    done = 0
    with replacing(path) as beside, beside.open("wb") as file:
        file.write(header.tostring().encode("ascii"))
        for band in rows:
            if band.ndim != 2 or band.shape[1] != shape[1]:
                raise ValueError(f"map {name}: a band of shape {band.shape} in an image of {shape}")
            done += band.shape[0]
            values = band.astype(kind, order="C", casting="same_kind")
            if kind.kind == "f":
                # The sign and payload of a NaN depend on the operation, and on the CPU, that created it.
                values[np.isnan(values)] = np.nan
            file.write(values.data)
        if done != shape[0]:
            raise ValueError(f"map {name}: {done} rows were given for {shape[0]}")
        # FITS files end with a full block.
        file.write(bytes(-file.tell() % BLOCK))


def write_planes(
    path: str | Place,
    wcs_text: str,
    planes: Sequence[tuple[str, NDArray[Any], str, str]],
    meta: Mapping[str, tuple[str | int | float, str]] | None = None,
) -> None:
    """Write small images of one WCS into one file, the first as its primary image, whole or not at all.

    Like `write_map`, it gives the same bytes for the same content.

    Parameters
    ----------
    path : str or Place
        Place of the file.
    wcs_text : str
        Header text that holds the WCS.
    planes : sequence of (name, values, unit, meaning)
        Images of one shape, with what `write_map` says of each.
    meta : mapping of str to (value, comment), optional
        Further cards of every image.
    """
    wcs = fits.Header.fromstring(header_text(wcs_from_text(wcs_text)))
    images = fits.HDUList()
    for name, values, unit, meaning in planes:
        cards: dict[str, tuple[str | int | float, str]] = {"EXTNAME": (name, meaning), "BUNIT": (unit, "")}
        header = _header((values.shape[0], values.shape[1]), values.dtype, cards | dict(meta or {}))
        header.extend(wcs, update=True)
        # NaN has one pattern of bits.
        same = np.where(np.isnan(values), np.nan, values).astype(values.dtype)
        images.append(fits.ImageHDU(same, header) if images else fits.PrimaryHDU(same, header))
    with replacing(path) as beside, beside.open("wb") as file:
        images.writeto(file)


def _header(
    shape: tuple[int, int], dtype: np.dtype[Any], cards: Mapping[str, tuple[str | int | float, str]]
) -> fits.Header:
    if dtype.str[1:] not in BITPIX:
        raise ValueError(f"FITS has no images of {dtype}")
    header = fits.Header()
    header["SIMPLE"] = (True, "conforms to FITS standard")
    header["BITPIX"] = (BITPIX[dtype.str[1:]], "array data type")
    header["NAXIS"] = 2
    header["NAXIS1"] = shape[1]
    header["NAXIS2"] = shape[0]
    for key, (value, comment) in cards.items():
        if not re.fullmatch(r"[A-Z0-9_-]{1,8}", key):
            raise ValueError(f"{key!r} cannot be a FITS keyword")
        # astropy warns of a comment that does not fit: cut it to the rest of the card
        used = max(len(str(fits.Card(key, value)).rstrip()), 30)
        text = comment.encode("ascii", "replace").decode()
        header[key] = (value, text[: max(80 - used - 3, 0)])
    return header
