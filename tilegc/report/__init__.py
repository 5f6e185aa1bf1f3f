"""Figures and report of a run, made from its directory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tilegc.engine import Engine, SerialEngine
from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.redaction import redact
from tilegc.schema import FILES

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["write_report"]


def write_report(run: Run, engine: Engine | None = None, *, pdf: bool = False) -> Place:
    """Draw the figures of a run and write its report.

    Parameters
    ----------
    run : Run
        A run, from `tilegc.open_run`. If it has no sources, the report says so.
    engine : Engine, optional
        Engine on which the figures are drawn; by default this process.
    pdf : bool
        Also write the figures as PDF, 88 mm (maps) or 180 mm wide. Figures that are there as PDF are always drawn
        again.

    Returns
    -------
    Place
        Path of report.html, which contains the figures; they are also in figures/, as PNG.
    """
    # Matplotlib takes half a second to import, and only this function needs it.
    from tilegc.report.gallery import draw_all  # noqa: PLC0415
    from tilegc.report.page import page  # noqa: PLC0415
    from tilegc.report.reading import Material  # noqa: PLC0415

    material = Material(run)
    figures = run.path / FILES.figures
    again = figures.is_dir() and any(figures.glob("*.pdf"))
    sections = draw_all(material, engine or SerialEngine(), pdf=pdf or again)
    for drawn in (drawn for part in sections.values() for drawn in part):
        write_bytes(figures / f"{drawn.name}.png", drawn.png)
        if drawn.pdf is not None:
            write_bytes(figures / f"{drawn.name}.pdf", drawn.pdf)
    path = run.path / FILES.report
    write_bytes(path, _redacted(page(material, sections)).encode())
    return path


def _redacted(text: str) -> str:
    """Return a page without credentials. Embedded images, most of its length, contain none and are skipped."""
    parts = re.split(r'(data:image/[a-z]+;base64,[^"]*)', text)
    return "".join(part if number % 2 else redact(part) for number, part in enumerate(parts))
