"""Regions of one exactly repeated value: unobserved sky in files that mark it with a constant.

Noise never gives neighbouring floats the same value over any area, so a block of at least 25 pixels of one value, at
least 3 px wide, is missing data. Only such blocks seed a region, which then grows along pixels of the same value, so
that it includes the ragged border of a rotated footprint. Radius: `REACH` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "Texture", "joined", "repeated", "texture"]

Float32 = NDArray[np.float32]

# Elongated blocks catch strips along the edges of rotated footprints that are too narrow for a square.
BLOCKS: Final = ((5, 5), (3, 9), (9, 3))
"""Rows and columns of the smallest blocks of one value: at least 25 pixels, at least 3 px wide."""

# A block of 5 px cannot reach into a corner of the region narrower than itself; 4 px is what it misses.
GROWTH: Final = 4
"""Number of steps by which a region grows along pixels of its value."""

REACH: Final = max(max(block) for block in BLOCKS) - 1 + GROWTH
"""Radius in pixels of `repeated`."""

SHIFTS: Final = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def repeated(image: Float32) -> NDArray[np.bool_]:
    """Return the pixels of regions in which one value is exactly repeated.

    Parameters
    ----------
    image : (ny, nx) float32
        NaN and infinite values never belong to a region.

    Returns
    -------
    (ny, nx) bool
        Valid at pixels that are `REACH` pixels inside the image, or where the image ends with the field.
    """
    # Comparisons with NaN are false, so that a pixel without a value never equals its neighbour.
    values = np.where(np.isfinite(image), image, np.float32(np.nan))
    found = np.zeros(values.shape, np.bool_)
    across, down = values[:, 1:] == values[:, :-1], values[1:] == values[:-1]
    # Real noise has no equal neighbours at all, and this is the case for nearly every tile.
    if not across.any():
        return found
    for rows, columns in BLOCKS:
        if min(values.shape[0] - rows, values.shape[1] - columns) < 0:
            continue
        # A block has one value if all pairs of neighbouring pixels in it are equal.
        whole = _all(across, rows, columns - 1) & _all(down, rows - 1, columns)
        # `whole` marks the corner of each block; the block itself is the union of its shifts.
        for dy in range(rows):
            for dx in range(columns):
                found[dy : dy + whole.shape[0], dx : dx + whole.shape[1]] |= whole
    if not found.any():
        return found
    # Steps of one pixel, each only to a neighbour of the same value: growing by a radius would jump across
    # noisy pixels to isolated ones that happen to have this value.
    for _ in range(GROWTH):
        grown = found.copy()
        for dy, dx in SHIFTS:
            to = tuple(slice(max(d, 0), n + min(d, 0)) for d, n in zip((dy, dx), values.shape, strict=True))
            source = tuple(
                slice(max(-d, 0), n + min(-d, 0)) for d, n in zip((dy, dx), values.shape, strict=True)
            )
            grown[to] |= found[source] & (values[to] == values[source])
        found = grown
    return found


def _all(flags: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return whether all flags are set in the block that begins at each pixel."""
    # A summed-area table: the count in any block is four look-ups, whatever its size. In int64, exact.
    total = np.pad(np.cumsum(np.cumsum(flags, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    count = (
        total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]
    )
    whole: NDArray[np.bool_] = count == rows * columns
    return whole


ENOUGH: Final = 200
"""Minimum number of pixels outside repeated regions for a verdict."""

QUANTISED: Final = 0.4
"""Above this fraction of equal neighbours an image is quantised so coarsely that values repeat by chance."""

SMOOTH: Final = 0.3
"""Below this ratio of the step across the border of the regions to the steps elsewhere, an image has no noise."""


@dataclass(frozen=True)
class Texture:
    """Statistics around the repeated regions of an image, which distinguish missing data from missing noise."""

    n: int
    """Number of finite pixels."""
    n_repeated: int
    """Number of pixels in repeated regions."""
    equal: float
    """Fraction of horizontal neighbours outside the regions that are equal; 1 if there are none."""
    border: float
    """Median step across the border of the regions divided by the median step outside; infinite without a border."""

    @property
    def possible(self) -> bool:
        """Whether repeated regions, here or elsewhere in the image, are unobserved sky."""
        outside = self.n - self.n_repeated
        return outside >= ENOUGH and self.equal < QUANTISED and self.border > SMOOTH

    @property
    def unobserved(self) -> bool:
        """Whether the image has such regions."""
        return self.n_repeated > 0 and self.possible


def texture(image: Float32) -> Texture:
    """Measure the repeated regions of an image and their surroundings.

    Parameters
    ----------
    image : (ny, nx) float32
        The image.
    """
    finite = np.isfinite(image)
    inside = repeated(image)
    outside = finite & ~inside
    # A region that is missing data ends abruptly in noise, so the step across its border is at least as large
    # as those between other pixels. In a noiseless model (a smooth simulation, a saturated plateau) values
    # approach the constant gradually, and the steps there are smaller.
    step = np.abs(np.diff(np.where(finite, image, 0).astype(np.float64), axis=1))
    free = outside[:, 1:] & outside[:, :-1]
    rim = finite[:, 1:] & finite[:, :-1] & (inside[:, 1:] != inside[:, :-1])
    usual = float(np.median(step[free])) if free.any() else math.nan
    across = float(np.median(step[rim])) if rim.any() else math.inf
    equal = float((step[free] == 0).mean()) if free.any() else 1.0
    return Texture(int(finite.sum()), int(inside.sum()), equal, across / usual if usual > 0 else 0.0)


def joined(cells: Mapping[str, NDArray[Any]]) -> Texture:
    """Return the texture of an image from the textures of some of its cells.

    Parameters
    ----------
    cells : mapping
        n, n_repeated, equal and border of each cell.
    """
    # Cells are weighted by the pixels that the fraction was computed from; `fsum` because their order is not
    # fixed.
    outside = (cells["n"] - cells["n_repeated"]).astype(np.float64)
    total = math.fsum(outside)
    equal = math.fsum(outside * cells["equal"]) / total if total else 1.0
    border = cells["border"][np.isfinite(cells["border"]) & (outside > 0)]
    middle = float(np.median(border)) if border.size else math.inf
    return Texture(int(cells["n"].sum()), int(cells["n_repeated"].sum()), equal, middle)
