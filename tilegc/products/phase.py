"""The phase `products`: tables, maps and the summary of what the phases before it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tilegc.config import RunConfig
from tilegc.phases.context import Context
from tilegc.phases.phase import Results
from tilegc.phases.planned import Planned, Step
from tilegc.products import products
from tilegc.products.results import Written
from tilegc.radial.results import Profiled
from tilegc.run_folder import RunFolder
from tilegc.schema import FILES
from tilegc.skygrid.lens_models import LensModels

__all__ = ["passes", "written"]

EARLY: Final = ("detection", "mask")
"""Maps that are there when the catalogue is."""


def passes(planned: Planned) -> Iterator[Step]:
    """State the one pass: a unit writes one FITS image."""
    outputs = planned.config.outputs
    if not outputs:
        return
    widest = max(source.shape[1] for source in planned.sources)
    yield Step(
        name="maps",
        over="maps",
        units=len(outputs) * len(planned.sources),
        memory=products.ROWS * widest * 16,
        reads=outputs,
        gives="nothing; FITS images are written",
    )


def written(
    config: RunConfig,
    folder: RunFolder,
    lens: LensModels | None,
    timing: Mapping[str, float],
    results: Results,
) -> Written | None:
    """Write the products of the phases that have run; the summary where all have.

    Parameters
    ----------
    config : RunConfig
    folder : RunFolder
    lens : LensModels or None
    timing : mapping
        Seconds of the phases so far.
    results : Results

    Returns
    -------
    Written or None
        None where the run stops early, without a summary.
    """
    context = results[Context]
    if Profiled not in results:
        products.write_catalogue(context, config, folder, results)
        products.write_maps(context, config, folder, EARLY)
        return None
    products.write_tables(context, config, folder, results)
    products.write_noise(context, results)
    products.write_maps(context, config, folder)
    summary = products.summarise(context, config, lens, results)
    so_far = {**timing, "report_s": None, "total_s": None}
    products.write_summary(folder.path / FILES.summary, {**summary, "timing": so_far})
    return Written(summary=summary)
