"""Exact median and MAD from counts that can be added in any order (algorithm.md, section 6).

A float32 is mapped to a uint32 of the same order. Tiles count the high 16 bits of these keys; the sum of the counts
gives the high bits of the middle values; tiles then count the low 16 bits of the values with these high bits. The
result equals `numpy.median` of all values to the bit, although no process ever holds all values. The same functions
serve |x - median| through their argument `centre`. Radius: 0.

Usually both are obtained from the same two steps: the counts of the high bits bound the median, and therefore the
distance of every value from it, so that they also show which few high bits the middle distances can have.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = [
    "BINS",
    "MAD_TO_SIGMA",
    "histogram",
    "mad_from",
    "mad_prefixes",
    "median_from",
    "median_prefixes",
    "ordered_keys",
    "refine",
    "sigma",
]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
UInt32 = NDArray[np.uint32]

BINS: Final = 65536
"""Number of counts in each step: values of 16 bits."""

MAD_TO_SIGMA: Final = 1.4826
"""Standard deviation of a Gaussian in units of its MAD, rounded as in the recipe."""

# Each prefix needs a count of 65,536 low parts in the partial result of every task.
MOST: Final = 24
"""Maximum number of prefixes counted at once, half a MiB each; the noise of a mosaic needs about ten."""

INFINITE: Final = (0x007F, 0xFF80)
"""High bits of the keys of the two infinities; all other values with these bits are NaN."""

_SIGN: Final = np.uint32(0x80000000)
_SIZE: Final = np.uint32(0x7FFFFFFF)
_LOW: Final = np.uint32(0xFFFF)
_SHIFT: Final = np.uint32(16)
_TOP: Final = np.uint32(31)


def ordered_keys(values: Float32) -> UInt32:
    """Return a uint32 of the same order for each float32; both zeros have the same key.

    Parameters
    ----------
    values : float32 array
        Values without NaN.

    Returns
    -------
    uint32 array
        Keys, of the same shape.
    """
    # Adding +0 turns -0 into +0, so that equal values have equal keys. Then the bits of positive floats are
    # in order already and only need their sign bit set, while those of negative floats are in reverse order
    # and are all flipped.
    bits = (values + np.float32(0)).view(np.uint32)
    return bits ^ (_SIGN + (bits >> _TOP) * _SIZE)


def histogram(values: Float32, select: NDArray[Any], centre: np.float32 | None = None) -> Int64:
    """Count the high 16 bits of the ordered keys: the first step.

    Parameters
    ----------
    values : (n,) or (ny, nx) float32
        NaN is never counted.
    select : bool or uint8, same shape
        Which values to count.
    centre : float32, optional
        If set, |value - centre| (in float32) is counted instead of the value.

    Returns
    -------
    (65536,) int64
        Counts; those of several tiles are added.
    """
    counts = np.zeros(BINS, np.int64)
    _count_high(*_plain(values, select, centre), counts)
    return counts


def refine(
    values: Float32, select: NDArray[Any], prefixes: tuple[int, ...], centre: np.float32 | None = None
) -> Int64:
    """Count the low 16 bits of the keys whose high 16 bits are one of `prefixes`: the second step.

    Parameters
    ----------
    values, select, centre
        As for `histogram`.
    prefixes : tuple of int
        From `median_prefixes`.

    Returns
    -------
    (len(prefixes), 65536) int64
        Counts; those of several tiles are added.
    """
    counts = np.zeros((len(prefixes), BINS), np.int64)
    # A table from all 65,536 prefixes to the few that are counted: one look-up a pixel, and no search.
    slots = np.full(BINS, -1, np.int64)
    slots[list(prefixes)] = np.arange(len(prefixes))
    _count_low(*_plain(values, select, centre), slots, counts)
    return counts


def median_prefixes(counts: Int64) -> tuple[int, ...]:
    """Return the high 16 bits of the middle value, or of the two middle values if they differ.

    Parameters
    ----------
    counts : (65536,) int64
        Sum of all results of `histogram`.

    Returns
    -------
    tuple of int
        Empty if nothing was counted.
    """
    total = int(counts.sum())
    if not total:
        return ()
    ends = np.cumsum(counts)
    return tuple(sorted({int(np.searchsorted(ends, rank, side="right")) for rank in _middle(total)}))


def median_from(counts: Int64, prefixes: tuple[int, ...], refined: Int64) -> np.float32:
    """Return the median: the middle value, or the mean of the two middle values as NumPy computes it in float32.

    Parameters
    ----------
    counts : (65536,) int64
        Sum of all results of `histogram`.
    prefixes : tuple of int
        `median_prefixes(counts)`.
    refined : (len(prefixes), 65536) int64
        Sum of all results of `refine`.

    Returns
    -------
    float32
        NaN if nothing was counted; a zero is +0.
    """
    total = int(counts.sum())
    if not total:
        return np.float32(np.nan)
    ends = np.cumsum(counts)
    keys = []
    for rank in _middle(total):
        prefix = int(np.searchsorted(ends, rank, side="right"))
        within = rank - int(ends[prefix] - counts[prefix])
        low = int(np.searchsorted(np.cumsum(refined[prefixes.index(prefix)]), within, side="right"))
        keys.append((prefix << 16) | low)
    return np.float32(np.mean(_values(np.array(keys, np.uint32))))


def mad_prefixes(counts: Int64) -> tuple[int, ...] | None:
    """Return the high 16 bits of all values on which the median and the median distance from it can depend.

    Parameters
    ----------
    counts : (65536,) int64
        Sum of all results of `histogram`, counted without a centre.

    Returns
    -------
    tuple of int or None
        Includes those of `median_prefixes`. None if there are more than `MOST`, or if there are infinite values,
        whose distances are unbounded.
    """
    if not counts.any():
        return ()
    # The caller then counts the distances in a pass of their own, which handles infinities like any value.
    if counts[list(INFINITE)].any():
        return None
    # The second step usually settles median and MAD at once: a bin is counted if it may hold a middle distance for
    # any median that the high bits allow. It saves a third pass over all pixels.
    inner, outer, near, far = _distances(counts)
    bins = np.flatnonzero(counts)
    needed = {int(one) for one in bins[(outer >= near) & (inner <= far)]} | set(median_prefixes(counts))
    return tuple(sorted(needed)) if len(needed) <= MOST else None


def mad_from(counts: Int64, prefixes: tuple[int, ...], refined: Int64, median: np.float32) -> np.float32:
    """Return the median distance of the values from their median, as NumPy computes it in float32.

    Parameters
    ----------
    counts : (65536,) int64
        Sum of all results of `histogram`.
    prefixes : tuple of int
        `mad_prefixes(counts)`.
    refined : (len(prefixes), 65536) int64
        Sum of all results of `refine`.
    median : float32
        `median_from` of the same counts.

    Returns
    -------
    float32
        NaN if nothing was counted.
    """
    total = int(counts.sum())
    if not total:
        return np.float32(np.nan)
    _, outer, near, _ = _distances(counts)
    # A bin that was not refined lies entirely below or entirely above the middle distances; only the number
    # of values below is needed. It is known without looking at them.
    known = np.isin(np.flatnonzero(counts), prefixes)
    below = int(counts[counts > 0][~known & (outer < near)].sum())
    row, low = np.nonzero(refined)
    values = _values(((np.array(prefixes, np.int64)[row] << 16) | low).astype(np.uint32))
    with np.errstate(all="ignore"):
        distance = np.abs(values - median)
    order = np.argsort(distance)
    # An unstable sort suffices: equal distances are interchangeable, and only the value at a rank is read.
    ends = below + np.cumsum(refined[row, low][order])
    found = np.searchsorted(ends, _middle(total), side="right").clip(max=order.size - 1)
    return np.float32(np.mean(distance[order[found]]))


def _distances(counts: Int64) -> tuple[Float32, Float32, np.float32, np.float32]:
    """Return bounds on the distance from the median: for every bin that holds values, and for the middle distances.

    Each bound is a float32 beyond any rounding of the distance itself.
    """
    # A bin is a range of values, from all low bits 0 to all low bits 1, and the median is only known to lie
    # in the range of its own bins. In float64 the differences below are exact enough to bound those in
    # float32.
    bins = np.flatnonzero(counts).astype(np.uint32) << _SHIFT
    low, high = (_values(keys).astype(np.float64) for keys in (bins, bins | _LOW))
    ends = np.cumsum(counts[counts > 0])
    first, last = _middle(int(ends[-1]))[0], _middle(int(ends[-1]))[-1]
    least, most = (np.searchsorted(ends, rank, side="right") for rank in (first, last))
    with np.errstate(all="ignore"):
        inner = np.maximum(np.maximum(low - high[most], low[least] - high), 0.0)
        outer = np.maximum(high - low[least], high[most] - low)
        inner, outer = (
            # The distance itself is later computed and rounded in float32. One step outwards covers both
            # roundings: a bin too many costs a little time, a bin too few a wrong result.
            np.nextafter(edge.astype(np.float32), np.float32(end))
            for edge, end in ((inner, 0.0), (outer, np.inf))
        )

    # If every value were at the nearest (or the farthest) distance that its bin allows, the distance of this
    # rank would be this one: a lower (upper) bound for the true distance of the rank.
    def ranked(edge: Float32, rank: int) -> np.float32:
        order = np.argsort(edge)
        at = np.searchsorted(np.cumsum(counts[counts > 0][order]), rank, side="right")
        return np.float32(edge[order[at]])

    return inner, outer, ranked(inner, first), ranked(outer, last)


def sigma(mad: float) -> float:
    """Return the noise for a median absolute deviation, 1.4826 x MAD, in float64 (algorithm.md, section 6.1)."""
    return MAD_TO_SIGMA * float(mad)


def _middle(total: int) -> tuple[int, ...]:
    """Return the ranks, from 0, of the middle one or two of `total` values."""
    return (total // 2,) if total % 2 else (total // 2 - 1, total // 2)


def _plain(
    values: Float32, select: NDArray[Any], centre: np.float32 | None
) -> tuple[Float32, Bool, np.float32, bool]:
    if values.shape != select.shape:
        raise ValueError(f"values {values.shape} and select {select.shape} must have the same shape")
    flat = np.require(values, np.float32, PLAIN).reshape(-1)
    chosen = np.require(select, np.bool_, PLAIN).reshape(-1)
    # Subtracting -0 leaves every value unchanged but turns -0 into +0.
    return flat, chosen, np.float32(-0.0 if centre is None else centre), centre is not None


def _values(keys: UInt32) -> Float32:
    """Return the float32 values of ordered keys."""
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float32)


@compiled
def _key(value: np.float32, centre: np.float32, centred: bool) -> np.uint32:
    """Return a uint32 of the same order as the value (or as its distance from the centre)."""
    bits = np.float32(value - centre).view(np.uint32)
    if centred:
        bits &= _SIZE
    # No branch: on a noise map it would be mispredicted for half of the pixels.
    return np.uint32(bits ^ (_SIGN + (bits >> _TOP) * _SIZE))


@compiled
def _count_high(values: Float32, select: Bool, centre: np.float32, centred: bool, counts: Int64) -> None:
    for i in range(len(values)):
        # A NaN is not equal to itself; its key would otherwise sort beyond infinity and shift the ranks.
        if select[i] and values[i] == values[i]:
            counts[_key(values[i], centre, centred) >> _SHIFT] += 1


@compiled
def _count_low(
    values: Float32, select: Bool, centre: np.float32, centred: bool, slots: Int64, counts: Int64
) -> None:
    for i in range(len(values)):
        if select[i] and values[i] == values[i]:
            key = _key(values[i], centre, centred)
            slot = slots[key >> _SHIFT]
            if slot >= 0:
                counts[slot, key & _LOW] += 1
