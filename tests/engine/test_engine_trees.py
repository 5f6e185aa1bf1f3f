"""Whatever order units end in, on Dask as in this process: the same partial, the same marks.

The workers are threads of this process, so that the rules can keep books on how often they were called.
"""

import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import pytest
from distributed import Client, Future, LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tilegc.engine import DaskEngine, SerialEngine, Unit, futures
from tilegc.errors import RunFailedError, TilesFailedError, UnitError

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@dataclass
class MemoryLedger:
    marked: list[str] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def done(self, name):
        return set(self.marked)

    def mark(self, name, keys, partial=None, stamps=None):
        self.marked.extend(keys)
        if partial is not None:
            self.kept.append(partial)

    def partials(self, name):
        return self.kept


def join(a, b):
    """Merge two partials: a small sorted table and an integer count, like real ones."""
    return [sorted(a[0] + b[0]), a[1] + b[1]]


CALLS: Counter[tuple[str, int]] = Counter()
LOCK = threading.Lock()


def rule(common, payload):
    """Sleep, fail the first so many times, give a partial or none, as the plan says."""
    import importlib  # by value: the books are those of the module under test

    books = importlib.import_module(common["books"])
    index, delay, failures, gives = payload
    with books.LOCK:
        books.CALLS[common["run"], index] += 1
        call = books.CALLS[common["run"], index]
    time.sleep(delay / 1000)
    if call <= failures:
        raise RuntimeError(f"try {call}")
    return [[index], 10**18 + index] if gives else None


unit_plans = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 0, 1, 2]), st.booleans()), min_size=0, max_size=60
)
runs = iter(range(10**9))


def make(plan):
    units = [Unit(f"f/{i}", 1 + i, (i, *row)) for i, row in enumerate(plan)]
    return units, {"books": __name__, "run": f"run-{next(runs)}"}


