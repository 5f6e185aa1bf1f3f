"""How many pixels have which value of the mask, by distance from the cluster's centre: integer counts of a tile.

One table of counts per annulus and value holds everything that is said of masked areas; tiles add up in any order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels.mesh import Mesh, offsets

__all__ = ["VALUES", "annulus_of", "count_masks"]

VALUES: Final = 256
"""Values that a mask of uint8 can have."""

BORDER: Final = 1e-9
"""Share by which the square of a radius may miss that of the edge on which it lies."""

STRIP: Final = 256
"""Rows that are counted at a time, to bound memory: of no influence on the counts."""


def annulus_of(
    xi: NDArray[np.float64], eta: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the annulus of some places.

    Parameters
    ----------
    xi, eta : float64
        Offsets from the cluster's centre, arcsec.
    edges : (n,) float64
        Rising radii above 0, arcsec. A place within 1e-9 below the square of one lies on it: the last bit of an
        offset, which differs between CPUs, must not decide.

    Returns
    -------
    int64
        0 within the first edge, n from the last one on.
    """
    # Squares are compared, so that no square root is taken for every pixel of a mosaic.
    return np.searchsorted(edges * edges * (1 - BORDER), xi * xi + eta * eta, side="right").astype(np.int64)


def count_masks(
    mesh: Mesh, box: Box, mask: NDArray[np.uint8], edges: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Count a tile's pixels by annulus and value of the mask.

    Parameters
    ----------
    mesh : Mesh
        Of the field.
    box : Box
        The tile's core.
    mask : (ny, nx) uint8
        Bits of `tilegc.schema.Bit`.
    edges : (n,) float64
        As `annulus_of` takes them.

    Returns
    -------
    (n + 1, 256) int64

    Raises
    ------
    ValueError
        If the mask is not of the box's shape.
    """
    if mask.shape != box.shape:
        raise ValueError(f"masked area: a mask {mask.shape} for a box {box.shape}")
    counts = np.zeros((len(edges) + 1) * VALUES, np.int64)
    for y0 in range(box.y0, box.y1, STRIP):
        strip = Box(y0, box.x0, min(y0 + STRIP, box.y1), box.x1)
        annulus = annulus_of(*offsets(mesh, strip), edges)
        values = mask[strip.y0 - box.y0 : strip.y1 - box.y0]
        # One histogram of the pair (annulus, value) in place of a mask for each bit and annulus: every share
        # that is ever asked for follows from these integers.
        counts += np.bincount((annulus * VALUES + values).ravel(), minlength=counts.size)
    return counts.reshape(-1, VALUES)
