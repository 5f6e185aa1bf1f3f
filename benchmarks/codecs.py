"""How fast the store's arrays shrink and come back, by codec and by chunk: `python -m benchmarks.codecs RUN_DIR`.

Seconds are those of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numcodecs import blosc
from rich.table import Table

from benchmarks.command_line import Parser, existing_folder
from benchmarks.measure import console
from tilegc import schema
from tilegc.geometry import Box, TileGrid
from tilegc.io import store
from tilegc.io.tally import tallies

CODECS = (
    ("lz4", 5, "bitshuffle"),
    ("lz4", 5, "shuffle"),
    ("lz4", 1, "shuffle"),
    ("zstd", 1, "shuffle"),
    ("none", 0, "noshuffle"),
)
SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
ARRAYS = ("light", "detection", "density", "rho", "flags", "mask")
SIDE = 256
CHUNKS = (64, 128, 256, 512, 1024, 2048)
TILE = 2048
READS = ((TILE, 52), (256, 16))
"""Windows, and how far they look beyond: tiles, and the blocks of cells in which noise is measured."""


def measured(values: np.ndarray, codec: str, level: int, shuffle: str) -> tuple[float, float, float]:
    """Return the compressed share, and MB/s of both ways."""
    chunks = [
        np.ascontiguousarray(values[y : y + SIDE, x : x + SIDE])
        for y in range(0, values.shape[0] - SIDE + 1, SIDE)
        for x in range(0, values.shape[1] - SIDE + 1, SIDE)
    ]
    name = b"lz4" if codec == "none" else codec.encode()
    begun = time.process_time()
    packed = [blosc.compress(chunk, name, level, SHUFFLES[shuffle], 0) for chunk in chunks]
    between = time.process_time()
    buffer = np.empty_like(chunks[0])
    for piece in packed:
        blosc.decompress(piece, buffer)
    size = sum(chunk.nbytes for chunk in chunks)
    there, back = between - begun, time.process_time() - between
    return sum(map(len, packed)) / size, size / there / 1e6, size / back / 1e6


def windows(values: np.ndarray, name: str, chunk: int) -> tuple[float, list[tuple[float, float]]]:
    """Return ms to write a tile whose chunks are so long, and ms and MB decoded to read one in each of `READS`."""
    side = 2 * TILE
    whole = np.resize(values, (side, values.shape[1]))
    whole = np.ascontiguousarray(np.tile(whole, (1, -(-side // values.shape[1])))[:, :side])
    grid = TileGrid((side, side), TILE)
    arrays = [array for array in schema.ARRAYS if array.name == name]
    with tempfile.TemporaryDirectory() as place, patch.object(store, "inner_chunk", lambda _: chunk):
        path = f"{place}/f.zarr"
        store.create(path, arrays, shape=(side, side), bands=("a",), shard=TILE, attrs={})
        begun = time.process_time()
        for tile in grid.tiles():
            store.write(path, name, tile.core, whole[tile.core.slices])
        written = time.process_time() - begun
        read = []
        for length, halo in READS:
            before, begun = tallies().get(name), time.process_time()
            for window in TileGrid((side, side), length).tiles(halo):
                store.read(path, name, window.window)
            taken = time.process_time() - begun
            chunks = tallies()[name].chunks - (before.chunks if before else 0)
            read.append((1e3 * taken / len(grid), chunks * chunk**2 * whole.itemsize / len(grid) / 1e6))
    return 1e3 * written / len(grid), read


def main() -> None:
    """Print a table of arrays and codecs."""
    options = Parser(prog="python -m benchmarks.codecs", description=main.__doc__)
    options.add_argument("run", type=existing_folder, help="folder of a finished run")
    options.add_argument("--field", default="a")
    given = options.parse_args()
    path = f"{given.run}/store/{given.field}.zarr"
    if not Path(path).is_dir():
        options.error(f"{path}: no such store: give the folder of a finished run, and --field")
    height, width = store.attributes(path)["shape"]
    middle = Box(height // 4, width // 4, 3 * height // 4, 3 * width // 4)
    blosc.use_threads = False
    shown = Table("array", "codec", "share", "shrunk, MB/s", "back, MB/s", box=None)
    for array in ARRAYS:
        values = store.read(path, array, middle)
        for codec in CODECS:
            share, there, back = measured(values, *codec)
            shown.add_row(array, " ".join(map(str, codec)), f"{share:.3f}", f"{there:.0f}", f"{back:.0f}")
    console().print(shown)
    shown = Table("array", "chunk, px", "written, ms", box=None, title=f"A tile of {TILE} px")
    for length, halo in READS:
        shown.add_column(f"read in {length} + 2 x {halo} px, ms")
        shown.add_column("decoded, MB")
    for array in ("detection", "density", "mask"):
        values = store.read(path, array, middle)
        for chunk in CHUNKS:
            written, read = windows(values, array, chunk)
            cells = [text for taken, decoded in read for text in (f"{taken:.1f}", f"{decoded:.1f}")]
            shown.add_row(array, str(chunk), f"{written:.1f}", *cells)
    console().print(shown)


if __name__ == "__main__":
    main()
