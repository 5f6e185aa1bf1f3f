"""The anatomy of a FITS file: what HDUs it holds, where their bytes are, and whether all of them are there.

Only headers are read (of a gzip file, what comes before the last header is unpacked and dropped), so that a
file truncated in any extension is refused before anything else happens.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

from astropy.io import fits

from tilegc.errors import InputError, one_line
from tilegc.places import is_url, opened

__all__ = ["BITPIX", "BLOCK", "Hdu", "Kind", "open_bytes", "open_unpacked", "scan"]

BLOCK = 2880
"""FITS files are made of blocks of this many bytes."""

Kind = Literal["plain", "rice", "gzip"]
"""How an image lies in its file: readable by offset, tile-compressed, or inside a gzip stream."""

BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""NumPy dtypes of the values that FITS knows."""

_CLIENTS = ("aiohttp", "aiobotocore", "azure", "botocore", "gcsfs", "google", "requests")
"""Packages that talk to stores: their errors are no OSError."""

_STEP = 1 << 20

_LONGEST = 20_000
"""Blocks after which a header without END is none (700,000 cards)."""


@dataclass(frozen=True)
class Hdu:
    """One header-data unit."""

    index: int
    header: fits.Header
    kind: Kind
    offset: int
    """First byte of the data, in the unpacked file."""
    size: int
    """Bytes of data without padding."""
    shape: tuple[int, ...]
    """Length of the image's axes, slowest first; empty where there is no image."""

    @property
    def name(self) -> str:
        """EXTNAME in capitals; empty where there is none."""
        return str(self.header.get("EXTNAME", "")).strip().upper()

    @property
    def version(self) -> int:
        """EXTVER, 1 where there is none."""
        value = self.header.get("EXTVER", 1)
        return value if isinstance(value, int) else 1


@contextmanager
def open_bytes(path: str) -> Iterator[BinaryIO]:
    """Open a file or URL for reading; whatever goes wrong becomes one line.

    Raises
    ------
    InputError
        Absent, a folder, not readable, unreachable, or broken while it is being read.
    """
    with opened(path) as stream:
        try:
            yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"{path}: broken or truncated gzip ({one_line(error)}); fetch it again"
            ) from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({one_line(error)})") from None
        except Exception as error:
            if type(error).__module__.partition(".")[0] in _CLIENTS and is_url(path):
                raise InputError(f"{path}: cannot be read ({one_line(error)})") from None
            raise


@contextmanager
def open_unpacked(path: str) -> Iterator[BinaryIO]:
    """Open a gzip file or URL as the stream of its unpacked bytes."""
    with open_bytes(path) as packed, gzip.GzipFile(fileobj=packed, mode="rb") as stream:
        yield cast("BinaryIO", stream)


def scan(path: str) -> tuple[Hdu, ...]:
    """Return the HDUs of a FITS file, all of whose bytes are there.

    Parameters
    ----------
    path
        Local path or URL; a gzip file is known by its first bytes, whatever its name.

    Raises
    ------
    InputError
        Absent, empty, not FITS, or truncated in any HDU.
    """
    with open_bytes(path) as stream:
        # By content: names such as `.fits.gz` are lost when files are copied or served by a web server.
        magic = stream.read(2)
        length = stream.seek(0, 2)
        if not length:
            raise InputError(f"{path}: an empty file; fetch it again")
        if magic == b"\x1f\x8b":
            stream.seek(max(length - 4, 0))
            # The last four bytes of a gzip file are its unpacked length; see `_walk_gzip`.
            packed_length = int.from_bytes(stream.read(4), "little")
        stream.seek(0)
        if magic != b"\x1f\x8b":
            return tuple(_walk(stream, path, length))
    with open_unpacked(path) as unpacked:
        return tuple(_walk_gzip(unpacked, path, packed_length))


def _walk(stream: BinaryIO, path: str, length: int) -> Iterator[Hdu]:
    """Yield the HDUs of an open file of `length` bytes, going from header to header."""
    index = start = 0
    while start < length:
        stream.seek(start)
        header = _header(stream, path, index)
        if header is None:
            return
        hdu = _hdu(path, index, header, stream.tell(), "plain")
        end = hdu.offset + _padded(hdu.size)
        if end > length:
            raise InputError(
                f"{path}: truncated in {_label(hdu)}: {length} bytes where its headers say"
                f" {end} or more; fetch it again"
            )
        yield hdu
        index, start = index + 1, end


