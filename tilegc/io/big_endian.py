"""Pixels as FITS holds them, big-endian float32, into nJy: swapped, scaled and cleaned in one go. Radius: 0."""

from __future__ import annotations

import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["physical"]

_NAN: Final = np.float32(np.nan)
_LARGEST: Final = np.finfo(np.float32).max
_SWAPPED: Final = sys.byteorder == "little"


def physical(raw: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return values times a factor, formed in float64 and rounded once.

    Parameters
    ----------
    raw : (ny, nx) big-endian float32
        C-contiguous.
    factor : float

    Returns
    -------
    (ny, nx) float32
        Native; what is not finite is the one canonical NaN.
    """
    if raw.dtype != np.dtype(">f4") or not raw.flags.c_contiguous:
        raise ValueError(f"contiguous big-endian float32 expected, got {raw.dtype}")
    # One loop over the pixels in place of four passes of NumPy (swap, convert, scale, clean), each of which
    # would read and write the whole window: reading plain FITS is bound by memory, not by arithmetic.
    pixels = np.empty(raw.shape, np.float32)
    _physical(raw.view(np.uint32), factor, pixels)
    return pixels


@compiled
def _physical(words: NDArray[np.uint32], factor: float, pixels: NDArray[np.float32]) -> None:
    for y in range(words.shape[0]):
        row, target = words[y], pixels[y]
        for x in range(row.size):
            word = row[x]
            if _SWAPPED:
                word = (
                    (word >> np.uint32(24))
                    | ((word >> np.uint32(8)) & np.uint32(0xFF00))
                    | ((word << np.uint32(8)) & np.uint32(0xFF0000))
                    | (word << np.uint32(24))
                )
            # The product is formed in float64 and rounded once, as the general path in `fits` does: both give
            # the same bits.
            value = np.float32(np.float64(np.uint32(word).view(np.float32)) * factor)
            # One comparison is false for NaN of any bits, for infinities, and for products that overflow
            # float32.
            target[x] = value if np.abs(value) <= _LARGEST else _NAN
