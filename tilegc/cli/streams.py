"""The terminal's two streams, which never show credentials."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tilegc.redaction import redact

__all__ = ["redacting_streams"]


class _Redacting:
    """A text stream that takes credentials out of what is written; all else is the stream's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text without its credentials."""
        try:
            self._stream.write(redact(text))
        except OSError as error:
            # EIO: the terminal is closed. The run still has to leave its folder in order.
            if error.errno != errno.EIO:
                raise
        return len(text)

    def flush(self) -> None:
        """Pass on what is held back."""
        try:
            self._stream.flush()
        except OSError as error:
            if error.errno != errno.EIO:
                raise


@contextmanager
def redacting_streams() -> Iterator[None]:
    """Put `sys.stdout` and `sys.stderr` behind a filter for credentials as long as the context lasts."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Redacting(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
