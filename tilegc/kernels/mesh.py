"""Sky coordinates of all pixels from those of a coarse mesh (algorithm.md, section 9).

The WCS is evaluated at every 64th pixel only, and offsets are bilinear in between: evaluating it at every pixel would
take longer than the whole detection. The nodes are at fixed pixels of the field, so a pixel's coordinates have the
same bits in any tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["STEP", "Mesh", "nodes", "offsets", "offsets_at"]

STEP: Final = 64
"""Spacing of the nodes in pixels: for mosaics on a tangent plane of a few arcmin the bilinear error is 1e-6 px."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Sky offsets of the pixels (j step, i step) of a field, for j and i from 0."""

    xi: NDArray[np.float64]
    """(my, mx) offsets in arcsec east of the cluster centre, on the tangent plane."""
    eta: NDArray[np.float64]
    """(my, mx) offsets in arcsec north of it."""
    step: int = STEP
    """Spacing of the nodes in pixels."""

    def __post_init__(self) -> None:
        if self.xi.shape != self.eta.shape or self.xi.ndim != 2 or self.step < 1:
            raise ValueError(
                f"mesh: xi {self.xi.shape} and eta {self.eta.shape} must be 2-D and of one shape"
            )
        # Projections have no inverse far from their centre. A NaN at one node would spread over a whole cell
        # of pixels, and sources there would silently have no position.
        if not (np.isfinite(self.xi).all() and np.isfinite(self.eta).all()):
            raise ValueError(
                "mesh: the WCS gives no sky position for some pixels; check the header of the field"
            )
        object.__setattr__(self, "xi", np.require(self.xi, np.float64, PLAIN))
        object.__setattr__(self, "eta", np.require(self.eta, np.float64, PLAIN))

    def covers(self, box: Box) -> bool:
        """Return whether every pixel of the box lies between nodes."""
        rows, columns = ((size - 1) * self.step for size in self.xi.shape)
        return box.y0 >= 0 and box.x0 >= 0 and box.y1 <= rows and box.x1 <= columns


def nodes(shape: tuple[int, int], step: int = STEP) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and the columns of the pixels at which a mesh over a field of this shape has nodes.

    They range from pixel 0 to the first node at or beyond the end of the field, one more than the last pixel
    requires.
    """
    # Interpolation reads the node after a pixel's cell, which for the last pixel may lie beyond the field; a
    # WCS has values there, too.
    rows, columns = (np.arange(-(-size // step) + 1, dtype=np.int64) * step for size in shape)
    return rows, columns


def offsets(mesh: Mesh, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sky offsets of the centres of all pixels of a box.

    Returns
    -------
    xi, eta : (ny, nx) float64
        Offsets in arcsec.

    Raises
    ------
    ValueError
        If the box extends beyond the mesh.
    """
    if not mesh.covers(box):
        raise ValueError(f"mesh: {box} extends beyond its {mesh.xi.shape} nodes, spaced by {mesh.step} px")
    return (
        _bilinear(mesh.xi, mesh.step, (box.y0, box.x0), box.shape),
        _bilinear(mesh.eta, mesh.step, (box.y0, box.x0), box.shape),
    )


def offsets_at(
    mesh: Mesh, y: NDArray[np.integer], x: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sky offsets of the centres of individual pixels, with the same bits as `offsets`.

    Parameters
    ----------
    mesh : Mesh
        Sky coordinates of the field.
    y, x : (n,) int
        Pixels of the field.

    Returns
    -------
    xi, eta : (n,) float64
        Offsets in arcsec.
    """
    j, i = np.asarray(y, np.int64) // mesh.step, np.asarray(x, np.int64) // mesh.step
    down, right = (y - j * mesh.step) / mesh.step, (x - i * mesh.step) / mesh.step

    def between(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # First along y, then along x, in the same form as the compiled loop: a + t (b - a) and (1 - t) a + t
        # b differ in the last bit, and catalogue positions must equal those of the pixels.
        left = values[j, i] + down * (values[j + 1, i] - values[j, i])
        other = values[j, i + 1] + down * (values[j + 1, i + 1] - values[j, i + 1])
        point: NDArray[np.float64] = left + right * (other - left)
        return point

    return between(mesh.xi), between(mesh.eta)


@compiled
def _bilinear(
    values: NDArray[np.float64], step: int, corner: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the values at pixels, (ny, nx); at a node exactly the value of the node."""
    height, width = shape
    result = np.empty((height, width))
    first, last = corner[1] // step, (corner[1] + width - 1) // step + 1
    along = np.empty(last + 1)
    for row in range(height):
        y = corner[0] + row
        j = y // step
        part = (y - j * step) / step
        # Interpolate the few nodes of a row along y once, instead of at each of the 64 pixels between two
        # nodes.
        for i in range(first, last + 1):
            along[i] = values[j, i] + part * (values[j + 1, i] - values[j, i])
        for column in range(width):
            x = corner[1] + column
            i = x // step
            result[row, column] = along[i] + (x - i * step) / step * (along[i + 1] - along[i])
    return result
