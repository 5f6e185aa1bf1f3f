"""Start a run: workers, folder, lock, log and digests round the phases of `tilegc.pipeline`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tilegc import config as run_file
from tilegc import planning
from tilegc.cluster import TLS, workers_for
from tilegc.config import RunConfig
from tilegc.engine import Engine, Progress, SerialEngine, Silent, Told, for_client, seconds_compiled
from tilegc.errors import ConfigError, InputError, TilesFailedError
from tilegc.images import ingest
from tilegc.inputs import Inputs, examine, located
from tilegc.jobs import Job
from tilegc.phases.phase import Phase, Results, carry_out
from tilegc.pipeline import phases_until
from tilegc.places import Place, is_remote, is_url, place
from tilegc.products.results import Written
from tilegc.products.summary import write_summary
from tilegc.radial.phase import edges_of
from tilegc.run_folder import Run, RunFolder, beating, logged, marked, open_run, setting_aside
from tilegc.schema import FILES
from tilegc.sky import ClusterFrame, SkyGrid
from tilegc.workload import workers_pay

__all__ = [
    "Start",
    "Workers",
    "configured",
    "default_directory",
    "detect",
    "directory_of",
    "ingest_only",
    "run",
    "run_in",
]

log = logging.getLogger("tilegc")

Source = RunConfig | str | Place
"""A run file: its path, or what `tilegc.config.load` or `resolve` made of it."""


def run(
    source: Source,
    directory: str | Place | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster_name: str | None = None,
    tls: TLS | None = None,
    resume: bool = False,
    overwrite: bool = False,
    performance_report: str | Path | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
    until: Literal["catalogue"] | None = None,
) -> Run:
    """Run the whole chain, or the part of it up to the catalogue, and return what it found.

    Parameters
    ----------
    source : path or RunConfig
        The run file.
    directory : path, optional
        Folder of the run; `<run file's stem>-run` beside the run file by default.
    workers : int, optional
        Processes of one thread each; 0: all in this process. By default one per core, or none for a field so small
        that it is done before workers have started.
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

    Examples
    --------
    >>> found = tilegc.run("run.yaml", "whole", workers=0)
    >>> len(found.catalogue) == found.summary["n_detected"]
    True
    """
    config, path = configured(source), directory_of(source, directory)
    asked = Workers(workers, scheduler, cluster_name, tls)
    return run_in(
        config,
        path,
        asked,
        Start(resume=resume, overwrite=overwrite, until=until),
        performance_report=performance_report,
        progress=progress,
        tell=tell,
    )


@dataclass(frozen=True)
class Workers:
    """Who computes."""

    workers: int | None
    scheduler: str | None
    cluster_name: str | None
    tls: TLS | None
    priority: int = 0
    """Among runs on the same scheduler: workers take units of the run with the highest one first."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a run begins in its directory, and where it stops."""

    resume: bool = False
    overwrite: bool = False
    more_stars: bool = False
    until: Literal["catalogue"] | None = None


