"""How kernels are compiled: by Numba, cached on disk, without the interpreter's lock and without fastmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from numba import njit
from numba.core import event

__all__ = ["PLAIN", "compile_seconds", "compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])

PLAIN: Final = ("C", "A", "W")
"""`numpy.require` with these gives the one memory layout for which a kernel is compiled."""


_TIMING: Final = event.TimingListener()
event.register("numba:compile", _TIMING)


def compile_seconds() -> float:
    """Return the seconds that this process has spent compiling; what is loaded from the cache on disk takes none."""
    return float(_TIMING.duration) if _TIMING.done else 0.0


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers, keeping its type.

    Additions and multiplications stay in the order in which they are written and are not fused; division by
    zero gives NaN or infinity; threads run it side by side. `function` must stand in a file: its cache does.
    """
    return cast("Function", njit(cache=True, nogil=True, error_model="numpy")(function))
