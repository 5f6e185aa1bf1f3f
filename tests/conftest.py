"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

LONG = Path(__file__).parent / "support" / "long_tests.txt"
"""Tests that `make check` leaves out because they take a second or more, one `file::function` a line."""

# A loaded machine is no fault of the code: examples may take as long as they take.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out: whole runs, and the tests listed in `LONG`."""
    long = set(LONG.read_text(encoding="utf-8").split())
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in long or name.startswith(
            ("tests/faults/", "tests/fuzz/", "tests/integration/", "tests/property/")
        ):
            item.add_marker("long")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Directory of real files: TILEGC_REAL_DATA, or ../shared/data beside the checkout; the test is skipped if there
    is none."""
    named = os.environ.get("TILEGC_REAL_DATA")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"TILEGC_REAL_DATA={named} is no folder")
        return folder
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data: set TILEGC_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="module")
def no_report() -> Iterator[None]:
    """Skip figures and report in the runs of a module: their bytes are not promised, and they take most of the time of
    a small run."""
    from tests.support import mock

    with pytest.MonkeyPatch.context() as patch:
        mock.no_report(patch)
        yield


@pytest.fixture(scope="session")
def mock_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Runs of the mock cluster by recipe, without a report: what the phases of every package wrote is compared with
    plain arithmetic in `tests/<package>/test_phase.py`."""
    from tests.support import mock

    return mock.both_recipes(tmp_path_factory.mktemp("mock"))
