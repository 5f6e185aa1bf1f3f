"""Products of the phase `mask`: what it takes of the sky, and the bright stars."""

from __future__ import annotations

from tilegc.mask import masked_area
from tilegc.mask.results import Masked
from tilegc.phases.output import Output, Part
from tilegc.phases.phase import Results
from tilegc.schema import FILES, MASKED, STARS

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write masked.ecsv and stars.ecsv."""
    found = results[Masked]
    pixel_area = {name: out.context.source(name).pixel_area for name in out.context.names}
    out.ecsv(FILES.masked, MASKED, masked_area.by_radius(found.counts, found.edges, pixel_area))
    out.ecsv(FILES.stars, STARS, found.stars)


def summarise(out: Output, results: Results) -> Part:
    """Return the share and area of every bit, by field."""
    counts = results[Masked].counts
    return Part(
        fields={
            name: {"masked": masked_area.shares(counts[name], out.context.source(name).pixel_area)}
            for name in out.context.names
        }
    )
