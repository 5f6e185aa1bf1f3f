"""What a run will take, said before anything is computed: tiles, tasks, memory, disk, and what does not fit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from distributed.system import MEMORY_LIMIT

from tilegc.config import RunConfig
from tilegc.density import density_map as density
from tilegc.density import rho, rho_scatter
from tilegc.density.coverage import COVERAGE
from tilegc.density.inpainting import INPAINT
from tilegc.density.multilevel import kernel_tables
from tilegc.detection.noise.global_noise import COUNT
from tilegc.detection.noise.local_noise import QUIET_PASS
from tilegc.detection.noise.null_maps import null_pass
from tilegc.detection.peaks import PEAKS
from tilegc.detection.shapes import SHAPES
from tilegc.engine import Pass
from tilegc.errors import ResourceError
from tilegc.filter.detection_map import FilterParams, filter_pass, planned_params
from tilegc.geometry import TileGrid
from tilegc.images.ingest import needs_store
from tilegc.images.psfs import STARS
from tilegc.io.fits import FieldSource
from tilegc.mask.mask_map import REGIONS, Edge, mask_pass, object_passes
from tilegc.mask.masked_area import COUNT_MASKS
from tilegc.mask.ridges import RIDGES, SPREAD, wanted
from tilegc.phases.context import BLOCK
from tilegc.photometry.passes import EQUATIONS, FIRST, POSITIONS, REST
from tilegc.places import Place, is_remote
from tilegc.sizes import binary, decimal
from tilegc.sky import SkyGrid, centre_outside, pixel_to_world, sample
from tilegc.skygrid.cells import CELLS

__all__ = ["Plan", "Step", "check", "plan"]

WORKER_BASE = 528 * 2**20
"""Memory of a worker before it does anything: the libraries and their compiled kernels, and what it keeps of freed
windows."""

BYTES_PER_PIXEL = 1 + 1 + 1 + 1 + 1 + 5 * 4
"""Arrays of the store besides bands and densities: flags, ridges, objects, regions, mask; light, detection, rho, its
error and scatter."""


MOST_CELLS = 1e8
"""Cells of the largest sky grid: the driver holds a dozen numbers of each."""

MOST_TILES = 1_000_000
"""Tiles of all fields: the driver and the ledger hold an entry of each, several hundred bytes, for every pass."""


@dataclass(frozen=True)
class Step:
    """One pass of the plan."""

    name: str
    units: int
    """Tiles, mostly."""
    memory: int
    """Peak memory of a worker, bytes."""
    writes: bool


@dataclass(frozen=True)
class Plan:
    """What a run needs: its passes, memory and disk space, and reasons to refuse it."""

    steps: tuple[Step, ...]
    disk: int
    """Bytes that the run folder takes, before compression."""
    pixels: int
    """Of all fields."""
    refusals: tuple[str, ...]
    """Why it cannot run as it stands; empty: it can."""
    notes: tuple[str, ...] = ()
    """What may be a mistake although it can run."""

    @property
    def writing(self) -> dict[str, int]:
        """Units of the passes that write, by name: what a ledger will hold in the end."""
        return {step.name: step.units for step in self.steps if step.writes and step.units}

    @property
    def memory(self) -> int:
        """Peak memory of a worker, bytes."""
        return max((step.memory for step in self.steps), default=0)


def plan(
    config: RunConfig,
    sources: Sequence[FieldSource],
    directory: Place,
    workers: int,
    *,
    local: bool = True,
    limit: int | None = None,
) -> Plan:
    """Plan a run over fields that were probed.

    Parameters
    ----------
    config, sources
        The run file, and its fields as `probe_field` found them.
    directory
        Folder of the run.
    workers
        How many tasks can run at the same time.
    local
        Whether they run on this machine, whose memory they share.
    limit
        Memory that a worker may take, bytes, where that is known.
    """
    grids = {source.name: TileGrid(source.shape, config.tiles.size) for source in sources}
    blocks = {source.name: TileGrid(source.shape, BLOCK) for source in sources}
    steps = [
        Step("ingest", *_ingest(config, sources), writes=True),
        *(_step(step, grids) for step in _passes(config, sources)),
        *(_step(step, blocks) for step in _block_passes(config, sources)),
    ]
    tiles = sum(map(len, grids.values()))
    widest = max(density.tile_bytes(grids[source.name], source.scale, config.density) for source in sources)
    kernel, blocky = (max(map(of.tile_bytes, grids.values())) for of in (rho, rho_scatter))
    steps += [
        Step(name, tiles, WORKER_BASE + memory, writes=True)
        for name, memory in (("density", widest), ("rho", kernel), ("rho-scatter", blocky))
    ]
    disk = sum(_disk(config, source) for source in sources)
    outside = centre_outside(config.cluster, sources)
    found = Plan(tuple(steps), disk, sum(source.box.size for source in sources), ())
    return Plan(
        found.steps,
        found.disk,
        found.pixels,
        tuple(_refusals(config, found, sources, directory, workers, local=local, limit=limit)),
        () if outside is None else (f"cluster: {outside.text}; check cluster.ra and cluster.dec",),
    )


def check(found: Plan) -> None:
    """Raise ResourceError with the first reason why a plan cannot run."""
    if found.refusals:
        raise ResourceError(found.refusals[0])


def _passes(config: RunConfig, sources: Sequence[FieldSource]) -> list[Pass]:
    matched = config.recipe == "calibrated"
    edges = {
        source.name: Edge.of(config.mask.edge_arcsec, source.scale, matched=matched) for source in sources
    }
    filtering = filter_pass(_filtering(config, sources))
    stars = [STARS] if config.recipe == "calibrated" else []
    lines = [RIDGES] if wanted(config.mask) else []
    objects = object_passes(config.mask)
    found = [
        *stars,
        REGIONS,
        filtering,
        *lines,
        *objects,
        mask_pass(edges),
        COUNT_MASKS,
        COUNT,
        PEAKS,
        SHAPES,
    ]
    fitted = [] if config.photometry_settings is None else [FIRST, EQUATIONS, POSITIONS, REST]
    return [*found, *fitted, COVERAGE, INPAINT, CELLS]


def _block_passes(config: RunConfig, sources: Sequence[FieldSource]) -> list[Pass]:
    """Return the passes over blocks of lattice cells, whatever the tiles are."""
    lines = [SPREAD] if wanted(config.mask) else []
    return [*lines, QUIET_PASS, null_pass(_filtering(config, sources))]


def _filtering(config: RunConfig, sources: Sequence[FieldSource]) -> dict[str, FilterParams]:
    return {source.name: planned_params(config, source) for source in sources}


def _step(step: Pass, grids: dict[str, TileGrid]) -> Step:
    memory = max((step.window_bytes(name, grid) for name, grid in grids.items()), default=0)
    return Step(step.name, sum(len(grid) for grid in grids.values()), WORKER_BASE + memory, bool(step.writes))


def _ingest(config: RunConfig, sources: Sequence[FieldSource]) -> tuple[int, int]:
    wanted = [source for source in sources if needs_store(source, config.ingest)]
    units = sum(
        1 if plane.kind == "gzip" else len(TileGrid(source.shape, 1024))
        for source in wanted
        for _, _, plane in source.planes()
    )
    widest = max((source.shape[1] for source in wanted), default=0)
    return units, WORKER_BASE + 16 * 1024 * widest


def _disk(config: RunConfig, source: FieldSource) -> int:
    planes = len(list(source.planes())) if needs_store(source, config.ingest) else 0
    densities, maps = 4 * len(density.arrays_of(config)), 4 * len(config.outputs)
    return source.box.size * (4 * planes + BYTES_PER_PIXEL + densities + maps)


def _cells(config: RunConfig, sources: Sequence[FieldSource]) -> tuple[float, float]:
    """Return how many cells of the sky grid a rectangle over all fields holds, and how many out to whole boxes."""
    grid, box = SkyGrid(config.cluster.ra, config.cluster.dec, config.comparison.pixel), config.relation.box
    corners = [pixel_to_world(source.wcs, *sample(source.shape, 2)) for source in sources]
    xi, eta = grid.offsets(*(np.concatenate([one[axis].ravel() for one in corners]) for axis in (0, 1)))
    whole = [(np.ceil(axis.max() / box) - np.floor(axis.min() / box)) * box for axis in (xi, eta)]
    return float(np.ptp(xi) * np.ptp(eta)) / grid.pixel**2, float(whole[0] * whole[1]) / grid.pixel**2


def _refusals(
    config: RunConfig,
    found: Plan,
    sources: Sequence[FieldSource],
    directory: Place,
    workers: int,
    *,
    local: bool,
    limit: int | None,
) -> list[str]:
    reasons = []
    for source in sources:
        try:
            kernel_tables(source.shape, source.scale, config.density.alpha, config.density.softening)
        except ValueError as error:
            reasons.append(f"field {source.name!r}: {error}")
    tiles = sum(len(TileGrid(source.shape, config.tiles.size)) for source in sources)
    if tiles > MOST_TILES:
        reasons.append(
            f"tiles.size: with {config.tiles.size} pixels the fields have {tiles:,} tiles, at most {MOST_TILES:,} are "
            "possible; choose a larger tiles.size"
        )
    cells, in_boxes = _cells(config, sources)
    if not cells <= MOST_CELLS:  # NaN: a field beyond 90 deg from the centre
        reasons.append(
            f"comparison.pixel: the sky grid over all fields has {cells:.1e} cells of {config.comparison.pixel:g} "
            f"arcsec, {MOST_CELLS:.0e} are the most: give larger ones, or fields of one cluster only"
        )
    elif in_boxes > max(MOST_CELLS, 2 * cells):
        reasons.append(
            f"relation.box: out to whole boxes of {config.relation.box:g} arcsec the sky grid has {in_boxes:.1e} "
            f"cells, {MOST_CELLS:.0e} are the most: give smaller boxes, or a larger comparison.pixel"
        )
    if local:
        reasons += _memory(found, max(workers, 1))
    if limit is not None:
        reasons += _memory_of_each(found, limit)
    free = _free(directory)
    if found.disk > free:
        reasons.append(
            f"{directory}: the run needs up to {decimal(found.disk)} of disk space, but only {decimal(free)} are free "
            "there: free some space or choose another directory with -o"
        )
    return reasons


def _memory_of_each(found: Plan, limit: int) -> list[str]:
    """Return why the limit of a worker is too low for the most demanding pass, if it is."""
    worst = max(found.steps, key=lambda step: step.memory)
    if worst.memory <= limit:
        return []
    return [
        f"pass {worst.name}: a worker needs {binary(worst.memory)}, but the smallest may use only {binary(limit)}: "
        "raise the limit (compute.memory, or --memory-limit where the worker is started) or choose a smaller tiles.size"
    ]


def _free(directory: Place) -> float:
    """Return the bytes that are free where a folder is, or would be; object stores do not say."""
    if is_remote(directory):
        return math.inf
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def _memory(found: Plan, workers: int) -> list[str]:
    """Say which pass does not fit into this machine's memory with so many workers, if any."""
    there = MEMORY_LIMIT  # of this machine, or of the container or job that this process is confined to
    worst, need = None, 0
    for step in found.steps:
        at_a_time = min(workers, step.units)
        total = workers * WORKER_BASE + at_a_time * (step.memory - WORKER_BASE)
        if total > max(need, there):
            worst, need = step, total
    if worst is None:
        return []
    return [
        f"pass {worst.name}: {workers} workers together need {binary(need)}, but this machine has {binary(there)}: "
        "choose a smaller tiles.size or fewer --workers"
    ]
