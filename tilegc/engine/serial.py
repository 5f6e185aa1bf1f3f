"""The serial driver: every unit in this process, one after the other."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from typing import Any

from tilegc.engine.counters import count_failures, count_tile
from tilegc.engine.progress import Progress, Silent
from tilegc.engine.work import Books, Combine, Function, Gather, Marks, Unit, describe
from tilegc.engine.written import Stamped, Written
from tilegc.errors import TileGCError, disk_full

__all__ = ["SerialEngine"]

log = logging.getLogger("tilegc.engine")


class SerialEngine:
    """Processes the units in order in this process.

    Parameters
    ----------
    progress : Progress, optional
        Silent by default.
    retries : int
        Number of times that a failed unit is retried.
    """

    def __init__(self, progress: Progress | None = None, *, retries: int = 2) -> None:
        self.progress: Progress = progress or Silent()
        self.retries = retries

    @property
    def workers(self) -> int:
        """Always 1."""
        return 1

    @property
    def dashboard(self) -> str | None:
        """There is none."""
        return None

    def run(
        self,
        name: str,
        function: Function,
        units: Sequence[Unit],
        *,
        common: Any = None,
        combine: Combine | None = None,
        gather: Gather | None = None,
        ledger: Marks | None = None,
        units_per_task: int | None = None,  # noqa: ARG002  (of the Dask driver)
    ) -> Any:
        """See `tilegc.engine.Engine.run`."""
        with Books(name, units, self.progress, combine=combine, ledger=ledger, gather=gather) as books:
            for unit in books.units:
                self._do(books, function, common, unit)
            return books.result(tries=self.retries + 1)

    def _do(self, books: Books, function: Function, common: Any, unit: Unit) -> None:
        # The same retries and the same messages as on a cluster, so that a run fails alike with and without
        # workers.
        for left in range(self.retries, -1, -1):
            begun = time.perf_counter()
            try:
                if books.ledger is None:
                    # Stamps are read back from what was written and cost time; without a ledger nobody asks
                    # for them.
                    written = Written({}, function(common, unit.payload))
                else:
                    written = Stamped(function)(common, unit.payload)
                partial = written.partial
            except TileGCError:
                raise
            except Exception as error:  # noqa: BLE001  (of a rule: any)
                full = disk_full(error)
                if full is not None:  # a retry would fail as well, and so would the other tiles
                    raise full from None
                log.warning("%s: %s: %s", books.name, unit.key, traceback.format_exc())
                count_failures(books.name)
                if not left:
                    books.gave_up(unit, describe(error), data=True)
            else:
                count_tile(books.name, unit.pixels, time.perf_counter() - begun)
                if books.gather is not None:
                    books.finished([unit], [] if partial is None else [partial])
                else:
                    books.finished([unit], partial if books.combine is not None else None, written.stamps)
                return
