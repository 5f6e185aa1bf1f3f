"""Look at a run before it starts: what it would need, and what is wrong with its inputs."""

from __future__ import annotations

import os
from dataclasses import replace

from tilegc import planning
from tilegc.engine import Progress, SerialEngine
from tilegc.errors import RunFolderError
from tilegc.images.audits import Line
from tilegc.images.audits import audit as audited
from tilegc.inputs import examine, located
from tilegc.places import Place
from tilegc.planning import Plan
from tilegc.run_folder import RunFolder
from tilegc.running import Source, configured, directory_of

__all__ = ["audit", "plan"]


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

    Examples
    --------
    >>> planned = tilegc.plan("run.yaml", "new")
    >>> planned.refusals
    ()
    >>> planned.steps[0].name
    '...'
    """
    config, path = configured(source), directory_of(source, directory)
    inputs = examine(config)
    config = located(config, inputs.sources)
    count = config.compute.workers if workers is None else workers
    processes = os.cpu_count() or 1 if count is None else count
    found = planning.plan(
        config, inputs.sources, path, processes, limit=config.compute.memory, others=inputs.others
    )
    try:
        RunFolder(path).check()
    except RunFolderError as error:
        return replace(found, refusals=(str(error), *found.refusals))
    return found


def audit(source: Source, *, progress: Progress | None = None) -> tuple[Line, ...]:
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

    Examples
    --------
    >>> lines = tilegc.audit("run.yaml")
    >>> {line.verdict for line in lines} <= {"ok", "look", "wrong", "unmeasured"}
    True
    """
    config = configured(source)
    inputs = examine(config)
    config = located(config, inputs.sources)
    return audited(config, inputs.sources, inputs.kappa, SerialEngine(progress), inputs.others)
