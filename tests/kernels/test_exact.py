"""Exact sums against math.fsum and rational numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tilegc.kernels.exact import CAPACITY, LIMBS, accumulate, total, zeros

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
LARGEST = np.finfo(np.float32).max
SMALLEST = np.float32(1e-45)


def summed(values):
    limbs = zeros(1)
    accumulate(limbs, np.zeros(len(values), np.int64), np.asarray(values, np.float32))
    return limbs


@settings(max_examples=300, deadline=None)
@given(arrays(np.float32, st.integers(0, 50), elements=FINITE))
def test_equal_to_fsum(values):
    assert total(summed(values)).tolist() == [math.fsum(values.tolist())]


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_fsum_under_cancellation(seed):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, 5000, dtype=np.uint32).view(np.float32)
    values = bits[np.isfinite(bits)]
    # nearly everything cancels: what is left is far below the rounding of any running sum
    values = np.concatenate([values, -values[:-3], rng.normal(size=9).astype(np.float32)])
    assert total(summed(rng.permutation(values)))[0] == math.fsum(values.tolist())


@settings(max_examples=100, deadline=None)
@given(
    values=arrays(np.float32, st.integers(0, 60), elements=FINITE),
    data=st.data(),
)
def test_cells_and_any_grouping(values, data):
    n_cells = 4
    cell = data.draw(arrays(np.int64, len(values), elements=st.integers(0, n_cells - 1)))
    part = data.draw(arrays(np.int64, len(values), elements=st.integers(0, 2)))
    whole = zeros(n_cells)
    accumulate(whole, cell, values)
    parts = []
    for k in (2, 0, 1):
        limbs = zeros(n_cells)
        accumulate(limbs, cell[part == k], values[part == k])
        parts.append(limbs)
    together = total(parts[0] + (parts[1] + parts[2]))
    assert together.tobytes() == total(whole).tobytes()
    assert together.tolist() == [math.fsum(values[cell == k].tolist()) for k in range(n_cells)]


@pytest.mark.parametrize(
    "values",
    [
        [2.0**60, 2.0**7],  # a tie: to the even one below
        [2.0**60, 2.0**7, 2.0**8],  # a tie: to the even one above
        [2.0**60, 2.0**7, SMALLEST],  # just above a tie
        [2.0**60, 2.0**7, -SMALLEST],  # just below
        [-(2.0**60), -(2.0**7)],
        [-(2.0**60), -(2.0**7), -SMALLEST],
        [2.0**53, 1.0, 1.0],
        [LARGEST] * 5,
        [-LARGEST] * 5,
        [LARGEST, -LARGEST, SMALLEST],
        [SMALLEST] * 3,
        [0.0, -0.0],
        [],
    ],
)
def test_rounding(values):
    values = np.float32(values)
    found = total(summed(values))[0]
    assert found == float(sum(Fraction(float(v)) for v in values))
    assert found == math.fsum(values.tolist())


@pytest.mark.parametrize("length", range(50, 60))
def test_rounding_at_every_place(length):
    # odd integers of that many bits, built from pieces that are exact in float32
    rng = np.random.default_rng(length)
    for shift in (-140, -117, -96, 0, 31, 32, 60):
        number = int(rng.integers(2 ** (length - 1), 2**length)) | 1
        pieces = [math.ldexp((number >> k & 0xFFFF) << k, shift) for k in range(0, 64, 16)]
        assert all(float(np.float32(p)) == p for p in pieces)
        for sign in (1, -1):
            values = sign * np.float32(pieces)
            assert total(summed(values))[0] == math.fsum(values.tolist())


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, SMALLEST, np.float32(-1 / 3)])
def test_capacity(value):
    # as many values as a cell may hold, without adding them one by one: each of them has these limbs
    limbs = summed([value])
    assert np.abs(limbs).max() < 2**32
    full = limbs * CAPACITY
    assert [int(limb) for limb in full[0]] == [int(limb) * CAPACITY for limb in limbs[0]]
    assert total(full)[0] == float(Fraction(float(value)) * CAPACITY)


def test_the_largest_limbs_that_can_occur():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 3000, dtype=np.uint32).view(np.float32)
    values = bits[np.isfinite(bits)]
    limbs = summed(values) * (CAPACITY // len(values))
    exact = sum(int(limb) << (32 * k) for k, limb in enumerate(limbs[0]))
    assert total(limbs)[0] == float(Fraction(exact) * Fraction(2) ** -149)


def test_the_representation():
    limbs = summed([1.0])
    assert limbs.shape == (1, LIMBS)
    assert sum(int(limb) << (32 * k) for k, limb in enumerate(limbs[0])) == 2**149


def test_zero_has_one_sign():
    assert total(zeros(2)).tobytes() == np.zeros(2).tobytes()
    assert total(summed([1.0, -1.0])).tobytes() == np.zeros(1).tobytes()
    assert total(zeros(0)).shape == (0,)


@pytest.mark.parametrize(
    ("cell", "values", "message"),
    [
        ([0, 1], [1.0, np.nan], "finite"),
        ([0, 1], [np.inf, 1.0], "finite"),
        ([0, 2], [1.0, 1.0], "outside the range 0 to 1"),
        ([-1, 0], [1.0, 1.0], "outside the range 0 to 1"),
        ([0], [1.0, 1.0], "equal length"),
    ],
)
def test_bad_input_changes_nothing(cell, values, message):
    limbs = zeros(2)
    with pytest.raises(ValueError, match=message):
        accumulate(limbs, np.array(cell), np.float32(values))
    assert not limbs.any()


def test_limbs_must_be_limbs():
    for limbs in (np.zeros((2, LIMBS - 1), np.int64), np.zeros((2, LIMBS)), np.zeros((LIMBS, 2), np.int64).T):
        with pytest.raises(ValueError, match="limbs"):
            accumulate(limbs, np.array([0]), np.float32([1]))
