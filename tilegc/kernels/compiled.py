"""Compilation of kernels with Numba: cached on disk, without the interpreter's lock, and without fastmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from numba import njit
from numba.core import event

__all__ = ["PLAIN", "compile_seconds", "compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])

# Numba compiles anew for every layout, alignment and writability that it meets. Bringing all arguments into
# one layout keeps the number of compiled versions, and the time of a first run, down; where it holds already
# nothing is copied.
PLAIN: Final = ("C", "A", "W")
"""Requirements for `numpy.require` that give the only memory layout for which kernels are compiled."""


# Registered on import: a kernel may be compiled by the first call anywhere, also on a worker, before anybody
# asks how long it took.
_TIMING: Final = event.TimingListener()
event.register("numba:compile", _TIMING)


def compile_seconds() -> float:
    """Return the seconds that this process has spent compiling; kernels loaded from the cache on disk cost none."""
    return float(_TIMING.duration) if _TIMING.done else 0.0


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers, preserving its type.

    Additions and multiplications are evaluated in the order in which they are written and are not fused, so that
    results do not depend on the CPU; division by zero gives NaN or infinity; threads can run the function in
    parallel. `function` must be defined in a file, because the cache is keyed by it.
    """
    # No fastmath: it lets the compiler reorder and fuse sums, and the last bits would then depend on the
    # vector width of the CPU and on where in a window a pixel lies. No `parallel` either: a worker has one
    # thread, and cores are already in use by other tiles. `nogil` is what lets the threads of a worker that
    # has several work at the same time.
    return cast("Function", njit(cache=True, nogil=True, error_model="numpy")(function))
