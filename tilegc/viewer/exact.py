"""Exact pixels of a run for the viewer's own server: what the analysis read, and not the bytes of the tiles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.errors import InputError
from tilegc.geometry import Box
from tilegc.viewer.layers import Layer, layers_of, read_layers
from tilegc.viewer.residuals import Model, model_of

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["LARGEST", "Pixels", "exact_pixels"]

LARGEST: Final = 512
"""Largest side of a window in pixels."""

Pixels = Callable[[str, str, Box], NDArray[np.float32]]
"""Pixels of a field and layer in a window."""


def exact_pixels(run: Run) -> Pixels:
    """Return a function that reads pixels of any layer of the viewer.

    Parameters
    ----------
    run : Run

    Returns
    -------
    callable
        `(field, layer, box) -> float32 (ny, nx)`; NaN where there are no data. It raises `InputError` for an unknown
        field or layer, and for a window that leaves the field or is larger than `LARGEST`.
    """
    known: dict[str, tuple[dict[str, Layer], Model | None]] = {}
    # A server answers in threads, and readers of FITS files are not made for several of them.
    one_at_a_time = threading.Lock()

    def read(field: str, name: str, box: Box) -> NDArray[np.float32]:
        with one_at_a_time:
            if field not in run.fields:
                raise InputError(f"field {field!r} does not exist")
            if field not in known:
                model = model_of(run, field)
                found = layers_of(run, field, () if model is None else model.bands)
                known[field] = {layer.name: layer for layer in found}, model
            layers, model = known[field]
            if name not in layers:
                raise InputError(f"layer {name!r} does not exist")
            height, width = layers[name].shape
            inside = 0 <= box.y0 < box.y1 <= height and 0 <= box.x0 < box.x1 <= width
            if not inside or max(box.shape) > LARGEST:
                raise InputError(f"the window must lie in the field and be at most {LARGEST} px wide")
            return np.asarray(read_layers([layers[name]], box, model)[0], np.float32)

    return read
