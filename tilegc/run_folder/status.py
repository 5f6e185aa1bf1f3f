"""How far a run is, and whether a finished one is still what it was."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from tilegc.errors import RunFolderError
from tilegc.places import Place, place, reach
from tilegc.run_folder import heartbeat as heartbeats
from tilegc.run_folder import manifest as manifests
from tilegc.run_folder.heartbeat import Heartbeat
from tilegc.run_folder.layout import foreign
from tilegc.run_folder.ledger import Ledger
from tilegc.run_folder.lock import is_held
from tilegc.run_folder.manifest import Manifest
from tilegc.schema import FILES

__all__ = ["PassStatus", "Status", "require", "status", "strangers", "verify"]


@dataclass(frozen=True)
class PassStatus:
    """How far one writing pass is."""

    name: str
    done: int
    """Units that are marked."""
    total: int | None
    """Units that it has; None while that is not known."""


@dataclass(frozen=True)
class Status:
    """Progress of a run: its state, and the units done in each pass.

    Examples
    --------
    >>> found = tilegc.status("run-run")
    >>> found.passes[0].name, found.recipe
    ('...', 'diego2026')
    """

    path: Place
    state: str
    """running, stalled (it should run, but nothing moves), done, failed (see `error`), or stopped: interrupted,
    killed, or ended early on purpose."""
    alive: bool
    """Whether a process is working on it."""
    since: str | None
    """When a run that is stalled or stopped last moved or showed signs of life, UTC, where that is known."""
    heartbeat: Heartbeat | None
    """The last sign of life of a run that has not ended normally."""
    error: str | None
    """Why it failed, in one line."""
    recipe: str
    begun: str
    """UTC."""
    ended: str | None
    passes: tuple[PassStatus, ...]
    """In the order of the plan."""
    products: int
    """Number of products with a digest: 0 before the end."""
    until: str | None = None
    """Where a run stopped because it was asked to; None for any other."""

    def lines(self) -> list[str]:
        """Return what it is at, for a reader, without the passes."""
        if self.until is not None:
            return [
                f"{self.path}: stopped after the {self.until}, as asked; continue with --resume",
                f"recipe {self.recipe}; begun {self.begun}; ended {self.ended or '-'}",
            ]
        said = {"stalled": "stalled since", "stopped": "interrupted"}.get(self.state, self.state)
        said = f"{said} {_clock(self.since)}" if self.since else said
        found = [f"{self.path}: {said}"]
        if self.heartbeat is not None:
            beat = self.heartbeat
            found.append(f"{beat.where}, last sign of life {_clock(beat.written)}: {_doing(beat)}")
        elif self.alive:
            found.append("a process is working on it")
        if self.error:
            found.append(f"failed: {self.error}")
        return [*found, f"recipe {self.recipe}; begun {self.begun}; ended {self.ended or '-'}"]


def _doing(beat: Heartbeat) -> str:
    """Return how far the pass is that is under way."""
    if beat.name is None:
        return f"between passes, {beat.units_of_run} tiles done"
    rate = f", {beat.pixels_per_second / 1e6:.2f} Mpix/s" if beat.pixels_per_second else ""
    return (
        f"{beat.name}, {beat.units} of {beat.units_in_all} tiles{rate}; {beat.units_of_run} tiles done in all"
    )


def _clock(written: str) -> str:
    """Return a time, UTC, and how long ago that was."""
    then = dt.datetime.fromisoformat(written)
    minutes, seconds = divmod(max(0, round((dt.datetime.now(dt.UTC) - then).total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    past = (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )
    return f"{then:%Y-%m-%d %H:%M:%S} UTC ({past} ago)"


def require(path: str | Place) -> tuple[Place, Manifest]:
    """Return the folder of a run and its manifest.

    Raises
    ------
    RunFolderError
        If there is no such folder, or no run in it, or one of another schema.
    """
    folder = place(path)
    if not reach(folder) or not folder.is_dir():
        raise RunFolderError(f"{folder}: no such directory; give one written by `tilegc run`")
    found = manifests.read(folder)
    if found is None:
        raise RunFolderError(f"{folder}: contains no run ({FILES.manifest} is missing or of another program)")
    return folder, found


def status(path: str | Place) -> Status:
    """Return the progress of a run, which may be running at the moment.

    Parameters
    ----------
    path : str or Place
        Directory of the run.

    Returns
    -------
    Status
        State of the run and of each of its passes.

    Raises
    ------
    RunFolderError
        If the directory contains no run.

    Examples
    --------
    >>> tilegc.status("run-run").state
    'done'
    """
    folder, found = require(path)
    beat = heartbeats.last(folder)
    # Some file systems keep locks to each machine: there a sign of life of another one counts.
    alive = is_held(folder) or (beat is not None and not beat.here and beat.fresh)
    since = None
    # In this order: the manifest read first could say "running" of a run that ended before its lock was asked
    # for, and it would be called killed.
    if not alive:
        found = manifests.read(folder) or found  # it may have ended just now
    state = str(found.get("state"))
    if state == "running":
        since = beat.stalled_since if beat is not None and alive else None
        # The manifest still says "running" after a crash: only the lock and the heartbeat tell whether that
        # is true.
        state = "stalled" if since else "running" if alive else "stopped"
    if state == "stopped":
        since = found.get("ended") or (None if beat is None else beat.written)
    ledger = Ledger(folder / FILES.ledger, str(found.get("fingerprint")))
    plan = found.get("plan", {})
    names = [*plan, *(name for name in ledger.passes if name not in plan)]
    return Status(
        path=folder,
        state=state,
        alive=alive,
        since=since,
        heartbeat=beat if alive or state == "stopped" else None,
        error=found.get("error"),
        recipe=str(found.get("recipe")),
        begun=str(found.get("begun")),
        ended=found.get("ended"),
        passes=tuple(PassStatus(name, len(ledger.done(name)), plan.get(name)) for name in names),
        products=len(found.get("products", {})),
        until=found.get("until") if state == "stopped" else None,
    )


def strangers(path: str | Place) -> list[str]:
    """Return the files in the directory of a run that do not belong to it, relative to it, sorted.

    These are files that no run writes, and, of a run that is not going on, those that a killed process left unfinished.

    Parameters
    ----------
    path : str or Place
        Directory of the run.

    Raises
    ------
    RunFolderError
        If the directory contains no run.
    """
    folder, found = require(path)
    return foreign(folder, found["fields"], found.get("files", ()))


def verify(path: str | Place) -> list[str]:
    """Compare the products of a finished run with their digests.

    Parameters
    ----------
    path : str or Place
        Directory of the run.

    Returns
    -------
    list of str
        Problems, one line each; empty if every product is as it was written.

    Raises
    ------
    RunFolderError
        If the directory contains no run.

    Examples
    --------
    >>> tilegc.verify("run-run")
    []
    """
    folder, found = require(path)
    if found.get("state") != "done":
        how = status(folder)
        why = f" ({how.error})" if how.error else ""
        return [f"{FILES.manifest}: the run is not finished, its state is {how.state}{why}"]
    before = found["products"]
    beside = [name for name in (FILES.run, FILES.report, *found.get("files", ())) if name in before]
    # Figures that the run had claimed but did not write at its end are no products; those in `before` are
    # compared.
    here = manifests.digests(folder, found["fields"], beside)
    problems = []
    if manifests.is_damaged(folder):
        problems.append(f"{FILES.manifest}: damaged; copy {FILES.manifest_copy} over it")
    problems += [f"{name}: is missing" for name in before if name not in here]
    problems += [f"{name}: has changed" for name in before if here.get(name, before[name]) != before[name]]
    problems += [f"{name}: was added after the run ended" for name in here if name not in before]
    return problems
