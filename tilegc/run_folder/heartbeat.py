"""A run's signs of life: what it is at and how fast, written every few seconds beside its manifest.

The lock says that a process holds the folder; this file says that it moves, to whoever looks from another terminal or
another machine.  A run that ends normally removes it; one that is killed leaves its last one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tilegc.errors import one_line
from tilegc.io.atomic import write_bytes
from tilegc.places import Place, content, is_remote
from tilegc.schema import FILES

__all__ = ["BEAT", "SILENT", "STUCK", "Heart", "Heartbeat", "beating", "last"]

log = logging.getLogger("tilegc.run_folder")

# Twelve beats may be missed before anyone calls the run stalled (SILENT).
BEAT: Final = 5.0
"""Seconds between two signs of life."""
SILENT: Final = 60.0
"""Seconds without one after which a run counts as stalled; clocks of machines differ, stores drop out."""
STUCK: Final = 600.0
"""Seconds without an ended tile, in a pass that has some left, after which it does so too."""


@dataclass(frozen=True)
class Heartbeat:
    """One sign of life."""

    process: int
    """Number of the driver's process ..."""
    host: str
    """... on this machine."""
    written: str
    """When, UTC."""
    moved: str
    """When a tile last ended, or a pass began or ended, UTC."""
    name: str | None
    """The pass that is under way; None between passes."""
    units: int
    """Tiles that the pass has ended since this process began with it ..."""
    units_in_all: int
    """... of so many."""
    pixels_per_second: float
    """Of the pass so far; 0 where its units have no pixels."""
    units_of_run: int
    """Tiles of all passes that this process has ended."""

    @property
    def where(self) -> str:
        """Process and machine, as text."""
        return f"process {self.process} on {self.host}"

    @property
    def here(self) -> bool:
        """Whether it is of this machine."""
        return self.host == socket.gethostname()

    @property
    def fresh(self) -> bool:
        """Whether it is a recent one, by this machine's clock."""
        return _age(self.written) <= SILENT

    @property
    def stalled_since(self) -> str | None:
        """When a run that ought to be alive last moved, UTC; None while it moves."""
        if not self.fresh:
            return self.written
        # Between passes the driver fits and draws, which may take minutes without a tile: only a pass with
        # open tiles can be stuck.
        waits = self.name is not None and self.units < self.units_in_all
        return self.moved if waits and _age(self.moved) > STUCK else None


class Heart:
    """Counts what a run does; a `tilegc.engine.Progress`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._name: str | None = None
        self._units = self._units_in_all = self._units_of_run = self._pixels = 0
        self._moved = _now()
        self._begun = time.monotonic()

    def start(self, name: str, total_pixels: int, total_units: int) -> None:  # noqa: ARG002  (pixels are counted)
        """Enter that a pass begins."""
        with self._lock:
            self._name, self._units_in_all = name, total_units
            self._units = self._pixels = 0
            self._moved, self._begun = _now(), time.monotonic()

    def advance(self, pixels: int, units: int) -> None:
        """Enter units of the pass that have ended."""
        with self._lock:
            self._units += units
            self._units_of_run += units
            self._pixels += pixels
            self._moved = _now()

    def finish(self, name: str) -> None:  # noqa: ARG002  (there is one pass at a time)
        """Enter that the pass has ended."""
        with self._lock:
            self._name, self._moved = None, _now()

    def beat(self) -> Heartbeat:
        """Return what is to be known now."""
        with self._lock:
            seconds = max(time.monotonic() - self._begun, 1e-3)
            return Heartbeat(
                os.getpid(),
                socket.gethostname(),
                _now(),
                self._moved,
                self._name,
                self._units,
                self._units_in_all,
                round(self._pixels / seconds, 1),
                self._units_of_run,
            )


@contextmanager
def beating(folder: Place) -> Iterator[Heart]:
    """Write signs of life into a run's folder as long as the context lasts, and take them away at its end."""
    path = folder / FILES.heartbeat
    # A thread, because the main one may spend minutes in a fit; a daemon, so that it never keeps a dying
    # process alive.
    heart, ended = Heart(), threading.Event()
    _write(path, heart.beat())
    thread = threading.Thread(target=_keep, args=(path, heart, ended), name="tilegc-heart", daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        ended.set()
        thread.join()
        with suppress(Exception):  # it only looks like that of a run that was killed
            path.unlink(missing_ok=True)


def last(folder: Place) -> Heartbeat | None:
    """Return the last sign of life of a run that has not ended normally; None if there is none."""
    path = folder / FILES.heartbeat
    try:
        found = json.loads(content(path))
        return Heartbeat(**{each.name: found[each.name] for each in dataclasses.fields(Heartbeat)})
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _keep(path: Place, heart: Heart, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        _write(path, heart.beat())


def _write(path: Place, beat: Heartbeat) -> None:
    content = json.dumps(dataclasses.asdict(beat)).encode()
    try:
        if is_remote(path):
            # One request, and the object is replaced as a whole. Locally the file is written beside its place
            # and renamed: readers never see half a heartbeat.
            path.fs.pipe_file(path.path, content)
        else:
            write_bytes(path, content)
    except Exception as error:  # noqa: BLE001  (the next one may go well, and the run goes on without any)
        log.warning("%s: not written (%s)", path, one_line(error))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _age(written: str) -> float:
    return (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(written)).total_seconds()
