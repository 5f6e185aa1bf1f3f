"""What is measured of the sky grid and is independent of one another, side by side on workers near the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilegc.engine import Call, Shared, bounded, together
from tilegc.stages import likelihood, masses, profile, radial, relation, sensitivity
from tilegc.stages.kernel import kernel_statistics
from tilegc.stages.lens_models import LensModels, realisations
from tilegc.stages.partials import Table
from tilegc.stages.ranking import rank_maps
from tilegc.stages.setup import Setup
from tilegc.stages.sky_grid import SkyCells

__all__ = ["Frame", "Sources", "side_by_side"]


@dataclass(frozen=True)
class Sources:
    """The tables of sources that the statistics are of."""

    compared: Table
    """Those above the limit of all fields."""
    eligible: Table
    """Candidates that may be sources."""
    inpainted: Table
    limit: float
    sigma: Mapping[str, float]


@dataclass(frozen=True)
class Frame:
    """Where and how they are measured."""

    edges: tuple[float, ...]
    level: profile.Contamination
    centre: int
    zones: tuple[float, ...]
    discs: NDArray[np.bool_]
    """Round galaxies."""
    counting: NDArray[np.bool_]
    """Cells that the likelihoods of positions count."""
    in_law: NDArray[np.bool_]
    """Cells that the law counts."""
    light: NDArray[np.float64] | None
    """Of galaxies, for the law's term."""


def side_by_side(
    setup: Setup, lens: LensModels | None, cells: SkyCells, boxes: relation.Boxes | None, recovery: NDArray[np.float64],
    sources: Sources, frame: Frame,
) -> dict[str, Any]:  # fmt: skip
    """Measure what is independent of one another side by side: radii, the law of counts, other maps and samples.

    Without a lens model there are the radii alone.
    """
    config = setup.config
    reach, side, kernel = config.relation.max_radius, config.relation.box, config.density
    range_maps = None
    if lens is not None and lens.ensemble is not None:
        range_maps = realisations(cells, lens.ensemble, max(reach, masses.APERTURE))
    engine = bounded(setup.near, cells.nbytes)
    shared: dict[str, Any] = {"cells": cells, "range_maps": range_maps}
    calls = {
        "radial": Call(
            radial.radial, Shared("cells"), sources.compared, frame.edges, frame.level, Shared("range_maps")
        )
    }
    if lens is None:
        return together(engine, "statistics", calls, shared)
    hidden = sources.inpainted["field"] == cells.fields[frame.centre]
    drawn = cells.count(sources.inpainted["ra"][hidden], sources.inpainted["dec"][hidden])
    drawn = drawn / config.inpaint.realisations
    pair = kernel.alpha, kernel.softening
    left_out = config.relation.galaxy_discs == "auto" and frame.light is None
    shared["settings"] = sensitivity.Settings(
        frame.centre, side, reach, pair, drawn, frame.discs, left_out, frame.zones, frame.light
    )
    within = np.where(frame.counting, recovery, np.nan)
    calls["counts"] = Call(
        likelihood.fit_counts, Shared("cells"), side, reach, found=boxes, ensemble=Shared("range_maps"),
        kept=frame.in_law, recovery=recovery, light=frame.light,
    )  # fmt: skip
    calls["kernel"] = Call(kernel_statistics, Shared("cells"), frame.centre, reach, side, drawn, pair, within)
    calls["ranking"] = Call(rank_maps, Shared("cells"), lens.kappa, lens.rivals, reach, within)
    candidates = {name: sources.eligible[name] for name in ("field", "ra", "dec", "peak")}
    for name in sensitivity.SAMPLES:
        calls[name] = Call(
            sensitivity.sample_row, name, Shared("cells"), candidates, sources.sigma, sources.limit,
            Shared("settings"),
        )  # fmt: skip
    found = together(engine, "statistics", calls, shared)
    table = sensitivity.as_table([found[name] for name in sensitivity.SAMPLES])
    counts = found["counts"]
    found["sensitivity"] = table
    found["counts"] = replace(counts, systematic=sensitivity.systematic_of(table, counts.attenuation))
    return found
