"""The ledger: which units of which pass are done.

A folder of small segments, each created once and never changed (so that an object store needs no second
scheme): `<number>-<pass>.json` with the fingerprint of inputs, settings and schema, the keys of the units,
the stamps of the files that they wrote, and, for passes that also count, their partial.  A segment is written
beside its place and linked into it; where there are no hard links it is created exclusively, and one that a
crash left torn is no JSON and counts as absent.  In an object store it is put on condition that its name is
free.  A mark follows its payload, so a crash in between only repeats work.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tilegc.errors import RunFailedError
from tilegc.io.payload import damaged
from tilegc.places import Place, create, files_below, is_remote, is_url
from tilegc.schema import FILES

__all__ = ["SEGMENT", "SET_ASIDE", "Ledger", "segments"]

log = logging.getLogger("tilegc.run_folder")

SEGMENT: Final = re.compile(r"(\d{6,})-[A-Za-z0-9._-]+\.json")
"""Names of segments."""
SET_ASIDE: Final = ": set aside"
"""Stands after the name of a pass in marks of the tiles that it gave up for their data."""
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@dataclass(frozen=True)
class _Mark:
    """One segment's content."""

    name: str
    """The pass."""
    keys: tuple[str, ...]
    """Units that are done."""
    partial: Any
    files: Mapping[str, str]
    """Stamps of what they wrote, by path relative to the run's folder."""


