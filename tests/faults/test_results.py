"""The table of figures counts what the long runs recorded, and says what nobody has run."""

from __future__ import annotations

from tests.faults.figures import table
from tests.faults.results import NOT_RUN, read, record, rows


def test_what_nobody_ran_says_so(tmp_path):
    assert {row.tried for row in rows(tmp_path / "none.jsonl")} == {NOT_RUN}


def test_lines_add_up(tmp_path):
    file = tmp_path / "figures.jsonl"
    record("fuzz", file, first=0, tried=100, survived=99, slowest=1.5)
    record("fuzz", file, first=100, tried=50, survived=50, slowest=0.5)
    record("crash", file, part="1/40", events=1000, tried=10, survived=10)
    record("chaos", file, first=0, tried=2, survived=1, kinds={"killed worker": 1, "slow disk": 1})
    record("chaos", file, first=2, tried=1, survived=1, kinds={"slow disk": 1})
    found = {row.what[:8]: row for row in rows(file)}
    assert (found["damaged "].tried, found["damaged "].survived) == ("150", "149")
    assert "1.5 s" in found["damaged "].remark
    assert found["SIGKILL,"].asked == "3,000"
    runs = next(row for row in rows(file) if row.what.startswith("runs with"))
    assert (runs.tried, runs.survived, runs.remark) == ("3", "2", "killed worker 1, slow disk 2")
    assert len(read(file)) == 5


def test_the_table_has_one_line_a_row():
    lines = table(markdown=True)
    assert len(lines) == len(rows()) + 2
    assert {line.count("|") for line in lines} == {6}
