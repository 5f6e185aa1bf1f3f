"""Runs a module as a program in which the disk may become slow and the clock may jump, as files in a folder say.

    python -m tests.faults.nuisance FOLDER distributed.cli.dask_worker tcp://127.0.0.1:8786

While `FOLDER/slow` holds a number, every flush, rename and removal of a file takes up to so many seconds longer. What
`FOLDER/clock` holds is added to the time of day. Both are read again twenty times a second.
"""

from __future__ import annotations

import contextlib
import os
import random
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["install"]

EVERY = 0.05
"""Seconds between two looks into the folder."""
_SLOWED = ("fsync", "fdatasync", "replace", "rename", "remove", "unlink", "link")


class _Number:
    """The number in a file; 0 where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value = 0.0
        self.looked = -1.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self.looked > EVERY:
            self.looked, self.value = now, 0.0
            with contextlib.suppress(OSError, ValueError):
                self.value = float(self.path.read_text())
        return self.value


def install(folder: Path) -> None:
    """Put the nuisances into this process; before anything is imported that keeps `time.time`."""
    slow, clock = _Number(folder / "slow"), _Number(folder / "clock")
    ordinary, ordinary_ns = time.time, time.time_ns

    def slowed(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            seconds = slow()
            if seconds:
                time.sleep(random.uniform(0.0, seconds))
            return call(*arguments, **options)

        return wrapped

    for name in _SLOWED:
        setattr(os, name, slowed(getattr(os, name)))
    time.time = lambda: ordinary() + clock()
    time.time_ns = lambda: ordinary_ns() + int(1e9 * clock())


def main() -> None:
    """Install the nuisances and become the module."""
    folder, module, *arguments = sys.argv[1:]
    install(Path(folder))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
