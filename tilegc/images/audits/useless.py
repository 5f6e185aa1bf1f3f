"""Errors and weights that say nothing where there is an image: negative weights, errors of zero or less.

Pixels without a positive weight are no data, which may take a large part of a field away; where an error is not
positive, nothing tells the noise. Either is usually a fault of the file, and neither shows in the image itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.images.audits.line import Line, rounded
from tilegc.io.fits import FieldSource

__all__ = ["KINDS", "useless_lines", "useless_pixels"]

KINDS: Final = ("negative weight", "error of zero", "negative error")

REMEDIES: Final = {
    "negative weight": "such pixels are treated as no data: give weights of 0 there, or the right file",
    "error of zero": "such errors are not used: give the mosaic's own error image, or leave err out of the run file",
    "negative error": "such errors are not used: give the mosaic's own error image, or leave err out of the run file",
}

SERIOUS: Final = 0.05
"""Share of the pixels with an image beyond which it is wrong rather than worth a look."""

Values = NDArray[np.float32]
Counts = dict[str, tuple[int, tuple[int, int, int, int]]]


def useless_pixels(sci: Values, wht: Values | None, err: Values | None, box: Box) -> tuple[int, Counts]:
    """Count the pixels of a cell whose weight or error says nothing.

    Parameters
    ----------
    sci : ndarray of float32 (y, x)
    wht, err : ndarray of float32 (y, x), optional
    box : Box
        Of the cell, in pixels of its field.

    Returns
    -------
    n : int
        Pixels with an image.
    counts : dict
        By kind that occurs: how many pixels, and the rows and columns (y0, x0, y1, x1) that hold them all, half-open.
    """
    image = np.isfinite(sci)
    found: dict[str, NDArray[np.bool_]] = {}
    if wht is not None:
        found["negative weight"] = image & (wht < 0)
    if err is not None:
        # A mosaic without data has errors of zero there: with a weight of zero, or a value of zero, nothing is wrong.
        seen = image & ((sci != 0) if wht is None else (wht > 0))
        found["error of zero"], found["negative error"] = seen & (err == 0), seen & (err < 0)
    counts: Counts = {}
    for kind, pixels in found.items():
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        if rows.size:
            corners = box.y0 + rows[0], box.x0 + columns[0], box.y0 + rows[-1] + 1, box.x0 + columns[-1] + 1
            counts[kind] = int(pixels.sum()), tuple(int(value) for value in corners)  # type: ignore[assignment]
    return int(image.sum()), counts


def useless_lines(source: FieldSource, cells: Mapping[int, Sequence[tuple[int, Counts]]]) -> Iterator[Line]:
    """Yield a line for every kind of useless weight or error in every band: what, where and how much.

    Parameters
    ----------
    source : FieldSource
    cells : mapping
        By number of the band, what `useless_pixels` found in the cells that were looked at.
    """
    for number, measured in sorted(cells.items()):
        total = sum(n for n, _ in measured)
        for kind in KINDS:
            hits = [counts[kind] for _, counts in measured if kind in counts]
            if not hits:
                continue
            share = sum(n for n, _ in hits) / total
            corners = np.array([corner for _, corner in hits])
            y0, x0 = (int(value) for value in corners[:, :2].min(axis=0))
            y1, x1 = (int(value) for value in corners[:, 2:].max(axis=0))
            yield Line(
                "useless",
                source.name,
                source.bands[number].name,
                rounded(share),
                "",
                "wrong" if share > SERIOUS else "look",
                f"{kind} at {100 * rounded(share, 2):g} % of the sampled pixels with an image, in rows "
                f"{y0} to {y1 - 1} and columns {x0} to {x1 - 1}",
                REMEDIES[kind],
            )
