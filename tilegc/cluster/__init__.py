"""Where the work is done: workers from a number, an address, or the name of a cluster.

`connect` yields a Dask client; `workers_for` what a run must know besides: who they are, what they may take, and how
long to wait for them.  What the user sets stands in the run file's `compute:` section (`tilegc.config.Compute`);
all the rest comes from Dask's own config.
"""

from __future__ import annotations

from tilegc.cluster.connecting import NAMES, connect, workers_for
from tilegc.cluster.security import TLS, as_files
from tilegc.cluster.settings import ONE_THREAD
from tilegc.cluster.workers import Workers

__all__ = ["NAMES", "ONE_THREAD", "TLS", "Workers", "as_files", "connect", "workers_for"]
