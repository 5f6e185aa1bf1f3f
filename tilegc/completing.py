"""Add artificial stars to a finished run.

The run goes on from its ledger with a larger number of stars: what its phases wrote into the stores is done, stars
that were put in before are kept, and what follows from stars is computed and written again.
"""

from __future__ import annotations

from collections.abc import Callable

from tilegc.cluster import TLS
from tilegc.engine import Progress
from tilegc.places import Place
from tilegc.run_folder import Run, open_run, with_more_stars
from tilegc.running import Start, Workers, run_in

__all__ = ["complete"]


def complete(
    directory: str | Place,
    stars: int | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster_name: str | None = None,
    tls: TLS | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Add artificial stars to a finished run; its products are then those of a run with as many from the start.

    Stars that were put in before are kept. An interruption loses no batch of stars that is done: the same call
    goes on with the others.

    Parameters
    ----------
    directory : path
        Directory of the run.
    stars : int, optional
        Stars in each field, with those that are there; by default twice as many as there are.
    workers, scheduler, cluster_name, tls, progress, tell : optional
        As `run` takes them.

    Returns
    -------
    Run
        As `tilegc.open_run(directory)` gives it.

    Raises
    ------
    InputError
        For a run without artificial stars, an unfinished or damaged one, inputs that are gone or have changed, and
        fewer stars than there are; nothing is written then.
    RunFailedError
        If the run began and could not end.

    Examples
    --------
    >>> few = len(tilegc.run("stars.yaml", "stars", workers=0).artificial)  # completeness: {stars: 300}
    >>> len(tilegc.complete("stars", 500, workers=0).artificial) > few
    True
    """
    path, config, changed = with_more_stars(directory, stars)
    if not changed:
        if tell is not None:
            tell(f"{path}: already has as many artificial stars; nothing to add")
        return open_run(path)
    asked = Workers(workers, scheduler, cluster_name, tls)
    return run_in(config, path, asked, Start(resume=True, more_stars=True), progress=progress, tell=tell)
