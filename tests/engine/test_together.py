"""Calls in parallel: their arguments and their results."""

import pickle

import numpy as np
import pytest

from tilegc.engine import Call, SerialEngine, Shared, Stored, together
from tilegc.errors import InputError, TilesFailedError


def scaled(values: np.ndarray, factor: float, *, offset: float = 0.0) -> np.ndarray:
    if factor < 0:
        raise InputError("factor: below zero")
    if factor == 0:
        raise ZeroDivisionError("nothing")
    return values * factor + offset


def test_every_call_gets_its_own_and_what_is_shared() -> None:
    calls = {
        "twice": Call(scaled, Shared("values"), 2.0),
        "more": Call(scaled, Shared("values"), 1.0, offset=Shared("offset")),
        "nothing": Call(len, ()),
    }
    found = together(SerialEngine(), "sums", calls, {"values": np.arange(3.0), "offset": 5.0})
    assert list(found) == list(calls)
    assert found["twice"].tolist() == [0, 2, 4]
    assert found["more"].tolist() == [5, 6, 7]
    assert found["nothing"] == 0
    assert together(SerialEngine(), "sums", {}, {}) == {}


def test_what_goes_wrong_is_named() -> None:
    shared = {"values": np.arange(3.0)}
    with pytest.raises(InputError, match="below zero"):
        together(SerialEngine(), "sums", {"bad": Call(scaled, Shared("values"), -1.0)}, shared)
    with pytest.raises(TilesFailedError, match=r"sums: 1 of 1 .*bad \(ZeroDivisionError: nothing\)"):
        together(SerialEngine(retries=0), "sums", {"bad": Call(scaled, Shared("values"), 0.0)}, shared)


def test_what_is_stored_is_read_where_it_is_sent() -> None:
    here = Stored(np.arange(3.0), np.full, 3, 7.0)
    assert scaled(here.value, 1.0).tolist() == [0, 1, 2]
    there = pickle.loads(pickle.dumps(here))
    assert there.value.tolist() == [7, 7, 7]
    assert there.value is there.value
    assert b"\x00\x00\x00@" not in pickle.dumps(here)  # no 2.0: the values are not sent
    found = together(
        SerialEngine(), "sums", {"a": Call(scaled, Shared("one"), 2.0), "b": Call(sum, there)}, {"one": here}
    )
    assert found["a"].tolist() == [0, 2, 4]
    assert found["b"] == 21
