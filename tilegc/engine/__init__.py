"""Passes over tiles: the same rule in this process or on Dask workers.

`run_pass` takes a `Pass` over all tiles of all fields; an `Engine` takes any list of `Unit`s.
`SerialEngine` does them one after the other, `DaskEngine` on the workers of a Dask client; both give the
same results, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

from tilegc.engine.compiling import seconds_compiled
from tilegc.engine.dask_engine import PATIENCE_SECONDS, DaskEngine
from tilegc.engine.on_worker import Fitness
from tilegc.engine.passes import FieldTiles, Pass, run_pass
from tilegc.engine.progress import Progress, RichProgress, Silent, Told
from tilegc.engine.serial import SerialEngine
from tilegc.engine.together import Call, Shared, Stored, bounded, together
from tilegc.engine.work import Engine, Marks, Unit

__all__ = [
    "Call",
    "DaskEngine",
    "Engine",
    "FieldTiles",
    "Marks",
    "Pass",
    "Progress",
    "RichProgress",
    "SerialEngine",
    "Shared",
    "Silent",
    "Stored",
    "Told",
    "Unit",
    "bounded",
    "for_client",
    "run_pass",
    "seconds_compiled",
    "together",
]


def for_client(
    client: object | None,
    progress: Progress | None = None,
    *,
    patience: float = PATIENCE_SECONDS,
    shortage: Callable[[], str | None] | None = None,
    fitness: Fitness | None = None,
    priority: int = 0,
) -> Engine:
    """Return the engine that works on a client of `tilegc.cluster.connect`; on None the serial one.

    `patience`, `shortage`, `fitness` and `priority` as `DaskEngine` takes them.
    """
    if client is None:
        return SerialEngine(progress)
    return DaskEngine(
        client, progress, patience=patience, shortage=shortage, fitness=fitness, priority=priority
    )
