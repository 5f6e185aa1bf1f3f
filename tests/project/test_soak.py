"""Many runs on one scheduler: nothing is left open, and memory does not grow without bound."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak import _slope, soak
from tests.support import mock


def test_the_slope_is_that_after_the_twentieth_run():
    """The first runs fill caches: 100 MB there are not a leak."""
    runs = np.arange(60)
    memory = np.where(runs < 20, 5.0 * runs, 100.0 + 0.5 * (runs - 20))
    found = _slope("driver", np.stack([memory, np.full(60, 12), 3 + 2 * runs], axis=1))
    assert found.memory == pytest.approx(0.5)
    assert found.files == pytest.approx(0.0)
    assert found.threads == pytest.approx(2.0)
    assert found.last == pytest.approx(119.5)


def test_of_few_runs_it_is_that_of_the_second_half():
    runs = np.arange(20)
    memory = np.where(runs < 10, 10.0 * runs, 100.0 + 0.5 * (runs - 10))
    found = _slope("driver", np.stack([memory, np.full(20, 12), 3 + 2 * runs], axis=1))
    assert found.memory == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.usefixtures("no_report")
def test_twelve_runs_on_one_scheduler(tmp_path):
    """Numbers of files and threads stay constant; what each run leaves in memory is far below what one run needs."""
    run_file = mock.write_inputs(tmp_path, convergence=None)
    for one in soak(run_file, enough=lambda done: done >= 12):
        assert abs(one.files) < 0.5, one
        assert abs(one.threads) < 0.5, one
        assert one.memory < 5.0, one
