"""Uneven depth: parts of a mosaic that fewer exposures have seen.

A pattern is a list of patches. Each is a convex part of the field, bounded by straight lines at any angle, in which
the noise is larger by a factor, so that weights are smaller by its square; where patches overlap, factors multiply.
That is enough for all that dithers and overlapping visits leave in real mosaics: steps, the strips that run along
them, thin wedges between two edges, and dead columns. Bands are dithered by different amounts, so each band's pattern
is shifted by a few pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["Patch", "dead_column", "relative_weight", "step", "strip", "usual_pattern", "wedge"]

BAND_SHIFT: Mapping[str, tuple[float, float]] = {
    "F090W": (0.0, 0.0),
    "F115W": (7.0, -5.0),
    "F150W": (-6.0, 9.0),
    "F200W": (11.0, 4.0),
}
"""Shift (x, y) of each band's pattern, px."""

STRIP_WIDTH = 20.0
"""Width of a strip of intermediate depth, px."""

Side = tuple[float, float, float]


@dataclass(frozen=True)
class Patch:
    """A convex part of a field with noise of its own.

    Attributes
    ----------
    noise : float
        Factor on the noise, above 0; infinity where there is no data.
    sides : tuple of (angle, offset, pixels)
        Half-planes whose intersection is the patch. A pixel at (x, y) from the middle of the field belongs to one if
        ``x cos(angle) + y sin(angle) >= offset * side + pixels``, with the angle in degrees from the x axis towards y
        and `side` the shorter side of the field.
    """

    noise: float
    sides: tuple[Side, ...]


def step(angle: float, offset: float, noise: float) -> Patch:
    """Return a patch that covers everything beyond one straight line."""
    return Patch(noise, ((angle, offset, 0.0),))


def strip(angle: float, offset: float, noise: float, width: float = STRIP_WIDTH) -> Patch:
    """Return a strip of `width` pixels on the near side of the line that `step` would draw."""
    return Patch(noise, ((angle, offset, -width), (angle + 180.0, -offset, 0.0)))


def wedge(apex: tuple[float, float], angle: float, opening: float, noise: float) -> Patch:
    """Return a wedge.

    Parameters
    ----------
    apex : tuple of float
        Its tip (x, y), in units of the shorter side from the middle of the field.
    angle : float
        Direction from the tip into the wedge, degrees from the x axis towards y.
    opening : float
        Angle between its edges, degrees, below 180.
    noise : float
        Factor on the noise.
    """
    sides = []
    for normal in (angle + 90.0 - 0.5 * opening, angle - 90.0 + 0.5 * opening):
        radians = math.radians(normal)
        offset = apex[0] * math.cos(radians) + apex[1] * math.sin(radians)
        sides.append((normal, offset, 0.0))
    return Patch(noise, tuple(sides))


def dead_column(x: float, noise: float = math.inf, width: float = 1.0) -> Patch:
    """Return a column `width` pixels wide at `x`, in units of the shorter side from the middle of the field."""
    # open at one side, or a column that falls between two pixels would take both
    return Patch(noise, ((0.0, x, -0.5 * width), (180.0, -x, -0.5 * width + 1e-6)))


def usual_pattern(noise: float, *, beside: bool) -> tuple[Patch, ...]:
    """Return a pattern with one of everything.

    Parameters
    ----------
    noise : float
        Factor on the noise beyond the largest step. The others are its square root; a noise of 1 gives no pattern.
    beside : bool
        For the field beside the cluster: the lines run elsewhere.
    """
    if noise == 1.0:
        return ()
    between = math.sqrt(noise)
    if beside:
        return (
            step(197.0, 0.06, noise),
            strip(197.0, 0.06, between),
            wedge((-0.05, 0.31), 21.0, 9.0, noise),
            strip(71.0, -0.21, between),
            step(289.0, 0.30, between),
            dead_column(0.113),
            dead_column(-0.277, between),
        )
    return (
        step(62.0, 0.17, noise),
        strip(62.0, 0.17, between),
        wedge((-0.12, -0.10), 214.0, 8.0, noise),
        strip(131.0, 0.24, between),
        step(-78.0, 0.31, between),
        dead_column(-0.231),
        dead_column(0.187),
        dead_column(0.052, between),
    )


@compiled
def patch_weights(
    out: NDArray[np.float64],
    x: float,
    y: float,
    first: NDArray[np.int64],
    weight: NDArray[np.float64],
    cos: NDArray[np.float64],
    sin: NDArray[np.float64],
    least: NDArray[np.float64],
) -> None:
    """Fill with the product of the weights of all patches that hold a pixel.

    Sides ``first[p]`` to ``first[p + 1]`` bound patch p; (x, y) is the place of ``out[0, 0]`` from the field's middle.
    """
    ny, nx = out.shape
    for j in range(ny):
        v = y + j
        for i in range(nx):
            u = x + i
            product = 1.0
            for p in range(len(weight)):
                inside = True
                for s in range(first[p], first[p + 1]):
                    if cos[s] * u + sin[s] * v < least[s]:
                        inside = False
                        break
                if inside:
                    product *= weight[p]
            out[j, i] = product


def relative_weight(
    patches: Sequence[Patch],
    size: tuple[int, int],
    band: str,
    y_start: int,
    x_start: int,
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Return the weight of every pixel of a window relative to a field of even depth.

    Parameters
    ----------
    patches : sequence of Patch
    size : tuple of int
        (nx, ny) of the field.
    band : str
        Its shift is in `BAND_SHIFT`.
    y_start, x_start : int
        First pixel of the window.
    shape : tuple of int
        (ny, nx) of the window.

    Returns
    -------
    ndarray of float64, shape (ny, nx)
        1 where no patch is, 0 where there is no data.
    """
    out = np.ones(shape)
    if not patches:
        return out
    side = float(min(size))
    sides = np.array([line for patch in patches for line in patch.sides], np.float64)
    # rounded, so that lines along the axes are exact
    angle = np.radians(sides[:, 0])
    cos, sin = (np.asarray(np.round(f(angle), 12), np.float64) for f in (np.cos, np.sin))
    shift = BAND_SHIFT[band]
    patch_weights(
        out,
        x_start - 0.5 * (size[0] - 1) - shift[0],
        y_start - 0.5 * (size[1] - 1) - shift[1],
        np.cumsum([0, *(len(patch.sides) for patch in patches)]),
        np.array([patch.noise**-2.0 for patch in patches]),
        cos,
        sin,
        sides[:, 1] * side + sides[:, 2],
    )
    return out
