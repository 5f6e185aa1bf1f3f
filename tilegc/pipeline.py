"""The whole way of the data, from FITS images to a report.

FITS -> store -> mask -> detection map -> candidates -> catalogue -> density -> statistics -> report.
Every line of `_chain` is a stage: maps stay in the store, tables and numbers come back.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tilegc import config as run_file
from tilegc import planning
from tilegc import sky_statistics as statistics
from tilegc.cluster import TLS, workers_for
from tilegc.config import RunConfig
from tilegc.density import density_map as density
from tilegc.density import inpainting as inpaint
from tilegc.density import rho, rho_scatter
from tilegc.detection import shapes, threshold
from tilegc.detection.noise import global_noise as noise
from tilegc.detection.noise import local_noise
from tilegc.engine import (
    Engine,
    FieldTiles,
    Progress,
    SerialEngine,
    Silent,
    Told,
    for_client,
    seconds_compiled,
)  # fmt: skip
from tilegc.errors import ConfigError, InputError, RunFolderError
from tilegc.filter import detection_map
from tilegc.geometry import TileGrid
from tilegc.images import audits as auditing
from tilegc.images import ingest
from tilegc.images import psfs as psf
from tilegc.inputs import Inputs, examine
from tilegc.io import store
from tilegc.io.fits import FieldSource
from tilegc.mask import mask_map as mask
from tilegc.mask import masked_area
from tilegc.phases.context import Context, arrays
from tilegc.phases.partials import Table
from tilegc.photometry import catalogue as photometry
from tilegc.places import Place, is_remote, is_url, place
from tilegc.planning import Plan
from tilegc.products import products, remarks
from tilegc.products.products import Results
from tilegc.radial import contamination, mass_table, masses, profile
from tilegc.relation import boxes as relation
from tilegc.relation import likelihood
from tilegc.report import write_report
from tilegc.run_folder import Run, RunFolder, beating, logged, marked, open_run
from tilegc.schema import FILES
from tilegc.sky import ClusterFrame, SkyGrid
from tilegc.skygrid import crowding, galaxies, galaxy_light
from tilegc.skygrid.cells import add_up, field_of_centre
from tilegc.skygrid.lens_models import kappa_peaks

__all__ = ["audit", "default_directory", "detect", "ingest_only", "plan", "run"]

log = logging.getLogger("tilegc")

Source = RunConfig | str | Place
"""A run file: its path, or what `tilegc.config.load` or `resolve` made of it."""


def run(
    source: Source, directory: str | Place | None = None, *, workers: int | None = None,
    scheduler: str | None = None, cluster_name: str | None = None, tls: TLS | None = None,
    resume: bool = False, overwrite: bool = False, performance_report: str | Path | None = None,
    progress: Progress | None = None, tell: Callable[[str], None] | None = None,
    until: Literal["catalogue"] | None = None,
) -> Run:  # fmt: skip
    """Run the whole chain, or the part of it up to the catalogue, and return what it found.

    Parameters
    ----------
    source : path or RunConfig
        The run file.
    directory : path, optional
        Folder of the run; `<run file's stem>-run` beside the run file by default.
    workers : int, optional
        Processes of one thread each; one a core by default; 0: all in this process.
    scheduler : str, optional
        Address of a Dask scheduler that runs already, or the .json file that it wrote.
    cluster_name : str, optional
        Kind of workers to start: one of `tilegc.cluster.NAMES`.
    tls : TLS, optional
        Certificates; by default those that Dask's config names.
    resume, overwrite : bool
        Go on with, or replace, what stands in the folder.
    performance_report : path, optional
        Where to write Dask's page about the run: one HTML file that needs no network.
    progress, tell : optional
        Who is told how far a pass is, and lines for the user.
    until : {"catalogue"}, optional
        Stop once the catalogue, the mask and the detection map are written; `resume` continues from there, to the same
        bytes as one run without a stop.

    Returns
    -------
    Run
        As `tilegc.open_run(directory)` gives it.

    Raises
    ------
    InputError
        For anything wrong with the run file or what it names; nothing is written then.
    RunFailedError
        If the run began and could not end; what was finished is kept for `resume`.
    """
    begun = time.perf_counter()
    config = source if isinstance(source, RunConfig) else run_file.load(source)
    path = place(directory) if directory is not None else default_directory(source)
    folder = RunFolder(path)
    folder.check(resume=resume, overwrite=overwrite)
    inputs = examine(config)
    inputs = replace(inputs, sources=ingest.measured(inputs.sources, config, folder, resume=resume))
    need = planning.plan(config, inputs.sources, path, 1, local=False).memory
    with workers_for(
        workers=workers, scheduler=scheduler, cluster=cluster_name, compute=config.compute, tls=tls, need=need,
        beside=None if is_remote(path) else path.parent, tell=tell,
    ) as found:  # fmt: skip
        expected = planning.plan(
            config, inputs.sources, path, found.threads, local=found.local, limit=found.memory_limit
        )
        planning.check(expected)
        digests = inputs.digests(config)
        begin = folder.create(
            config, inputs=digests, plan=expected.writing, resume=resume, overwrite=overwrite
        )
        with (
            begin,
            logged(folder.path / FILES.log),
            beating(folder.path) as heart,
            marked(folder.path, inputs.files(config)) as token,
        ):
            found.admit(token)
            folder.worked_by(found.differences)
            folder.require_stores(tell)
            told = Told(progress or Silent(), heart)
            engine = for_client(
                found.client, told, patience=found.patience, shortage=found.shortage,
                fitness=token,
            )  # fmt: skip
            if tell is not None and engine.dashboard is not None:
                tell(f"dashboard: {engine.dashboard}")
            timing: dict[str, float] = {}
            before = seconds_compiled(found.client)
            with found.performance_report(performance_report):
                near = engine if found.local else SerialEngine(told)
                context, detected = _detect(config, inputs, digests, folder, engine, near, timing)
                if until is None:
                    results = _relate(config, inputs, folder, context, detected, timing)
            if until is None:
                _write(context, config, folder, results, timing, begun)
            else:
                products.write_catalogue(context, config, folder, detected.selection)
                products.write_maps(context, config, folder, ("detection", "mask"))
            _say_compiled(seconds_compiled(found.client) - before, tell)
            inputs.require_unchanged(config, digests)
            if until is None:
                folder.finish(timing)
            else:
                folder.pause(until)
    return open_run(path)


def detect(source: Source, directory: str | Place | None = None, **options: Any) -> Run:
    """Run the chain up to the catalogue: FITS to candidates, catalogue, mask and detection map, and nothing after.

    Parameters
    ----------
    source : path or RunConfig
        The run file.
    directory : path, optional
        Folder of the run; `<run file's stem>-run` beside the run file by default.
    **options
        As `run` takes them.

    Returns
    -------
    Run
        Its catalogue and candidates are there; `run(..., resume=True)` continues to the rest.
    """
    return run(source, directory, until="catalogue", **options)


@dataclass(frozen=True, kw_only=True)
class _Detected:
    """What the chain knows once it has a catalogue."""

    audit: tuple[auditing.Line, ...]
    psfs: Mapping[str, tuple[psf.BandPsf, ...]]
    stars: Table
    """What is masked for the wings of bright stars."""
    masked: Mapping[str, np.ndarray]
    """By field, pixels by annulus and value of the mask."""
    masked_edges: np.ndarray
    noises: Mapping[str, noise.Noise]
    selection: threshold.Selection


def _detect(
    config: RunConfig,
    inputs: Inputs,
    digests: Mapping[str, str],
    folder: RunFolder,
    engine: Engine,
    near: Engine,
    timing: dict[str, float],
) -> tuple[Context, _Detected]:
    """Take the data from the images to the catalogue."""
    with _timed(timing, "ingest_s"):
        sources = ingest.ingest(inputs.sources, config.ingest, folder, digests, engine)
        tiles, grid = _tiles(config, folder, sources), _grid(config)
        context = Context(engine=engine, near=near, fields=tiles, ledger=folder.ledger)
        frame = ClusterFrame.of(config.cluster, config.cosmology)
    with _timed(timing, "audit_s"):
        lines = auditing.audit(config, sources, inputs.kappa, engine)
        remarks.on_audit(lines)
    with _timed(timing, "mask_s"):
        remarks.on_masks(inputs.sources, inputs.regions)
        psfs = psf.field_psfs(context, config.recipe, inputs.psfs)
        filtering = detection_map.detection_map(
            context, config, psfs if config.recipe == "calibrated" else None
        )
        stars = mask.mask(context, config, inputs.regions, psfs)
        mask_edges = masked_area.annuli(config.profile.edges or profile.EDGES)
        masked = masked_area.count(context, grid, mask_edges)
    with _timed(timing, "detect_s"):
        noises = noise.noise(context)
        local = local_noise.local_noise(context, config.detect.exclusion_radius, noises, filtering)
        tables = shapes.field_tables(psfs)
        selection = threshold.select(context, config, noises, local, tables, frame)
        selection = shapes.judged(context, config.detect, selection, tables)
        selection = photometry.photometry(context, config.photometry_settings, frame, selection, psfs)
        remarks.on_fields(context, noises, selection)
    return context, _Detected(
        audit=lines,
        psfs=psfs,
        stars=stars,
        masked=masked,
        masked_edges=mask_edges,
        noises=noises,
        selection=selection,
    )


def _relate(
    config: RunConfig,
    inputs: Inputs,
    folder: RunFolder,
    context: Context,
    detected: _Detected,
    timing: dict[str, float],
) -> Results:
    """Take the catalogue to densities, and these to their relation with convergence and radius."""
    selection, psfs, noises = detected.selection, detected.psfs, detected.noises
    catalogue, grid = selection.catalogue, _grid(config)
    edges = config.profile.edges or profile.EDGES
    with _timed(timing, "density_s"):
        convergence = density.density(context, config, catalogue)
        inpainted = inpaint.inpaint(context, config.inpaint)
        rho.rho(context, config.density, config.inpaint.realisations, catalogue, inpainted)
        rho_scatter.rho_scatter(context, config.density, config.inpaint.realisations, inpainted)
    with _timed(timing, "compare_s"):
        common = selection.common(config.detect.keep)
        limit, compared = common.limit, common.sources(catalogue)
        cells = add_up(context, grid, config.relation.box, compared, inputs.kappa, common.complete)
        boxes = relation.boxes(cells, config.relation.box) if inputs.kappa else None
        centre = field_of_centre(context.fields, config.cluster)
        annuli, level = profile.profile(cells, edges)
        zones = crowding.zones(context, config, psfs)
        recovery = crowding.of_cells(cells, zones)
        annuli = {**annuli, "crowding": crowding.of_profile(context.names, zones, annuli)}
        discs = galaxies.galaxy_discs(cells, config.relation.max_radius)
        # What the likelihoods count; the profile, the boxes and the maps count all sky.
        counting = cells.kept & ~discs if config.relation.galaxy_discs == "auto" else cells.kept
        light = None
        if inputs.kappa and config.relation.galaxy_light == "auto":
            reach = config.relation.max_radius
            light = galaxy_light.galaxy_light(
                galaxy_light.whole_light(context, cells, reach), cells, detected.stars, reach
            )
        in_law = counting if light is None else cells.kept
        if inputs.kappa:
            reach = config.relation.max_radius
            remarks.on_outer_field(likelihood.too_small_outer(cells, reach, in_law, recovery))
        eligible = shapes.eligible(config.detect, selection.candidates)
        products.write_sky_grid(config.recipe, str(folder.sky_store), cells, boxes, recovery, counting, light)
        found = statistics.side_by_side(
            context.near, config, context.fields, inputs.lens, cells, boxes, recovery,
            statistics.Sources(
                catalogue, compared, eligible, inpainted, limit, {name: one.sigma for name, one in noises.items()},
                inputs.truth,
            ),
            statistics.Frame(edges, level, centre, zones, discs, counting, in_law, light),
            str(folder.sky_store),
        )  # fmt: skip
        radii = found["radial"]
        thinned = None
        if inputs.kappa:
            thinned = contamination.behind(inputs.kappa, config.cluster.ra, config.cluster.dec)
        once = cells.owned(catalogue["ra"], catalogue["dec"], catalogue["field"])
        counted = catalogue["radius_arcsec"][once]
        within = cells.kept & (cells.radius < masses.APERTURE)
        good_area = float(cells.good_area.sum(axis=0)[within].sum())
        return Results(
            noises, selection, inpainted, convergence, cells,
            relation.fit(boxes) if boxes else None,
            found.get("counts"),
            relation.compare(cells, centre, config.relation.max_radius) if inputs.kappa else None,
            found.get("kernel"), found.get("ranking"), found.get("sensitivity"),
            annuli, level, radii,
            contamination.budget(
                cells, level, radii.cored, centre, thinned, compared.get("purity"),
            ),
            masses.masses(config, inputs.kappa, counted, good_area),
            mass_table.mass_table(config, inputs.lens, mass_table.Counts(counted, good_area), level),
            None if inputs.lens is None else (inputs.lens, kappa_peaks(inputs.lens.kappa, grid)),
            found.get("planted"),
            detected.audit,
            psfs,
            detected.masked,
            detected.masked_edges,
            detected.stars,
        )  # fmt: skip


def _write(
    context: Context,
    config: RunConfig,
    folder: RunFolder,
    results: Results,
    timing: dict[str, float],
    begun: float,
) -> None:
    """Write the products, then the report, which is drawn from them."""
    with _timed(timing, "report_s"):
        products.write_tables(context, config, folder, results)
        products.write_noise(context, results)
        products.write_maps(context, config, folder)
        summary = products.summarise(context, config, results)
        place = folder.path / FILES.summary
        products.write_summary(place, {**summary, "timing": {**timing, "report_s": None, "total_s": None}})
        figures = folder.path / FILES.figures
        foreign = {figure.name for figure in figures.glob("*.png")}
        write_report(open_run(folder.path), context.engine)
        drawn = {figure.name for figure in figures.glob("*.png")}
        folder.claim(f"{FILES.figures}/{name}" for name in drawn - foreign)
    timing["total_s"] = round(time.perf_counter() - begun, 3)
    products.write_summary(place, {**summary, "timing": timing})


def _grid(config: RunConfig) -> SkyGrid:
    return SkyGrid(config.cluster.ra, config.cluster.dec, config.comparison.pixel)


def _tiles(config: RunConfig, folder: RunFolder, sources: tuple[FieldSource, ...]) -> tuple[FieldTiles, ...]:
    """Give every field its grid of tiles, and its store the arrays that the stages write."""
    fields = []
    for source in sources:
        path = str(folder.store(source.name))
        attrs = {**store.field_attributes(source), "recipe": config.recipe}
        wanted = arrays(
            (
                *detection_map.maps_of(config.recipe),
                *mask.MASKS,
                *local_noise.maps_of(config.recipe),
                *density.arrays_of(config),
                *rho.MAPS,
                *rho_scatter.MAPS,
            )
        )
        store.create(
            path, wanted, shape=source.shape, bands=source.band_names, shard=config.tiles.size, attrs=attrs
        )
        fields.append(FieldTiles(source, path, TileGrid(source.shape, config.tiles.size)))
    return tuple(fields)


def _say_compiled(seconds: float, tell: Callable[[str], None] | None) -> None:
    """Say what compiling has cost, if it was anything that a user may have waited for."""
    if seconds >= 1.0:
        line = f"kernels compiled: {seconds:.0f} s of work in this run, none in the next ones of this installation"
        log.info("%s", line)
        if tell is not None:
            tell(line)


@contextmanager
def _timed(timing: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    timing[name] = round(time.perf_counter() - begun, 3)
    log.info("%s %.1f s", name.removesuffix("_s"), timing[name])


def plan(source: Source, directory: str | Place | None = None, *, workers: int | None = None) -> Plan:
    """Estimate what a run needs, and what would be refused, without computing anything.

    Parameters
    ----------
    source : path or RunConfig
        The run file.
    directory : path, optional
        Directory of the run; `<name of the run file>-run` beside the run file by default.
    workers : int, optional
        Number of processes; one per core by default, 0 for this process alone.

    Returns
    -------
    Plan
        Tiles, passes, memory in bytes, disk space in bytes, and reasons to refuse the run.

    Raises
    ------
    InputError
        For anything wrong with the run file or what it names.
    """
    config = source if isinstance(source, RunConfig) else run_file.load(source)
    path = place(directory) if directory is not None else default_directory(source)
    inputs = examine(config)
    inputs = replace(inputs, sources=ingest.measured(inputs.sources, config, RunFolder(path)))
    count = config.compute.workers if workers is None else workers
    processes = os.cpu_count() or 1 if count is None else count
    found = planning.plan(config, inputs.sources, path, processes, limit=config.compute.memory)
    try:
        RunFolder(path).check()
    except RunFolderError as error:
        return replace(found, refusals=(str(error), *found.refusals))
    return found


def audit(source: Source, *, progress: Progress | None = None) -> tuple[auditing.Line, ...]:
    """Check the images and the convergence map of a run file, in this process, without writing anything.

    Parameters
    ----------
    source : path or RunConfig
        The run file.
    progress : Progress, optional
        Receives the progress of each pass.

    Returns
    -------
    tuple of Line
        One line per check with its value, verdict and remedy, the same as in a run.

    Raises
    ------
    InputError
        For anything wrong with the run file or what it names.
    """
    config = source if isinstance(source, RunConfig) else run_file.load(source)
    inputs = examine(config)
    return auditing.audit(config, inputs.sources, inputs.kappa, SerialEngine(progress))


def ingest_only(
    source: Source, directory: str | Place | None = None, *, workers: int | None = None,
    scheduler: str | None = None, cluster_name: str | None = None, tls: TLS | None = None,
    progress: Progress | None = None, tell: Callable[[str], None] | None = None,
) -> list[Place]:  # fmt: skip
    """Write the Zarr stores of all fields into a run's folder, and return their paths.

    A later run uses them through `store:` in its run file.
    """
    config = source if isinstance(source, RunConfig) else run_file.load(source)
    path = place(directory) if directory is not None else default_directory(source)
    folder = RunFolder(path)
    folder.check()
    inputs = examine(config)
    with workers_for(
        workers=workers, scheduler=scheduler, cluster=cluster_name, compute=config.compute, tls=tls,
        beside=None if is_remote(path) else path.parent, tell=tell,
    ) as found:  # fmt: skip
        digests = inputs.digests(config)
        with folder.create(config, inputs=digests), marked(folder.path, inputs.files(config)) as token:
            found.admit(token)
            engine = for_client(
                found.client, progress, patience=found.patience, shortage=found.shortage, fitness=token
            )
            sources = ingest.ingest(inputs.sources, "always", folder, digests, engine)
    return [place(source.store) for source in sources if source.store is not None]


def default_directory(source: Source) -> Place:
    """Return where a run goes if nothing is said: `<run file's stem>-run` beside the run file."""
    if isinstance(source, RunConfig):
        raise InputError("a run file given as a value has no place of its own: give a directory")
    path = place(source) if is_url(source) else Path(str(source))
    if not path.name:
        raise ConfigError("no run file is named: give its path")
    return path.with_name(f"{path.stem}-run")
