"""Random numbers that belong to a pixel, not to the order in which pixels are visited (algorithm.md, section 8).

A number is a hash of (seed, stream, realisation, y, x), so any tile, in any order and on any machine, draws the same
one. The hash is splitmix64 (Steele, Lea & Flood 2014), keyed again for each value; Poisson numbers are obtained by
inversion. Only integer operations and + - * / are used: the last bit of exp in the C library differs between CPUs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["LARGEST_RATE", "draw_counts", "draw_sources", "poisson", "uniform"]

LARGEST_RATE: Final = 500.0
"""Largest mean of a Poisson number: exp(-rate) must not underflow. (The mean of a crowded pixel is 0.01.)"""

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND: Final = np.uint64(0x94D049BB133111EB)
S30, S27, S31, S12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)

LN2: Final = 0.6931471805599453
# Horner's form from the smallest term outwards, so that rounding errors do not accumulate.
TERMS: Final = 18
"""Number of terms of the series of exp on [0, ln 2]: the first omitted term is below 1e-18."""


@compiled
def _key(key: np.uint64, value: int) -> np.uint64:
    """Return output number `value` of the splitmix64 sequence that starts at `key`."""
    state = key + GOLDEN * (np.uint64(value) + np.uint64(1))
    state = (state ^ (state >> S30)) * FIRST
    state = (state ^ (state >> S27)) * SECOND
    return state ^ (state >> S31)


@compiled
def uniform(seed: int, stream: int, realisation: int, y: int, x: int) -> float:
    """Return the uniform number in (0, 1) that belongs to these five integers.

    Parameters
    ----------
    seed, stream, realisation, y, x : int
        From 0 to 2^63 - 1. `stream` distinguishes fields: it is the CRC-32 of the field's name.

    Returns
    -------
    float
        An odd multiple of 2^-53: never 0, never 1.
    """
    return _unit(_key(_key(_key(_key(_key(np.uint64(0), seed), stream), realisation), y), x))


@compiled
def _unit(key: np.uint64) -> float:
    # 52 bits and a half: the middle of one of 2^52 equal intervals, so that neither end can occur.
    return (float(key >> S12) + 0.5) * 2.0**-52


@compiled
def _exp_minus(rate: float) -> float:
    """Return exp(-rate) for 0 <= rate <= 500, with a relative error of 2e-16 x (1 + rate), from + - * / alone."""
    # exp(-rate) = 2^-n exp(-rest): the series converges fast on the rest, and halving is exact.
    halvings = int(rate / LN2)
    rest = halvings * LN2 - rate  # in (-ln 2, 0], up to rounding
    result = 1.0
    for n in range(TERMS, 0, -1):
        result = 1.0 + result * rest / n
    for _ in range(halvings):
        result *= 0.5  # exact
    return result


@compiled
def poisson(rate: float, u: float) -> int:
    """Return the smallest k whose cumulative Poisson probability reaches `u`.

    Parameters
    ----------
    rate : float
        Mean, 0 to `LARGEST_RATE`.
    u : float
        Uniform number in (0, 1).

    Returns
    -------
    int
        0 or more; non-decreasing in `u` and `rate`, up to rounding.
    """
    if u <= 1.0 - rate:  # exp(-rate) > 1 - rate: a shortcut that settles nearly all pixels
        return 0
    probability = _exp_minus(rate)
    total = probability
    k = 0
    while u > total:
        k += 1
        probability *= rate / k
        if k > rate and total + probability == total:
            break  # by rounding, the sum stops increasing below u
        total += probability
    return k


def draw_counts(
    rate: NDArray[np.float64],
    select: NDArray[np.bool_],
    *,
    seed: int,
    stream: int,
    realisation: int,
    y0: int,
    x0: int,
) -> NDArray[np.int32]:
    """Return one realisation of Poisson counts on the selected pixels of a window.

    Parameters
    ----------
    rate : (ny, nx) float64
        Expected sources per pixel, 0 to `LARGEST_RATE` where selected.
    select : (ny, nx) bool
        Pixels on which to draw.
    seed, stream, realisation : int
        Arguments of `uniform`.
    y0, x0 : int
        Field coordinates of the first pixel of the window.

    Returns
    -------
    (ny, nx) int32
        Counts; 0 where not selected.

    Raises
    ------
    ValueError
        If a selected rate is negative, too large or not a number.
    """
    _check(rate, select, y0, x0)
    ys, xs = np.nonzero(select)
    counts = np.zeros(rate.shape, np.int32)
    counts[ys, xs] = _draw(rate[ys, xs].astype(np.float64), ys + y0, xs + x0, (seed, stream, realisation))
    return counts


def draw_sources(
    rate: NDArray[np.float64],
    select: NDArray[np.bool_],
    *,
    seed: int,
    stream: int,
    realisations: int,
    y0: int,
    x0: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return the sources of realisations 0, 1, ..., `realisations` - 1, one row per source.

    The counts are those of `draw_counts` for each realisation: a pixel with a count of k gives k rows.

    Returns
    -------
    realisation, y, x : (n,) int32
        Sorted in this order; y and x are field coordinates.

    Raises
    ------
    ValueError
        If a selected rate is negative, too large or not a number.
    """
    _check(rate, select, y0, x0)
    ys, xs = np.nonzero(select)
    rates = rate[ys, xs].astype(np.float64)
    ys, xs = ys + y0, xs + x0
    columns: list[tuple[NDArray[np.int64], ...]] = []
    for realisation in range(realisations):
        # Pixels that are masked are listed once for all realisations: only their numbers are drawn again.
        counts = _draw(rates, ys, xs, (seed, stream, realisation))
        hit = np.flatnonzero(counts)
        source = np.repeat(hit, counts[hit])
        columns.append((np.full(source.size, realisation), ys[source], xs[source]))
    number, y, x = (
        np.concatenate(parts).astype(np.int32) if parts else np.empty(0, np.int32)
        for parts in (zip(*columns, strict=True) if columns else ((), (), ()))
    )
    return number, y, x


@compiled
def _draw(
    rates: NDArray[np.float64],
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    drawing: tuple[int, int, int],
) -> NDArray[np.int32]:
    """Return the (n,) counts of the pixels (ys, xs) of the field; `drawing` is (seed, stream, realisation)."""
    # The part of the hash that all pixels of a realisation share.
    base = _key(_key(_key(np.uint64(0), drawing[0]), drawing[1]), drawing[2])
    counts = np.empty(rates.size, np.int32)
    for n in range(rates.size):
        counts[n] = poisson(rates[n], _unit(_key(_key(base, ys[n]), xs[n])))
    return counts


def _check(rate: NDArray[np.float64], select: NDArray[np.bool_], y0: int, x0: int) -> None:
    wrong = select & ~((rate >= 0) & (rate <= LARGEST_RATE))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise ValueError(
            f"Poisson draws: the rate at pixel (y, x) = ({y0 + y}, {x0 + x}) is {rate[y, x]:g}, but it must be "
            f"between 0 and {LARGEST_RATE:g} sources per pixel; check the density map there"
        )
