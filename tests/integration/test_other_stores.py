"""Object stores of Google and Azure: the same bytes as on a disk, and ledger entries that are never overwritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import emulators, mock
from tests.support.command import tilegc
from tilegc import running
from tilegc.places import create, files_below, place
from tilegc.run_folder import open_run, verify

pytestmark = pytest.mark.slow

ROOM = "sky"


@pytest.fixture(scope="module", params=["gs", "az"])
def root(request: pytest.FixtureRequest) -> Iterator[str]:
    if (why := emulators.missing(request.param)) is not None:
        pytest.skip(why)
    serving = {"gs": emulators.google, "az": emulators.azure}[request.param](ROOM)
    with serving as environment, pytest.MonkeyPatch.context() as patch:
        mock.no_report(patch)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield f"{request.param}://{ROOM}"


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = mock.write_inputs(tmp_path_factory.mktemp("inputs"))
    return mock.edited(path, path.name, {"tiles.size": 64})


@pytest.fixture(scope="module")
def uploaded(root: str, run_file: Path) -> str:
    for path in run_file.parent.iterdir():
        if path.is_file():
            place(f"{root}/in/{path.name}").write_bytes(path.read_bytes())
    return f"{root}/in/{run_file.name}"


@pytest.fixture(scope="module")
def reference(run_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return running.run(run_file, tmp_path_factory.mktemp("reference") / "run", workers=0).path


def test_marks_are_put_only_where_none_is(root):
    target = place(f"{root}/marks/one")
    create(target, b"mine")
    create(target, b"mine")  # the answer to the first was lost
    with pytest.raises(FileExistsError):
        create(target, b"theirs")
    assert target.read_bytes() == b"mine"
    assert files_below(place(f"{root}/marks")) == ["one"]


def test_everything_in_the_store_is_the_same_bytes_as_on_disk(root, uploaded, reference):
    done = tilegc("run", uploaded, "-o", f"{root}/all", "--workers", 1)
    assert (done.code, done.err) == (0, "")
    assert mock.products(open_run(f"{root}/all")) == mock.products(open_run(reference))
    assert verify(f"{root}/all") == []
    told = tilegc("status", f"{root}/all")
    assert (told.code, told.err) == (0, "")
    assert "done" in told.out


def test_a_program_of_its_own_says_nothing_but_its_results(root, uploaded):
    """Clients of stores end with the process; adlfs with a word, for zarr has ended the loop it closes itself on."""
    command = [sys.executable, "-m", "tilegc", "run", uploaded, "-o", f"{root}/own", "--workers", "0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0
    said = {line for line in done.stderr.splitlines() if not line.startswith((" ", "Traceback"))}
    assert said == ({"RuntimeError: Loop is not running"} if root.startswith("az") else set())


def test_a_room_that_does_not_exist_gets_one_line(root):
    done = tilegc("run", f"{root}-not/in/run.yaml", "--workers", 0)
    assert done.code == 2
    assert done.err.count("\n") == 1
