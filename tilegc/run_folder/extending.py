"""Which finished runs may get more artificial stars, and how many."""

from __future__ import annotations

import json
from typing import Any, Final

from tilegc import config as run_file
from tilegc.config import RunConfig
from tilegc.errors import ConfigError, RunFolderError
from tilegc.places import Place
from tilegc.run_folder.manifest import ADDING, Manifest
from tilegc.run_folder.status import require, verify
from tilegc.schema import FILES, SCHEMA_VERSION

__all__ = ["with_more_stars"]

MOST: Final = 10_000_000
"""Stars of a field at the most, as in a run file."""


def with_more_stars(path: str | Place, stars: int | None) -> tuple[Place, RunConfig, bool]:
    """Return the directory of a run, its settings with more artificial stars, and whether that changes anything.

    Parameters
    ----------
    path : str or Place
        Directory of a finished run, or of one to which stars were being added.
    stars : int, optional
        In each field; by default twice as many as in the field that has most.

    Raises
    ------
    RunFolderError
        For a run without artificial stars, an unfinished or a damaged one.
    ConfigError
        For fewer stars than there are.
    """
    folder, found = require(path)
    if found.get("schema") != SCHEMA_VERSION:
        raise RunFolderError(
            f"{folder}: a run of schema {found.get('schema')}, this tilegc writes {SCHEMA_VERSION}; run it again"
        )
    config = run_file.resolve(found["config"], source=str(folder / FILES.manifest))
    settings = config.completeness_settings
    if settings is None:
        raise RunFolderError(
            f"{folder}: has no artificial stars to add to; set completeness: auto in its run file and run it again"
        )
    # A run to which stars were being added is not "done" and its products do not fit together: it cannot be
    # verified, only finished, with the number that was asked for before or a larger one.
    interrupted = bool(found.get(ADDING))
    if not interrupted:
        _require_whole(folder, found)
    there = settings.number if interrupted or settings.number is not None else _most(folder)
    assert there is not None  # stars were added by number
    # Doubling by default, because errors fall with the square root of the number: a few more stars change
    # nothing.
    wanted = stars if stars is not None else there if interrupted else 2 * there
    if wanted < there:
        raise ConfigError(
            f"--stars {wanted}: {folder} has {there} artificial stars already; give a larger number"
        )
    if wanted > MOST:
        raise ConfigError(f"--stars {wanted}: more than {MOST} in a field; give a smaller number")
    more = config.model_copy(update={"completeness": settings.model_copy(update={"stars": wanted})})
    return folder, more, interrupted or more.completeness != config.completeness


def _require_whole(folder: Place, found: Manifest) -> None:
    """Refuse runs that are not finished, or not as they were written."""
    if found.get("state") != "done":
        raise RunFolderError(
            f"{folder}: the run is not finished (state: {found.get('state')}); finish it with `tilegc run ... --resume`"
        )
    problems = verify(folder)
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise RunFolderError(
            f"{folder}: damaged: {problems[0]}{more}; nothing was changed. Restore it with `tilegc run ... --resume`"
        )


def _most(folder: Place) -> int:
    """Return the number of artificial stars in the field that has most."""
    summary: dict[str, Any] = json.loads((folder / FILES.summary).read_bytes())
    return max((field["artificial_stars"] or 0 for field in summary["fields"].values()), default=0)
