"""What a unit of work wrote, and whether it still is what was written.

Neither the presence of a chunk nor a mark in the ledger proves that the pixels on the disk are those that were
computed: a bit may flip, a file may be lost, cut or zeroed by a crash, and Zarr reads an absent chunk as fill value.
So a task that writes notes a checksum of every file, the ledger keeps it with the mark, and a resumed run compares.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import google_crc32c

from tilegc.errors import one_line
from tilegc.places import Place, is_remote, place

__all__ = ["ABSENT", "Stamps", "damaged", "is_recording", "note", "note_place", "recording"]

Stamps = dict[str, str]
"""Path or URL of each file, and its stamp."""

ABSENT: Final = "absent"
"""Stamp of a file that holds nothing but the fill value, and is therefore not written."""

_AT_A_TIME: Final = 4
"""Files that are read at the same time: checksums are fast, and disks answer several requests faster than one."""
_BLOCK: Final = 1 << 22

# By thread: tasks of one process write at the same time and must not receive one another's stamps.
_local = threading.local()


@contextmanager
def recording() -> Iterator[Stamps]:
    """Yield a dict that receives the stamps of all files that this thread writes as long as the context lasts."""
    # Contexts may be nested; the inner one has its own stamps.
    before = getattr(_local, "stamps", None)
    stamps: Stamps = {}
    _local.stamps = stamps
    try:
        yield stamps
    finally:
        _local.stamps = before


def is_recording() -> bool:
    """Whether stamps are wanted: then a file must reach the disk before its stamp is noted."""
    return getattr(_local, "stamps", None) is not None


def note(file: str, pieces: Iterable[bytes] | None) -> None:
    """Note the stamp of a file of this machine from what was written into it; None where none was written."""
    if is_recording():
        _local.stamps[file] = ABSENT if pieces is None else _checksum(pieces)


def note_place(url: str) -> None:
    """Note the stamp of an object that was put into a store."""
    if is_recording():
        _local.stamps[url] = _stamp(place(url))


def damaged(stamps: Mapping[str, str]) -> dict[str, str]:
    """Compare files with their stamps.

    Parameters
    ----------
    stamps : mapping
        Stamps by path or URL, as `recording` gave them.

    Returns
    -------
    dict
        What is wrong, a few words, by path or URL; empty where all is as it was written.
    """
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return {
            file: why for file, why in zip(stamps, pool.map(_compare, stamps.items()), strict=True) if why
        }


def _compare(item: tuple[str, str]) -> str | None:
    file, expected = item
    try:
        found = _stamp(place(file))
    except Exception as error:  # noqa: BLE001  (every store has its own; what cannot be read counts as lost)
        return f"cannot be read ({one_line(error)})"
    if found == expected:
        return None
    if found == ABSENT:
        return "is missing"
    return "was not there" if expected == ABSENT else "has changed"


def _stamp(file: Place) -> str:
    """Return the stamp of a file as it is now.

    Stores keep their objects' integrity themselves and return a tag of the content with each, so that it need not be
    fetched: a request in place of a download.
    """
    if is_remote(file):
        try:
            about = file.fs.info(file.path)
        except FileNotFoundError:
            return ABSENT
        # Each kind of store names it differently.
        tag = next((about[key] for key in ("ETag", "etag", "md5Hash", "content_md5") if about.get(key)), "")
        return f"{about.get('size')}:{str(tag).strip(chr(34))}"
    try:
        with file.open("rb") as stream:
            return _checksum(iter(lambda: stream.read(_BLOCK), b""))
    except FileNotFoundError:
        return ABSENT


def _checksum(pieces: Iterable[bytes]) -> str:
    total = length = 0
    for piece in pieces:
        # CRC-32C is computed in hardware at several GB/s, and detects accidents; nobody is expected to forge
        # pixels.
        total = google_crc32c.extend(total, piece)
        length += len(piece)
    return f"{length}:{total:08x}"
