"""What is measured of the sky grid and is independent of one another, side by side on workers near the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from tilegc.config import RunConfig
from tilegc.engine import Call, Engine, FieldTiles, Shared, Stored, bounded, together
from tilegc.phases.partials import Table
from tilegc.planted import planted_in_fields, read_truth
from tilegc.radial import masses, profile
from tilegc.radial import radial_laws as radial
from tilegc.relation import boxes as relation
from tilegc.relation import likelihood, sensitivity
from tilegc.relation.kernel import kernel_statistics
from tilegc.relation.lens_families import lens_families
from tilegc.relation.ranking import rank_maps
from tilegc.skygrid.cells import SkyCells, stored_cells
from tilegc.skygrid.lens_models import LensModels, realisations

__all__ = ["Frame", "Sources", "side_by_side"]


@dataclass(frozen=True)
class Sources:
    """The tables of sources that the statistics are of."""

    catalogue: Table
    compared: Table
    """Those above the limit of all fields."""
    eligible: Table
    """Candidates that may be sources."""
    inpainted: Table
    limit: float
    sigma: Mapping[str, float]
    truth: QTable | None
    """What was planted."""


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
    near: Engine, config: RunConfig, fields: tuple[FieldTiles, ...], lens: LensModels | None,
    cells: SkyCells, boxes: relation.Boxes | None, recovery: NDArray[np.float64],
    sources: Sources, frame: Frame, sky_store: str,
) -> dict[str, Any]:  # fmt: skip
    """Measure what is independent of one another side by side: radii, the law of counts, other maps and samples.

    Without a lens model there are the radii alone, and what was planted if anything was.
    """
    reach = config.relation.max_radius
    range_maps = None
    if lens is not None and lens.ensemble is not None:
        range_maps = realisations(cells, lens.ensemble, max(reach, masses.APERTURE))
    shared: dict[str, Any] = {
        "cells": Stored(cells, stored_cells, sky_store), "compared": sources.compared,
        "range_maps": range_maps,
    }  # fmt: skip
    calls = {name: Call(radial.fitted, name, Shared("cells"), Shared("compared")) for name in radial.LAWS}
    calls |= {f"{name}'s shape": Call(radial.shapes_of_map, name, Shared("cells")) for name in radial.MAPS}
    if sources.truth is not None:
        calls["planted"] = Call(
            planted_in_fields, Stored(sources.truth, read_truth, config.truth), Shared("cells"), sources.catalogue,
            sources.limit, frame.edges, config.relation.box, config.detect.exclusion_radius, fields,
        )  # fmt: skip
    if lens is not None:
        settings = _settings(config, cells, sources, frame)
        shared |= {
            "settings": settings, "recovery": recovery, "within": np.where(frame.counting, recovery, np.nan),
            "candidates": {name: sources.eligible[name] for name in ("field", "ra", "dec", "peak")},
        }  # fmt: skip
        calls |= _of_lens(config, lens, boxes, sources, frame, settings)
    found = together(bounded(near, cells.nbytes), "statistics", calls, shared)
    found["radial"] = radial.radial(
        cells, sources.compared, frame.edges, frame.level, {name: found[name] for name in radial.LAWS},
        {name: found[f"{name}'s shape"] for name in radial.MAPS}, range_maps,
    )  # fmt: skip
    if lens is None:
        return found
    table = sensitivity.as_table([found[name] for name in sensitivity.SAMPLES])
    counts = found["counts"]
    found["sensitivity"] = table
    families = found["families"]
    parts = sensitivity.systematic_of(table, counts.attenuation)
    if families is not None:
        parts = replace(parts, lens_family=families.c_err)
    found["counts"] = replace(counts, systematic=parts, families=families)
    return found


def _settings(config: RunConfig, cells: SkyCells, sources: Sources, frame: Frame) -> sensitivity.Settings:
    """Return what the relation is measured with, of all samples alike."""
    hidden = sources.inpainted["field"] == cells.fields[frame.centre]
    drawn = cells.count(sources.inpainted["ra"][hidden], sources.inpainted["dec"][hidden])
    drawn = drawn / config.inpaint.realisations
    left_out = config.relation.galaxy_discs == "auto" and frame.light is None
    return sensitivity.Settings(
        frame.centre, config.relation.box, config.relation.max_radius, (config.density.alpha, config.density.softening),
        drawn, frame.discs, left_out, frame.zones, frame.light, config.relation.min_radius,
    )  # fmt: skip


def _of_lens(
    config: RunConfig, lens: LensModels, boxes: relation.Boxes | None, sources: Sources, frame: Frame,
    settings: sensitivity.Settings,
) -> dict[str, Call]:  # fmt: skip
    """Return what is measured against kappa: the law, the kernel, other maps, and samples, the longest first."""
    reach, side = config.relation.max_radius, config.relation.box
    calls = {
        "counts": Call(
            likelihood.fit_counts, Shared("cells"), side, reach, found=boxes, ensemble=Shared("range_maps"),
            kept=frame.in_law, recovery=Shared("recovery"), light=frame.light,
        ),
        "kernel": Call(
            kernel_statistics, Shared("cells"), frame.centre, reach, side, settings.inpainted, settings.kernel,
            Shared("within"),
        ),
        "families": Call(
            lens_families,
            Shared("cells"),
            side,
            reach,
            kept=frame.in_law,
            recovery=Shared("recovery"),
            light=frame.light,
            alternatives=lens.alternatives,
            assumed_rms=config.convergence.family_rms if config.convergence else 0.0,
        ),
        "ranking": Call(rank_maps, Shared("cells"), lens.kappa, lens.rivals, reach, Shared("within")),
    }  # fmt: skip
    for name in sensitivity.SAMPLES:
        calls[name] = Call(
            sensitivity.sample_row, name, Shared("cells"), Shared("candidates"), sources.sigma, sources.limit,
            Shared("settings"),
        )  # fmt: skip
    return calls
