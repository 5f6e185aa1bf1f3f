"""Windows read and written without Zarr, compared with Zarr."""

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from tilegc.geometry import Box, TileGrid
from tilegc.io import shards, store
from tilegc.io.tally import Tally, tallies
from tilegc.run_folder.layout import is_ours
from tilegc.schema import ARRAYS

BANDS = ("F090W", "F200W")
NAMES = ("mask", "detection", "sci")


def made(folder: Path, shape: tuple[int, int], shard: int) -> str:
    path = str(folder / "f.zarr")
    wanted = [array for array in ARRAYS if array.name in NAMES]
    store.create(path, wanted, shape=shape, bands=BANDS, shard=shard, attrs={})
    return path


def noise(name: str, shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if name == "mask":
        return rng.integers(0, 64, shape).astype(np.uint8)
    values = rng.normal(size=shape).astype(np.float32)
    values[rng.random(shape) < 0.1] = np.nan
    values[: shape[0] // 2, : shape[1] // 2] = np.nan  # whole chunks of nothing
    return values


@pytest.mark.parametrize(("shape", "shard"), [((350, 411), 300), ((90, 70), 32), ((300, 333), 260)])
def test_what_is_written_is_what_zarr_reads_and_the_other_way_round(tmp_path, shape, shard) -> None:
    ours, theirs = made(tmp_path / "ours", shape, shard), made(tmp_path / "theirs", shape, shard)
    images = {name: noise(name, shape) for name in NAMES}
    for name, image in images.items():
        band = 1 if name == "sci" else None
        for tile in TileGrid(shape, shard).tiles():
            store.write(ours, name, tile.core, image[tile.core.slices], band)
        whole = zarr.open_array(theirs, path=name, mode="r+")
        whole[(1,) if name == "sci" else ...] = image
        read = np.asarray(zarr.open_array(ours, path=name, mode="r")[(1,) if name == "sci" else ...])
        assert read.tobytes() == image.tobytes()
        rng = np.random.default_rng(3)
        for _ in range(12):
            y0, x0 = (int(rng.integers(0, side)) for side in shape)
            box = Box(y0, x0, int(rng.integers(y0, shape[0])) + 1, int(rng.integers(x0, shape[1])) + 1)
            for path in (ours, theirs):
                assert store.read(path, name, box, band).tobytes() == image[box.slices].tobytes()
    both = store.read(ours, "sci", Box(0, 0, *shape))
    assert both.shape == (2, *shape)
    assert np.isnan(both[0]).all()
    files = [
        {file.relative_to(path): file.stat().st_size for file in Path(path).rglob("*") if "c" in file.parts}
        for path in (ours, theirs)
    ]
    assert set(files[0]) == set(files[1])  # neither writes a file that holds nothing


def test_an_array_that_zarr_alone_can_read_is_left_to_it(tmp_path) -> None:
    path = str(tmp_path / "f.zarr")
    group = zarr.open_group(path, mode="w", zarr_format=3)
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    group.create_array("detection", shape=(8, 8), chunks=(4, 4), dtype="f4", compressors=None)[...] = image
    assert shards.layout(path, "detection") is None
    assert shards.layout(path, "absent") is None
    assert (store.read(path, "detection", Box(1, 2, 5, 7)) == image[1:5, 2:7]).all()


@pytest.mark.parametrize("place", ["index", "chunk", "cut"])
def test_a_damaged_file_is_named(tmp_path, place) -> None:
    shape = (600, 600)
    path = made(tmp_path, shape, 300)
    store.write(path, "mask", Box(0, 0, *shape), noise("mask", shape))
    file = Path(path, "mask", "c", "1", "0")
    content = bytearray(file.read_bytes())
    content[{"index": -9, "chunk": 5, "cut": 0}[place]] ^= 0xFF
    file.write_bytes(content[:-30] if place == "cut" else content)
    assert store.read(path, "mask", Box(0, 0, 300, 300)).any()
    with pytest.raises(OSError, match=r"mask/c/1/0: damaged"):
        store.read(path, "mask", Box(100, 0, 400, 100))


def test_a_file_that_a_killed_process_leaves_is_ours_to_remove(tmp_path, monkeypatch) -> None:
    """A process killed between writing and renaming leaves a file; resuming removes what `is_ours` names."""
    path = made(tmp_path / "store", (90, 70), 32)

    def killed(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(os, "unlink", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        store.write(path, "mask", Box(0, 0, 32, 32), noise("mask", (32, 32)))
    (left,) = tmp_path.rglob("*.partial")
    assert is_ours(left.relative_to(tmp_path).as_posix(), ["f"])


def test_what_is_read_is_counted(tmp_path) -> None:
    """A window of 60 x 60 px over four chunks of 150 px of four shards of 300."""
    path = made(tmp_path, (600, 600), 300)
    store.write(path, "mask", Box(0, 0, 600, 600), noise("mask", (600, 600)))
    before = tallies().get("mask", Tally())
    store.read(path, "mask", Box(270, 270, 330, 330))
    read = tallies()["mask"] - before
    assert (read.windows, read.chunks, read.pixels) == (1, 4, 3600)
    index = [
        np.frombuffer(Path(path, "mask", "c", *place).read_bytes()[-68:-4], "<u8").reshape(2, 2, 2)
        for place in ("00", "01", "10", "11")
    ]
    near = (index[0][1, 1], index[1][1, 0], index[2][0, 1], index[3][0, 0])
    assert read.bytes == sum(int(length) for _, length in near)
