"""Exact sums of float32 values, in any order and any grouping (algorithm.md, section 14.2).

Floating-point addition is not associative: the last bits of a sum would depend on the tiling and on the order in
which tiles finish. A sum is therefore kept as a fixed-point number of `LIMBS` int64 limbs, 32 bits apart: its value
is sum of limb[i] * 2^(32 i - 149), where 2^-149 is the smallest float32. Every float32 adds less than 2^32 in
absolute value to each of two limbs, so no carry is needed while summing: the limbs of different tiles are combined
with `+`, which is associative and commutative, and `total` rounds once, as `math.fsum` does.

Up to `CAPACITY` = 2^30 values, over all arrays that are added, can be summed in one cell before a limb could
overflow. Radius: 0.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["CAPACITY", "LIMBS", "accumulate", "total", "zeros"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

LIMBS: Final = 9
"""Number of limbs: 9 x 32 bits hold the 277 bits of the range of float32, and the sign."""

CAPACITY: Final = 2**30
"""Maximum number of values per cell: each limb then stays below 2^62 in absolute value."""

_DIGIT: Final = 0xFFFFFFFF
_UNIT: Final = -149
"""Exponent of the lowest bit of limb 0."""


def zeros(n_cells: int) -> Int64:
    """Return empty sums for `n_cells` cells: (n_cells, LIMBS) int64."""
    return np.zeros((n_cells, LIMBS), np.int64)


def accumulate(limbs: Int64, cell: Int64, values: Float32) -> None:
    """Add values to the sums of their cells, in place.

    Parameters
    ----------
    limbs : (n_cells, LIMBS) int64
        Sums, changed in place; C-contiguous.
    cell : (n,) int64
        Cell of each value, 0 to n_cells - 1.
    values : (n,) float32
        Finite values.

    Raises
    ------
    ValueError
        If a value is not finite or a cell does not exist; `limbs` is then unchanged.
    """
    if limbs.ndim != 2 or limbs.shape[1] != LIMBS or limbs.dtype != np.int64 or not limbs.flags.carray:
        raise ValueError(f"limbs must be contiguous int64 of shape (n_cells, {LIMBS}), got {limbs.shape}")
    if cell.ndim != 1 or cell.shape != values.shape:
        raise ValueError(f"cell {cell.shape} and values {values.shape} must be 1-D arrays of equal length")
    cell = np.require(cell, np.int64, PLAIN)
    values = np.require(values, np.float32, PLAIN)
    # Everything is checked before the first limb changes: an exception half-way would leave sums that nobody
    # could repair.
    if not np.isfinite(values).all():
        raise ValueError("exact sums require finite values; exclude NaN and infinity")
    if len(cell) and not (cell.min() >= 0 and cell.max() < len(limbs)):
        raise ValueError(f"a cell is outside the range 0 to {len(limbs) - 1}")
    # The kernel takes the floats apart as integers, which is exact by construction; floating-point splitting
    # would need care with rounding modes and subnormal numbers.
    _accumulate(limbs, cell, values.view(np.uint32))


def total(limbs: Int64) -> Float64:
    """Return the sums, each rounded once to the nearest float64, ties to even: equal to `math.fsum`.

    Parameters
    ----------
    limbs : (n_cells, LIMBS) int64
        Any sum of limb arrays.

    Returns
    -------
    (n_cells,) float64
        A sum of zero is +0.
    """
    out = np.empty(len(limbs), np.float64)
    _round(np.require(limbs, np.int64, PLAIN), out)
    return out


@compiled
def _accumulate(limbs: Int64, cell: Int64, bits: NDArray[np.uint32]) -> None:
    for i in range(len(bits)):
        word = np.int64(bits[i])
        exponent = (word >> 23) & 0xFF
        mantissa = word & 0x7FFFFF
        # Subnormal numbers (exponent 0) have no implied leading bit, and the same scale as those of exponent 1.
        if exponent:
            mantissa |= 0x800000
            exponent -= 1
        # A mantissa of 24 bits moved by less than 32 fits into 64 bits and spans two limbs: every value is split
        # between a limb and the next one, without any case.
        wide = mantissa << (exponent & 31)
        low, high = wide & _DIGIT, wide >> 32
        limb = exponent >> 5
        sums = limbs[cell[i]]
        # Signs are kept by subtracting rather than by two's complement of the value, so that each limb moves
        # by less than 2^32 per value in either direction: this is what `CAPACITY` relies on.
        if word >> 31:
            sums[limb] -= low
            sums[limb + 1] -= high
        else:
            sums[limb] += low
            sums[limb + 1] += high


@compiled
def _round(limbs: Int64, out: Float64) -> None:
    digits = np.zeros(LIMBS + 3, np.int64)
    for cell in range(len(limbs)):
        # Propagate carries, so that every limb has 32 bits and the last one the sign.
        # Until here limbs overlap: each holds sums of many 32-bit parts. The shift of a negative carry rounds
        # towards minus infinity, which is exactly the borrow that the next limb needs.
        carry = np.int64(0)
        for i in range(LIMBS):
            carry += limbs[cell, i]
            digits[i] = carry & _DIGIT
            carry >>= 32
        digits[LIMBS] = carry
        negative = carry < 0
        if negative:
            # # two's complement: the absolute value is the complement + 1
            carry = np.int64(1)
            for i in range(LIMBS):
                carry += _DIGIT - digits[i]
                digits[i] = carry & _DIGIT
                carry >>= 32
            digits[LIMBS] = ~digits[LIMBS] + carry
        # Double rounding would occur if limbs were converted to float64 one by one. The position of the
        # leading bit is determined first, so that the value is rounded once.
        highest = 32 * LIMBS + 31
        while highest > 0 and not (digits[highest >> 5] >> (highest & 31)) & 1:
            highest -= 1
        # The leading 53 bits and the bit that decides the rounding; `rest` tells whether any bit below them is set.
        shift = max(highest - 53, 0)
        limb, bit = shift >> 5, shift & 31
        head = (
            (digits[limb] >> bit) | (digits[limb + 1] << (32 - bit)) | ((digits[limb + 2] << (63 - bit)) << 1)
        )
        rest = (digits[limb] & ((1 << bit) - 1)) != 0
        for i in range(limb):
            rest |= digits[i] != 0
        if highest > 52:
            half = head & 1
            head >>= 1
            shift += 1
            # Ties to even, as in IEEE 754. A carry out of 53 bits needs no case: 2^53 is representable, and
            # the exponent follows.
            if half and (rest or head & 1):
                head += 1
        # Exact: `head` has at most 53 bits, and the smallest unit, 2^-149, is far above the subnormal range
        # of float64.
        size = math.ldexp(float(head), shift + _UNIT)
        out[cell] = -size if negative else size
