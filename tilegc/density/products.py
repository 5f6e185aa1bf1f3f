"""Products of the phase `density`: the sources drawn under the masks."""

from __future__ import annotations

from tilegc.density.results import Mapped
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.schema import FILES, INPAINTED

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write inpainted.parquet."""
    inpainted = results[Mapped].inpainted
    out.parquet(FILES.inpainted, INPAINTED, {column.name: inpainted[column.name] for column in INPAINTED})


def summarise(out: Output, results: Results) -> Part:
    """Return how many sources were drawn, the mean over realisations, and how the iteration ended."""
    found, realisations = results[Mapped], out.config.inpaint.realisations
    fields = {
        name: {
            "n_inpainted": int((found.inpainted["field"] == name).sum()) / realisations,
            "inpainting": {
                "iterations": found.convergence[name].iterations,
                "last_change": null(found.convergence[name].change),
            },
        }
        for name in out.context.names
    }
    return Part(run={"n_inpainted": len(found.inpainted["y"]) / realisations}, fields=fields)
