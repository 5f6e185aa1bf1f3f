"""What a pixel costs where a field's files lie, and out of a store: measured on one window of each.

It depends on the files, on the disk and on the processor, so it is measured and not assumed. The pixels are the same
either way: a measurement that goes the other way next time changes no byte of a product.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tilegc import schema
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.fits import FieldSource, read_window
from tilegc.io.ingest import SHARD
from tilegc.places import is_url

__all__ = ["ReadingCost", "reading_cost"]

ROWS: Final = 256
"""Rows of the piece of an ingest that is measured."""

LARGEST: Final = 2048
"""Side of the largest window that is measured: a pixel of a larger one costs the same, and takes memory and time."""

REPEATS: Final = 3
"""Measurements of which the least counts: what else a machine does only ever adds."""


@dataclass(frozen=True)
class ReadingCost:
    """Nanoseconds a pixel of one plane."""

    window: float
    """A tile's window out of the files."""
    ingest: float
    """Whole rows out of the files, and into a store."""
    store: float
    """A window out of the store."""

    def store_pays(self, reads: float) -> bool:
        """Return whether a store costs less than the files when every pixel is read so many times."""
        return self.ingest + reads * self.store < reads * self.window


def reading_cost(source: FieldSource, tile: int) -> ReadingCost | None:
    """Measure a field's files; None where windows cannot be read, or are not of this machine.

    Parameters
    ----------
    source : FieldSource
        As `probe_field` gave it.
    tile : int
        Side of the tiles, pixels.
    """
    planes = [plane for _, _, plane in source.planes()]
    if source.store is not None or not source.windowed or any(is_url(plane.path) for plane in planes):
        return None
    # The dearest kind decides: files of one field are mostly of one kind.
    plane = next((plane for plane in planes if plane.kind == "rice"), planes[0])
    height, width = plane.shape
    tile = min(tile, LARGEST)
    y0, x0 = max((height - tile) // 2, 0), max((width - tile) // 2, 0)
    window = Box(y0, x0, y0 + tile, x0 + tile).clip(plane.box)
    rows = Box(y0, 0, y0 + ROWS, width).clip(plane.box)
    square = Box(0, 0, *window.shape)
    pixels = read_window(plane, window)
    with tempfile.TemporaryDirectory(prefix="tilegc-") as folder:
        path = f"{folder}/measured.zarr"
        sci = [array for array in schema.ARRAYS if array.name == "sci"]
        store.create(path, sci, shape=window.shape, bands=("a",), shard=SHARD, attrs={})
        writing = _seconds(lambda: store.write(path, "sci", square, pixels, band=0)) / square.size
        stored = _seconds(lambda: store.read(path, "sci", square, band=0)) / square.size
    direct = _seconds(lambda: read_window(plane, window)) / window.size
    whole = _seconds(lambda: read_window(plane, rows)) / rows.size
    return ReadingCost(1e9 * direct, 1e9 * (whole + writing), 1e9 * stored)


def _seconds(work: Callable[[], Any]) -> float:
    """Return the least seconds of a few calls."""
    least = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - begun)
    return least
