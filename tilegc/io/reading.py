"""One wrapper round every reader of a user's files: one line for whatever is wrong with them, and no remarks.

Libraries raise errors of nearly any kind on damaged headers (VerifyError, OverflowError, KeyError, AssertionError),
and remark on the others, in many lines that may hold binary text. None of that may reach the terminal.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tilegc.errors import InputError, TileGCError, shortened

__all__ = ["LARGEST_IMAGE", "reading"]

LARGEST_IMAGE = 2 << 30
"""Bytes, unpacked, of the largest PSF or convergence map: they are read whole, and gzip can hide any size."""

# Re-entrant, since a reader may call another one.
_LOCK = threading.RLock()


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read a user's file.

    `warnings.catch_warnings` swaps a global list, so that two threads inside it at once would leave it spoilt: they
    take turns.

    Parameters
    ----------
    what : str
        The file and its role, for the message.

    Raises
    ------
    InputError
        For every error that is not one of tilegc's own. A full disk, an exhausted memory and errors of the operating
        system stay what they are.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        # These say something about the machine or say it well already. Anything else that a parser raises means
        # that the file is damaged in a way that its authors did not foresee.
        except (TileGCError, OSError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{what}: cannot be understood ({shortened(error) or type(error).__name__}); correct its header or "
                "fetch the file again"
            ) from error
