"""Products of the phase `audit`: its lines as a table, and in summary.json."""

from __future__ import annotations

from tilegc.images.audits import columns, rows
from tilegc.images.results import Audited
from tilegc.phases.output import Output, Part
from tilegc.phases.phase import Results
from tilegc.schema import AUDIT, FILES

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write audit.ecsv."""
    out.ecsv(FILES.audit, AUDIT, columns(results[Audited].lines))


def summarise(out: Output, results: Results) -> Part:
    """Return the lines of the audit, and the shape of every field."""
    shapes = {field.source.name: {"shape": list(field.source.shape)} for field in out.context.fields}
    return Part(run={"audit": list(rows(results[Audited].lines))}, fields=shapes)
