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
from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.viewer.halving import halved
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

WEBP_QUALITY: Final = 80
"""Quality of the WebP tiles, whose errors are then those of the JPEGs: 3.9 codes in noise, in two thirds of the bytes,
but with five times the processor time."""

Encoded = tuple[Layer, Encoding | None]
"""A layer and its encoding; None for a mask, whose bits are preserved."""


@dataclass(frozen=True)
class _Task:
    layers: tuple[Encoded, ...]
    box: Box
    model: Model | None = None
    """Sources whose light reaches the block."""
    webp: bool = False
    """Whether the tiles are written as WebP, too."""


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
    *,
    webp: bool = False,
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
    webp : bool
        Also write the tiles as WebP files, half the size of the scripts, for a web server.
    """
    units = [
        _unit(layers, tile, models or {}, webp=webp)
        for layers in fields
        for tile in blocks(layers[0][0].shape).tiles()
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
                _write_tiles(view, layer, encoding, image, level, (0, 0), webp=webp)
                image = halved(image)


def blocks(shape: tuple[int, int]) -> TileGrid:
    """Return the blocks in which a field is read."""
    return TileGrid(shape, BLOCK)


def _unit(layers: Sequence[Encoded], tile: Tile, models: Mapping[str, Model | None], *, webp: bool) -> Unit:
    field = layers[0][0].field
    model = models.get(field)
    near = None if model is None else model.near(tile.core)
    return Unit(f"{field}/{tile.index}", tile.core.size, _Task(tuple(layers), tile.core, near, webp))


def _write_block(view: Place, task: _Task) -> list[tuple[str, str, int, int, NDArray[Any]]]:
    images = read_layers([layer for layer, _ in task.layers], task.box, task.model)
    coarse = []
    for (layer, encoding), pixels in zip(task.layers, images, strict=True):
        image = pixels
        for level in range(LEVELS):
            if level < levels(layer.shape):
                first = task.box.y0 // (TILE * 2**level), task.box.x0 // (TILE * 2**level)
                _write_tiles(view, layer, encoding, image, level, first, webp=task.webp)
            image = halved(image)
        coarse.append((layer.field, layer.name, task.box.y0 >> LEVELS, task.box.x0 >> LEVELS, image))
    return coarse


def _write_tiles(
    view: Place,
    layer: Layer,
    encoding: Encoding | None,
    image: NDArray[Any],
    level: int,
    first: tuple[int, int],
    *,
    webp: bool,
) -> None:
    """Write the tiles of an image on one level; `first` is the row and column of its first tile."""
    codes = image if encoding is None else encode(image, encoding)
    kind = "PNG" if encoding is None else "JPEG"
    for y in range(0, codes.shape[0], TILE):
        for x in range(0, codes.shape[1], TILE):
            tile = Image.fromarray(np.ascontiguousarray(codes[y : y + TILE, x : x + TILE]))
            row, column = first[0] + y // TILE, first[1] + x // TILE
            key = f"tiles/{layer.field}/{layer.name}/{level}/{row}_{column}"
            content = base64.b64encode(_packed(tile, kind)).decode()
            write_script(view / f"{key}.js", key, {"type": f"image/{kind.lower()}", "data": content})
            if webp:
                write_bytes(view / f"{key}.webp", _packed(tile, "WEBP", lossless=encoding is None))


def _packed(tile: Image.Image, kind: str, *, lossless: bool = False) -> bytes:
    """Return a tile as a file."""
    options: dict[str, Any] = {"JPEG": {"quality": QUALITY}, "PNG": {}}.get(kind, {})
    if kind == "WEBP":
        options = {"lossless": True} if lossless else {"quality": WEBP_QUALITY, "method": 0}
    packed = io.BytesIO()
    tile.save(packed, kind, **options)
    return packed.getvalue()
