"""What became of artificial stars, kept in the run's ledger: a resumed run, and one that adds stars, do the rest alone.

Stars are put in by batches of draws. The answer of each is a file of its own, named after its field and draws, and
holds a digest of everything that the answer depends on. A file that another sky, other limits or another version
left, or that is damaged, is as good as absent.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
from typing import Any, Final

import numpy as np

from tilegc.completeness.draw import Stars
from tilegc.errors import InputError
from tilegc.io.tables import read_parquet, write_parquet
from tilegc.phases.partials import Table
from tilegc.places import Place, files_below, is_remote
from tilegc.schema import STAR_BATCH, VERSION, Column

__all__ = ["BATCH", "KeptStars", "key_of"]

log = logging.getLogger("tilegc.completeness")

BATCH: Final = 250_000
"""Draws of a batch; batches begin at multiples of it, or where an earlier run ended."""

COLUMNS: Final = (
    Column("number", "int64", "", "number of the draw"),
    Column("verdict", "int32", "", "what became of it"),
    Column("displaced", "int32", "", "sources that it takes away"),
    Column("y", "int64", "pix", "row of the peak, -1: none"),
    Column("x", "int64", "pix", "column of the peak, -1: none"),
    Column("value", "float64", "nJy", "detection map there"),
    Column("noise", "float32", "nJy", "noise at the star"),
    Column("by_pixel", "bool", "", "whether its response was computed pixel by pixel"),
    Column("good", "bool", "", "whether it lies on a good pixel"),
)


def key_of(stars: Stars, *parts: Any) -> str:
    """Return the digest of some stars and of all that decides what becomes of them.

    Parameters
    ----------
    stars : Stars
    *parts : object
        Values, arrays and dataclasses of such.
    """
    return hashlib.sha256(pickle.dumps((VERSION, vars(stars), parts), protocol=5)).hexdigest()


class KeptStars:
    """The batches of one run.

    Parameters
    ----------
    folder : Place
        The run's ledger.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        names = (
            files_below(folder)
            if is_remote(folder)
            else [path.name for path in (folder.iterdir() if folder.is_dir() else ())]
        )
        self._found = [match for match in map(re.compile(STAR_BATCH).fullmatch, names) if match]

    def ends(self, field: str, first: int, last: int) -> list[int]:
        """Return where batches end that begin at draw `first` and do not go beyond `last`, farthest first."""
        ends = {
            int(match["last"])
            for match in self._found
            if match["field"] == field and int(match["first"]) == first
        }
        return sorted((end for end in ends if first < end <= last), reverse=True)

    def read(self, field: str, first: int, last: int, key: str) -> Table | None:
        """Return what became of the stars of a batch; None where that is not known."""
        path = self._path(field, first, last)
        try:
            found = read_parquet(path)
            table = {
                one.name: np.asarray(getattr(found[one.name], "value", found[one.name])) for one in COLUMNS
            }
        except (InputError, KeyError):
            log.warning("%s: damaged; its stars are injected again", path)
            return None
        if found.meta.get("key") == key and found.meta.get("content") == _digest(table):
            return table
        log.info("%s: of other images or another version; its stars are injected again", path)
        return None

    def write(self, field: str, first: int, last: int, key: str, table: Table) -> None:
        """Keep what became of the stars of a batch."""
        columns = {one.name: np.ascontiguousarray(table[one.name], one.dtype) for one in COLUMNS}
        if not is_remote(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        meta = {"key": key, "content": _digest(columns)}
        write_parquet(self._path(field, first, last), COLUMNS, columns, meta)

    def _path(self, field: str, first: int, last: int) -> Place:
        return self._folder / f"stars-{field}-{first}-{last}.parquet"


def _digest(table: Table) -> str:
    total = hashlib.sha256()
    for one in COLUMNS:
        total.update(np.ascontiguousarray(table[one.name]).tobytes())
    return total.hexdigest()
