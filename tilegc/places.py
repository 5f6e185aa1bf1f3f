"""Where files lie: paths of this machine, and URLs of object stores behind the same few operations.

A place of this machine is a `pathlib.Path`; one at a URL (`s3://`, `gs://`, `az://`, ...) is a `upath.UPath`,
which has the same methods over fsspec. Credentials come from where each store's own tools look for them, never
from a run file.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

from tilegc.errors import InputChangedError, InputError, one_line

if TYPE_CHECKING:
    from typing_extensions import TypeIs
    from upath import UPath

    Place: TypeAlias = Path | UPath
else:
    Place: TypeAlias = Any

__all__ = [
    "Place",
    "buffered",
    "content",
    "create",
    "files_below",
    "is_remote",
    "is_url",
    "opened",
    "parent",
    "place",
    "prepare_store",
    "reach",
    "unwatch",
    "watch",
]

PATIENCE: Final[dict[str, dict[str, Any]]] = {
    # 12 attempts with growing pauses: a store may drop out for a minute. Listings change under our hands.
    "s3": {
        "config_kwargs": {"retries": {"mode": "standard", "max_attempts": 12}},
        "use_listings_cache": False,
    },
    "gcs": {"use_listings_cache": False},
    "abfs": {"use_listings_cache": False},
}
"""What fsspec's file systems are told besides what the user has told them, by protocol."""

_ALIASES: Final = {"s3a": "s3", "gs": "gcs", "az": "abfs", "adl": "abfs"}
_PACKAGES: Final = {"s3": "s3", "gcs": "gs", "abfs": "az", "http": "https", "https": "https"}
"""Our extra that installs what a protocol needs."""


