"""The lock on a run's folder in an object store: an object that its holder renews, and that ends if it does not.

Object stores have no locks that die with a process, so a run that was killed holds its folder until the lease
is over.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tilegc.errors import RunFolderError, one_line
from tilegc.places import create

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["is_leased", "lease"]

log = logging.getLogger("tilegc.run_folder")

LASTS: Final = 120.0
"""Seconds after its last renewal for which a lease holds: longer than a store may drop out, and clocks differ."""
RENEWED: Final = 20.0
"""Seconds between renewals."""


@contextlib.contextmanager
def lease(path: UPath) -> Iterator[None]:
    """Hold the lock object at this place.

    Raises
    ------
    RunFolderError
        If another process holds it.
    """
    # The random part tells two leases of one process apart, for instance of two runs in threads.
    content = f"process {os.getpid()} on {socket.gethostname()}, {secrets.token_hex(6)}\n".encode()
    _take(path, content)
    ended = threading.Event()
    keeper = threading.Thread(target=_renew, args=(path, content, ended), name="tilegc-lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        with contextlib.suppress(Exception):  # it ends by itself
            path.unlink(missing_ok=True)


def is_leased(path: UPath) -> bool:
    """Whether a run holds the lock object at this place now."""
    age = _age(path)
    return age is not None and age < LASTS


def _take(path: UPath, content: bytes) -> None:
    try:
        held = path.read_text().strip().partition(",")[0] if is_leased(path) else None
        # `create` succeeds only if the name is free, which the store guarantees, so that of several processes
        # that start together one holds the lease. Deleting an expired one is not conditional, as few stores
        # offer that: a process that is delayed for longer than a whole start between looking and deleting
        # could remove a lease that was just taken.
        if held is None:
            path.unlink(missing_ok=True)
            create(path, content)
    except FileExistsError:
        raise RunFolderError(
            f"{path.parent}: another run has just started in it; choose another directory"
        ) from None
    except Exception as error:  # noqa: BLE001  (every store has its own)
        raise RunFolderError(
            f"{path.parent}: cannot write there ({one_line(error)}); choose another directory with -o"
        ) from None
    if held is not None:
        raise RunFolderError(
            f"{path.parent}: a run is using it ({held}), or died in the last {LASTS:.0f} seconds; "
            "wait until it ends, or choose another directory"
        )


def _age(path: UPath) -> float | None:
    """Return the seconds since the object was written; None where there is none."""
    try:
        # The time that the store gives, not one that the holder wrote: holders' clocks may be wrong by
        # minutes.
        written: dt.datetime = path.fs.modified(path.path)
    except FileNotFoundError:
        return None
    if written.tzinfo is None:
        written = written.replace(tzinfo=dt.UTC)
    return time.time() - written.timestamp()


def _renew(path: UPath, content: bytes, ended: threading.Event) -> None:
    while not ended.wait(RENEWED):
        try:
            # Writing it again renews its modification time. Six renewals may fail in a row before the lease
            # is over.
            path.fs.pipe_file(path.path, content)
        except Exception as error:  # noqa: BLE001  (the next time may go well)
            log.warning("%s: the lock could not be renewed (%s)", path, one_line(error))
