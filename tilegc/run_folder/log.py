"""A run's own log: what happened when, and the tracebacks that the terminal is spared."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tilegc.places import Place, is_remote
from tilegc.redaction import redact

__all__ = ["logged"]

PUT: Final = 30.0
"""Seconds after which a log that has grown is put into an object store again."""


class _Redacting(logging.Formatter):
    """Takes credentials out of whole records, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        # After formatting, because a traceback may quote a URL with a password although no argument of the
        # record holds one.
        return redact(super().format(record))


class _Quiet(logging.FileHandler):
    """A log file that cannot be written (a full disk) does not fill the terminal with tracebacks of its own."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Drop the record: the run ends with an error of its own, or goes on without a log."""


@contextmanager
def logged(path: Place) -> Iterator[None]:
    """Append what tilegc logs to a file as long as the context lasts, an exception that ends it included.

    Objects in a store cannot grow: there the log is kept on this machine, and put into its place whole each half minute
    in which it has grown, and at the end.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="tilegc-") as scratch:
            local = Path(scratch) / path.name
            if path.exists():
                # A resumed run continues its log, as it does on a disk.
                local.write_bytes(path.read_bytes())
            ended = threading.Event()
            thread = threading.Thread(target=_put, args=(local, path, ended), name="tilegc-log", daemon=True)
            thread.start()
            try:
                with logged(local):
                    yield
            finally:
                ended.set()
                thread.join()
                path.write_bytes(local.read_bytes())
        return
    logger = logging.getLogger("tilegc")
    handler = _Quiet(path, encoding="utf-8")
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
    # Restored at the end: the caller may be a program with logging of its own.
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    except Exception:
        logger.exception("the run ended early")
        raise
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def _put(local: Path, path: Place, ended: threading.Event) -> None:
    there = b""
    while not ended.wait(PUT):
        with suppress(Exception):  # the next one may go well, and the run goes on without any
            if (content := local.read_bytes()) != there:
                path.write_bytes(content)
                there = content
