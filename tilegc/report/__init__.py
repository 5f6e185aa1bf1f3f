"""Figures and page of a run, drawn from its folder."""

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


def write_report(run: Run, engine: Engine | None = None) -> Place:
    """Draw the figures of a run, and write its page.

    Parameters
    ----------
    run : Run
        Of `tilegc.open_run`; one in which nothing was found gives a page that says so.
    engine : Engine, optional
        Who draws the figures; this process by default.

    Returns
    -------
    Place
        Of report.html, which holds the figures too; they are also in figures/, as PNG.
    """
    # Matplotlib takes half a second to import, and only this function needs it.
    from tilegc.report.gallery import draw_all  # noqa: PLC0415
    from tilegc.report.page import page  # noqa: PLC0415
    from tilegc.report.reading import Material  # noqa: PLC0415

    material = Material(run)
    sections = draw_all(material, engine or SerialEngine())
    for drawn in (drawn for part in sections.values() for drawn in part):
        write_bytes(run.path / FILES.figures / f"{drawn.name}.png", drawn.png)
    path = run.path / FILES.report
    write_bytes(path, _redacted(page(material, sections)).encode())
    return path


def _redacted(text: str) -> str:
    """Return a page without credentials; its pictures, which are most of it, hold none and are left out."""
    parts = re.split(r'(data:image/png;base64,[^"]*)', text)
    return "".join(part if number % 2 else redact(part) for number, part in enumerate(parts))
