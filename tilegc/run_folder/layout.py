"""What stands where in a run's folder, and which of it is ours.

`--overwrite` removes what `ours` lists and nothing else: a file that someone else put there stays, and so
does everything that a symbolic link points to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tilegc.errors import RunFolderError
from tilegc.places import Place, files_below, is_remote
from tilegc.run_folder.ledger import SEGMENT
from tilegc.schema import ARRAYS, COMPLETENESS_MAP, FILES, HERE, MEASURED_BANDS, SKY_STORE, STAR_BATCH
from tilegc.schema import MAPS as OUTPUTS

__all__ = [
    "MAPS",
    "PRODUCTS",
    "arrays_of",
    "foreign",
    "is_leftover",
    "is_ours",
    "links_in",
    "make",
    "map_name",
    "psf_name",
    "remove",
    "remove_leftovers",
    "viewer_files",
]

MAPS: Final = (*OUTPUTS, COMPLETENESS_MAP)
"""Maps of a field that a run may write."""

PRODUCTS: Final = (
    FILES.summary,
    FILES.catalogue,
    FILES.catalogue_ecsv,
    FILES.catalogue_regions,
    FILES.catalogue_votable,
    FILES.catalogue_fits,
    FILES.gc,
    FILES.candidates,
    FILES.inpainted,
    FILES.artificial,
    FILES.completeness,
    FILES.response,
    FILES.luminosity,
    FILES.relation,
    FILES.ranking,
    FILES.sensitivity,
    FILES.assumptions,
    FILES.goodness,
    FILES.cumulative,
    FILES.excesses,
    FILES.residual_map,
    FILES.profile,
    FILES.radial,
    FILES.shape,
    FILES.masses,
    FILES.contamination,
    FILES.purity,
    FILES.pattern,
    FILES.masked,
    FILES.stars,
    FILES.audit,
)
"""Files in the folder itself whose bytes are those of any run with the same inputs and settings.

The manifest has digests of run file, page and figures as well, although these promise nothing."""

_TOP: Final = {
    *PRODUCTS,
    FILES.manifest,
    FILES.manifest_copy,
    FILES.run,
    FILES.log,
    FILES.report,
    FILES.lock,
    FILES.heartbeat,
}
_PART: Final = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.part")
"""A file that was being written beside its place when the process died."""
_PARTIAL: Final = re.compile(r".+\.[0-9a-f]{32}\.partial")
"""The same, of Zarr."""
_TOKEN: Final = re.compile(re.escape(HERE) + r"[0-9a-f]{16}(?:-[^/]*)?")
"""What `place` writes; it stays where the process was killed."""
_ZARR: Final = re.compile(
    r"(?:coarse/)?(?:[A-Za-z_]\w*/)?"  # an array, of the field or of its group of lattices
    r"(?:zarr\.json|zarr\.[0-9a-f]{32}\.partial|c|c/(?:\d+/)*\d+(?:\.[0-9a-f]{32}\.partial)?)"
)
"""What Zarr 3 writes: metadata and chunks, and what it writes beside them first."""
_STARS: Final = re.compile(STAR_BATCH)
_VIEW: Final = re.compile(
    r"(?:index\.html|viewer\.css|[a-z]+\.js|(?:tiles|sources|overlays)/.+\.js|tiles/.+\.webp)"
)
"""What the viewer consists of."""

_FOLDERS: Final = (
    FILES.maps,
    FILES.psf,
    FILES.figures,
    FILES.view,
    FILES.study,
    FILES.store,
    FILES.ledger,
)
"""Directories that a run makes."""


def map_name(field: str, name: str) -> str:
    """Return the path of a map in the folder."""
    return f"{FILES.maps}/{field}_{name}.fits"


def psf_name(field: str, band: str) -> str:
    """Return the path of a band's PSF in the folder."""
    return f"{FILES.psf}/{field}_{band}.fits"


def is_ours(relative: str, fields: Iterable[str], claimed: Iterable[str] = ()) -> bool:
    """Whether a file at this path in the folder is one that a run writes.

    Parameters
    ----------
    relative : str
        Path relative to the folder, parts joined by "/".
    fields : iterable of str
        Names of the run's fields.
    claimed : iterable of str
        Further files that the run's manifest lists (figures).
    """
    folder, _, name = relative.rpartition("/")
    # A temporary file belongs to whom its final name belongs.
    part = _PART.fullmatch(name)
    if part is not None:
        if folder == FILES.ledger:  # a segment has no number yet
            return True
        return is_ours(f"{folder}/{part['name']}" if folder else part["name"], fields, claimed)
    if relative in _TOP or _TOKEN.fullmatch(relative) or relative in set(claimed):
        return True
    fields = list(fields)
    if folder == FILES.ledger:
        batch = _STARS.fullmatch(name)
        return SEGMENT.fullmatch(name) is not None or (batch is not None and batch["field"] in fields)
    if relative.startswith(f"{FILES.view}/"):
        return _VIEW.fullmatch(relative.removeprefix(f"{FILES.view}/")) is not None
    if folder == FILES.maps:
        return relative in {map_name(field, kind) for field in fields for kind in MAPS}
    if folder == FILES.psf:
        return name.endswith(".fits") and any(name.startswith(f"{field}_") for field in fields)
    # By pattern and not by directory: files that someone else keeps in a store, or arrays of other names,
    # stay.
    if relative.startswith(f"{FILES.store}/"):
        store, _, inside = relative.removeprefix(f"{FILES.store}/").partition("/")
        ours = store in {f"{field}.zarr" for field in (*fields, SKY_STORE)} or _is_of_measured_band(store)
        return ours and bool(_ZARR.fullmatch(inside))
    return False


