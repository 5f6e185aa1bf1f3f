"""The pipeline: every phase of a run, from FITS images to the catalogue, the maps, the laws and the report.

One entry per phase, in the order in which they run: what it is given, and from which earlier phases. Maps stay in the
store of every field, where each phase writes its own (`arrays`); tables and numbers come back as its result. `run`,
`plan`, the layout of the stores and the table of passes in the documentation are derived from this list.

    FITS -> fields in tiles -> detection map -> mask -> candidates -> catalogue -> density -> sky grid
         -> n against kappa, profiles and masses -> products and report
"""

from __future__ import annotations

from typing import Final

from tilegc import planted
from tilegc.completeness import phase as completeness
from tilegc.config import DetectionConfig, RunConfig
from tilegc.density import phase as density
from tilegc.density.results import Mapped
from tilegc.detection import phase as detection
from tilegc.detection.results import Detected
from tilegc.filter import phase as filtering
from tilegc.filter.results import Filtered
from tilegc.images import phase as images
from tilegc.jobs import DetectionJob, Job
from tilegc.mask import phase as mask
from tilegc.mask.results import Masked
from tilegc.phases.context import Context, arrays
from tilegc.phases.phase import Phase
from tilegc.photometry import phase as photometry
from tilegc.photometry.results import Measured
from tilegc.products import phase as products
from tilegc.radial import phase as radial
from tilegc.relation import phase as relation
from tilegc.report import phase as report
from tilegc.schema import Array
from tilegc.skygrid import phase as skygrid
from tilegc.skygrid.results import Gridded

__all__ = ["DETECTION", "PHASES", "UNTIL", "layout", "phases_until"]

DETECTION: Final[tuple[Phase[DetectionJob, DetectionConfig], ...]] = (
    Phase(
        name="filter",
        timing="mask_s",
        arrays=filtering.arrays,
        passes=filtering.passes,
        run=lambda job, got: filtering.filtered(got[Context], job.config, job.psfs),
    ),
    Phase(
        name="mask",
        timing="mask_s",
        arrays=mask.arrays,
        passes=mask.passes,
        run=lambda job, got: mask.masked(
            got[Context], job.config, job.regions, got[Filtered].psfs, job.grid, job.edges
        ),
    ),
    Phase(
        name="detect",
        timing="detect_s",
        arrays=detection.arrays,
        passes=detection.passes,
        run=lambda job, got: detection.detected(got[Context], job.config, got[Filtered], job.frame),
    ),
)
"""The phases that need neither a cluster nor a sky: `detect_in` runs these on plain arrays."""

PHASES: Final[tuple[Phase[Job, RunConfig], ...]] = (
    Phase(
        name="ingest",
        timing="ingest_s",
        passes=images.ingest_passes,
        run=lambda job, _: images.ingested(
            job.engine, job.near, job.config, job.inputs.sources, job.folder, job.digests, layout(job.config)
        ),
    ),
    Phase(
        name="audit",
        timing="audit_s",
        passes=images.audit_passes,
        run=lambda job, got: images.audited(got[Context], job.config, job.inputs.kappa),
    ),
    *DETECTION,
    Phase(
        name="photometry",
        timing="detect_s",
        passes=photometry.passes,
        run=lambda job, got: photometry.measured(
            got[Context], job.config, job.frame, got[Detected], got[Filtered].psfs
        ),
    ),
    Phase(
        name="completeness",
        timing="completeness_s",
        passes=completeness.passes,
        run=lambda job, got: completeness.completed(
            got[Context], job.config, job.frame, got[Measured], got[Filtered]
        ),
    ),
    Phase(
        name="density",
        timing="density_s",
        arrays=density.arrays,
        passes=density.passes,
        run=lambda job, got: density.mapped(got[Context], job.config, got[Measured].catalogue),
    ),
    Phase(
        name="sky grid",
        timing="compare_s",
        passes=skygrid.passes,
        run=lambda job, got: skygrid.gridded(
            got[Context],
            job.config,
            job.grid,
            got[Measured].selection,
            got[Filtered].psfs,
            got[Masked].stars,
            job.inputs.lens,
        ),
    ),
    Phase(
        name="relation",
        timing="compare_s",
        passes=relation.passes,
        run=lambda job, got: relation.related(
            got[Context],
            job.config,
            got[Gridded],
            job.inputs.lens,
            got[Measured].candidates,
            got[Mapped].inpainted,
            got[Detected].noises,
            job.sky_store,
        ),
    ),
    Phase(
        name="radial",
        timing="compare_s",
        passes=radial.passes,
        run=lambda job, got: radial.profiled(
            got[Context], job.config, got[Gridded], got[Measured].catalogue, job.inputs.lens, job.sky_store
        ),
    ),
    Phase(
        name="truth",
        timing="compare_s",
        run=lambda job, got: planted.compared(
            got[Context], job.config, got[Gridded], got[Measured].catalogue, job.inputs.truth, job.edges
        ),
    ),
    Phase(
        name="products",
        timing="report_s",
        passes=products.passes,
        run=lambda job, got: products.written(job.config, job.folder, job.inputs.lens, job.timing, got),
    ),
    Phase(
        name="report",
        timing="report_s",
        passes=report.passes,
        run=lambda job, got: report.reported(got[Context].engine, job.folder),
    ),
)

UNTIL: Final = {"catalogue": "photometry"}
"""The last phase before `run(until=...)` writes its products and stops."""


def layout(config: RunConfig) -> list[Array]:
    """Return the arrays of a field's store, in the order of the schema: those that any phase writes."""
    return arrays(name for phase in PHASES for name in phase.arrays(config))


def phases_until(until: str | None) -> tuple[Phase[Job, RunConfig], ...]:
    """Return the phases of a whole run, or those of one that stops early: the products are then of what there is."""
    if until is None:
        return PHASES
    names = [phase.name for phase in PHASES]
    return (*PHASES[: names.index(UNTIL[until]) + 1], PHASES[names.index("products")])