def is_url(path: object) -> bool:
    """Whether a path names something that fsspec opens rather than a file of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(path)) is not None


def is_remote(path: Place) -> TypeIs[UPath]:
    """Whether a place lies at a URL."""
    return not isinstance(path, Path)


def place(path: str | Place) -> Place:
    """Return a place from what a user gave: absolute where it is a path of this machine.

    Raises
    ------
    InputError
        If nothing is installed that opens such a URL.
    """
    if not is_url(path):
        return Path(str(path)).expanduser().absolute()
    from upath import UPath  # noqa: PLC0415  (it takes a while, and only URLs need it)

    prepare_store(path)
    try:
        found = UPath(path)
        assert found.fs is not None
    except (ImportError, ValueError, NotImplementedError) as error:
        raise InputError(_absent(str(path), error)) from None
    return found


def parent(path: str | Path) -> str:
    """Return the folder that a file lies in: what relative paths in a run file refer to."""
    text = str(path)
    return text.rpartition("/")[0] if is_url(text) else str(Path(text).resolve().parent)


def prepare_store(path: object) -> None:
    """Check a URL, and have fsspec wait for its store, before a library opens it by itself; paths are left alone.

    Raises
    ------
    InputError
        If the URL of a bucket holds a user and a password.
    """
    if not is_url(path):
        return
    protocol, _, rest = str(path).partition("://")
    protocol = protocol.lower()
    name = _ALIASES.get(protocol, protocol)
    _refuse_login(path, name, rest.partition("/")[0])
    _wait_for(name, {protocol, name})


def _refuse_login(path: object, store: str, host: str) -> None:
    """Refuse user and password in the URL of a bucket.

    The stores' clients take them for the name of the bucket, and repeat it in their error messages.
    """
    if store in {"s3", "gcs"} and "@" in host:
        raise InputError(
            f"{path}: a bucket has no user and password; give them where the store's own tools look for them "
            "(environment variables, ~/.aws, gcloud)"
        )


def _wait_for(store: str, protocols: set[str]) -> None:
    """Set how long and how often fsspec tries to reach a store; what the user has set for it takes precedence."""
    import fsspec.config  # noqa: PLC0415

    for key in protocols if store in PATIENCE else ():
        fsspec.config.conf[key] = {**PATIENCE[store], **fsspec.config.conf.get(key, {})}


def reach(path: Place) -> bool:
    """Return whether something is at a place.

    Raises
    ------
    InputError
        If the store does not answer, or answers that we may not.
    """
    try:
        return bool(path.exists())
    except Exception as error:  # noqa: BLE001  (every store has its own)
        raise _unreachable(path, error) from None


@contextmanager
def opened(path: str | Place) -> Iterator[BinaryIO]:
    """Open a file or URL for reading; what goes wrong on opening becomes one line.

    Raises
    ------
    InputError
        Absent, a folder, not readable, unreachable.
    """
    try:
        stream = _stream(str(path)) if is_url(path) else _regular(str(path))
    except FileNotFoundError as error:
        if is_url(path) and _unanswered(error):
            raise _unreachable(path, error.__cause__ or error) from None
        raise InputError(f"{path}: no such file; correct its path in the run file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; expected a file") from None
    except PermissionError:
        raise InputError(f"{path}: permission denied; change its permissions") from None
    except (ImportError, NotImplementedError) as error:
        raise InputError(_absent(str(path), error)) from None
    except ValueError as error:
        said = _absent(str(path), error) if is_url(path) else f"{path}: cannot be opened ({one_line(error)})"
        raise InputError(said) from None
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) or is_url(path):
            raise InputError(f"{path}: cannot be opened ({one_line(error)})") from None
        raise
    with stream:
        _require_watched(str(path), stream)
        yield cast("BinaryIO", stream)


_watched: dict[str, tuple[int, ...]] = {}
"""Inputs of the run that this process works for, and what identified each when the run began."""


def watch(path: str | Place) -> None:
    """Have every later `opened` of this file require that it is still the same one.

    A run reads its inputs in windows for minutes or hours.  If a file were replaced or rewritten meanwhile, some
    tiles would come from the old pixels and some from the new ones.  Times of modification can be restored and a
    size may stay, but the inode number tells a replaced file, and the time of its last change of status is set by
    the system alone.

    Parameters
    ----------
    path : str or Place
        A file of this machine; objects at URLs and directories are not watched.
    """
    if is_url(path):
        return
    name = str(path)
    _watched.pop(name, None)
    with opened(path) as stream:
        _watched[name] = _identity(stream)


def unwatch(paths: Iterable[str | Place]) -> None:
    """End what `watch` began."""
    for path in paths:
        _watched.pop(str(path), None)


def _require_watched(path: str, stream: Any) -> None:
    expected = _watched.get(path)
    if expected is not None and _identity(stream) != expected:
        raise InputChangedError(
            f"{path}: was changed while the run was reading it; leave inputs alone during a run, and start over "
            "with --overwrite"
        )


def _identity(stream: Any) -> tuple[int, ...]:
    """Return inode, size and times of an open file."""
    about = os.fstat(stream.fileno())
    return about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _regular(path: str) -> BinaryIO:
    """Open a local file, which must be a regular one: to open a named pipe without a writer would wait for ever."""
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # open() has the error for a directory
        raise InputError(f"{path}: is a pipe or a device; expected a regular file")
    return open(path, "rb")  # noqa: PTH123


def _stream(url: str) -> Any:
    import fsspec  # noqa: PLC0415

    prepare_store(url)
    # Windows are read by their own ranges: reading ahead would fetch the mosaic once a row.
    system, path = fsspec.url_to_fs(url)
    return system.open(path, "rb", cache_type="bytes", block_size=1 << 20)


def create(path: Place, content: bytes) -> None:
    """Put a file at a URL whole, unless there is one: two that try at once cannot both succeed.

    Raises
    ------
    FileExistsError
        If there is one with another content. (One with the same is ours: an answer was lost, not the request.)
    """
    remote = cast("UPath", path)
    try:
        remote.fs.pipe_file(remote.path, content, mode="create")
    except Exception as error:
        if not _refused(error):
            raise
        if path.read_bytes() != content:
            raise FileExistsError(f"{path}: already exists") from error


def _refused(error: BaseException | None) -> bool:
    """Whether a store says that there is such a file: fsspec passes on the answer of some (Ceph) as any other error."""
    while error is not None:
        answer = getattr(error, "response", None)
        said = (
            answer.get("Error", {}).get("Code") if isinstance(answer, dict) else getattr(error, "code", None)
        )
        if isinstance(error, FileExistsError) or str(said) in {"PreconditionFailed", "412"}:
            return True
        error = error.__cause__ or error.__context__
    return False


def files_below(root: Place) -> list[str]:
    """Return the files below a URL, relative to it, sorted; none where there is nothing.

    Raises
    ------
    InputError
        If the store does not answer, or answers that we may not.
    """
    remote = cast("UPath", root)
    above = remote.path.rstrip("/") + "/"
    try:
        found = remote.fs.find(remote.path)
    except FileNotFoundError:  # not even a bucket
        return []
    except Exception as error:  # noqa: BLE001  (every store has its own)
        raise _unreachable(root, error) from None
    return sorted(name.removeprefix(above) for name in found if name.startswith(above))


def content(path: Place) -> bytes:
    """Return what a file holds that somebody else may be putting anew: from a store in one request.

    To open it asks for its length first, and fails if it is another one by the time that it is read.
    """
    if not is_remote(path):
        return path.read_bytes()
    found: bytes = path.fs.cat_file(path.path)
    return found


def buffered(path: Place) -> Any:
    """Return what libraries that know no URLs read a file from: its path, or its bytes in memory."""
    return io.BytesIO(path.read_bytes()) if is_remote(path) else path


def _unanswered(error: FileNotFoundError) -> bool:
    """Whether no server answered: fsspec calls that a file that is absent, as it does an answer of 404.

    A connection that was refused, lost or too slow is an `OSError` of aiohttp; an answer is none.
    """
    return isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError)


def _unreachable(path: str | Place, error: BaseException) -> InputError:
    return InputError(
        f"{path}: cannot be reached ({one_line(error)}); check the address, the network and your credentials"
    )


def _absent(url: str, error: Exception) -> str:
    protocol = url.partition("://")[0].lower()
    extra = _PACKAGES.get(_ALIASES.get(protocol, protocol))
    remedy = f"pip install 'tilegc[{extra}]'" if extra else "install the package that opens it"
    return f"{url}: {protocol}:// cannot be opened here ({one_line(error)}); {remedy}"
