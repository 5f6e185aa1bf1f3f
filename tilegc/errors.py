"""What can go wrong, each with its remedy.

Every message is one line: what is wrong, in which file or key, and what to do about it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping

from tilegc.redaction import redact

__all__ = [
    "AstrometryError",
    "ConfigError",
    "ConvergenceError",
    "DiskFullError",
    "GridError",
    "InputChangedError",
    "InputError",
    "ResourceError",
    "RunFailedError",
    "RunFolderError",
    "TileGCError",
    "TilesFailedError",
    "UnitError",
    "disk_failed",
    "disk_full",
    "one_line",
    "shortened",
]


class TileGCError(Exception):
    """Base of all errors that tilegc raises on purpose; `exit_code` is what the CLI ends with."""

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        # Paths in messages may be URLs with a password or a signature in them, and a message ends up on terminals,
        # in logs and in the manifest.
        super().__init__(redact(str(message)))


class InputError(TileGCError):
    """An input file is absent, truncated, not FITS, or holds nothing that can be used."""

    exit_code = 2


class ConfigError(InputError):
    """The run file or a command's option is wrong: unknown key, wrong type, impossible value."""


class UnitError(InputError):
    """An image's unit is unknown; units are never guessed."""


class GridError(InputError):
    """The bands of a field do not share one pixel grid."""


class AstrometryError(InputError):
    """No celestial WCS, or a cluster centre that is on none of the fields."""


class ConvergenceError(InputError):
    """A kappa map that cannot be used: undeclared scaling, no WCS, no overlap."""


class RunFolderError(InputError):
    """A run folder that may not be written, resumed or overwritten as asked."""


class ResourceError(InputError):
    """What was asked for does not fit into the memory or the disk there is."""


class NoSchedulerError(InputError):
    """No Dask scheduler answers at the address that was given."""


class RunFailedError(TileGCError):
    """A run that began and could not end."""


class SchedulerLostError(RunFailedError):
    """The Dask scheduler, or the connection to it, is gone: the run is fine, and goes on with another one."""


class DiskFullError(RunFailedError):
    """No space, no inodes or no quota is left where a run writes."""


class InputChangedError(RunFailedError):
    """An input file was replaced or rewritten while a run was reading it."""


class TilesFailedError(RunFailedError):
    """Some tiles of a pass failed after all retries; the others are finished and recorded.

    Parameters
    ----------
    message : object
        One line.
    memory : iterable of str
        Keys of the tiles that ran out of memory.
    step : str
        Name of the pass.
    failed : iterable of str
        Keys of all tiles that failed.
    areas : mapping
        Of those on whose pixels the rule raised, every time: field and area (y0, x0, y1, x1), by key.
    """

    exit_code = 3

    def __init__(
        self,
        message: object = "",
        *,
        memory: Iterable[str] = (),
        step: str = "",
        failed: Iterable[str] = (),
        areas: Mapping[str, tuple[str, tuple[int, int, int, int]]] | None = None,
    ) -> None:
        super().__init__(message)
        self.memory = frozenset(memory)
        self.step = step
        self.failed = frozenset(failed)
        self.areas = dict(areas or {})


def disk_full(error: BaseException) -> DiskFullError | None:
    """Return what to raise in place of an error that says that a disk is full; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return None
    place = error.filename2 or error.filename or "the run folder's disk"
    return DiskFullError(f"{place}: {error.strerror}; free some space and rerun with --resume")


def disk_failed(error: BaseException) -> RunFailedError | None:
    """Return what to raise in place of an error that says that a disk is full or fails; None for any other error."""
    full = disk_full(error)
    if full is not None or not isinstance(error, OSError) or error.errno not in {errno.EIO, errno.EROFS}:
        return full
    place = error.filename2 or error.filename or "the run folder's disk"
    return RunFailedError(
        f"{place}: {error.strerror}; the disk or its connection failed: check it, then rerun with --resume"
    )


def one_line(text: object) -> str:
    """Return a text, or what an error says, as one line; of an error that says nothing its class."""
    return " ".join(str(text).split()) or (type(text).__name__ if isinstance(text, BaseException) else "")


def shortened(text: object, length: int = 120) -> str:
    """Return a text as one line of printable characters, cut in the middle if it is longer than `length`.

    Values from files and run files may be megabytes long or hold control characters, which would take over the
    user's terminal.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in one_line(str(text)[: 100 * length]))
    return line if len(line) <= length else f"{line[: length * 2 // 3]} ... {line[-length // 4 :]}"
