"""A run's own log: what happened when, and the tracebacks that the terminal is spared."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["logged"]


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what tilegc logs to a file as long as the context lasts, an exception that ends it included."""
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
