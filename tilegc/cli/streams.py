"""Standard output and standard error without credentials."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tilegc.redaction import redact

__all__ = ["redacting_streams"]


class _Redacting:
    """Text stream that removes credentials from everything written to it and forwards all other calls."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text` with its credentials removed."""
        try:
            self._stream.write(redact(text))
        except OSError as error:
            # EIO: the terminal is closed. The run still has to leave its folder in order.
            if error.errno != errno.EIO:
                raise
        return len(text)

    def flush(self) -> None:
        """Flush the underlying stream; a closed terminal is no error."""
        try:
            self._stream.flush()
        except OSError as error:
            if error.errno != errno.EIO:
                raise


@contextmanager
def redacting_streams() -> Iterator[None]:
    """Filter credentials out of `sys.stdout` and `sys.stderr` while the context is active."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Redacting(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
