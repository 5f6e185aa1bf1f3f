"""Damaged inputs of every kind end with exit code 0, or with 2 and one line; `make fuzz` tries 20,000 of them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fuzz import harness
from tests.fuzz.harness import as_process, in_process, judged
from tests.fuzz.mutations import KINDS, case, remove, write_originals
from tests.support.command import Outcome, tilegc

CASES, GROUP = 300, 30


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    write_originals(folder)
    for command in ("plan", "audit"):
        found = tilegc(command, folder / "run.yaml")
        assert (found.code, found.err) == (0, ""), "good before they are damaged"
    return folder


@pytest.mark.parametrize("first", range(0, CASES, GROUP))
def test_damaged_inputs(originals, tmp_path, first):
    found = [in_process(seed, originals, tmp_path) for seed in range(first, first + GROUP)]
    assert [one for one in found if one.fault is not None] == []
    assert {one.code for one in found} == {0, 2}


def test_every_kind_of_damage_occurs(originals, tmp_path):
    kinds = Counter()
    for seed in range(CASES):
        kind, _ = case(seed, originals, tmp_path / "case")
        kinds[kind] += 1
        remove(tmp_path / "case")
    assert set(kinds) == set(KINDS)


@pytest.mark.slow
def test_damaged_inputs_as_processes(originals, tmp_path):
    """Whole processes, as a user starts them: no output of the interpreter or of C libraries reaches the terminal."""
    found = [as_process(seed, originals, tmp_path) for seed in range(50)]
    assert [one for one in found if one.fault is not None] == []


@pytest.mark.parametrize(
    ("code", "err", "seconds", "memory", "fault"),
    [
        (0, "", 1.0, 1e6, None),
        (2, "tilegc: a.fits: no such file\n", 1.0, 1e6, None),
        (1, "tilegc: failed\n", 1.0, 1e6, "exit 1"),
        (-11, "", 1.0, 1e6, "exit -11"),
        (2, "", 1.0, 1e6, "0 lines"),
        (2, "a\nb\n", 1.0, 1e6, "2 lines"),
        (0, "WARNING: x\n", 1.0, 1e6, "exit 0 with remarks on stderr"),
        (2, "x" * 500 + "\n", 1.0, 1e6, "a line too long"),
        (2, "tilegc: \x1b[31m\n", 1.0, 1e6, "control characters"),
        (2, "tilegc: no\n", 6.0, 1e6, "6.0 s"),
        (2, "tilegc: no\n", 1.0, 6e8, "600 MB"),
    ],
)
def test_the_judge(code, err, seconds, memory, fault):
    assert judged(Outcome(code, "", err), seconds, memory) == fault


def test_what_never_ends_is_interrupted(originals, tmp_path, monkeypatch):
    def never(*_words):
        while True:
            pass

    monkeypatch.setattr(harness, "GIVEN_UP", 0.2)
    monkeypatch.setattr(harness, "tilegc", never)
    assert in_process(1, originals, tmp_path).fault == "exit -1"
