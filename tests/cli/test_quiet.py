"""`--quiet` and `--json` of the commands that run something."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.support import mock
from tilegc import completing, previews, running
from tilegc.cli import app
from tilegc.engine import Silent

WARNING = {"code": "edge", "field": "a", "text": "Half is masked.", "remedy": "Change mask.edge."}


@pytest.fixture
def run_file(tmp_path):
    return mock.write_inputs(tmp_path)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Options that a command hands on; the run that it gets back has a summary with one warning."""
    given = {}
    found = SimpleNamespace(path=tmp_path, summary={"n_detected": 3, "warnings": [WARNING]}, manifest={})
    (tmp_path / "summary.json").write_text("{}")

    def instead(*_args, **options):
        given.update(options)
        options["tell"]("dashboard: somewhere")
        return found

    monkeypatch.setattr(running, "run", instead)
    monkeypatch.setattr(completing, "complete", instead)
    return given


@pytest.mark.parametrize("command", ["run", "complete"])
def test_json_is_the_summary_alone(command, run_file, asked, tmp_path):
    target = run_file if command == "run" else tmp_path
    done = CliRunner().invoke(app, [command, str(target), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "directory": str(tmp_path),
        "n_detected": 3,
        "warnings": [WARNING],
    }
    assert isinstance(asked["progress"], Silent)


@pytest.mark.parametrize("command", ["run", "complete"])
def test_quiet_leaves_warnings(command, run_file, asked, tmp_path):
    target = run_file if command == "run" else tmp_path
    done = CliRunner().invoke(app, [command, str(target), "-q"])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert done.stderr == "warning: field a: Half is masked. Change mask.edge.\n"
    assert isinstance(asked["progress"], Silent)


def test_the_plan_as_json(run_file, tmp_path):
    done = CliRunner().invoke(app, ["plan", str(run_file), "--json", "-o", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    said, plan = json.loads(done.stdout), previews.plan(run_file, tmp_path / "new")
    assert [one["name"] for one in said["passes"]] == [step.name for step in plan.steps]
    assert (said["pixels"], said["memory_bytes"], said["refusals"]) == (plan.pixels, plan.memory, [])
    # Two fields of 14,208 px in two bands: next to nothing beyond what every run costs.
    assert 25 < said["cpu_seconds"] < 40
