"""How far a sample is, read from the folders of its runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tilegc.errors import RunFolderError
from tilegc.io.atomic import write_bytes
from tilegc.places import Place, place
from tilegc.run_folder import status as run_status

__all__ = ["ClusterStatus", "read_record", "sample_status", "write_record"]

RECORD: Final = "survey.json"
"""What a sample's folder says of itself: its clusters in their order, and how those ended that have."""

MARKER: Final = "tilegc-survey"


@dataclass(frozen=True)
class ClusterStatus:
    """How far one cluster of a sample is."""

    name: str
    state: str
    """waiting, running, stalled, stopped, failed, refused or done."""
    doing: str
    """The pass that is under way, or why the run ended."""


def write_record(folder: Place, clusters: list[dict[str, Any]]) -> None:
    """Write what the folder says of itself."""
    write_bytes(folder / RECORD, (json.dumps({MARKER: 1, "clusters": clusters}, indent=1) + "\n").encode())


def read_record(folder: Place) -> list[dict[str, Any]] | None:
    """Return the clusters that a folder's record lists; None where there is no record of ours."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        clusters: list[dict[str, Any]] = content["clusters"]
    except (ValueError, KeyError, TypeError):
        raise RunFolderError(f"{path}: damaged; remove it and run the survey again with --resume") from None
    return clusters if MARKER in content else None


def sample_status(folder: str | Place) -> tuple[ClusterStatus, ...]:
    """Return how far every cluster of a sample is; the survey may be running.

    Raises
    ------
    RunFolderError
        If the folder is not that of a sample.
    """
    home = place(folder)
    clusters = read_record(home) if home.is_dir() else None
    if clusters is None:
        raise RunFolderError(
            f"{home}: holds no survey ({RECORD} is missing); give the folder that it wrote to"
        )
    return tuple(_cluster(home, one) for one in clusters)


def _cluster(home: Place, described: dict[str, Any]) -> ClusterStatus:
    name, state = str(described["name"]), str(described["state"])
    if state == "refused":
        return ClusterStatus(name, state, str(described["message"]))
    try:
        found = run_status(home / name)
    except RunFolderError:
        return ClusterStatus(
            name, "failed" if state == "failed" else "waiting", str(described.get("message") or "")
        )
    if found.state == "running" and found.heartbeat is not None:
        beat = found.heartbeat
        return ClusterStatus(
            name, "running", f"{beat.name or 'between passes'}, {beat.units_of_run} tiles done"
        )
    return ClusterStatus(name, found.state, found.error or "")