def run_in(
    config: RunConfig,
    path: Place,
    asked: Workers,
    start: Start,
    *,
    performance_report: str | Path | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Run the phases in a directory, as `run` does with what it is given."""
    begun = time.perf_counter()
    folder = RunFolder(path)
    folder.check(resume=start.resume, overwrite=start.overwrite)
    inputs = examine(config)
    config = located(config, inputs.sources)
    need = planning.plan(config, inputs.sources, path, 1, local=False, others=inputs.others).memory
    with workers_for(
        workers=_count(asked, config, inputs, start, performance_report),
        scheduler=asked.scheduler,
        cluster=asked.cluster_name,
        compute=config.compute,
        tls=asked.tls,
        need=need,
        beside=None if is_remote(path) else path.parent,
        tell=tell,
    ) as pool:
        expected = planning.plan(
            config,
            inputs.sources,
            path,
            pool.threads,
            local=pool.local,
            limit=pool.memory_limit,
            others=inputs.others,
        )
        planning.check(expected)
        digests = inputs.digests(config)
        begin = folder.create(
            config,
            inputs=digests,
            plan=expected.writing,
            resume=start.resume,
            overwrite=start.overwrite,
            more_stars=start.more_stars,
        )
        with (
            begin,
            logged(folder.path / FILES.log),
            beating(folder.path) as heart,
            marked(folder.path, inputs.files(config)) as token,
        ):
            pool.admit(token)
            folder.worked_by(pool.differences)
            folder.require_stores(tell)
            told = Told(progress or Silent(), heart)
            engine = for_client(
                pool.client,
                told,
                patience=pool.patience,
                shortage=pool.shortage,
                fitness=token,
                priority=asked.priority,
            )
            if tell is not None and engine.dashboard is not None:
                tell(f"dashboard: {engine.dashboard}")
            near = engine if pool.local else SerialEngine(told)
            job = _job(config, inputs, digests, folder, engine, near, start.until)
            before = seconds_compiled(pool.client)
            with pool.performance_report(performance_report):
                _run_phases(job, begun)
            _say_compiled(seconds_compiled(pool.client) - before, tell)
            inputs.require_unchanged(config, digests)
            if start.until is None:
                folder.finish(job.timing)
            else:
                folder.pause(start.until)
    return open_run(path)


def _count(
    asked: Workers, config: RunConfig, inputs: Inputs, start: Start, performance_report: str | Path | None
) -> int | None:
    """Return the number of workers that were asked for; if nothing was, 0 where this process alone is done earlier."""
    undecided = asked == Workers(None, None, None, None) and config.compute.workers is None
    if undecided and performance_report is None and not workers_pay(config, inputs.sources, start.until):
        log.info("the work is done by this process alone: workers would take longer to start (--workers N)")
        return 0
    return asked.workers


def _job(
    config: RunConfig,
    inputs: Inputs,
    digests: Mapping[str, str],
    folder: RunFolder,
    engine: Engine,
    near: Engine,
    until: str | None,
) -> Job:
    """Return what the phases are given."""
    return Job(
        config=config,
        regions=inputs.regions,
        psfs=inputs.psfs,
        frame=ClusterFrame.of(config.cluster, config.cosmology),
        grid=SkyGrid(config.cluster.ra, config.cluster.dec, config.comparison.pixel),
        edges=edges_of(config),
        inputs=inputs,
        digests=digests,
        folder=folder,
        engine=engine,
        near=near,
        until=until,
    )


def _run_phases(job: Job, begun: float) -> None:
    """Run the phases of a job, and complete the times in its summary."""
    ledger = job.folder.ledger
    while True:
        try:
            blank = job.without(setting_aside.areas(ledger))
            results = carry_out(phases_until(job.until), blank, Results(), _timing(job.timing))
            break
        except TilesFailedError as error:
            # Everything that was measured must be of the same pixels: from the start again, without those of the tile.
            setting_aside.set_aside(ledger, error, job.inputs.pixels)
    job.timing["total_s"] = round(time.perf_counter() - begun, 3)
    if written := results.get(Written):
        write_summary(job.folder.path / FILES.summary, {**written.summary, "timing": job.timing})


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

    Examples
    --------
    >>> found = tilegc.detect("run.yaml", "catalogue-only", workers=0)
    >>> int(found.catalogue["id"][0]), str(found.catalogue["field"][0])
    (0, 'a')
    """
    return run(source, directory, until="catalogue", **options)


def _say_compiled(seconds: float, tell: Callable[[str], None] | None) -> None:
    """Say what compiling has cost, if it was anything that a user may have waited for."""
    if seconds >= 1.0:
        line = f"compiled the kernels ({seconds:.0f} s, once per installation)"
        log.info("%s", line)
        if tell is not None:
            tell(line)


def _timing(timing: dict[str, float]) -> Callable[[Phase[Any, Any]], AbstractContextManager[None]]:
    """Return what adds the time of each phase to its key of `timing`, and logs it."""

    @contextmanager
    def timed(phase: Phase[Any, Any]) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        seconds = time.perf_counter() - begun
        timing[phase.timing] = round(timing.get(phase.timing, 0.0) + seconds, 3)
        log.info("phase %s: %.1f s", phase.name, seconds)

    return timed


def ingest_only(
    source: Source,
    directory: str | Place | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster_name: str | None = None,
    tls: TLS | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[Place]:
    """Write the Zarr stores of all fields into a run's folder, and return their paths.

    A later run uses them through `store:` in its run file.
    """
    config, path = configured(source), directory_of(source, directory)
    folder = RunFolder(path)
    folder.check()
    inputs = examine(config)
    config = located(config, inputs.sources)
    with workers_for(
        workers=workers,
        scheduler=scheduler,
        cluster=cluster_name,
        compute=config.compute,
        tls=tls,
        beside=None if is_remote(path) else path.parent,
        tell=tell,
    ) as pool:
        digests = inputs.digests(config)
        with folder.create(config, inputs=digests), marked(folder.path, inputs.files(config)) as token:
            pool.admit(token)
            engine = for_client(
                pool.client, progress, patience=pool.patience, shortage=pool.shortage, fitness=token
            )
            sources = ingest.ingest(inputs.sources, "always", folder, digests, engine)
    return [place(source.store) for source in sources if source.store is not None]


def configured(source: Source) -> RunConfig:
    """Return the settings of a run file, or those that were given."""
    return source if isinstance(source, RunConfig) else run_file.load(source)


def directory_of(source: Source, directory: str | Place | None) -> Place:
    """Return where a run goes: the directory that was given, or the one beside the run file."""
    return place(directory) if directory is not None else default_directory(source)


def default_directory(source: Source) -> Place:
    """Return where a run goes if nothing is said: `<run file's stem>-run` beside the run file."""
    if isinstance(source, RunConfig):
        raise InputError("a configuration that is not read from a file needs a directory")
    path = place(source) if is_url(source) else Path(str(source))
    if not path.name:
        raise ConfigError("no run file; give its path")
    return path.with_name(f"{path.stem}-run")
