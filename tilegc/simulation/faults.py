"""Faults of real mosaics that can be added to a mock: stripes, wisps, an over-subtracted sky, saturated cores.

Each is a function of a pixel's place and of the seed, so that a mosaic is the same in any tiling. None of them is in
the error or weight images, as none is in those of a pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.simulation.deviates import hash2, normal

__all__ = ["CORES", "NO_FAULTS", "Faults", "stripes", "wisps"]

CORES = ("nan", "zero", "negative")
"""What the saturated cores of stars may hold."""

_AMPLIFIER = 512  # px: four read-outs side by side on a detector
_OCTAVES = 9
_TILT = math.radians(0.9)  # of the detectors against the mosaic's axes
_WISP_SHARE: Mapping[str, float] = {"F090W": 0.3, "F115W": 0.4, "F150W": 1.0, "F200W": 0.9}


@dataclass(frozen=True)
class Faults:
    """How strong each fault is; all are absent by default.

    Attributes
    ----------
    stripes : float
        Rms of 1/f stripes along the rows of the detector, in units of the noise of an empty pixel.
    wisps : float
        Peak of the brightest wisp in F150W, in the same unit.
    oversubtraction : float
        Share of the intracluster light that the sky subtraction has taken away too much: at 0 nothing is subtracted;
        above, all of that light and `oversubtraction` of it once more.
    cores : {"nan", "zero", "negative"}
        What saturated cores hold. With "nan" they have weight 0; with the others the weight is that of their
        surroundings, as in files of pipelines that do not flag them.
    """

    stripes: float = 0.0
    wisps: float = 0.0
    oversubtraction: float = 0.0
    cores: str = "nan"

    @property
    def additive(self) -> bool:
        """Whether any of them adds to the image."""
        return max(self.stripes, self.wisps, self.oversubtraction) > 0.0


NO_FAULTS = Faults()


@compiled
def octaves(key: np.uint64, row: int, block: int, number: int) -> float:
    """Return noise with a spectrum of about 1/f at a row, rms 1: values at rows 1, 2, 4, ... apart, joined linearly."""
    total = 0.0
    power = 0.0
    for n in range(number):
        length = 1 << n
        k = row // length
        t = (row - k * length) / length
        low = normal(hash2(key, k * 64 + n, block))
        if n == 0:
            total += low
            power += 1.0
            continue
        high = normal(hash2(key, (k + 1) * 64 + n, block))
        total += (1.0 - t) * low + t * high
        power += 2.0 / 3.0  # mean square of two unit deviates that are joined linearly
    return total / math.sqrt(power)


@compiled
def fill_stripes(
    out: NDArray[np.float64],
    key: np.uint64,
    y_start: int,
    x_start: int,
    turn: tuple[float, float],
    amplifier: int,
    number: int,
) -> None:
    """Fill with stripes of rms 1."""
    ny, nx = out.shape
    for j in range(ny):
        row, block, value = 0, 0, 0.0
        for i in range(nx):
            x, y = float(x_start + i), float(y_start + j)
            new_row = math.floor(turn[0] * y - turn[1] * x)
            new_block = math.floor((turn[0] * x + turn[1] * y) / amplifier)
            # a row crosses few stripes: hashes are only taken where it does
            if i == 0 or new_row != row or new_block != block:
                row, block = new_row, new_block
                value = octaves(key, row, block, number)
            out[j, i] = value


def stripes(key: np.uint64, y_start: int, x_start: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return 1/f stripes of rms 1 on a window.

    Parameters
    ----------
    key : uint64
        Stream of this field and band.
    y_start, x_start : int
        First pixel of the window.
    shape : tuple of int
        (ny, nx) of the window.
    """
    out = np.empty(shape)
    fill_stripes(out, key, y_start, x_start, (math.cos(_TILT), math.sin(_TILT)), _AMPLIFIER, _OCTAVES)
    return out


def wisps(
    band: str, size: tuple[int, int], y_start: int, x_start: int, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return wisps, scattered light in curved bands, on a window; the brightest peak in F150W is 1.

    Parameters
    ----------
    band : str
    size : tuple of int
        (nx, ny) of the field, which the wisps scale with.
    y_start, x_start : int
        First pixel of the window.
    shape : tuple of int
        (ny, nx) of the window.
    """
    side = float(min(size))
    u = (x_start + np.arange(shape[1]) - 0.5 * size[0])[None, :] / side
    v = (y_start + np.arange(shape[0]) - 0.5 * size[1])[:, None] / side
    out = np.zeros(shape)
    # three filaments along a parabola, each with an end and a waist of its own
    for peak, bend, shift, width, middle, length in (
        (1.0, 0.9, 0.12, 0.012, -0.22, 0.16),
        (0.7, 0.7, 0.16, 0.020, -0.28, 0.13),
        (0.5, -0.4, -0.20, 0.028, 0.27, 0.15),
    ):
        away = (v - shift - bend * (u - middle) ** 2) / (width * (1.0 + 1.5 * np.abs(u - middle)))
        along = (u - middle) / length
        out += peak * np.exp(-0.5 * away**2 - 0.5 * along**2) * (1.0 + 0.3 * np.sin(40.0 * u + 25.0 * v))
    return out * (_WISP_SHARE[band] / 1.3)