@given(plan=unit_plans, length=st.sampled_from([None, 1, 2, 7, 100]), with_ledger=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_ends_gives_what_the_serial_engine_gives(client, plan, length, with_ledger):
    units, common = make(plan)
    gave = [index for index, row in enumerate(plan) if row[2]]
    oracle = [gave, sum(10**18 + index for index in gave)] if gave else None

    ledger = MemoryLedger() if with_ledger else None
    result = DaskEngine(client).run(
        "p", rule, units, common=common, combine=join, ledger=ledger, units_per_task=length
    )
    assert result == oracle
    units, common = make(plan)
    assert SerialEngine().run("p", rule, units, common=common, combine=join) == oracle
    if ledger is not None:
        assert sorted(ledger.marked) == sorted(unit.key for unit in units)
        # begun again with all done: nothing is called, the partial is the same
        again = dict(common, run="again")
        assert DaskEngine(client).run("p", rule, units, common=again, combine=join, ledger=ledger) == oracle
        assert not [key for key in CALLS if key[0] == "again"]


@given(
    count=st.integers(1, 40),
    bad=st.sets(st.integers(0, 39), min_size=1, max_size=4),
    length=st.sampled_from([None, 1, 5, 40]),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tiles_that_always_fail_leave_the_others_done_and_marked(client, count, bad, length):
    bad = {index for index in bad if index < count} or {0}
    units, common = make([(0, 99 if i in bad else 0, False) for i in range(count)])
    ledger = MemoryLedger()
    with pytest.raises(TilesFailedError) as caught:
        DaskEngine(client, retries=1).run(
            "p", rule, units, common=common, ledger=ledger, units_per_task=length
        )
    assert sorted(ledger.marked) == sorted(f"f/{i}" for i in range(count) if i not in bad)
    for index in bad:
        assert f"f/{index} (RuntimeError: try 2)" in str(caught.value)
        assert CALLS[common["run"], index] == 2
    # a writing pass never repeats units that went well beside a failing one
    assert all(CALLS[common["run"], i] == 1 for i in range(count) if i not in bad)


def refuse(_common, payload):
    if payload == 13:
        raise UnitError("a.fits: BUNIT 'furlong' is unknown")
    time.sleep(0.002)


def test_bad_input_ends_the_pass_as_itself(client):
    ledger = MemoryLedger()
    units = [Unit(str(i), 1, i) for i in range(400)]
    with pytest.raises(UnitError, match="furlong"):
        DaskEngine(client).run("p", refuse, units, ledger=ledger, units_per_task=1)
    assert "13" not in ledger.marked
    assert len(ledger.marked) < 400


def number(_common, payload):
    return payload


def clash(a, b):
    raise RuntimeError(f"cannot join {a} and {b}")


def test_a_combine_that_always_fails_ends_the_run(client):
    from tilegc.errors import RunFailedError

    units = [Unit(str(i), 1, i) for i in range(20)]
    with pytest.raises((RunFailedError, TilesFailedError), match="cannot join"):
        DaskEngine(client, retries=1).run("p", number, units, combine=clash, units_per_task=1)


def test_a_pass_keeps_nothing_on_the_workers(client):
    units = [Unit(str(i), 1, i) for i in range(50)]
    assert DaskEngine(client).run("p", number, units, combine=lambda a, b: a + b) == 1225
    for _ in range(50):
        if not any(client.has_what().values()):
            break
        time.sleep(0.1)
    assert not any(client.has_what().values())


def counted_tasks(monkeypatch):
    """Return the list to which the key of every task is added that is submitted from now on."""
    submitted = []
    submit, mapped = Client.submit, Client.map

    def counting_submit(self, *args, **kwargs):
        submitted.append(kwargs["key"])
        return submit(self, *args, **kwargs)

    def counting_map(self, *args, **kwargs):
        submitted.extend(kwargs["key"])
        return mapped(self, *args, **kwargs)

    monkeypatch.setattr(Client, "submit", counting_submit)
    monkeypatch.setattr(Client, "map", counting_map)
    return submitted


def test_few_tasks_and_only_the_last_partial_in_the_driver(client, monkeypatch):
    """A thousand units are grouped into tasks and merged in one tree; only one result is fetched."""
    submitted = counted_tasks(monkeypatch)
    fetched = []
    result = Future.result

    def counting_result(self, *args, **kwargs):
        fetched.append(self.key)
        return result(self, *args, **kwargs)

    monkeypatch.setattr(Future, "result", counting_result)
    monkeypatch.setattr(Client, "gather", None)
    units = [Unit(str(i), 2048 * 2048, i) for i in range(1000)]
    total = DaskEngine(client).run("p", number, units, combine=lambda a, b: a + b, units_per_task=10)
    assert total == 499500
    assert len(fetched) == 1
    tiles = [key for key in submitted if "-tiles-" in key]
    merges = [key for key in submitted if "-merge-" in key]
    assert len(tiles) == 100
    assert len(merges) <= 9  # 100 partials, 16 at a time: 99/15 rounded up, and the last few
    assert len(submitted) == len(tiles) + len(merges) + 1


def test_no_more_in_flight_than_the_bound(client, monkeypatch):
    most = 0
    fill = futures.Drive.fill

    def watching(self):
        nonlocal most
        fill(self)
        most = max(most, len(self.running))

    monkeypatch.setattr(futures.Drive, "fill", watching)
    DaskEngine(client).run("p", number, [Unit(str(i), 1, i) for i in range(300)], units_per_task=1)
    assert 8 <= most <= futures.IN_FLIGHT * 4


@given(plan=unit_plans, length=st.sampled_from([None, 1, 2, 7, 100]))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_gathered_comes_once_from_each_unit(client, plan, length):
    oracle = [[[index], 10**18 + index] for index, row in enumerate(plan) if row[2]]
    for engine in (DaskEngine(client), SerialEngine()):
        units, common = make(plan)
        found = []
        assert engine.run("p", rule, units, common=common, gather=found.append, units_per_task=length) is None
        assert sorted(found) == oracle


def test_gathering_joins_nothing_on_the_workers(client, monkeypatch):
    submitted = counted_tasks(monkeypatch)
    units, found = [Unit(str(i), 2048 * 2048, i) for i in range(1000)], []
    DaskEngine(client).run("p", number, units, gather=found.append, units_per_task=10)
    assert sorted(found) == list(range(1000))
    assert len([key for key in submitted if "-tiles-" in key]) == 100
    assert len(submitted) == 101  # and the job itself


@pytest.mark.timeout(300)
def test_results_that_leave_with_the_last_worker(monkeypatch):
    """They were finished but not yet fetched: the driver checks whether any worker can still deliver them."""
    monkeypatch.setattr(futures, "POLL_SECONDS", 0.2)
    taken = []
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as alone,
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dask",
                "worker",
                cluster.scheduler_address,
                "--nthreads",
                "1",
                "--no-nanny",
            ],
            stderr=subprocess.DEVNULL,
        ) as worker,
    ):
        try:
            alone.wait_for_workers(1, timeout=20)

            def gather(partial):
                if not taken:
                    time.sleep(0.5)  # the others end meanwhile
                    worker.kill()
                taken.append(partial)

            units = [Unit(str(number), 1, number) for number in range(12)]
            with pytest.raises(RunFailedError, match="no worker for 1 s"):
                DaskEngine(alone, patience=1.0).run("leaves", _itself, units, gather=gather, units_per_task=1)
        finally:
            worker.kill()
    assert len(taken) < len(units)


