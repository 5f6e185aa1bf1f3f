"""Areas on whose pixels a pass fails: the run goes on as if the images had no data there.

A file may hold pixels that no rule was written for. Where a rule raises on them, whatever the pass, its area is
recorded and the passes start over, reading no data from there: the products are those of images that have none. That
costs what the passes before had done, and keeps everything that was measured consistent: a source that one pass found
in an area which another one left out would be worse than the time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from tilegc.errors import TilesFailedError
from tilegc.geometry import Box
from tilegc.run_folder.ledger import SET_ASIDE, Ledger

__all__ = ["MOST", "areas", "set_aside", "units"]

log = logging.getLogger("tilegc.run_folder")

MOST: Final = 0.05
"""Share of a run's pixels that may be set aside; one unit of work is always allowed."""


def units(ledger: Ledger) -> dict[str, list[str]]:
    """Return the units that were set aside, by the pass that failed on them."""
    return {
        name.removesuffix(SET_ASIDE): sorted(ledger.done(name))
        for name in ledger.passes
        if name.endswith(SET_ASIDE)
    }


def areas(ledger: Ledger) -> dict[str, tuple[Box, ...]]:
    """Return the areas that were set aside, by field, in the order in which that happened."""
    found: dict[str, tuple[Box, ...]] = {}
    for name in ledger.passes:
        if name.endswith(SET_ASIDE):
            for partial in ledger.partials(name):
                for field, *box in partial:
                    found[field] = (*found.get(field, ()), Box(*box))
    return found


def set_aside(ledger: Ledger, error: TilesFailedError, pixels: Mapping[str, int]) -> None:
    """Record the areas of units that failed for their data, and forget what the passes have done so far.

    Parameters
    ----------
    ledger : Ledger
        That of the run. What was ingested is kept: it holds the images as they are.
    error : TilesFailedError
        What a pass ended with.
    pixels : mapping
        Number of pixels by field.

    Raises
    ------
    TilesFailedError
        The same, where none or not all of its units failed for their data, or too large an area did: a fault of the
        program or the machine, and a catalogue with large holes would be worse than none.
    """
    known = areas(ledger)
    new = dict(error.areas)
    boxes = {(field, Box(*box)) for field, box in new.values()}
    whole = sum(pixels.values())
    lost = sum(box.size for _, box in boxes) + sum(box.size for kept in known.values() for box in kept)
    # A unit whose area was taken from it already and which fails again does not fail for its pixels.
    again = any(box in known.get(field, ()) for field, box in boxes)
    allowed = len(new) == 1 and not known
    if not new or again or new.keys() != error.failed or not (allowed or lost <= MOST * whole):
        raise error
    log.warning(
        "%s: treated as no data, and the passes start over without them: %s",
        error.step,
        ", ".join(sorted(new)),
    )
    # First forgotten, then recorded: a crash in between leaves a run that fails on the same pixels again.
    ledger.forget(keep={"ingest", *(f"{name}{SET_ASIDE}" for name in units(ledger))})
    listed = [[field, *box] for field, box in new.values()]
    ledger.mark(f"{error.step}{SET_ASIDE}", sorted(new), listed)
