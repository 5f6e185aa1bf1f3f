"""The sum of the bands and where it counts, in one way through the pixels (algorithm.md, section 4). Radius: 0."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["add_bands"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

_NAN: Final = np.float32(np.nan)


def add_bands(sci: Float32, wht: Float32 | None) -> tuple[Float32, Bool]:
    """Return the sum of the bands and where it counts.

    Parameters
    ----------
    sci : (band, y, x) float32
        In the order of the sum, which is in float32.
    wht : (band, y, x) float32, optional
        A weight that is not above 0, NaN included, means no data.

    Returns
    -------
    light : (y, x) float32
        NaN where any band, or the sum, is not finite, or where a band has no weight.
    valid : (y, x) bool
    """
    light, valid = np.empty(sci.shape[1:], np.float32), np.empty(sci.shape[1:], np.bool_)
    sci = np.require(sci, np.float32, PLAIN)
    # An array of no bands where there are no weights: the compiled loop then needs no second version.
    weights = np.empty((0, *light.shape), np.float32) if wht is None else np.require(wht, np.float32, PLAIN)
    _add(sci, weights, light, valid)
    return light, valid


@compiled
def _add(sci: Float32, wht: Float32, light: Float32, valid: Bool) -> None:
    width = light.shape[1]
    for y in range(light.shape[0]):
        total, counts = light[y], valid[y]
        for x in range(width):
            total[x] = sci[0, y, x]
            counts[x] = np.isfinite(sci[0, y, x])
        # Bands outside, columns inside, row by row: each pixel sums its bands in the order of the run file, and
        # the row stays in the cache.
        for band in range(1, sci.shape[0]):
            row = sci[band, y]
            for x in range(width):
                total[x] += row[x]
                counts[x] &= np.isfinite(row[x])
        for band in range(wht.shape[0]):
            row = wht[band, y]
            for x in range(width):
                counts[x] &= row[x] > 0
        for x in range(width):
            # Bands that are finite may add up to infinity, which no later sum could take.
            counts[x] &= np.isfinite(total[x])
            if not counts[x]:
                total[x] = _NAN
