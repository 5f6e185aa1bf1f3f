"""Candidates and catalogue, which detection, photometry and what follows them make together, in every format."""

from __future__ import annotations

from tilegc.completeness.results import Completed
from tilegc.detection.shapes import POINT
from tilegc.io.exports import write_fits_table, write_short, write_votable
from tilegc.io.tables import write_regions
from tilegc.luminosity.results import Luminosities
from tilegc.phases.output import Output, Part
from tilegc.phases.phase import Results
from tilegc.photometry.catalogue import measured_names
from tilegc.photometry.results import Measured
from tilegc.products.exporting import REGION_RADIUS, listed_columns
from tilegc.schema import FILES

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write candidates and catalogue, the latter in every format."""
    found, stars = results[Measured], results.get(Completed)
    candidates, catalogue = found.candidates, found.catalogue
    if stars is not None:
        candidates, catalogue = stars.joined(candidates), stars.joined(catalogue)
    members = results.get(Luminosities)
    if members is not None:
        candidates, catalogue = members.joined(candidates), members.joined(catalogue)
    settings = out.config.photometry_settings
    apertures = None if settings is None else settings.apertures
    around = "reliability" in candidates
    listed = listed_columns(
        measured_names(out.context),
        apertures,
        surroundings=around,
        stars=stars is not None,
        members=members is not None,
        corrected=settings is not None and settings.extinction is not None,
    )
    out.parquet(FILES.candidates, listed, candidates)
    out.parquet(FILES.catalogue, listed, catalogue)
    out.ecsv(FILES.catalogue_ecsv, listed, catalogue)
    for name, writer in (
        (FILES.catalogue_votable, write_votable),
        (FILES.catalogue_fits, write_fits_table),
        (FILES.gc, write_short),
    ):
        writer(out.place(name), listed, catalogue, out.meta)
    regions = out.place(FILES.catalogue_regions)
    write_regions(regions, catalogue["ra"], catalogue["dec"], REGION_RADIUS, meta=out.meta)


def summarise(out: Output, results: Results) -> Part:
    """Return how many candidates and sources there are."""
    found = results[Measured]
    fields = {}
    for name in out.context.names:
        own = found.candidates["field"] == name
        fields[name] = {
            "n_not_points": int((own & (found.candidates["shape"] != POINT)).sum()),
            "n_candidates": int(own.sum()),
            "n_detected": int((found.catalogue["field"] == name).sum()),
        }
    return Part(run={"n_detected": len(found.catalogue["y_peak"])}, fields=fields)
