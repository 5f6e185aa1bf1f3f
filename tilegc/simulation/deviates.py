"""Random numbers that are functions of a place, never of the order in which places are visited.

A stream is a 64-bit key made of the seed and of names; a number is a hash of the key and of integer
coordinates (SplitMix64's finaliser, Steele, Lea & Flood 2014, applied once per coordinate). So a
pixel's noise and a sky cell's objects are the same for any tile size, number of threads or order.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["cell_counts", "cell_normals", "cell_uniforms", "hash2", "normal", "stream_key", "uniform"]

_ODD_1 = np.uint64(0x9E3779B97F4A7C15)
_ODD_2 = np.uint64(0xD1B54A32D192ED03)
_ODD_3 = np.uint64(0x8CB92BA72F3D8DD7)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53
_LARGE_MEAN = 600.0  # beyond it exp(-mean) nears underflow and a rounded normal is as good as Poisson


def stream_key(seed: int, *names: str) -> np.uint64:
    """Return the 64-bit key of a stream of random numbers.

    Parameters
    ----------
    seed : int
        The simulation's seed.
    *names : str
        What the numbers are for, such as ``"noise", "a", "F150W"``.
    """
    text = "\x1f".join([str(int(seed)), *names])
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


@compiled
def mix(z: np.uint64) -> np.uint64:
    """Return SplitMix64's finaliser of `z`."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@compiled
def hash2(key: np.uint64, a: int, b: int) -> np.uint64:
    """Return the hash of two integers under a key."""
    return mix(mix(key ^ (np.uint64(a) * _ODD_1)) + np.uint64(b) * _ODD_2)


@compiled
def uniform(h: np.uint64) -> float:
    """Return the number in the open interval (0, 1) that a hash stands for."""
    return (float(h >> _S11) + 0.5) * _TO_UNIT


@compiled
def normal(h: np.uint64) -> float:
    """Return the standard normal deviate that a hash stands for (Box & Muller 1958)."""
    angle = 2.0 * math.pi * uniform(mix(h + _ODD_3))
    return math.sqrt(-2.0 * math.log(uniform(h))) * math.cos(angle)


@compiled
def cell_counts(key: np.uint64, i0: int, j0: int, mean: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return one Poisson number per sky cell.

    Parameters
    ----------
    key : uint64
        Stream.
    i0, j0 : int
        Indices (east, north) of the cell ``mean[0, 0]``.
    mean : ndarray of float64, shape (nj, ni)
        Expected number in each cell.
    """
    nj, ni = mean.shape
    counts = np.zeros((nj, ni), np.int64)
    for j in range(nj):
        for i in range(ni):
            m = mean[j, i]
            if m <= 0.0:
                continue
            h = hash2(key, j0 + j, i0 + i)
            if m > _LARGE_MEAN:
                counts[j, i] = max(0, math.floor(m + math.sqrt(m) * normal(h) + 0.5))
                continue
            u = uniform(h)
            p = math.exp(-m)
            total = p
            k = 0
            while u > total and p > 1e-18 * total:
                k += 1
                p *= m / k
                total += p
            counts[j, i] = k
    return counts


@compiled
def cell_uniforms(
    key: np.uint64,
    j: NDArray[np.int64],
    i: NDArray[np.int64],
    k: NDArray[np.int64],
    slot: int,
) -> NDArray[np.float64]:
    """Return property `slot` of object `k` of cell (j, i) as uniform deviates, one per object."""
    out = np.empty(len(j))
    for n in range(len(j)):
        out[n] = uniform(hash2(hash2(key, j[n], i[n]), k[n] + 1, slot))
    return out


@compiled
def cell_normals(
    key: np.uint64,
    j: NDArray[np.int64],
    i: NDArray[np.int64],
    k: NDArray[np.int64],
    slot: int,
) -> NDArray[np.float64]:
    """Return property `slot` of object `k` of cell (j, i) as normal deviates, one per object."""
    out = np.empty(len(j))
    for n in range(len(j)):
        out[n] = normal(hash2(hash2(key, j[n], i[n]), k[n] + 1, slot))
    return out
