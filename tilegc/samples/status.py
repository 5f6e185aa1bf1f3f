"""Progress of a sample, read from the directories of its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tilegc.errors import RunFolderError
from tilegc.io.atomic import write_bytes
from tilegc.places import Place, place
from tilegc.run_folder import Heartbeat
from tilegc.run_folder import status as run_status

__all__ = ["ClusterStatus", "read_record", "sample_status", "write_record"]

RECORD: Final = "survey.json"
"""Record in the directory of a sample: its clusters in order, and the outcome of those that have ended."""

MARKER: Final = "tilegc-survey"


@dataclass(frozen=True)
class ClusterStatus:
    """State of one cluster of a sample."""

    name: str
    state: str
    """One of waiting, running, stalled, stopped, failed, refused or done."""
    doing: str
    """The current pass, or why the run ended."""
    heartbeat: Heartbeat | None = None
    """The last sign of life of a running cluster."""


def write_record(
    folder: Place,
    clusters: list[dict[str, Any]],
    occupancy: Mapping[str, float | None] | None = None,
    common: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a sample: its clusters, the share of their time that the workers had a task, and `common`."""
    content = {
        MARKER: 1,
        "clusters": clusters,
        "occupancy": dict(occupancy or {}),
        "common": dict(common or {}),
    }
    write_bytes(folder / RECORD, (json.dumps(content, indent=1) + "\n").encode())


def read_record(folder: Place) -> list[dict[str, Any]] | None:
    """Return the clusters in the record of a directory; None if it has no such record."""
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        clusters: list[dict[str, Any]] = content["clusters"]
    except (ValueError, KeyError, TypeError):
        raise RunFolderError(f"{path}: damaged; delete it and rerun the survey with --resume") from None
    return clusters if MARKER in content else None


def sample_status(folder: str | Place) -> tuple[ClusterStatus, ...]:
    """Return the state of every cluster of a sample; the survey may still be running.

    Raises
    ------
    RunFolderError
        If the directory is not that of a sample.
    """
    home = place(folder)
    clusters = read_record(home) if home.is_dir() else None
    if clusters is None:
        raise RunFolderError(
            f"{home}: contains no survey ({RECORD} is missing); give the output directory of a survey"
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
            name, "running", f"{beat.name or 'between passes'}, {beat.units_of_run} tiles done", beat
        )
    if state == "stopped" and found.state in {"failed", "stopped"}:
        # Its scheduler or its driver was lost; the run itself can only say that it did not end.
        return ClusterStatus(name, state, str(described.get("message") or ""))
    why = found.error or (str(described.get("message") or "") if found.state in {"failed", "stopped"} else "")
    return ClusterStatus(name, found.state, why)