def _walk_gzip(stream: BinaryIO, path: str, expected: int) -> Iterator[Hdu]:
    """Yield the HDUs of a gzip stream.

    gzip ends with the unpacked length modulo 2**32. Where the HDUs seen so far fill exactly that, the last of
    them need not be unpacked to know that nothing is missing; a truncated file ends in other bytes, and going
    on through it meets its end.
    """
    index = position = 0
    while True:
        header = _header(stream, path, index)
        if header is None:
            return
        hdu = _hdu(path, index, header, stream.tell(), "gzip")
        if hdu.kind == "rice":
            raise InputError(
                f"{path}: {_label(hdu)} is tile-compressed within a gzip file; decompress it with gunzip"
            )
        yield hdu
        end = hdu.offset + _padded(hdu.size)
        if end % 2**32 == expected:
            return
        position = hdu.offset
        while position < end:
            step = len(stream.read(min(_STEP, end - position)))
            if not step:
                raise InputError(
                    f"{path}: truncated in {_label(hdu)}: {position} bytes unpacked where its headers say"
                    f" {end} or more; fetch it again"
                )
            position += step
        index += 1


def _header(stream: BinaryIO, path: str, index: int) -> fits.Header | None:
    """Return the header that begins here; None where only bytes that belong to no HDU are left.

    Not by `Header.fromfile`, which swallows a whole file in search of END.
    """
    blocks: list[bytes] = []
    while True:
        block = stream.read(BLOCK)
        if not blocks:
            if not block:
                return None
            # Every header has to begin with its keyword, so that data whose length was misread are not taken
            # for a header.
            first = b"SIMPLE  =" if index == 0 else b"XTENSION="
            if not block.startswith(first):
                if index == 0:
                    raise InputError(f"{path}: not a FITS file (it does not begin with SIMPLE)")
                return None  # the standard allows special records after the last HDU
        if len(block) < BLOCK:
            raise InputError(f"{path}: truncated in the header of HDU {index}; fetch it again")
        if len(blocks) == _LONGEST:
            raise InputError(f"{path}: not a FITS file (the header of HDU {index} has no END)")
        blocks.append(block)
        if any(block[at : at + 80].rstrip() == b"END" for at in range(0, BLOCK, 80)):
            break
    # Headers should be ASCII. Some hold accented names, which must not make the file unreadable.
    text = b"".join(blocks).decode("latin-1").encode("ascii", "replace").decode()
    return fits.Header.fromstring(text)


def _hdu(path: str, index: int, header: fits.Header, offset: int, kind: Kind) -> Hdu:
    """Return an HDU from its header."""
    try:
        axes = _axes(header, "NAXIS")
        # The size of the data by the FITS standard, |BITPIX| GCOUNT (PCOUNT + NAXIS1 ... NAXISn): heaps of
        # tables included.
        values = int(header.get("PCOUNT", 0)) + math.prod(axes) if axes else 0
        size = int(BITPIX[header["BITPIX"]][-1]) * int(header.get("GCOUNT", 1)) * values
        if header.get("ZIMAGE") is True:
            return Hdu(index, header, "rice", offset, size, _axes(header, "ZNAXIS"))
        is_image = str(header.get("XTENSION", "IMAGE")).strip() == "IMAGE"
        return Hdu(index, header, kind, offset, size, axes if is_image else ())
    except (KeyError, ValueError, TypeError, fits.VerifyError) as error:
        raise InputError(
            f"{path}: the header of HDU {index} cannot be understood ({one_line(error)}); fetch the file again"
        ) from None


def _axes(header: fits.Header, key: str) -> tuple[int, ...]:
    axes = tuple(int(header[f"{key}{number}"]) for number in range(int(header[key]), 0, -1))
    if min(axes, default=0) < 0:
        raise ValueError(f"axes of {axes}")
    return axes


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _label(hdu: Hdu) -> str:
    return f"HDU {hdu.index}" + (f" ({hdu.name})" if hdu.name else "")
