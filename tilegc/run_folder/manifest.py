"""manifest.json: what a run is, of what it was made, and the digests of what it gave."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import logging
import platform
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np

from tilegc import config as run_file
from tilegc.config import RunConfig
from tilegc.errors import RunFolderError
from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.run_folder.layout import MAPS, PRODUCTS, arrays_of, map_name, viewer_files
from tilegc.schema import FILES, SCHEMA_VERSION, SKY_STORE

__all__ = [
    "ADDING",
    "KEPT",
    "MARKER",
    "Manifest",
    "changed_settings",
    "digest",
    "digests",
    "environment",
    "fingerprint",
    "identity",
    "is_damaged",
    "now",
    "read",
    "version",
    "write",
    "write_in_place",
]

log = logging.getLogger("tilegc.run_folder")

Manifest = dict[str, Any]
MARKER: Final = "tilegc"
"""The key by which a folder is known as a run's; its value is the version that wrote it."""
ADDING: Final = "adding_stars"
"""The key that is there while artificial stars are added to a finished run."""
KEPT: Final = "kept"
"""The key that says "products" after the arrays of a finished run have been removed."""
DIGEST: Final = "digest"
"""The key of the SHA-256 of all other entries."""

_LIBRARIES: Final = (
    "astropy",
    "dask",
    "distributed",
    "numba",
    "llvmlite",
    "numcodecs",
    "numpy",
    "pyarrow",
    "scipy",
    "xarray",
    "zarr",
)
_BLOCK: Final = 1 << 22


def version() -> str:
    """Return tilegc's version."""
    try:
        return importlib.metadata.version("tilegc")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def now() -> str:
    """Return the time, UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Return what the bytes of a run may depend on besides its inputs: libraries and the CPU's features."""
    # NumPy chooses its loops by these features, and the last bits of `exp` or `log` differ between the
    # choices.
    features: Any = np.show_config(mode="dicts")
    simd = features.get("SIMD Extensions", {}) if features else {}
    return {
        "python": platform.python_version(),
        **{name: _library(name) for name in _LIBRARIES},
        "machine": platform.machine(),
        "simd": [*simd.get("baseline", []), *simd.get("found", [])],
    }


