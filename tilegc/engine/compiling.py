"""Time spent compiling kernels: once per installation, and reported to the user who waited for it."""

from __future__ import annotations

from typing import Any

from tilegc.kernels.compiled import compile_seconds

__all__ = ["seconds_compiled"]


def seconds_compiled(client: Any | None) -> float:
    """Return the total time in seconds that this process and the workers of a client have spent compiling.

    Parameters
    ----------
    client : distributed.Client or None
        Synchronous; None for this process alone. Lost workers are left out.
    """
    # A worker that has just died is no reason to fail at the end of a run: its seconds are missing from the
    # total.
    workers = {} if client is None else client.run(compile_seconds, on_error="ignore")
    return compile_seconds() + sum(float(seconds) for seconds in workers.values())
