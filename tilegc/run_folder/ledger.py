"""The ledger: which units of which pass are done.

A folder of small segments, each created once and never changed (so that an object store needs no second
scheme): `<number>-<pass>.json` with the fingerprint of inputs, settings and schema, the keys of the units,
and, for passes that also count, their partial.  A segment is written beside its place and linked into it;
where there are no hard links it is created exclusively, and one that a crash left torn is no JSON and
counts as absent.  In an object store it is put on condition that its name is free.  A mark follows its
payload, so a crash in between only repeats work.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from tilegc.errors import RunFailedError
from tilegc.places import Place, create, files_below, is_remote

__all__ = ["SEGMENT", "Ledger"]

log = logging.getLogger("tilegc.run_folder")

SEGMENT: Final = re.compile(r"(\d{6,})-[A-Za-z0-9._-]+\.json")
"""Names of segments."""
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


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
        self._done: dict[str, set[str]] = {}
        self._partials: dict[str, list[Any]] = {}
        self._next = 0
        for name, content in _segments(path):
            self._read(name, content)

    def done(self, name: str) -> set[str]:
        """Return the keys of the units of this pass that are done."""
        return set(self._done.get(name, ()))

    def partials(self, name: str) -> list[Any]:
        """Return the partials of this pass that were marked with its units."""
        return list(self._partials.get(name, ()))

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of the passes with marks."""
        return tuple(self._done)

    def mark(self, name: str, keys: Iterable[str], partial: Any = None) -> None:
        """Record units whose payload is written.

        Parameters
        ----------
        name : str
            The pass.
        keys : iterable of str
            The units.
        partial : object, optional
            Their joint partial: None, numbers, text, lists, dicts with text as keys, or arrays of integers.

        Raises
        ------
        TypeError
            For a partial of another kind.
        RunFailedError
            If the segment cannot be written.
        """
        keys = list(keys)
        content = {"fingerprint": self.fingerprint, "pass": name, "keys": keys, "partial": _plain(partial)}
        text = json.dumps(content, separators=(",", ":")).encode()
        try:
            self._create(re.sub(r"[^A-Za-z0-9._-]", "_", name), text)
        except OSError as error:
            raise RunFailedError(
                f"{self.path}: cannot write there ({error.strerror}); mend that, then go on with --resume"
            ) from error
        self._enter(name, keys, partial)

    def _create(self, name: str, content: bytes) -> None:
        if is_remote(self.path):
            self._put(name, content)
            return
        self.path.mkdir(parents=True, exist_ok=True)
        beside = self.path / f".{name}.{secrets.token_hex(6)}.part"
        try:
            beside.write_bytes(content)
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
                    self._next -= 1
                    self._create_exclusively(name, content)
                return
        finally:
            beside.unlink(missing_ok=True)

    def _put(self, name: str, content: bytes) -> None:
        while True:
            place = self.path / f"{self._next:06d}-{name}.json"
            self._next += 1
            with contextlib.suppress(FileExistsError):
                return create(place, content)

    def _create_exclusively(self, name: str, content: bytes) -> None:
        while True:
            place = self.path / f"{self._next:06d}-{name}.json"
            self._next += 1
            try:
                handle = os.open(str(place), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                continue
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            return

    def _read(self, segment: str, text: bytes) -> None:
        self._next = max(self._next, int(segment.partition("-")[0]) + 1)
        try:
            content = json.loads(text)
            if content["fingerprint"] != self.fingerprint:
                return
            name, keys, partial = content["pass"], content["keys"], _restore(content["partial"])
        except (ValueError, KeyError, TypeError):
            log.warning("%s: torn, its units are done again", self.path / segment)
            return
        self._enter(name, keys, partial)

    def _enter(self, name: str, keys: list[str], partial: Any) -> None:
        self._done.setdefault(name, set()).update(keys)
        if partial is not None:
            self._partials.setdefault(name, []).append(partial)


def _segments(path: Place) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every segment, in order; those of an object store are fetched side by side."""
    if is_remote(path):
        found = {name: f"{path.path}/{name}" for name in files_below(path) if SEGMENT.fullmatch(name)}
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
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return {_ARRAY: value.dtype.str, "shape": list(value.shape), "values": value.ravel().tolist()}
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
