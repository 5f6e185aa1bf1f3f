"""Small arrays beside a field's maps: values on coarse lattices, and points by cell, read in windows.

They stand in the group `coarse` of a field's store. The driver writes them whole; a task reads the part that its
tile needs, so that no worker holds more of a field than that. They are means to an end: a resumed run writes them
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.deferred import Deferred
from tilegc.geometry import LATTICE, Box
from tilegc.io import shards

if TYPE_CHECKING:
    import zarr
    import zarr.codecs
else:
    zarr = Deferred("zarr")

__all__ = ["GROUP", "put_lattice", "put_points", "take_lattice", "take_points"]

GROUP: Final = "coarse"
"""Name of the group in a field's store."""

SIDE: Final = 256
"""Nodes along a chunk of a lattice."""

ROWS: Final = 65_536
"""Points in a chunk of a table."""


def put_lattice(path: str, name: str, nodes: Box, values: NDArray[Any]) -> None:
    """Write the values of a rectangle of nodes; by the driver alone.

    Parameters
    ----------
    path : str
        The field's store.
    name : str
        Of the array.
    nodes : Box
        In steps of the lattice; may begin below 0.
    values : array of the box's shape
    """
    _put(path, name, values, (SIDE, SIDE), {"first_node": [nodes.y0, nodes.x0]})


def take_lattice(path: str, name: str, nodes: Box) -> NDArray[Any]:
    """Return the values on a rectangle of nodes, 0 where there are none."""
    attributes, shape, dtype, values = _open(path, name)
    j0, i0 = (int(first) for first in attributes["first_node"])
    there = Box(j0, i0, j0 + shape[0], i0 + shape[1])
    # A tile's window reaches beyond the lattice at the edges of the field; nodes out there hold nothing.
    part = nodes.clip(there)
    out = np.zeros(nodes.shape, dtype)
    if part.size:
        rows, columns = part.within(there)
        out[part.within(nodes)] = values([(rows.start, rows.stop), (columns.start, columns.stop)])
    return out


def put_points(
    path: str, name: str, shape: tuple[int, int], y: NDArray[Any], x: NDArray[Any], **columns: NDArray[Any]
) -> NDArray[np.int64]:
    """Write a table of points on the pixels of a field; by the driver alone.

    Parameters
    ----------
    path, name : str
        The field's store; the first part of the arrays' names.
    shape : tuple of int
        Of the field.
    y, x : (n,) int
        Pixels.
    **columns : (n,) array
        What else is known of each.

    Returns
    -------
    (n,) int64
        The order in which the points are written, and always read: by lattice cell, row by row, then y, then x.
    """
    row, column = np.asarray(y) // LATTICE, np.asarray(x) // LATTICE
    # Sorted by cell, the points of a row of cells are one contiguous piece: a window reads a few pieces, not
    # the table.
    order = np.lexsort((x, y, column, row))
    across = -(-shape[1] // LATTICE)
    cell = (row * across + column)[order]
    starts = np.searchsorted(cell, np.arange(-(-shape[0] // LATTICE) * across + 1))
    _put(path, f"{name}_start", starts.astype(np.int64), (ROWS,), {"cells_across": across})
    for label, values in {"y": np.asarray(y, np.int32), "x": np.asarray(x, np.int32), **columns}.items():
        _put(path, f"{name}_{label}", values[order], (ROWS,), {})
    return order


def take_points(path: str, name: str, box: Box, *columns: str) -> tuple[NDArray[Any], ...]:
    """Return y, x and the columns named of the points in a box, which may reach beyond the field."""
    attributes, shape, _, values = _open(path, f"{name}_start")
    across = int(str(attributes["cells_across"]))
    starts = values([(0, shape[0])])
    down = (starts.size - 1) // max(across, 1)
    low, high = max(box.x0 // LATTICE, 0), min(-(-box.x1 // LATTICE), across)
    # One piece for each row of cells that the box touches. Cells at its border hold points outside of it,
    # dropped below.
    pieces = [
        (int(starts[row * across + low]), int(starts[row * across + high]))
        for row in range(max(box.y0 // LATTICE, 0), min(-(-box.y1 // LATTICE), down))
        if low < high
    ]
    found = []
    for label in ("y", "x", *columns):
        _, _, dtype, values = _open(path, f"{name}_{label}")
        found.append(
            np.concatenate(
                [values([piece]) for piece in pieces if piece[0] < piece[1]] or [np.zeros(0, dtype)]
            )
        )
    y, x = found[:2]
    inside = (y >= box.y0) & (y < box.y1) & (x >= box.x0) & (x < box.x1)
    return tuple(column[inside] for column in found)


def _put(
    path: str, name: str, values: NDArray[Any], chunks: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    group = zarr.open_group(f"{path}/{GROUP}", mode="a", zarr_format=3, use_consolidated=False)
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(min(side, length), 1) for side, length in zip(chunks, values.shape, strict=True)),
        dtype=values.dtype,
        fill_value=0,
        compressors=zarr.codecs.BloscCodec(
            cname="lz4", clevel=5, shuffle="bitshuffle", typesize=values.dtype.itemsize
        ),
        attributes=attributes,
        overwrite=True,
    )
    if values.size:
        array[...] = values


_Opened = tuple[
    Mapping[str, Any], tuple[int, ...], np.dtype[Any], Callable[[list[tuple[int, int]]], NDArray[Any]]
]


def _open(path: str, name: str) -> _Opened:
    """Return an array's attributes, shape and dtype, and a function that reads a window of it."""
    # The fast reader where it applies; Zarr for stores at URLs.
    known = shards.layout(path, f"{GROUP}/{name}")
    if known is not None:
        return known.attributes, known.shape, known.dtype, partial(shards.read, known)
    array = zarr.open_array(path, path=f"{GROUP}/{name}", mode="r", zarr_format=3)

    def values(window: list[tuple[int, int]]) -> NDArray[Any]:
        return np.asarray(array[tuple(slice(start, stop) for start, stop in window)])

    return dict(array.attrs), array.shape, array.dtype, values
