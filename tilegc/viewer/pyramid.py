"""Pyramids of tiles: every layer at full resolution and at successive halves of it, down to one tile.

A block of 2048 pixels is read once and gives tiles on three levels. Coarser levels fit in memory for any mosaic (a
64th of the pixels); the driver cuts them from the means returned with the blocks.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tilegc.engine import Engine, Unit
from tilegc.geometry import Box, Tile, TileGrid
from tilegc.places import Place
from tilegc.viewer.layers import Encoding, Layer, encode, read_layers
from tilegc.viewer.residuals import Model

__all__ = ["BLOCK", "TILE", "Encoded", "blocks", "levels", "write_pyramids", "write_script"]

TILE: Final = 512
"""Side of a tile in pixels."""

LEVELS: Final = 3
"""Number of levels written from a single block."""

BLOCK: Final = TILE * 2 ** (LEVELS - 1)

QUALITY: Final = 90
"""Quality of the JPEG tiles: their errors are below the noise of a pixel, but above what the eye distinguishes."""


Encoded = tuple[Layer, Encoding | None]
"""A layer and its encoding; None for a mask, whose bits are preserved."""


@dataclass(frozen=True)
class _Task:
    layers: tuple[Encoded, ...]
    box: Box
    model: Model | None = None
    """Sources whose light reaches the block."""


def levels(shape: tuple[int, int]) -> int:
    """Return the number of levels of an image; the last one is a single tile."""
    return 1 + max(0, int(np.ceil(np.log2(max(shape) / TILE))))


def write_script(path: Place, key: str, value: Any) -> None:
    """Write a value as a script that passes it to the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Sky.put({json.dumps(key)},{json.dumps(value, separators=(',', ':'))})\n")


def write_pyramids(
    view: Place,
    fields: Sequence[Sequence[Encoded]],
    engine: Engine,
    models: Mapping[str, Model | None] | None = None,
) -> None:
    """Write the tiles of all layers.

    Parameters
    ----------
    view : Place
        Directory of the viewer; tiles are written to `tiles/<field>/<layer>/<level>/<row>_<column>.js`.
    fields : sequence of sequences of (Layer, Encoding or None)
        The layers of each field.
    engine : Engine
        Engine that reads and encodes.
    models : mapping, optional
        Sources of every field, by its name, for layers of kind "residual".
    """
    units = [
        _unit(layers, tile, models or {}) for layers in fields for tile in blocks(layers[0][0].shape).tiles()
    ]
    coarse = {
        (layer.field, layer.name): np.zeros(
            [-(-side // 2**LEVELS) for side in layer.shape], np.uint8 if encoding is None else np.float32
        )
        for layers in fields
        for layer, encoding in layers
        if levels(layer.shape) > LEVELS
    }

    def gather(parts: list[tuple[str, str, int, int, NDArray[Any]]]) -> None:
        for field, name, y, x, values in parts:
            if (field, name) in coarse:
                coarse[field, name][y : y + values.shape[0], x : x + values.shape[1]] = values

    engine.run("view", _write_block, units, common=view, gather=gather)
    for layers in fields:
        for layer, encoding in layers:
            image = coarse.get((layer.field, layer.name))
            for level in range(LEVELS, levels(layer.shape)):
                assert image is not None
                _write_tiles(view, layer, encoding, image, level, 0, 0)
                image = _halved(image)


def blocks(shape: tuple[int, int]) -> TileGrid:
    """Return the blocks in which a field is read."""
    return TileGrid(shape, BLOCK)


def _unit(layers: Sequence[Encoded], tile: Tile, models: Mapping[str, Model | None]) -> Unit:
    field = layers[0][0].field
    model = models.get(field)
    near = None if model is None else model.near(tile.core)
    return Unit(f"{field}/{tile.index}", tile.core.size, _Task(tuple(layers), tile.core, near))


def _write_block(view: Place, task: _Task) -> list[tuple[str, str, int, int, NDArray[Any]]]:
    images = read_layers([layer for layer, _ in task.layers], task.box, task.model)
    coarse = []
    for (layer, encoding), pixels in zip(task.layers, images, strict=True):
        image = pixels
        for level in range(LEVELS):
            if level < levels(layer.shape):
                row, column = (start // (TILE * 2**level) for start in (task.box.y0, task.box.x0))
                _write_tiles(view, layer, encoding, image, level, row, column)
            image = _halved(image)
        coarse.append((layer.field, layer.name, task.box.y0 >> LEVELS, task.box.x0 >> LEVELS, image))
    return coarse


def _halved(image: NDArray[Any]) -> NDArray[Any]:
    """Return means of 2 x 2 pixels, ignoring those without data; for mask bits, their union."""
    height, width = image.shape
    if image.dtype == np.uint8:
        padded = np.pad(image, ((0, height % 2), (0, width % 2)))
        return np.asarray(
            padded[::2, ::2] | padded[1::2, ::2] | padded[::2, 1::2] | padded[1::2, 1::2], np.uint8
        )
    padded = np.pad(image, ((0, height % 2), (0, width % 2)), constant_values=np.nan)
    parts = [padded[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
    good = [np.isfinite(part) for part in parts]
    sums = np.sum([np.where(ok, part, np.float32(0)) for part, ok in zip(parts, good, strict=True)], axis=0)
    counts = np.sum(good, axis=0, dtype=np.float32)
    means: NDArray[np.float32] = np.full(good[0].shape, np.nan, np.float32)
    np.divide(sums, counts, out=means, where=np.asarray(counts) > 0)
    return means


def _write_tiles(
    view: Place,
    layer: Layer,
    encoding: Encoding | None,
    image: NDArray[Any],
    level: int,
    row: int,
    column: int,
) -> None:
    codes = image if encoding is None else encode(image, encoding)
    kind, options = ("PNG", {}) if encoding is None else ("JPEG", {"quality": QUALITY})
    for y in range(0, codes.shape[0], TILE):
        for x in range(0, codes.shape[1], TILE):
            packed = io.BytesIO()
            tile = np.ascontiguousarray(codes[y : y + TILE, x : x + TILE])
            Image.fromarray(tile).save(packed, kind, **options)
            key = f"tiles/{layer.field}/{layer.name}/{level}/{row + y // TILE}_{column + x // TILE}"
            value = {"type": f"image/{kind.lower()}", "data": base64.b64encode(packed.getvalue()).decode()}
            write_script(view / f"{key}.js", key, value)
