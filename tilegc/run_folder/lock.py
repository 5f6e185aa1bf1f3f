"""The lock on a run's folder: one run at a time, and none is left behind by a process that dies."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tilegc.errors import RunFolderError
from tilegc.places import Place, is_remote
from tilegc.run_folder.lease import is_leased, lease
from tilegc.schema import FILES

__all__ = ["is_held", "lock"]

log = logging.getLogger("tilegc.run_folder")

# Half a second in all, far longer than `is_held` holds it, and short for somebody who waits for the refusal.
_TRIES: Final = 10
_PAUSE: Final = 0.05
"""Seconds between tries: `is_held` takes the lock for a moment."""


@contextlib.contextmanager
def lock(folder: Place) -> Iterator[None]:
    """Hold the lock of a folder that exists.

    Raises
    ------
    RunFolderError
        If another process holds it.
    """
    path = folder / FILES.lock
    if is_remote(path):
        with lease(path):
            yield
        return
    handle = _take(path)
    try:
        # The text is for the message of a process that is refused; the lock itself is the kernel's, and ends
        # with the process however that dies.
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        # Removed while it is held: whoever waits sees that its file is gone, and takes the new one.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def is_held(folder: Place) -> bool:
    """Whether a run works in this folder now."""
    if is_remote(folder):
        return is_leased(folder / FILES.lock)
    try:
        handle = os.open(folder / FILES.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, so that several processes may ask at the same time without seeing one another as runs.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _take(path: Path) -> int:
    """Return a handle on the locked file."""
    for left in range(_TRIES, -1, -1):
        try:
            # O_NOFOLLOW: the file is truncated below, and a symbolic link could point to anything.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise RunFolderError(
                f"{path.parent}: cannot write there ({error.strerror}); choose another directory with -o"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            os.close(handle)
            if not left:
                raise RunFolderError(
                    f"{path.parent}: a run is using it ({owner}); "
                    "wait until it ends, or choose another directory"
                ) from None
        # Some network file systems have no locks. A run there goes on without one, as it would without this
        # module, and says so.
        except OSError as error:
            log.warning("%s: no locks on this file system (%s)", path.parent, error.strerror)
            return handle
        else:
            with contextlib.suppress(FileNotFoundError):
                # The holder removes the file while it still holds the lock. Whoever opened it before then
                # locks a file without a name, which would exclude nobody: the name must still lead to the
                # file that was locked.
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
            os.close(handle)  # its holder has just removed it
        time.sleep(_PAUSE)
    raise RunFolderError(f"{path.parent}: other runs keep using it; choose another directory")
