"""The time for compiling is counted once, and reported to the user who waited for it."""

import numpy as np
from numba import njit

from tilegc import running
from tilegc.cluster import connect
from tilegc.engine import seconds_compiled
from tilegc.kernels.compiled import compile_seconds


def test_only_what_is_compiled_counts() -> None:
    function = njit(lambda values: values.sum() + 1.0)
    before = compile_seconds()
    function(np.ones(3))
    once = compile_seconds()
    assert once > before
    function(np.zeros(5))  # compiled already
    assert compile_seconds() == once


def _compile_there() -> float:
    njit(lambda values: values.max() - 2.0)(np.ones(3))
    return compile_seconds()


def test_workers_count_too() -> None:
    here = seconds_compiled(None)
    with connect(workers=1) as client:
        (there,) = client.run(_compile_there).values()
        assert there > 0
        assert seconds_compiled(client) == here + there


def test_the_user_is_told_once_it_matters() -> None:
    told: list[str] = []
    running._say_compiled(0.4, told.append)
    assert told == []
    running._say_compiled(24.6, told.append)
    assert told == ["compiled the kernels (25 s, once per installation)"]
    running._say_compiled(24.6, None)
