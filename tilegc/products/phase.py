"""The phase `products`: tables, maps and the summary of what the phases before it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tilegc.config import RunConfig
from tilegc.phases.context import Context
from tilegc.phases.output import Output
from tilegc.phases.phase import Phase, Results
from tilegc.products import catalogue
from tilegc.products.maps import passes, write_maps
from tilegc.products.results import Written
from tilegc.products.summary import summary_of, write_summary
from tilegc.radial.results import Profiled
from tilegc.run_folder import RunFolder
from tilegc.schema import FILES

__all__ = ["PRODUCTS", "written"]

PRODUCTS: Phase[object, RunConfig] = Phase(
    name="products", timing="report_s", passes=passes, write=catalogue.write, summarise=catalogue.summarise
)


def written(
    config: RunConfig,
    folder: RunFolder,
    timing: Mapping[str, float],
    results: Results,
    phases: Sequence[Phase[Any, RunConfig]],
) -> Written | None:
    """Write the products of the phases that have run, and the summary if all have.

    Parameters
    ----------
    config : RunConfig
    folder : RunFolder
    timing : mapping
        Seconds of the phases so far.
    results : Results
    phases : sequence of Phase
        Those of this run.

    Returns
    -------
    Written or None
        None where the run stops early, without a summary.
    """
    out = Output(context=results[Context], config=config, folder=folder)
    for phase in phases:
        phase.write(out, results)
    write_maps(out, {name for phase in phases for name in phase.arrays(config)})
    if Profiled not in results:
        return None
    summary = summary_of(out, results, (phase.summarise(out, results) for phase in phases))
    so_far = {**timing, "report_s": None, "total_s": None}
    write_summary(out.place(FILES.summary), {**summary, "timing": so_far})
    return Written(summary=summary)
