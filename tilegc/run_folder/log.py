"""A run's own log: what happened when, and the tracebacks that the terminal is spared."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tilegc.places import Place, is_remote

__all__ = ["logged"]


@contextmanager
def logged(path: Place) -> Iterator[None]:
    """Append what tilegc logs to a file as long as the context lasts, an exception that ends it included.

    Objects in a store cannot grow: there the log is kept on this machine and put into its place at the end.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="tilegc-") as scratch:
            local = Path(scratch) / path.name
            if path.exists():
                local.write_bytes(path.read_bytes())
            try:
                with logged(local):
                    yield
            finally:
                path.write_bytes(local.read_bytes())
        return
    logger = logging.getLogger("tilegc")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"))
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
