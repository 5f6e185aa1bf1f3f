"""Images at half their size: means of what has data, unions of mask bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["halved"]


def halved(image: NDArray[Any]) -> NDArray[Any]:
    """Return means of 2 x 2 pixels, ignoring those without data; for mask bits, their union.

    Parameters
    ----------
    image : (ny, nx) float32 or uint8
        Values with NaN for no data, or bits.

    Returns
    -------
    (ceil(ny / 2), ceil(nx / 2)) float32 or uint8
    """
    if image.dtype == np.uint8:
        height, width = image.shape
        padded = np.pad(image, ((0, height % 2), (0, width % 2)))
        return np.asarray(
            padded[::2, ::2] | padded[1::2, ::2] | padded[::2, 1::2] | padded[1::2, 1::2], np.uint8
        )
    return np.asarray(_halved(np.require(image, np.float32, PLAIN)))


# NumPy would write ten temporary images for every level; this loop writes none.
@compiled
def _halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = image.shape
    out = np.empty(((height + 1) // 2, (width + 1) // 2), np.float32)
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            total, count = np.float32(0.0), np.float32(0.0)
            for y in range(2 * j, min(2 * j + 2, height)):
                for x in range(2 * i, min(2 * i + 2, width)):
                    if np.isfinite(image[y, x]):
                        total += image[y, x]
                        count += np.float32(1.0)
            out[j, i] = total / count if count > 0 else np.float32(np.nan)
    return out
