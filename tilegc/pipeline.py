"""The pipeline: every phase of a run, from FITS images to the catalogue, the maps, the laws and the report.

One entry per phase, in order: what it is given, and from which earlier phases. Maps stay in the store of every field,
tables and numbers come back as its result. `run`, `plan`, the stores and the documentation derive from this list.
FITS -> tiles -> detection map -> mask -> catalogue -> density -> sky grid -> laws, profiles, masses -> report.
"""

from __future__ import annotations

from typing import Final

from tilegc.completeness.phase import COMPLETENESS, completed
from tilegc.completeness.results import Completed
from tilegc.config import DetectionConfig, RunConfig
from tilegc.density.phase import DENSITY, mapped
from tilegc.density.results import Mapped
from tilegc.detection.phase import DETECT, detected
from tilegc.detection.results import Detected
from tilegc.filter.phase import FILTER, filtered
from tilegc.filter.results import Filtered
from tilegc.images.phase import AUDIT, INGEST, audited, ingested
from tilegc.jobs import DetectionJob, Job
from tilegc.luminosity.phase import LUMINOSITY, described
from tilegc.luminosity.results import Luminosities
from tilegc.mask.phase import MASK, masked
from tilegc.mask.results import Masked
from tilegc.phases.context import Context, arrays
from tilegc.phases.phase import Phase
from tilegc.photometry.phase import MEASURE, measured
from tilegc.photometry.results import Measured
from tilegc.planted import TRUTH, compared
from tilegc.products.phase import PRODUCTS, written
from tilegc.radial.phase import RADIAL, profiled
from tilegc.relation.phase import RELATION, related
from tilegc.report.phase import REPORT, reported
from tilegc.schema import Array
from tilegc.skygrid.phase import SKY_GRID, gridded
from tilegc.skygrid.results import Gridded
from tilegc.viewer.phase import VIEW, viewed

__all__ = ["DETECTION", "PHASES", "layout", "phases_until"]

RunPhase = Phase[Job, RunConfig]

DETECTION: Final[tuple[Phase[DetectionJob, DetectionConfig], ...]] = (
    FILTER.by(lambda job, got: filtered(got[Context], job.config, job.psfs)),
    MASK.by(
        lambda job, got: masked(
            got[Context], job.config, job.regions, got[Filtered].psfs, job.grid, job.edges
        )
    ),
    DETECT.by(lambda job, got: detected(got[Context], job.config, got[Filtered], job.frame)),
)
"""The phases that need neither a cluster nor a sky: `detect_in` runs these on plain arrays."""

CATALOGUE: Final[tuple[RunPhase, ...]] = (
    INGEST.by(
        lambda job, _: ingested(
            job.engine,
            job.near,
            job.config,
            job.inputs.sources,
            job.inputs.others,
            job.folder,
            job.digests,
            layout(job.config),
        )
    ),
    AUDIT.by(lambda job, got: audited(got[Context], job.config, job.inputs.kappa)),
    *DETECTION,
    MEASURE.by(
        lambda job, got: measured(
            got[Context], job.config, job.frame, got[Detected], got[Filtered].psfs, job.psfs
        )
    ),
    COMPLETENESS.by(
        lambda job, got: completed(
            got[Context], job.config, job.frame, got[Measured], got[Filtered], job.ledger
        )
    ),
    LUMINOSITY.by(
        lambda job, got: described(got[Context], job.config, job.frame, got[Measured], got.get(Completed))
    ),
)
"""Those that make the catalogue: `run(until="catalogue")` stops after them."""

ANALYSIS: Final[tuple[RunPhase, ...]] = (
    DENSITY.by(lambda job, got: mapped(got[Context], job.config, got[Measured].catalogue)),
    SKY_GRID.by(
        lambda job, got: gridded(
            got[Context],
            job.config,
            job.grid,
            got[Measured].selection,
            got[Filtered].psfs,
            got[Masked].stars,
            job.inputs.lens,
            got.get(Completed),
            got.get(Luminosities),
        )
    ),
    RELATION.by(
        lambda job, got: related(
            got[Context],
            job.config,
            got[Gridded],
            job.inputs.lens,
            got[Measured].candidates,
            got[Mapped].inpainted,
            got[Detected].noises,
            job.sky_store,
        )
    ),
    RADIAL.by(
        lambda job, got: profiled(
            got[Context],
            job.config,
            got[Gridded],
            got[Measured].catalogue,
            job.inputs.lens,
            job.sky_store,
            got.get(Luminosities),
        )
    ),
    TRUTH.by(
        lambda job, got: compared(
            got[Context], job.config, got[Gridded], got[Measured].catalogue, job.inputs.truth, job.edges
        )
    ),
)
"""Those that measure what the catalogue's sources follow."""

WRITING: Final[RunPhase] = PRODUCTS.by(
    lambda job, got: written(job.config, job.folder, job.timing, got, phases_until(job.until))
)
VIEWING: Final[RunPhase] = VIEW.by(lambda job, got: viewed(got[Context].engine, job.config, job.folder))
REPORTING: Final[RunPhase] = REPORT.by(lambda job, got: reported(got[Context].engine, job.folder))

PHASES: Final = (*CATALOGUE, *ANALYSIS, WRITING, VIEWING, REPORTING)


def phases_until(until: str | None) -> tuple[RunPhase, ...]:
    """Return the phases of a whole run (None), or of one that stops with the "catalogue" and writes what there is."""
    return PHASES if until is None else (*CATALOGUE, WRITING)


def layout(config: RunConfig) -> list[Array]:
    """Return the arrays of a field's store, in the order of the schema: those that any phase writes."""
    return arrays(name for phase in PHASES for name in phase.arrays(config))