def _itself(_common, payload):
    return payload


def test_what_is_gathered_is_not_kept_with_marks():
    for engine in (SerialEngine(), DaskEngine(None)):
        with pytest.raises(ValueError, match="both gathered and kept"):
            engine.run("p", number, [], gather=print, ledger=MemoryLedger())


@given(plan=unit_plans, length=st.sampled_from([None, 1, 2, 7, 100]))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_joined_and_gathered_is_every_unit_once(client, plan, length):
    """This also holds if units fail and are repeated."""
    oracle = [index for index, row in enumerate(plan) if row[2]]
    for engine in (DaskEngine(client), SerialEngine()):
        units, common = make(plan)
        found = []
        engine.run("p", rule, units, common=common, combine=join, gather=found.append, units_per_task=length)
        assert sorted(index for part in found for index in part[0]) == oracle
        assert sum(part[1] for part in found) == sum(10**18 + index for index in oracle)


@pytest.mark.parametrize(("length", "largest"), [(1, 16), (4, 16), (10, 10), (40, 40)])
def test_groups_that_are_joined_before_they_are_gathered_do_not_grow(client, monkeypatch, length, largest):
    submitted = counted_tasks(monkeypatch)
    units, found = [Unit(str(i), 2048 * 2048, i) for i in range(400)], []
    DaskEngine(client).run(
        "p", listed, units, combine=lambda a, b: a + b, gather=found.append, units_per_task=length
    )
    assert sorted(number for part in found for number in part) == list(range(400))
    assert max(map(len, found)) == largest
    merges = [key for key in submitted if "-merge-" in key]
    assert len(merges) == (0 if length > 8 else 25)
    assert len(found) == (400 // length if length > 8 else 25)


def listed(_common, payload):
    return [payload]


def listed_but_one(common, payload):
    if payload == common:
        raise MemoryError("no room")
    return [payload]


@pytest.mark.parametrize("engine", ["serial", "dask"])
@pytest.mark.parametrize("combine", [None, lambda a, b: a + b], ids=["alone", "joined"])
def test_what_is_gathered_beside_a_unit_that_fails(client, engine, combine):
    """Everything else comes once, so that only that unit must be done in another way."""
    units, found = [Unit(str(i), 2048 * 2048, i) for i in range(50)], []
    driver = SerialEngine() if engine == "serial" else DaskEngine(client)
    with pytest.raises(TilesFailedError) as caught:
        driver.run(
            "p", listed_but_one, units, common=7, combine=combine, gather=found.append, units_per_task=3
        )
    assert caught.value.memory == caught.value.failed == {"7"}
    assert sorted(number for part in found for number in part) == [n for n in range(50) if n != 7]


def test_runs_of_units_are_sent_together(client, monkeypatch):
    """Half of what may be in flight at a time: 4 threads of 4 tasks each, so 300 tasks in 38 messages or a few more."""
    sent = []
    mapped = Client.map

    def counting_map(self, *args, **kwargs):
        sent.append(len(kwargs["key"]))
        return mapped(self, *args, **kwargs)

    monkeypatch.setattr(Client, "map", counting_map)
    DaskEngine(client).run("p", number, [Unit(str(i), 1, i) for i in range(300)], units_per_task=1)
    assert sum(sent) == 300
    assert sent[0] == 16
    assert len(sent) <= 50
