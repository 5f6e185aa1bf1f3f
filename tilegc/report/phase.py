"""The phase `report`: figures and page, drawn from the products alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tilegc.config import RunConfig
from tilegc.engine import Engine
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.report import write_report
from tilegc.run_folder import RunFolder, open_run
from tilegc.schema import FILES

__all__ = ["REPORT", "passes", "reported"]

FIGURES: Final = 22
"""Figures of one field, at most; every other field has three of its own."""

FIGURE_BYTES: Final = 160 * 2**20
"""Peak memory of a figure besides the sky grid: matplotlib, and the picture of a mosaic."""


def passes(planned: Planned) -> Iterator[Step]:
    """State the one pass: a unit draws one figure."""
    yield Step(
        name="figures",
        over="figures",
        units=FIGURES + 3 * (len(planned.sources) - 1),
        memory=FIGURE_BYTES + int(planned.sky_bytes),
        reads=("sky-grid", "light", "mask"),
        gives="a picture",
    )


def reported(engine: Engine, folder: RunFolder) -> None:
    """Draw the figures and write the page; the figures become files of the run."""
    figures = folder.path / FILES.figures
    foreign = {figure.name for figure in figures.glob("*.png")}
    write_report(open_run(folder.path), engine)
    drawn = {figure.name for figure in figures.glob("*.png")}
    folder.claim(f"{FILES.figures}/{name}" for name in drawn - foreign)


REPORT: Phase[object, RunConfig] = Phase(name="report", timing="report_s", passes=passes)
