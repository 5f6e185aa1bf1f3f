"""Whether another process sees the run's folder and its inputs: the same files, under the same paths.

The driver puts a token into the folder; whoever is to work for it must read it, be allowed to write beside it,
and find the inputs at their length.  Without this a worker without the disk would fail every tile it is given,
fast, and so be given all of them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tilegc.errors import one_line
from tilegc.places import Place, opened, place, unwatch, watch
from tilegc.schema import HERE, VERSION

__all__ = ["Token", "marked"]

# A hung NFS mount blocks for ever, and the thread with it; it is asked in a daemon thread that can be left
# behind.
SECONDS = 20.0
"""How long a file system may take to answer."""
_PATIENCE = 3.0
"""A network file system may show a new file a moment late."""


@dataclass(frozen=True)
class Token:
    """What a worker must see; small, hashable, picklable."""

    path: str
    """Its path or URL."""
    text: str
    """What it holds."""
    inputs: tuple[tuple[str, int | None], ...]
    """Path and length of every input; None for a folder."""
    version: str = VERSION
    """tilegc of the driver: another one could give other bytes."""

    @property
    def folder(self) -> str:
        """The run's folder."""
        return self.path.rpartition("/")[0]

    def problem(self) -> str | None:
        """Return what keeps this process from working here, one line; None where nothing does."""
        if self.version != VERSION:
            return f"has tilegc {VERSION}, the driver has {self.version}"
        found: list[str | None] = []
        look = threading.Thread(target=lambda: found.append(self._look()), daemon=True)
        look.start()
        look.join(SECONDS)
        if not found:
            return f"{self.folder}: its file system does not answer within {SECONDS:.0f} s"
        return found[0]

    def _look(self) -> str | None:
        try:
            return self._looked()
        except Exception as error:  # noqa: BLE001  (every store has its own)
            return f"cannot reach {self.folder} ({_text(error)})"

    def _looked(self) -> str | None:
        token = place(self.path)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                there = token.read_text(encoding="utf-8")
                break
            except FileNotFoundError:
                if time.monotonic() > end:
                    return (
                        f"does not see {self.folder} as the driver does: what the driver wrote is not there"
                    )
                time.sleep(0.2)
        if there != self.text:
            return f"sees another {self.folder} than the driver"
        # The name holds host and process, so that workers do not remove one another's probe; `layout` knows
        # the pattern, and a resumed run removes what a killed worker left.
        mine = token.with_name(f"{token.name}-{socket.gethostname()}-{os.getpid()}")
        try:
            mine.write_text(self.text, encoding="utf-8")
            mine.unlink()
        except Exception as error:  # noqa: BLE001
            return f"cannot write into {self.folder} ({_text(error)})"
        # A worker of a scheduler that runs on may have watched the same files for an earlier run.
        unwatch(path for path, _ in self.inputs)
        for path, size in self.inputs:
            try:
                length = _length(place(path))
            except Exception as error:  # noqa: BLE001
                return f"cannot read {path} ({_text(error)})"
            # A worker elsewhere may have another disk under the same path. Lengths are cheap to compare and
            # differ between almost any two files; contents were digested by the driver.
            if length != size:
                return f"sees another {path} than the driver: {length} bytes, not {size}"
            if size is not None:
                watch(path)
        return None


def _length(path: Place) -> int | None:
    """Return a file's length, and see that it can be read; None for a folder (an earlier run's store)."""
    if path.is_dir():
        return None
    with opened(path) as stream:
        stream.read(1)
        return stream.seek(0, os.SEEK_END)


def _text(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error)


@contextlib.contextmanager
def marked(folder: Place, inputs: Iterable[str]) -> Iterator[Token]:
    """Keep a token in a folder as long as the context lasts."""
    token = folder / f"{HERE}{secrets.token_hex(8)}"
    text = secrets.token_hex(16)
    # Before the token is written, since a missing input must fail here, with the input's own message.
    sizes = tuple((path, _length(place(path))) for path in sorted(inputs))
    token.write_text(text, encoding="utf-8")
    try:
        for path, size in sizes:
            if size is not None:
                watch(path)
        yield Token(str(token), text, sizes)
    finally:
        unwatch(path for path, _ in sizes)
        with contextlib.suppress(Exception):  # it goes with the folder
            token.unlink(missing_ok=True)