def _is_of_measured_band(store: str) -> bool:
    """Whether a store holds the pixels of a band of `photometry.bands`, which the manifest does not list."""
    return store.startswith(MEASURED_BANDS) and store.endswith(".zarr")


def is_leftover(relative: str) -> bool:
    """Whether a path is that of a file that exists only while it is written, or while a run goes on.

    Parameters
    ----------
    relative : str
        Path relative to the directory of a run, parts joined by "/".
    """
    name = relative.rpartition("/")[2]
    return bool(_PART.fullmatch(name) or _TOKEN.fullmatch(relative) or _PARTIAL.fullmatch(name))


def remove_leftovers(root: Place, fields: Iterable[str], claimed: Iterable[str]) -> list[str]:
    """Remove what a killed run was writing; return the paths, relative to `root`. Nobody may work there meanwhile."""
    fields, claimed = list(fields), set(claimed)
    gone = [name for name in _files(root) if is_leftover(name) and is_ours(name, fields, claimed)]
    for name in gone:
        (root / name).unlink(missing_ok=True)
    return gone


def foreign(root: Place, fields: Iterable[str], claimed: Iterable[str]) -> list[str]:
    """Return the files in the directory of a run that no run writes, or that a killed one left, sorted."""
    fields, claimed = list(fields), set(claimed)
    return sorted(name for name in _files(root) if is_leftover(name) or not is_ours(name, fields, claimed))


def viewer_files(root: Place) -> list[str]:
    """Return the files of the viewer, relative to its own directory, sorted."""
    view = root / FILES.view
    if not view.is_dir():
        return []
    names = files_below(view) if is_remote(view) else _below(view)
    return sorted(name for name in names if _VIEW.fullmatch(name))


def _files(root: Place) -> Iterator[str]:
    yield from files_below(root) if is_remote(root) else _below(root)


def walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield folder, folders in it and files in it, deepest first; symbolic links count as files."""
    for folder, folders, files in os.walk(root, topdown=False, followlinks=False):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield folder, [name for name in folders if name not in links], files + links


def links_in(root: Path, fields: Iterable[str], claimed: Iterable[str] = ()) -> list[str]:
    """Return the symbolic links in a run's folder that stand where a run writes, relative to it, sorted.

    Through such a link a run would write onto what belongs to someone else, however carefully it replaces its own
    files.

    Parameters
    ----------
    root : Path
        The run's folder, which may itself be reached through a link.
    fields : iterable of str
        Names of the run's fields.
    claimed : iterable of str
        Further files that the run's manifest lists (figures).
    """
    fields, claimed = list(fields), set(claimed)
    stores = {f"{FILES.store}/{field}.zarr" for field in (*fields, SKY_STORE)}
    arrays = {f"{store}/{array.name}" for store in stores for array in ARRAYS}
    folders = {*_FOLDERS, *stores, *arrays}
    found = []
    for folder, _, files in walk(root):
        inside = Path(folder).relative_to(root).as_posix()
        for name in files:
            relative = name if inside == "." else f"{inside}/{name}"
            if (Path(folder) / name).is_symlink() and (
                relative in folders
                or is_ours(relative, fields, claimed)
                or _is_of_measured_band(relative.removeprefix(f"{FILES.store}/"))
            ):
                found.append(relative)
    return sorted(found)


def remove(root: Place, fields: Iterable[str], claimed: Iterable[str], *, keep: Iterable[str] = ()) -> None:
    """Remove the files that are ours, and the folders below `root` which that leaves empty.

    Symbolic links are neither followed nor, where they stand for folders, removed.
    """
    fields, claimed, keep = list(fields), set(claimed), set(keep)
    # One request deletes up to a thousand objects; and there are no directories that could be left empty.
    if is_remote(root):
        gone = [name for name in files_below(root) if name not in keep and is_ours(name, fields, claimed)]
        if gone:
            root.fs.rm([f"{root.path}/{name}" for name in gone])
        return
    # Deepest first, so that a directory is looked at when everything of ours below it has gone.
    for folder, _, files in walk(root):
        place = Path(folder)
        inside = place.relative_to(root).as_posix()
        for name in files:
            relative = name if inside == "." else f"{inside}/{name}"
            path = place / name
            if relative not in keep and is_ours(relative, fields, claimed) and not path.is_dir():
                path.unlink(missing_ok=True)
        if place != root and _may_go(inside) and not any(place.iterdir()):
            place.rmdir()


def _may_go(inside: str) -> bool:
    """Whether a folder is one that we make: an empty one of someone else stays."""
    top = inside.partition("/")[0]
    return top in _FOLDERS


def arrays_of(store: Place) -> dict[str, list[str]]:
    """Return the files of each array of a store, relative to it, sorted; "" for those of the store itself."""
    found: dict[str, list[str]] = {}
    for relative in files_below(store) if is_remote(store) else sorted(_below(store)):
        if _ZARR.fullmatch(relative) and not relative.endswith(".partial"):
            array = relative.partition("/")[0] if "/" in relative else ""
            found.setdefault(array, []).append(relative)
    # By path components: plain text order would put c/10 before c/2/0 on one store and not on another.
    return {array: sorted(names, key=lambda name: name.split("/")) for array, names in sorted(found.items())}


def _below(root: Path) -> Iterator[str]:
    for folder, _, files in walk(root):
        for name in files:
            yield (Path(folder) / name).relative_to(root).as_posix()


def make(path: Place) -> list[Path]:
    """Make a folder; return those that had to be made, outermost first. Object stores have none to be made."""
    if is_remote(path):
        return []
    # Determined before they are made: afterwards nothing tells a new directory from one that was empty
    # before.
    absent = [folder for folder in (*reversed(path.parents), path) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be created ({error.strerror}); choose another directory with -o"
        ) from None
    return absent
