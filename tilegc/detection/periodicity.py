"""The strongest periodicity in the positions of sources, against a Poisson field of the same density and mask.

Positions are counted in bins; what a smooth density under the same mask would give is taken away; the power of the
rest is exponential with mean 1 in every mode if the sources are independent of one another. Clustering and the
exclusion radius change that mean slowly with the wave number, so each mode is compared with those of like wave number;
a regular pattern stands out of them. Radius: the whole field.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

__all__ = ["BIN", "FEWEST", "Periodicity", "Room", "strongest_period"]

Float64 = NDArray[np.float64]

BIN = 4
"""Side of a bin, pixels: periods from twice this are seen."""

LONGEST = 256.0
"""Longest period, pixels."""

SMOOTH = 64.0
"""Sigma of the Gaussian that gives the smooth density, pixels: longer periods than about `LONGEST` are part of it."""

ALIKE = 1024
"""Modes of like wave number with which one is compared."""

FEWEST = 50
"""Sources without which positions are not searched."""


@dataclass(frozen=True)
class Periodicity:
    """The strongest mode; NaN where there is none to speak of."""

    period: float
    """Pixels."""
    angle: float
    """Of the wave vector, degrees from the x axis towards y, 0 to 180."""
    power: float
    """Over the mean of like modes."""
    false_alarm: float
    """Probability that the strongest of all modes of a Poisson field is as strong."""


NOTHING = Periodicity(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Room:
    """Where sources may lie: good pixels of every bin, and what all slices of sources need of them."""

    good: Float64
    """In each bin of `BIN` x `BIN` pixels, 0 to 16."""
    area: Float64
    """The same, smoothed."""

    @classmethod
    def of(cls, good: NDArray[np.uint8]) -> Room:
        """Return the room of good pixels (ny, nx), 0 to 16 in each bin."""
        whole = good.astype(np.float64)
        return cls(whole, _smooth(whole))


@dataclass(frozen=True, eq=False)
class _Modes:
    """The modes that are looked at, by rising wave number."""

    at: NDArray[np.int64]
    """Place in the transform."""
    wave: Float64
    ky: Float64
    kx: Float64


@lru_cache(maxsize=2)
def _modes(shape: tuple[int, int]) -> _Modes:
    ky = scipy.fft.fftfreq(shape[0], BIN)[:, None]
    kx = scipy.fft.rfftfreq(shape[1], BIN)[None, :]
    wave = np.hypot(ky, kx)
    # Of the modes with kx = 0, half are those of the other half again.
    used = (wave >= 1.0 / LONGEST) & ((kx > 0) | (ky > 0))
    number = wave[used]
    order = np.argsort(number, kind="stable")
    return _Modes(np.flatnonzero(used.ravel())[order], number[order], ky[:, 0], kx[0])


def strongest_period(y: ArrayLike, x: ArrayLike, good: NDArray[np.uint8] | Room) -> Periodicity:
    """Return the strongest periodicity of some positions.

    Parameters
    ----------
    y, x : (n,) int
        Pixels; two sources or more.
    good : (ny, nx) uint8, or Room
        Good pixels in each bin of `BIN` x `BIN` pixels, 0 to 16; a `Room` where several samples are asked about.

    Returns
    -------
    Periodicity
    """
    rows, columns = np.asarray(y, np.int64) // BIN, np.asarray(x, np.int64) // BIN
    if rows.size < 2 or min((good.good if isinstance(good, Room) else good).shape) < 8:
        return NOTHING
    room = good if isinstance(good, Room) else Room.of(good)
    height, width = room.good.shape
    shape = scipy.fft.next_fast_len(height, real=True), scipy.fft.next_fast_len(width, real=True)
    counts = np.bincount(rows * width + columns, minlength=room.good.size).reshape(height, width)
    # Without the mean the transform of the mask itself, with its straight edges, would be the strongest period.
    excess = counts - _smooth_density(counts.astype(np.float64), room)
    # Divided by the number of sources, the power of independent positions has the mean 1.
    power = np.abs(scipy.fft.rfft2(excess, shape)) ** 2 / rows.size
    modes = _modes(shape)
    relative = power.ravel()[modes.at]
    relative = relative / _like(relative)
    best = int(np.argmax(relative))
    row, column = divmod(int(modes.at[best]), modes.kx.size)
    angle = math.degrees(math.atan2(modes.ky[row], modes.kx[column])) % 180.0
    # 1 - (1 - exp(-p))^n for n independent modes, in the form that keeps digits where the probability is tiny.
    chance = -math.expm1(relative.size * math.log1p(-math.exp(-relative[best])))
    return Periodicity(1.0 / float(modes.wave[best]), angle, float(relative[best]), chance)


def _smooth_density(counts: Float64, room: Room) -> Float64:
    """Return what the smoothed counts per good pixel give in every bin."""
    good, area = room.good, room.area
    expected = np.where((good > 0) & (area > 0), _smooth(counts) / np.where(area > 0, area, 1.0), 0.0) * good
    total = expected.sum()
    # The expected counts must add up to those observed, or the zero mode leaks into its neighbours.
    scaled: Float64 = expected * (counts.sum() / total) if total > 0 else expected
    return scaled


def _smooth(values: Float64) -> Float64:
    """Return an image smoothed by a Gaussian of `SMOOTH` pixels, zeros round it."""
    # Padded by three sigma, since a transform is periodic: the opposite edge of the field must not contribute.
    reach = math.ceil(3 * SMOOTH / BIN)
    shape = [scipy.fft.next_fast_len(side + reach, real=True) for side in values.shape]
    sigma = SMOOTH / BIN
    gauss = [
        np.exp(-2.0 * (math.pi * sigma * f) ** 2)
        for f in (scipy.fft.fftfreq(shape[0]), scipy.fft.rfftfreq(shape[1]))
    ]
    whole: Float64 = scipy.fft.irfft2(
        scipy.fft.rfft2(values, shape) * (gauss[0][:, None] * gauss[1][None, :]), shape
    )
    return whole[: values.shape[0], : values.shape[1]]


def _like(power: Float64) -> Float64:
    """Return the mean power of the modes of like wave number, from their median, which no single mode moves."""
    groups = max(1, power.size // ALIKE)
    edges = np.linspace(0, power.size, groups + 1).astype(np.int64)
    mean = np.empty(power.size)
    for first, last in itertools.pairwise(edges):
        # The median of an exponential distribution is ln 2 times its mean.
        mean[first:last] = np.median(power[first:last]) / math.log(2.0)
    return np.maximum(mean, np.finfo(float).tiny)
