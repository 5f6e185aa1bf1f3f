"""The one way in which this package compiles a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile with Numba: cached on disk, without the interpreter lock, strict IEEE arithmetic.

    No ``fastmath`` and no ``parallel``: a pixel's value must not depend on how the loop round it
    was cut, and the threads belong to the caller.
    """
    return cast("F", numba.njit(cache=True, nogil=True)(function))
