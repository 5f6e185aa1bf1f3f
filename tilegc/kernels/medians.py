"""Fast exact median of an array in memory, equal to `numpy.median`.

Floats are mapped to integers of the same order. Counting the leading bits of these integers shows in which of a few
thousand bins the middle values lie, and only the values in these bins are sorted. `tilegc.kernels.order` does the
same for values that no single process holds.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled

__all__ = ["median"]

# Below this the fixed cost of clearing and summing the counts of all bins dominates.
FEW: Final = 32768
"""Up to this number of values NumPy is as fast."""

# More bins leave fewer values to sort but no longer fit in the cache, where counting is bound by memory
# latency.
BITS: Final = {4: ("u4", 11), 8: ("u8", 14)}
"""For each size of float in bytes: the integer type, and the number of leading bits that form a bin."""


def median(values: NDArray[Any]) -> Any:
    """Return the median of all values.

    Parameters
    ----------
    values : ndarray of float32 or float64, any shape
        The values.

    Returns
    -------
    numpy.float32 or numpy.float64
        The middle value, or the mean of the two middle ones in their own precision; +0 for a zero; NaN if any value
        is NaN, or if there are none.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    kind = flat.dtype.type
    if not flat.size:
        return kind(np.nan)
    ranks = [flat.size // 2] if flat.size % 2 else [flat.size // 2 - 1, flat.size // 2]
    if flat.size <= FEW:
        part = np.partition(flat, [*ranks, flat.size - 1])  # NaN is sorted last
        return kind(np.nan) if np.isnan(part[-1]) else np.mean(part[ranks])
    letter, bits = BITS[flat.itemsize]
    numbers = (flat + kind(0)).view(letter)  # turns -0 into +0
    whole: Any = numbers.dtype.type
    top = whole(8 * flat.itemsize - 1)
    sign, shift = whole(1) << top, top - whole(bits - 1)
    counts = np.zeros(1 << bits, np.int64)
    # Leading bits sort floats by magnitude, finely near zero and coarsely far out. The middle values lie in one or two
    # of these bins, and only those are sorted.
    if _count(numbers, sign, top, shift, np.array([np.inf], flat.dtype).view(letter)[0], counts):
        return kind(np.nan)
    ends = np.cumsum(counts)
    # Of an even number the two middle values may lie in different bins; all between them are then gathered.
    first, last = (int(np.searchsorted(ends, rank, side="right")) for rank in (ranks[0], ranks[-1]))
    below = int(ends[first] - counts[first])
    # One element more than needed: `_gather` writes before it knows whether to keep, also after the last key.
    keys = np.empty(int(ends[last]) - below + 1, letter)
    _gather(numbers, sign, top, shift, whole(first), whole(last), keys)
    places = [rank - below for rank in ranks]
    middle = np.partition(keys[:-1], places)[places]
    # The mean of two float32 is taken in float32, as `numpy.median` does: in float64 the last bit would
    # differ.
    return np.mean(np.where(middle & sign, middle ^ sign, ~middle).view(flat.dtype))


@compiled
def _key(number: Any, sign: Any, top: Any) -> Any:
    """Return an integer of the same order as the float: flip all bits of a negative number, the sign of others."""
    return number ^ (sign + (number >> top) * (sign - type(sign)(1)))


@compiled
def _count(
    numbers: NDArray[Any], sign: Any, top: Any, shift: Any, infinite: Any, counts: NDArray[np.int64]
) -> bool:
    """Count the leading bits of all keys; return whether there is a NaN."""
    missing = False
    for i in range(numbers.size):
        # Without the sign bit every NaN is an integer above infinity: comparing integers keeps the loop free
        # of branches and of comparisons of floats, and tells NaN of either sign.
        missing |= (numbers[i] & ~sign) > infinite
        counts[_key(numbers[i], sign, top) >> shift] += 1
    return missing


@compiled
def _gather(
    numbers: NDArray[Any], sign: Any, top: Any, shift: Any, first: Any, last: Any, keys: NDArray[Any]
) -> None:
    """Write the keys whose leading bits lie between two bins into `keys`, which has one element more than they need."""
    at = 0
    for i in range(numbers.size):
        key = _key(numbers[i], sign, top)
        # Write every key and advance only past those in range: a branch would be mispredicted half of the time.
        keys[at] = key
        at += (first <= key >> shift) & (key >> shift <= last)
