"""Sky offsets of a field's pixels on a coarse mesh of nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mesh"]


@dataclass(frozen=True)
class Mesh:
    """Offsets from the cluster's centre at every `step`-th pixel; node (j, i) is pixel (step j, step i)."""

    step: int
    """Distance of the nodes, pixels."""
    xi: NDArray[np.float64]
    """Offsets to the east, arcsec, shape (my, mx)."""
    eta: NDArray[np.float64]
    """Offsets to the north, arcsec, shape (my, mx)."""
