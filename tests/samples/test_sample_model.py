"""The model of a sample on workers, where its answer is known."""

from __future__ import annotations

import pytest

from benchmarks import sample_model
from benchmarks.sample_model import Step, read_steps, simulated

LOG = """\
2026-01-01 10:00:00 INFO    ingest: 4 of 4 units in 2.0 s
2026-01-01 10:00:02 INFO    phase ingest: 3.0 s
2026-01-01 10:00:04 INFO    sigma 1/2: 10 of 10 units in 1.0 s
2026-01-01 10:00:05 INFO    peaks: 10 of 10 units in 5.0 s
2026-01-01 10:00:09 INFO    phase detect: 9.0 s
"""


@pytest.fixture(autouse=True)
def _free_tasks(monkeypatch):
    monkeypatch.setattr(sample_model, "TASK_SECONDS", 0.0)


def test_steps_are_read_from_a_log():
    steps = read_steps(LOG)
    assert [step.units for step in steps] == [0, 4, 0, 10, 10, 0]
    assert sum(step.units * step.seconds for step in steps) == pytest.approx(8.0)
    assert sum(step.alone for step in steps[1:]) == pytest.approx(4.0)


def test_one_cluster_on_one_worker_takes_the_sum():
    steps = [Step(3.0), Step(1.0, 10, 0.5), Step(2.0)]
    found = simulated([steps], 1, 1)
    assert found.wall == pytest.approx(11.0)
    assert found.busy == pytest.approx(5.0 / 11.0)
    assert simulated([steps], 10, 1).wall == pytest.approx(6.5)


def test_serial_steps_are_hidden_by_other_clusters_if_there_are_drivers():
    steps = [Step(1.0, 10, 0.1), Step(1.0, 10, 0.1)]
    assert simulated([steps] * 20, 1, 1).busy == pytest.approx(0.5)
    assert simulated([steps] * 20, 1, 3).shared > 0.95


def test_the_first_cluster_goes_first():
    """With two drivers and one worker the second cluster works only while the first one's driver is alone."""
    first, second = [Step(0.0, 10, 1.0), Step(5.0, 10, 1.0)], [Step(0.0, 100, 0.05)]
    both = simulated([first, second], 1, 2)
    assert both.wall == pytest.approx(25.0 + 0.05, abs=0.1)
