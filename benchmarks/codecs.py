"""How fast the store's arrays shrink and come back, by codec: `python -m benchmarks.codecs RUN_DIR`.

Seconds are those of the processor, so that other work on the machine counts little.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numcodecs import blosc
from rich.table import Table

from benchmarks.command_line import Parser, existing_folder
from benchmarks.measure import console
from tilegc.geometry import Box
from tilegc.io import store

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


if __name__ == "__main__":
    main()
