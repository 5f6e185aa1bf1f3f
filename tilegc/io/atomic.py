"""Nothing is half there: a file is written beside its place and renamed, or put whole into an object store."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilegc.places import Place, is_remote, place

__all__ = ["flush", "replacing", "write_bytes"]


@contextmanager
def replacing(path: str | Place) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` at the end, or remove it on any error.

    The content reaches the disk before the name does, so that after a crash `path` holds the old content or
    the new one, whole. The folder is made if it is absent. At a URL the name is that of a local file, which is
    put into the store at the end: stores show an object whole or not at all.

    Parameters
    ----------
    path : str or Place
        Final place of the file.

    Yields
    ------
    Path
        A name, hidden, of a file that does not exist yet; the block must create it.
    """
    path = place(path)
    if is_remote(path):
        # Libraries write to local files, seeking back as they go, which objects do not allow: the finished file
        # is sent whole.
        with tempfile.TemporaryDirectory(prefix="tilegc-") as scratch:
            local = Path(scratch) / path.name
            yield local
            path.fs.put_file(str(local), path.path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name: two processes that write the same file must not write into one another's.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        yield beside
        # Data before name. With the rename on the disk first, a power failure would leave the new name with
        # blocks of zeros.
        flush(beside)
        os.replace(beside, path)  # noqa: PTH105  (says more plainly that it is the system's atomic rename)
    finally:
        # After a rename there is nothing left to remove; after an error the file that was begun must not stay.
        beside.unlink(missing_ok=True)
    # The rename is an entry in the directory, which has to reach the disk as well.
    flush(path.parent)


def write_bytes(path: str | Place, content: bytes) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path : str or Place
        Place of the file; what is there is replaced.
    content : bytes
        Its bytes.
    """
    with replacing(path) as beside:
        beside.write_bytes(content)


def flush(path: Path) -> None:
    """Bring a file's content, or a directory's names, to the disk."""
    # fsync acts on the file, not on the handle: it also brings what others wrote to it to the disk.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
