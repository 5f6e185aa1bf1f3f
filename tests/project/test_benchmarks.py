"""Command lines of the benchmarks: impossible arguments give one line and exit code 2 before anything is measured."""

import sys

import numpy as np
import pytest

from benchmarks import __main__ as suite
from benchmarks import codecs, command_line, commands, density, reading, sample_law, scaling, settling, size
from benchmarks.measure import Case
from tilegc.errors import ConfigError

WRONG = [
    (suite, "--size 0", "--size: '0': give a whole number, 64 or more"),
    (suite, "--runs 1.5", "--runs: '1.5': give a whole number, 1 or more"),
    (suite, "--preset nope", "'nope'"),
    (suite, "--seeds -1", "--seeds: '-1': give a whole number, 0 or more"),
    (suite, "--figure a.gif", "--figure: a.gif: give the name of a PNG"),
    (suite, "--fast", "--fast"),
    (codecs, "NOWHERE", "NOWHERE: no such folder"),
    (codecs, ".", "store/a.zarr: no such store: give the folder of a finished run"),
    (size, "--run NOWHERE.yaml", "NOWHERE.yaml: no such file"),
    (size, "--sides 0", "--sides: '0'"),
    (size, "--place NOWHERE", "--place: NOWHERE: no such folder"),
    (scaling, "--tiles 0", "--tiles: '0'"),
    (scaling, "--workers 0", "--workers: '0'"),
    (scaling, "--run NOWHERE.yaml", "NOWHERE.yaml: no such file"),
    (commands, "--run NOWHERE.yaml", "NOWHERE.yaml: no such file"),
    (settling, "--candidates 0", "--candidates: '0'"),
    (settling, "--undecided 2", "--undecided: 2: give a share, from 0 to 1"),
    (sample_law, "--clusters 2", "--clusters: '2'"),
    (density, "--sky 0", "--sky: '0'"),
]


@pytest.mark.parametrize(("benchmark", "given", "expected"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_one_line(benchmark, given, expected, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmark", *given.split()])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert expected in said.err
    assert not list(tmp_path.iterdir())


def test_what_the_chain_refuses_is_said_as_the_chain_says_it(monkeypatch, capsys) -> None:
    def refuse() -> None:
        raise ConfigError("run.yaml: no fields")

    with pytest.raises(SystemExit) as ended:
        command_line.said(refuse)()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "run.yaml: no fields\n"


def test_a_peer_that_is_not_installed_is_named_before_anything_is_measured(capsys) -> None:
    parser = command_line.Parser(prog="bench")
    command_line.require(parser, "numpy")
    with pytest.raises(SystemExit):
        command_line.require(parser, "numpy", "no_such_peer")
    assert "bench: no_such_peer: not installed" in capsys.readouterr().err


@pytest.mark.parametrize("side", [64, 300])
def test_small_images_have_edges_too(side, monkeypatch) -> None:
    """Both contestants agree, or it raises."""
    monkeypatch.setattr(reading, "in_turns", lambda contestants, _: {name: [1.0] for name in contestants})
    found = reading.edges(side, 1)
    assert isinstance(found, Case)
    assert found.pixels == side * side
    assert list(found.seconds) == ["tilegc", "scipy.ndimage"]
    assert np.isfinite(found.pixels)


def test_commands_are_compared_run_by_run(monkeypatch, capsys) -> None:
    taken = {
        "detect": {
            "tilegc": [commands.Spent(2.0, 4.0), commands.Spent(4.0, 8.0)],
            "SExtractor": [commands.Spent(1.0, 1.0), commands.Spent(4.0, 2.0)],
        }
    }
    monkeypatch.setattr(commands, "compare", lambda size, runs: taken)
    monkeypatch.setattr(sys, "argv", ["benchmark"])
    commands.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["detect", "tilegc", "3.00", "6.00"] in rows
    assert ["SExtractor", "2.50", "1.50", "0.75", "0.25"] in rows
    (case,) = commands.cases(64, 2)
    assert case.seconds == {"tilegc": [2.0, 4.0], "SExtractor": [1.0, 4.0]}
    assert case.counted["CPU of all processes, s (tilegc)"] == 6.0
