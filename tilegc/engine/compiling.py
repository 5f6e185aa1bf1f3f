"""How long kernels were compiled: paid once an installation, and shown to who paid."""

from __future__ import annotations

from typing import Any

from tilegc.kernels.compiled import compile_seconds

__all__ = ["seconds_compiled"]


def seconds_compiled(client: Any | None) -> float:
    """Return the seconds that this process and the workers of a client have spent compiling, all together.

    Parameters
    ----------
    client : distributed.Client or None
        Synchronous; None: this process alone. Workers that are lost are left out.
    """
    workers = {} if client is None else client.run(compile_seconds, on_error="ignore")
    return compile_seconds() + sum(float(seconds) for seconds in workers.values())
