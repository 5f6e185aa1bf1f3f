"""The sum of the bands, and where it counts (DESIGN 3.2)."""

from __future__ import annotations

import numpy as np

__all__ = ["add_bands"]


def add_bands(sci: np.ndarray, wht: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the bands and where it counts.

    Parameters
    ----------
    sci : float32 (band, y, x)
        nJy per pixel, in run-file order, which is the order of the sum.
    wht : float32 (band, y, x), optional
        A weight that is not above 0, NaN included, means no data.

    Returns
    -------
    light : float32 (y, x)
        NaN where any band has no data.
    valid : bool (y, x)
    """
    valid = np.isfinite(sci).all(axis=0)
    if wht is not None:
        valid &= (wht > 0).all(axis=0)
    light = sci[0].copy()
    for band in sci[1:]:
        light += band
    light[~valid] = np.nan
    return light, valid