def _library(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def fingerprint(config: RunConfig, inputs: Mapping[str, str]) -> str:
    """Return the digest of settings, inputs and schema that stands in every segment of the ledger."""
    content = json.dumps([SCHEMA_VERSION, run_file.digest(config), sorted(inputs.items())])
    return hashlib.sha256(content.encode()).hexdigest()


def identity(settings: Any, inputs: Mapping[str, str]) -> Any:
    """Return settings with the content of every input in the place of its path.

    Files may move between two starts of a run, or be copied to another machine. What makes them the same is what they
    hold.

    Parameters
    ----------
    settings : JSON value
        Of a resolved run file, or part of it.
    inputs : mapping
        Digest of every input, by path; a directory stands for all inputs below it.
    """
    if isinstance(settings, dict):
        return {key: identity(value, inputs) for key, value in settings.items()}
    if isinstance(settings, list):
        return [identity(value, inputs) for value in settings]
    if not isinstance(settings, str) or not settings:
        return settings
    # Any text that is the path of an input stands for its content, wherever in the settings it is.
    if settings in inputs:
        return f"content {inputs[settings]}"
    root = settings.rstrip("/") + "/"
    below = {path.removeprefix(root): digest for path, digest in inputs.items() if path.startswith(root)}
    return f"content {json.dumps(below, sort_keys=True)}" if below else settings


def read(folder: Place) -> Manifest | None:
    """Return the manifest of a run's folder, or its second copy if it is damaged itself.

    Returns
    -------
    dict or None
        None if the directory contains no manifest with our marker.

    Raises
    ------
    RunFolderError
        If it cannot be read, or if it is damaged and so is its copy.
    """
    # The copy is written second. If the first is damaged, the copy is the state before, or the same; if only
    # the copy is, the first is complete.
    found = _load(folder / FILES.manifest)
    if isinstance(found, dict):
        return found
    copy = _load(folder / FILES.manifest_copy)
    if isinstance(copy, dict):
        log.warning("%s: damaged; its copy %s is used", folder / FILES.manifest, FILES.manifest_copy)
        return copy
    if found is _State.ABSENT and copy is _State.ABSENT:
        return None
    if _State.DAMAGED in {found, copy} and (copy is not _State.ABSENT or _looks_like_a_run(folder)):
        raise RunFolderError(
            f"{folder / FILES.manifest}: damaged, and so is its copy; nothing was changed. Restore the file from a "
            "backup, or move the directory away and run again"
        )
    return None


def is_damaged(folder: Place) -> bool:
    """Whether the manifest of a run's folder is not what was written, while its copy may be."""
    found = _load(folder / FILES.manifest)
    if isinstance(found, dict):
        return False
    return _load(folder / FILES.manifest_copy) is not _State.ABSENT or (
        found is _State.DAMAGED and _looks_like_a_run(folder)
    )


class _State(Enum):
    """What stands in place of a manifest."""

    ABSENT = "absent"
    FOREIGN = "foreign"
    """JSON without our marker."""
    DAMAGED = "damaged"


def _load(path: Place) -> Manifest | _State:
    """Return what a manifest holds if its digest is right; one of an earlier version may have none."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return _State.ABSENT
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        return _State.DAMAGED
    if not isinstance(content, dict) or MARKER not in content:
        return _State.FOREIGN
    # A digest, because a file system may bring back a file of the right length with blocks of zeros after a
    # power failure, and a changed digit of a number would still be valid JSON.
    digest = content.pop(DIGEST, None)
    return content if digest is None or digest == _own_digest(content) else _State.DAMAGED


def _looks_like_a_run(folder: Place) -> bool:
    return (folder / FILES.lock).exists() or (folder / FILES.ledger).exists()


def _own_digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def write(folder: Place, manifest: Manifest) -> None:
    """Write it and its copy, each whole or not at all."""
    # One after the other, each synced before the next begins: a crash leaves at least one of them whole.
    content = _encoded(manifest)
    write_bytes(folder / FILES.manifest, content)
    write_bytes(folder / FILES.manifest_copy, content)


def write_in_place(folder: Path, manifest: Manifest) -> None:
    """Write it over the old one, which takes no new space on a full disk; a crash meanwhile would leave it torn."""
    content = _encoded(manifest)
    with (folder / FILES.manifest).open("r+b") as stream:
        stream.write(content)
        stream.truncate()


def _encoded(manifest: Manifest) -> bytes:
    # NaN is refused here, because it is no JSON and other programs could not read the file.
    whole = {**manifest, DIGEST: _own_digest(manifest)}
    return (json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def changed_settings(before: Any, after: Any, key: str = "") -> list[str]:
    """Return what differs between two resolved run files: "detect.keep (2.0, now 3.0)"."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for name in [*before, *(name for name in after if name not in before)]
            for line in changed_settings(before.get(name), after.get(name), f"{key}.{name}" if key else name)
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            line
            for number, (old, new) in enumerate(zip(before, after, strict=True))
            for line in changed_settings(old, new, f"{key}[{number}]")
        ]
    return [] if before == after else [f"{key} ({_short(before)}, now {_short(after)})"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def digests(
    folder: Place, fields: Iterable[str], files: Iterable[str] = (), *, only: Collection[str] | None = None
) -> dict[str, str]:
    """Return the SHA-256 of every product that is present: files, and each array of the stores.

    Parameters
    ----------
    folder : Place
        Directory of the run.
    fields : iterable of str
        Names of its fields.
    files : iterable of str
        Further files, relative to the directory: the report's figures.
    only : collection of str, optional
        Products whose digest is wanted; all by default.

    Returns
    -------
    dict of str to str
        By product. The digest of an array is that of its chunks' paths, lengths and bytes, so it shows whether the
        store on this disk still is what was written; the viewer is one product in the same way.
    """
    fields = list(fields)
    # Products are listed by name and not by walking the directory: what others put there is not a product.
    names = [*PRODUCTS, *(map_name(field, kind) for field in fields for kind in MAPS)]
    names += sorted(f"{FILES.psf}/{path.name}" for path in (folder / FILES.psf).glob("*.fits"))
    names += files
    jobs: dict[str, tuple[Place, list[str]]] = {
        name: (folder / name, [])
        for name in names
        if (only is None or name in only) and (folder / name).is_file()
    }
    for field in (*fields, SKY_STORE):
        name = f"{FILES.store}/{field}.zarr"
        if only is not None and not any(one.startswith(name) for one in only):
            continue  # listing the files of a store takes a while
        for array, chunks in arrays_of(folder / name).items():
            product = f"{name}/{array}" if array else name
            root = folder / name / array if array else folder / name
            inside = [chunk.removeprefix(f"{array}/") if array else chunk for chunk in chunks]
            if only is None or product in only:
                jobs[product] = root, inside
    if only is None or FILES.view in only:
        viewer = viewer_files(folder)
        jobs |= {FILES.view: (folder / FILES.view, viewer)} if viewer else {}
    # hashlib releases the interpreter's lock for large blocks, and reading waits for the disk: threads
    # suffice.
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(jobs, pool.map(lambda job: digest(*job), jobs.values()), strict=True))


def digest(root: Place, names: Iterable[str] = ()) -> str:
    """Return the digest of a file, or of the named files below a folder."""
    total = hashlib.sha256()
    for name in names:
        content = (root / name).read_bytes()
        # Name and length separate the files: without them bytes could move from the end of one chunk to the
        # next unseen.
        total.update(f"{name} {len(content)}\n".encode())
        total.update(content)
    if not names:
        with root.open("rb") as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
    return total.hexdigest()
