"""A resumed run never builds on damaged pixels: arrays that differ from what was written are noticed and recomputed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support import mock
from tilegc import running
from tilegc.engine.serial import SerialEngine
from tilegc.io.payload import damaged, recording
from tilegc.run_folder import Ledger, verify
from tilegc.run_folder import manifest as manifests
from tilegc.schema import FILES

pytestmark = pytest.mark.usefixtures("no_report")


class Power(BaseException):
    """An exception that nothing may catch, like a power failure."""


def flip(path, draw):
    content = bytearray(path.read_bytes())
    content[draw.integers(len(content))] ^= 1 << int(draw.integers(8))
    path.write_bytes(content)


def delete(path, _draw):
    path.unlink()


def truncate(path, draw):
    os.truncate(path, int(draw.integers(path.stat().st_size)))


def zero(path, draw):
    """Zero a run of bytes that are not zero already, as a block that never reached the disk."""
    content = bytearray(path.read_bytes())
    start = int(draw.integers(len(content)))
    while not any(content[start : start + 512]):
        start = int(draw.integers(len(content)))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


DAMAGES = {one.__name__: one for one in (flip, delete, truncate, zero)}


def stopping(patch, name, after=0):
    """Have the power fail when a pass has done so many units."""
    done = []

    def do(self, books, function, common, unit, ordinary=SerialEngine._do):
        if books.name == name:
            if len(done) == after:
                raise Power
            done.append(unit.key)
        ordinary(self, books, function, common, unit)

    patch.setattr(SerialEngine, "_do", do)


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"), ingest="always", tiles={"size": 33})


@pytest.fixture(scope="module")
def undisturbed(run_file, tmp_path_factory):
    return running.run(run_file, tmp_path_factory.mktemp("undisturbed") / "run", workers=0)


@pytest.fixture(scope="module")
def interrupted(run_file, tmp_path_factory):
    """A run that was killed when every array was written."""
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        stopping(patch, "sky-grid")
        with pytest.raises(Power):
            running.run(run_file, folder, workers=0)
    return folder


def chunks(folder: Path) -> dict[str, list[str]]:
    """Return the chunk files of each array of each store, relative to the run's folder."""
    found: dict[str, list[str]] = {}
    for path in sorted((folder / FILES.store).rglob("*")):
        if path.is_file() and "c" in path.parts:
            name = path.relative_to(folder).as_posix()
            found.setdefault("/".join(name.split("/")[1:3]), []).append(name)
    return found


def ledger(folder: Path) -> Ledger:
    return Ledger(folder / FILES.ledger, manifests.read(folder)["fingerprint"])


def test_every_array_of_the_interrupted_run_has_stamps(interrupted):
    files = {name for mark in ledger(interrupted)._marks.values() for name in mark.files}
    written = {name for names in chunks(interrupted).values() for name in names if "/coarse/" not in name}
    band = {name for name in written if "/band/" in name}
    assert written - files == band, "only the names of the bands are no tile's"
    assert len(chunks(interrupted)) >= 20
    assert not ledger(interrupted).drop_damaged()


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_to_any_file_is_noticed(how, interrupted, tmp_path):
    """Every chunk file of every array, one at a time: more than 200 cases for each kind of damage."""
    folder = Path(shutil.copytree(interrupted, tmp_path / "run"))
    stamps = {
        str(folder / name): stamp
        for mark in ledger(folder)._marks.values()
        for name, stamp in mark.files.items()
    }
    draw = np.random.default_rng(sorted(DAMAGES).index(how))
    cases = 0
    for file, stamp in stamps.items():
        path = Path(file)
        if not path.exists():
            continue
        content = path.read_bytes()
        DAMAGES[how](path, draw)
        assert list(damaged({file: stamp})) == [file]
        path.write_bytes(content)
        cases += 1
    assert cases >= 200
    assert not damaged(stamps)


def test_a_file_where_none_was_is_noticed(tmp_path):
    with recording() as stamps:
        from tilegc.io import payload

        payload.note(str(tmp_path / "c"), None)
    assert not damaged(stamps)
    (tmp_path / "c").write_bytes(b"1")
    assert list(damaged(stamps).values()) == ["was not there"]


def resumed(folder, run_file):
    lines: list[str] = []
    found = running.run(run_file, folder, workers=0, resume=True, tell=lines.append)
    return found, [line for line in lines if line.startswith("damaged since")]


@pytest.mark.parametrize(
    ("how", "seed"),
    [
        (how, seed)
        if (how, seed) in {("flip", 0), ("delete", 0)}
        else pytest.param(how, seed, marks=pytest.mark.slow)
        for how in DAMAGES
        for seed in range(3)
    ],
)
def test_what_is_damaged_is_done_again(how, seed, interrupted, undisturbed, run_file, tmp_path):
    """One file of every array is damaged in the same way; the resumed run has the bytes of the undisturbed one."""
    folder = Path(shutil.copytree(interrupted, tmp_path / "run"))
    draw = np.random.default_rng(seed)
    hit = []
    for array, names in chunks(folder).items():
        if not array.endswith(("band", "coarse")):
            hit.append(names[draw.integers(len(names))])
            DAMAGES[how](folder / hit[-1], draw)
    assert len(hit) >= 20
    found, said = resumed(folder, run_file)
    assert len(said) == 1
    assert f"and {len(hit) - 1} more" in said[0]
    log = (folder / FILES.log).read_text()
    assert all(name in log for name in hit)
    mock.assert_same(found, undisturbed)
    assert not verify(folder)
    assert not ledger(folder).drop_damaged()


def test_an_undamaged_run_is_resumed_without_a_word(interrupted, undisturbed, run_file, tmp_path):
    folder = Path(shutil.copytree(interrupted, tmp_path / "run"))
    found, said = resumed(folder, run_file)
    assert not said
    mock.assert_same(found, undisturbed)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("mask", 5),
        pytest.param("filter", 3, marks=pytest.mark.slow),
        pytest.param("rho", 4, marks=pytest.mark.slow),
    ],
)
def test_a_power_failure_drops_what_was_not_flushed(
    name, after, run_file, undisturbed, tmp_path, monkeypatch
):
    """Files that were written and never flushed come back empty, as a journalling file system may leave them."""
    flushed = set()

    def flushing(handle, ordinary):
        flushed.add(os.fstat(handle).st_ino)
        ordinary(handle)

    for call in ("fsync", "fdatasync"):
        ordinary = getattr(os, call)
        monkeypatch.setattr(os, call, lambda handle, ordinary=ordinary: flushing(handle, ordinary))
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stopping(patch, name, after)
        with pytest.raises(Power):
            running.run(run_file, folder, workers=0)
    lost = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_ino not in flushed and path.name not in {FILES.log, FILES.lock}
    ]
    for path in lost:
        os.truncate(path, 0)
    marked = {file for mark in ledger(folder)._marks.values() for file in mark.files}
    assert marked
    assert not marked & {path.relative_to(folder).as_posix() for path in lost}, (
        "marks follow what is on the disk"
    )
    found, said = resumed(folder, run_file)
    assert not said
    mock.assert_same(found, undisturbed)
