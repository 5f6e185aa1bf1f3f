"""What Dask logs in this process goes to our own log, not to the terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from tilegc.errors import RunFailedError

__all__ = ["dask_logs_to_ours"]


class _Forward(logging.Handler):
    """Hands Dask's records to our own log, wherever that goes; nothing reaches the terminal directly."""

    def emit(self, record: logging.LogRecord) -> None:
        ours = logging.getLogger("tilegc.dask")
        if ours.hasHandlers():
            ours.handle(record)


@contextlib.contextmanager
def dask_logs_to_ours() -> Iterator[None]:
    """Send what `distributed` logs in this process, from WARNING up, to the logger "tilegc.dask".

    If the run fails that remains so: a client that has lost its scheduler goes on trying to reach it for some seconds
    after it was closed, and would then tell the terminal what the error of the run has said already.
    """
    forward = _Forward(logging.WARNING)
    kept = []
    for name in (
        "distributed",
        "dask_jobqueue",
        "dask_kubernetes",
        "kr8s",
        "httpx",
        "tornado",
        "bokeh",
        "asyncio",
    ):
        logger = logging.getLogger(name)
        kept.append((logger, logger.handlers[:], logger.propagate))
        logger.handlers, logger.propagate = [forward], False
    restored = True
    try:
        yield
    except RunFailedError:
        restored = False
        raise
    finally:
        for logger, handlers, propagate in kept if restored else ():
            logger.handlers, logger.propagate = handlers, propagate
