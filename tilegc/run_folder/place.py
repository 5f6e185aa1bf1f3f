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
from pathlib import Path

from tilegc.schema import HERE, VERSION

__all__ = ["Place", "marked"]

SECONDS = 20.0
"""How long a file system may take to answer."""
_PATIENCE = 3.0
"""A network file system may show a new file a moment late."""


@dataclass(frozen=True)
class Place:
    """What a worker must see; small, hashable, picklable."""

    token: str
    """Path of the token."""
    text: str
    """What it holds."""
    inputs: tuple[tuple[str, int], ...]
    """Path and length of every input on a file system."""
    version: str = VERSION
    """tilegc of the driver: another one could give other bytes."""

    def problem(self) -> str | None:
        """Return what keeps this process from working here, one line; None where nothing does."""
        if self.version != VERSION:
            return f"has tilegc {VERSION}, the driver has {self.version}"
        found: list[str | None] = []
        look = threading.Thread(target=lambda: found.append(self._look()), daemon=True)
        look.start()
        look.join(SECONDS)
        if not found:
            return f"{Path(self.token).parent}: its file system does not answer within {SECONDS:.0f} s"
        return found[0]

    def _look(self) -> str | None:
        token = Path(self.token)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                there = token.read_text(encoding="utf-8")
                break
            except FileNotFoundError:
                if time.monotonic() > end:
                    return (
                        f"does not see {token.parent} as the driver does: what the driver wrote is not there"
                    )
                time.sleep(0.2)
            except OSError as error:
                return f"cannot read in {token.parent} ({error.strerror})"
        if there != self.text:
            return f"sees another {token.parent} than the driver"
        mine = token.with_name(f"{token.name}-{socket.gethostname()}-{os.getpid()}")
        try:
            mine.write_text(self.text, encoding="utf-8")
            mine.unlink()
        except OSError as error:
            return f"cannot write into {token.parent} ({error.strerror})"
        for path, size in self.inputs:
            try:
                with Path(path).open("rb") as stream:
                    stream.read(1)
                    length = stream.seek(0, os.SEEK_END)
            except IsADirectoryError:
                continue  # an earlier run's store
            except OSError as error:
                return f"cannot read {path} ({error.strerror})"
            if length != size:
                return f"sees another {path} than the driver: {length} bytes, not {size}"
        return None


@contextlib.contextmanager
def marked(folder: Path, inputs: Iterable[str]) -> Iterator[Place]:
    """Keep a token in a folder as long as the context lasts."""
    token = folder / f"{HERE}{secrets.token_hex(8)}"
    text = secrets.token_hex(16)
    sizes = tuple((path, Path(path).stat().st_size) for path in sorted(inputs) if Path(path).exists())
    token.write_text(text, encoding="utf-8")
    try:
        yield Place(str(token), text, sizes)
    finally:
        with contextlib.suppress(OSError):
            token.unlink(missing_ok=True)