class Ledger:
    """The marks of one run.

    Parameters
    ----------
    path : Place
        The folder of the segments; made at the first mark.
    fingerprint : str
        Segments with another one are as good as absent.
    """

    def __init__(self, path: Place, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._marks: dict[str, _Mark] = {}
        """By the names of their segments, oldest first."""
        # Segments are numbered, so that their names sort by age; gaps do no harm.
        self._next = 0
        for name, content in _segments(path):
            self._read(name, content)

    def done(self, name: str) -> set[str]:
        """Return the keys of the units of this pass that are done."""
        return {key for mark in self._marks.values() if mark.name == name for key in mark.keys}

    def partials(self, name: str) -> list[Any]:
        """Return the partials of this pass that were marked with its units."""
        return [
            mark.partial for mark in self._marks.values() if mark.name == name and mark.partial is not None
        ]

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of the passes with marks."""
        return tuple(dict.fromkeys(mark.name for mark in self._marks.values()))

    def mark(
        self, name: str, keys: Iterable[str], partial: Any = None, stamps: Mapping[str, str] | None = None
    ) -> None:
        """Record units whose payload is written.

        Parameters
        ----------
        name : str
            The pass.
        keys : iterable of str
            The units.
        partial : object, optional
            Their joint partial: None, numbers, text, lists, dicts with text as keys, or arrays of integers.
        stamps : mapping, optional
            Stamps of the files that they wrote (`tilegc.io.payload`), by path or URL.

        Raises
        ------
        TypeError
            For a partial of another kind.
        RunFailedError
            If the segment cannot be written.
        """
        keys = list(keys)
        # Stamps are kept by paths relative to the run, so that a run can be moved to another directory or machine and
        # resumed there.
        root = f"{self.path.parent}/"
        files = {file.removeprefix(root): stamp for file, stamp in (stamps or {}).items()}
        content = {
            "fingerprint": self.fingerprint,
            "pass": name,
            "keys": keys,
            "partial": _plain(partial),
            "files": files,
        }
        # Without spaces: a pass over 100,000 tiles has megabytes of keys.
        text = json.dumps(content, separators=(",", ":")).encode()
        try:
            segment = self._create(re.sub(r"[^A-Za-z0-9._-]", "_", name), text)
        except OSError as error:
            raise RunFailedError(
                f"{self.path}: cannot write there ({error.strerror}); fix the cause and rerun with --resume"
            ) from error
        self._marks[segment] = _Mark(name, tuple(keys), partial, files)

    def forget(self, keep: Collection[str]) -> None:
        """Remove the marks of all passes but some: their units will be done again."""
        for segment in [name for name, mark in self._marks.items() if mark.name not in keep]:
            (self.path / segment).unlink(missing_ok=True)
            del self._marks[segment]

    def drop_damaged(self) -> dict[str, str]:
        """Remove the marks whose files are not as they were written; their units will be done again.

        A file that was written by several marks is held to the last of them.

        Returns
        -------
        dict
            What is wrong, by path relative to the run's folder or URL; empty where all is well.
        """
        # A pass that was repeated wrote some files twice. Later segments come later in the dictionary, so that the
        # last writer of each file wins; to hold a file to an earlier stamp would condemn what is well.
        last = {file: segment for segment, mark in self._marks.items() for file in mark.files}
        expected = {file: self._marks[segment].files[file] for file, segment in last.items()}
        places = {file if is_url(file) else f"{self.path.parent}/{file}": file for file in expected}
        found = damaged({path: expected[file] for path, file in places.items()})
        wrong = {places[path]: why for path, why in found.items()}
        for segment in {last[file] for file in wrong}:
            # Gone from the disk too: once its units are done again, their partial must not count twice.
            (self.path / segment).unlink(missing_ok=True)
            del self._marks[segment]
        return wrong

    def _create(self, name: str, content: bytes) -> str:
        if is_remote(self.path):
            return self._put(name, content)
        self.path.mkdir(parents=True, exist_ok=True)
        # A mark appears whole or not at all: written and flushed under another name first, then linked to its own. A
        # link and not a rename, because a link fails if the name is taken: two drivers can never overwrite a mark of
        # one another.
        beside = self.path / f".{name}.{secrets.token_hex(6)}.part"
        try:
            _write_through(beside, content)
            while True:
                place = self.path / f"{self._next:06d}-{name}.json"
                self._next += 1
                try:
                    place.hardlink_to(beside)
                except FileExistsError:
                    continue
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    # Some file systems (FAT, some FUSE and object-store mounts) have no links: there the segment is
                    # created under its own name, and a cut one is noticed when it is read.
                    self._next -= 1
                    return self._create_exclusively(name, content)
                return place.name
        finally:
            beside.unlink(missing_ok=True)

    def _put(self, name: str, content: bytes) -> str:
        while True:
            place = self.path / f"{self._next:06d}-{name}.json"
            self._next += 1
            # Created on condition that the name is free; another driver's segment under this number makes us
            # take the next.
            with contextlib.suppress(FileExistsError):
                create(place, content)
                return place.name

    def _create_exclusively(self, name: str, content: bytes) -> str:
        while True:
            place = self.path / f"{self._next:06d}-{name}.json"
            self._next += 1
            try:
                handle = os.open(str(place), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                continue
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(handle)
            return place.name

    def _read(self, segment: str, text: bytes) -> None:
        # Also for segments of another fingerprint and for torn ones: their names are taken.
        self._next = max(self._next, int(segment.partition("-")[0]) + 1)
        try:
            content = json.loads(text)
            if content["fingerprint"] != self.fingerprint:
                return
            mark = _Mark(
                content["pass"], tuple(content["keys"]), _restore(content["partial"]), dict(content["files"])
            )
        except (ValueError, KeyError, TypeError):
            # A cut segment is what a crash may leave on such file systems. Its units are done again: they overwrite
            # what they wrote with the same bytes.
            log.warning("%s: incomplete, its units are repeated", self.path / segment)
            return
        self._marks[segment] = mark


def _write_through(path: Path, content: bytes) -> None:
    """Write a file and bring it to the disk: a segment that shows its name must also show its content."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _segments(path: Place) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every segment, in order; those of an object store are fetched side by side."""
    if is_remote(path):
        found = {name: f"{path.path}/{name}" for name in files_below(path) if SEGMENT.fullmatch(name)}
        # In parallel: one request takes tens of milliseconds, and a long run has thousands of segments.
        contents = path.fs.cat(list(found.values())) if found else {}
        for name, place in found.items():
            yield name, contents[place]
        return
    for segment in sorted(path.iterdir()) if path.is_dir() else []:
        if SEGMENT.fullmatch(segment.name):
            yield segment.name, segment.read_bytes()


_ARRAY: Final = "__array__"


def _plain(value: Any) -> Any:
    """Return a partial as JSON can hold it, such that `_restore` gives the same value back."""
    if value is None or isinstance(value, bool | str):
        return value
    # Integers only: they survive JSON exactly. Floats would, too, but sums of floats do not combine in any
    # order.
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return {_ARRAY: value.dtype.str, "shape": list(value.shape), "values": value.ravel().tolist()}
    # type() and not isinstance(): NumPy scalars are instances of float, but would come back from JSON as another
    # type, and a resumed run must combine exactly what the first one would have.
    if type(value) in {int, float}:
        return value
    if type(value) is list:
        return [_plain(item) for item in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: _plain(item) for key, item in value.items()}
    raise TypeError(
        f"a partial that is kept with the marks holds {type(value).__name__}: "
        "numbers, text, lists, dicts with text as keys and arrays of integers can be kept"
    )


def _restore(value: Any) -> Any:
    if isinstance(value, list):
        return [_restore(item) for item in value]
    if isinstance(value, dict):
        if _ARRAY in value:
            return np.array(value["values"], dtype=value[_ARRAY]).reshape(value["shape"])
        return {key: _restore(item) for key, item in value.items()}
    return value


def segments(folder: Place) -> list[Place]:
    """Return the files of the ledger of a run's folder, sorted; none where there is no ledger."""
    ledger = folder / FILES.ledger
    if is_remote(ledger):
        return [ledger / name for name in files_below(ledger) if SEGMENT.fullmatch(name)]
    if ledger.is_symlink() or not ledger.is_dir():
        return []
    return [path for path in sorted(ledger.iterdir()) if SEGMENT.fullmatch(path.name)]
