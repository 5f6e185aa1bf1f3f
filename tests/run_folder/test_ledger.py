"""The ledger: create-once segments, incomplete ones, other fingerprints, races, partial results."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.errors import RunFailedError
from tilegc.run_folder import Ledger


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ledger"


def test_marks_are_there_after_a_fresh_start(folder):
    ledger = Ledger(folder, "f")
    ledger.mark("ingest", ["a/0", "a/1"])
    ledger.mark("filter", ["a/0"])
    ledger.mark("ingest", ["a/2"])
    assert ledger.done("ingest") == {"a/0", "a/1", "a/2"}
    again = Ledger(folder, "f")
    assert again.done("ingest") == {"a/0", "a/1", "a/2"}
    assert again.done("filter") == {"a/0"}
    assert again.done("mask") == set()
    assert again.passes == ("ingest", "filter")
    assert sorted(path.name for path in folder.iterdir()) == [
        "000000-ingest.json",
        "000001-filter.json",
        "000002-ingest.json",
    ]


def test_nothing_is_made_before_the_first_mark(folder):
    assert Ledger(folder, "f").done("ingest") == set()
    assert not folder.exists()


def test_segments_of_another_fingerprint_do_not_count_and_are_not_overwritten(folder):
    Ledger(folder, "old").mark("ingest", ["a/0"])
    other = Ledger(folder, "new")
    assert other.done("ingest") == set()
    other.mark("ingest", ["a/1"])
    assert Ledger(folder, "old").done("ingest") == {"a/0"}
    assert Ledger(folder, "new").done("ingest") == {"a/1"}


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_a_torn_segment_is_as_good_as_absent(folder, length):
    ledger = Ledger(folder, "f")
    ledger.mark("ingest", ["a/0"])
    ledger.mark("ingest", ["a/1"])
    torn = folder / "000001-ingest.json"
    torn.write_bytes(torn.read_bytes()[:length])
    again = Ledger(folder, "f")
    assert again.done("ingest") == {"a/0"}
    again.mark("ingest", ["a/1"])
    assert Ledger(folder, "f").done("ingest") == {"a/0", "a/1"}
    assert (folder / "000002-ingest.json").exists()


@pytest.mark.parametrize("text", ["[]", "{}", "3", '{"fingerprint": "f"}', "\xff\xfe"])
def test_foreign_files_are_left_alone(folder, text):
    folder.mkdir()
    (folder / "000000-ingest.json").write_text(text, encoding="latin-1")
    (folder / "notes.txt").write_text("mine")
    (folder / ".ingest.0123456789ab.part").write_text("half")
    assert Ledger(folder, "f").done("ingest") == set()
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_number_taken_by_someone_else_is_passed_over(folder):
    ledger = Ledger(folder, "f")
    other = Ledger(folder, "f")
    other.mark("ingest", ["a/0"])
    ledger.mark("ingest", ["a/1"])
    assert Ledger(folder, "f").done("ingest") == {"a/0", "a/1"}


def test_without_hard_links_segments_are_still_created_once(folder, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    ledger = Ledger(folder, "f")
    other = Ledger(folder, "f")
    ledger.mark("ingest", ["a/0"])
    other.mark("ingest", ["a/1"])
    ledger.mark("ingest", ["a/2"])
    assert Ledger(folder, "f").done("ingest") == {"a/0", "a/1", "a/2"}
    assert len(list(folder.iterdir())) == 3


def test_a_full_disk_gets_its_line_and_no_mark(folder, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    ledger = Ledger(folder, "f")
    with (
        monkeypatch.context() as patch,
        pytest.raises(RunFailedError, match="No space left on device") as caught,
    ):
        patch.setattr(Path, "hardlink_to", full)
        ledger.mark("ingest", ["a/0"])
    assert "\n" not in str(caught.value)
    assert ledger.done("ingest") == set()
    assert list(folder.iterdir()) == []


def test_names_of_passes_may_hold_anything(folder):
    Ledger(folder, "f").mark("mask: a/b", ["ä/0"])
    assert Ledger(folder, "f").done("mask: a/b") == {"ä/0"}
    assert [path.parent for path in folder.iterdir()] == [folder]


def test_writers_at_the_same_time_lose_no_mark(folder):
    def mark_many(worker):
        ledger = Ledger(folder, "f")
        for number in range(20):
            ledger.mark("p", [f"{worker}/{number}"])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(mark_many, range(3)))
    assert Ledger(folder, "f").done("p") == {
        f"{worker}/{number}" for worker in range(3) for number in range(20)
    }


partials = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5).filter(lambda text: text != "__array__"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(partial=partials)
@settings(max_examples=50, deadline=None)
def test_partials_come_back_as_they_were(tmp_path_factory, partial):
    folder = tmp_path_factory.mktemp("ledger")
    Ledger(folder, "f").mark("ingest", ["a/0"], partial)
    back = Ledger(folder, "f").partials("ingest")
    assert back == ([] if partial is None else [partial])
    assert [type(item) for item in back] == ([] if partial is None else [type(partial)])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint64"])
def test_arrays_of_integers_come_back_as_they_were(folder, dtype):
    array = np.array([[np.iinfo(dtype).max, 0, 1], [np.iinfo(dtype).min, 5, 6]], dtype=dtype)
    Ledger(folder, "f").mark("ingest", ["a/0"], {"a": array, "none": np.zeros(0, dtype)})
    (back,) = Ledger(folder, "f").partials("ingest")
    np.testing.assert_array_equal(back["a"], array, strict=True)
    np.testing.assert_array_equal(back["none"], np.zeros(0, dtype), strict=True)


@pytest.mark.parametrize("partial", [(1, 2), {1: 2}, np.zeros(2), {3}, [object()]])
def test_a_partial_that_would_change_is_refused_before_it_is_marked(folder, partial):
    ledger = Ledger(folder, "f")
    with pytest.raises(TypeError, match="arrays of integers can be kept"):
        ledger.mark("ingest", ["a/0"], partial)
    assert ledger.done("ingest") == set()
    assert not folder.exists()


def test_a_segment_says_of_what_run_it_is(folder):
    Ledger(folder, "abc").mark("ingest", ["a/0"])
    content = json.loads((folder / "000000-ingest.json").read_bytes())
    assert content == {"fingerprint": "abc", "pass": "ingest", "keys": ["a/0"], "partial": None, "files": {}}
