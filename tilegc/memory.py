"""How much memory this machine has, as Dask counts it, without importing Dask."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

__all__ = ["machine_memory"]

_LIMITS: Final = (
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory.high",
    "/sys/fs/cgroup/memory.low",
)
"""Files in which the kernel states what a container or a job may use; a word in one of them means no limit."""


def machine_memory() -> int:
    """Return the memory of this machine, or of the container or job in which this process runs, bytes."""
    least: int = psutil.virtual_memory().total
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path(path).read_text(encoding="ascii"))
            least = min(least, limit) if limit > 0 else least
    hard = resource.getrlimit(resource.RLIMIT_RSS)[1]
    return hard if 0 < hard < least else least
