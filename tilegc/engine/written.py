"""The stamps of what units write, on their way from the worker to the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tilegc.engine.work import Combine, Function
from tilegc.io.payload import Stamps, recording

__all__ = ["Joined", "Stamped", "Written"]


@dataclass(frozen=True)
class Written:
    """Result of some units: the stamps of the files that they wrote, and their partial result."""

    stamps: Stamps
    partial: Any


@dataclass(frozen=True)
class Stamped:
    """A function of units that also returns the stamps of the files that it wrote."""

    function: Function

    def __call__(self, common: Any, payload: Any) -> Written:
        """Process a unit."""
        with recording() as stamps:
            partial = self.function(common, payload)
        return Written(stamps, partial)


@dataclass(frozen=True)
class Joined:
    """Joins two `Written`; their partial results with the `combine` of the pass, if it has one."""

    combine: Combine | None

    def __call__(self, a: Written, b: Written) -> Written:
        """Return the joined result."""
        # A pass that writes without counting has stamps but no partial; then there is nothing to combine.
        partial = None
        if self.combine is not None:
            partial = b.partial if a.partial is None else a.partial
            if a.partial is not None and b.partial is not None:
                partial = self.combine(a.partial, b.partial)
        return Written({**a.stamps, **b.stamps}, partial)
