"""The memory of the machine is what Dask takes it for."""

from __future__ import annotations

from distributed.system import memory_limit

from tilegc.memory import machine_memory


def test_it_is_what_dask_says():
    assert machine_memory() == memory_limit()
