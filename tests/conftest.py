"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real files: TILEGC_REAL_DATA, or ../shared/data beside the checkout; skips where absent."""
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
    """Runs of the module leave out figures and page, which promise no bytes and take most of a small run's time."""
    from tests.support import mock

    with pytest.MonkeyPatch.context() as patch:
        mock.no_report(patch)
        yield
