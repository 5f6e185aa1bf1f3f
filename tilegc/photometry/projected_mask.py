"""The masks of the fields on the grid of another band, whose pixels may be larger, shifted and turned.

A pixel of the band has the bits of the field's pixel that holds its centre. Where that is follows from the two WCS at
the nodes of a mesh that is the same for every window, and is bilinear between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.io import store
from tilegc.schema import Bit
from tilegc.sky import pixel_to_world, world_to_pixel

__all__ = ["FieldMask", "projected"]

MESH: Final = 32
"""Pixels of the band between nodes."""

LIGHT: Final = Bit.BRIGHT | Bit.EXTENDED | Bit.SPIKE | Bit.ARC
"""Bits that say what is on the sky; the others say what a mosaic lacks."""


@dataclass(frozen=True)
class FieldMask:
    """Where the mask of a field is."""

    store: str
    wcs: str
    shape: tuple[int, int]


def projected(wcs: str, window: Box, masks: Sequence[FieldMask]) -> NDArray[np.uint8]:
    """Return the bits `LIGHT` of all fields in a window of another band, uint8 (ny, nx).

    Parameters
    ----------
    wcs : str
        Of the band, as `sky.wcs_from_text` takes it.
    window : Box
        Pixels of the band.
    masks : sequence of FieldMask
    """
    out = np.zeros(window.shape, np.uint8)
    # Nodes at fixed pixels of the band: a pixel's place in the field has the same bits in any window.
    first = window.y0 // MESH, window.x0 // MESH
    nodes = [
        np.arange(start, stop + 1.0) * MESH
        for start, stop in zip(first, (-(-window.y1 // MESH), -(-window.x1 // MESH)), strict=True)
    ]
    ra, dec = pixel_to_world(wcs, *np.meshgrid(*nodes, indexing="ij"))
    down, across = (
        np.divmod(np.arange(start, stop), MESH)
        for start, stop in ((window.y0, window.y1), (window.x0, window.x1))
    )
    j, i = down[0] - first[0], across[0] - first[1]
    t, s = (down[1] / MESH)[:, None], across[1] / MESH
    for mask in masks:
        places = []
        for node in world_to_pixel(mask.wcs, ra, dec):
            line = (1 - t) * node[j] + t * node[j + 1]
            left, right = line[:, i], line[:, i + 1]
            places.append(np.floor((1 - s) * left + s * right + 0.5))
        y, x = places
        inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
        if not inside.any():
            continue
        row, column = y[inside].astype(np.int64), x[inside].astype(np.int64)
        # Only the part of the field's mask that the window touches is read.
        box = Box(int(row.min()), int(column.min()), int(row.max()) + 1, int(column.max()) + 1)
        bits = store.read(mask.store, "mask", box)
        out[inside] |= bits[row - box.y0, column - box.x0] & np.uint8(LIGHT)
    return out
