"""The phase `view`: the viewer of a run, written from its products by the run's workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tilegc.config import RunConfig
from tilegc.engine import Engine
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.run_folder import RunFolder, open_run
from tilegc.viewer.folder import write_view
from tilegc.viewer.pyramid import BLOCK, blocks

__all__ = ["BYTES_PER_PIXEL", "VIEW", "passes", "viewed", "wanted"]

MOST_PIXELS: Final = 1e8
"""Pixels of all fields up to which a run writes the viewer unless it is told otherwise."""

BYTES_PER_PIXEL: Final = 10
"""Disk space of the viewer, at most: tiles of four bands with and without sources take 5 bytes per pixel, and the
columns and rows of a crowded field take 4."""

LAYERS: Final = 5
"""Images of a field besides its bands: detection map, density, rho, mask, and the image that is being encoded."""


def wanted(config: RunConfig, pixels: float) -> bool:
    """Return whether a run over fields of so many pixels in all writes the viewer."""
    return config.view == "auto" and pixels <= MOST_PIXELS


def passes(planned: Planned) -> Iterator[Step]:
    """State the one pass: a unit reads a block of a field, and writes its tiles on three levels."""
    sources = planned.sources
    if not wanted(planned.config, sum(source.box.size for source in sources)):
        return
    largest = max(min(BLOCK, source.shape[0]) * min(BLOCK, source.shape[1]) for source in sources)
    yield Step(
        name="view",
        over="blocks",
        units=sum(len(blocks(source.shape)) for source in sources),
        # Every band once as it is and once without its sources, whose light is drawn in float64.
        memory=int(largest * (4 * (2 * planned.bands + LAYERS) + 16)),
        reads=("sci", "detection", "density", "rho", "mask"),
        gives="means of 8 x 8 pixels",
    )


def viewed(engine: Engine, config: RunConfig, folder: RunFolder) -> None:
    """Write the directory `view/`, from the products alone."""
    run = open_run(folder.path)
    if wanted(config, sum(run.field(name)["mask"].size for name in run.fields)):
        write_view(run, engine)


VIEW: Phase[object, RunConfig] = Phase(name="view", timing="report_s", passes=passes)
"""Before the report, which links to it."""
