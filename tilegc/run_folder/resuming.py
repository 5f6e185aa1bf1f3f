"""Whether a run may be resumed: the same settings, inputs of the same content, stores as they were left."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from tilegc.errors import RunFolderError
from tilegc.places import Place
from tilegc.run_folder import manifest as manifests
from tilegc.run_folder.manifest import Manifest
from tilegc.schema import FILES, SCHEMA_VERSION, SKY_STORE

__all__ = ["not_as_left", "require_same"]

log = logging.getLogger("tilegc.run_folder")


def require_same(folder: Place, found: Manifest, settings: Any, inputs: Mapping[str, str]) -> None:
    """Refuse to resume a run with other settings or inputs, or whose finished stores have changed.

    Inputs are compared by content: they may have moved, or been copied to another machine together with the run.

    Parameters
    ----------
    folder : Place
        Directory of the run.
    found : dict
        Its manifest.
    settings : dict
        Those of the run file now, as `tilegc.config.settings` returns them.
    inputs : mapping
        Digest of every input now, by path.

    Raises
    ------
    RunFolderError
        If anything differs; it is named.
    """
    if found.get("schema") != SCHEMA_VERSION:
        raise RunFolderError(
            f"{folder}: its run has schema {found.get('schema')}, this tilegc writes {SCHEMA_VERSION}; start over with "
            "--overwrite or in another directory"
        )
    # Two comparisons. By identity, in which paths are replaced by contents, so that moved files do not count
    # as a change; and as written, to name the keys in the message. Only keys that differ in both are changed
    # settings: one that differs by identity alone is a file with new content, reported as an input below.
    before: Mapping[str, str] = found["inputs"]
    old, new = manifests.identity(found["config"], before), manifests.identity(settings, inputs)
    differing = {_key(line) for line in manifests.changed_settings(old, new)}
    written = manifests.changed_settings(found["config"], settings)
    changed = [line for line in written if _key(line) in differing]
    if changed:
        raise RunFolderError(
            f"{folder}: settings have changed since its run began: {'; '.join(changed[:5])}; restore the original "
            "ones, or start over with --overwrite or in another directory"
        )
    if differing or sorted(before.values()) != sorted(inputs.values()):
        odd = [f"{name} (no longer read)" for name in before if name not in inputs]
        odd += [f"{name} (new)" for name in inputs if name not in before]
        odd += [name for name in inputs if before.get(name, inputs[name]) != inputs[name]]
        raise RunFolderError(_changed_inputs(folder, odd))
    if before.keys() != inputs.keys():
        log.info("%s: the inputs have moved; their content is the same", folder)
    _require_unspoilt(folder, found)


def _key(line: str) -> str:
    """Return the key of a line of `changed_settings`."""
    return line.partition(" (")[0]


def _require_unspoilt(folder: Place, found: Manifest) -> None:
    """Refuse to resume a finished run whose stores are not as it wrote them."""
    here = manifests.digests(folder, found["fields"]) if found["products"] else {}
    changed = [
        name
        for name, digest in found["products"].items()
        if name.startswith(f"{FILES.store}/")
        # The sky grid is computed again by every run, from the fields' stores.
        and not name.startswith(f"{FILES.store}/{SKY_STORE}.")
        and here.get(name) != digest
    ]
    if changed:
        raise RunFolderError(not_as_left(folder, changed))


def not_as_left(folder: Place, names: Iterable[str]) -> str:
    """Return the message for stores that are not as a run left them."""
    return (
        f"{folder}: changed since the run wrote it: {', '.join(list(names)[:5])}; start over with --overwrite"
    )


def _changed_inputs(folder: Place, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"{folder}: inputs have changed since its run began: {', '.join(names[:5])}{more}; "
        "start over with --overwrite or in another directory"
    )
