"""Getting pixels: windows of FITS files against astropy, windows of the store against Zarr, what is near missing data.

Everything here lies in the page cache: what is measured is what a processor does to pixels on their way.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import zarr
from astropy.io import fits
from scipy.ndimage import distance_transform_edt

from benchmarks.chain import header
from benchmarks.kernels import sky
from benchmarks.measure import Case, in_turns
from tilegc import schema
from tilegc.config import FieldInput
from tilegc.geometry import Box, TileGrid
from tilegc.io import store
from tilegc.io.fits import read_window
from tilegc.io.probe import probe_field
from tilegc.kernels.masks import edge

__all__ = ["edges", "fits_windows", "store_windows"]

HALO = 32
"""Pixels round a tile that are read with it."""


def windows(size: int, tile: int) -> list[Box]:
    """Return the windows of all tiles."""
    grid = TileGrid((size, size), tile)
    return [grid.tile(index, HALO).window for index in range(len(grid))]


def fits_windows(size: int, tile: int, runs: int) -> Case:
    """One plane of a plain FITS file, tile by tile, into finite native float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.fits"
        fits.writeto(path, sky(size)[0], header(size))
        source = probe_field(FieldInput(name="f", bands={"F200W": str(path)}))
        plane, boxes = source.bands[0].sci, windows(size, tile)
        assert plane is not None

        def ours() -> float:
            return sum(float(read_window(plane, box)[0, 0]) for box in boxes)

        def theirs() -> float:
            total = 0.0
            with fits.open(path, memmap=True) as hdus:
                for box in boxes:
                    values = np.array(hdus[0].section[box.slices], np.float32)
                    values[~np.isfinite(values)] = np.nan
                    total += float(values[0, 0])
            return total

        if ours() != theirs():
            raise AssertionError("the two do not read the same pixels")
        seconds = in_turns({"tilegc": ours, "astropy": theirs}, runs)
    pixels = sum(box.size for box in boxes)
    return Case("windows of FITS", pixels, seconds, f"{tile} px and {HALO} px round them")


def store_windows(size: int, tile: int, runs: int) -> Case:
    """One map of a store, tile by tile."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/f.zarr"
        arrays = [array for array in schema.ARRAYS if array.name == "detection"]
        store.create(path, arrays, shape=(size, size), bands=("a",), shard=tile, attrs={})
        image, grid = sky(size)[0], TileGrid((size, size), tile)
        for one in grid.tiles():
            store.write(path, "detection", one.core, image[one.core.slices])
        boxes = windows(size, tile)

        def ours() -> float:
            return sum(float(store.read(path, "detection", box)[0, 0]) for box in boxes)

        def theirs() -> float:
            array = zarr.open_array(path, path="detection", mode="r")
            return sum(float(np.asarray(array[box.slices])[0, 0]) for box in boxes)

        if ours() != theirs():
            raise AssertionError("the two do not read the same pixels")
        seconds = in_turns({"tilegc": ours, "zarr-python": theirs}, runs)
    pixels = sum(box.size for box in boxes)
    return Case(
        "windows of the store", pixels, seconds, f"{tile} px and {HALO} px round them; chunks of 256 px"
    )


def edges(size: int, runs: int) -> Case:
    """What lies within 6.6 arcsec of missing data, exact."""
    missing = np.zeros((size, size), bool)
    missing[: size // 8] = True
    missing[size // 2 : size // 2 + 150, size // 3 : size // 3 + 150] = True
    reach2 = math.floor((6.6 / 0.03) ** 2)
    square = min(
        100, size // 8
    )  # both regions hold it, also in small images: the peer counts any that is missing

    def ours() -> np.ndarray:
        return edge(missing, square, reach2, (True,) * 4)

    def theirs() -> np.ndarray:
        return distance_transform_edt(~missing) ** 2 <= reach2 + 0.5

    if not np.array_equal(ours(), theirs()):
        raise AssertionError("the two do not mask the same pixels")
    seconds = in_turns({"tilegc": ours, "scipy.ndimage": theirs}, runs)
    return Case(
        "edge mask, 6.6 arcsec",
        size * size,
        seconds,
        "the peer knows of distances alone",
    )
