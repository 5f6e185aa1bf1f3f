"""Products of the phase `completeness`: the artificial stars, and the depths that they give."""

from __future__ import annotations

from tilegc.completeness.results import Completed
from tilegc.completeness.tables import DETECTION, depth
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.photometry.catalogue import band_names
from tilegc.schema import COMPLETENESS, FILES, artificial_columns

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write artificial.parquet and completeness.ecsv; neither where no stars were put in."""
    found = results.get(Completed)
    if found is not None:
        out.parquet(FILES.artificial, artificial_columns(band_names(out.context)), found.artificial)
        out.ecsv(FILES.completeness, COMPLETENESS, found.depths)


def summarise(out: Output, results: Results) -> Part:
    """Return the magnitudes at which every field is 50, 80 and 90 per cent complete, by band."""
    return Part(fields={name: {"depth": _depth(results, name)} for name in out.context.names})


def _depth(results: Results, name: str) -> dict[str, dict[str, float | None]] | None:
    """Return the depths of one field; None without stars."""
    found = results.get(Completed)
    if found is None or name not in found.stars:
        return None
    return {
        band: {key: null(value) for key, value in levels.items()}
        for band, levels in depth(found.depths, name).items()
        if band != DETECTION
    }
