"""Nothing is half there: a file is written beside its place and renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_bytes"]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` at the end, or remove it on any error.

    The content reaches the disk before the name does, so that after a crash `path` holds the old content or
    the new one, whole. The folder is made if it is absent.

    Parameters
    ----------
    path : str or Path
        Final place of the file.

    Yields
    ------
    Path
        A name in the same folder, hidden, of a file that does not exist yet; the block must create it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name: two processes that write the same file must not write into one another's.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        yield beside
        _flush(beside)
        os.replace(beside, path)  # noqa: PTH105  (says more plainly that it is the system's atomic rename)
    finally:
        beside.unlink(missing_ok=True)
    _flush(path.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : str or Path
        Place of the file; what is there is replaced.
    content : bytes
        Its bytes.
    """
    with replacing(path) as beside:
        beside.write_bytes(content)


def _flush(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
