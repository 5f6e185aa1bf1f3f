"""Start rules, lock, manifest, what --overwrite removes, status, verify, and reading a run."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tilegc import config as run_file
from tilegc import run_folder
from tilegc.errors import ConfigError, DiskFullError, InputError, RunFailedError, RunFolderError
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.run_folder import Ledger, RunFolder, open_run, status, strangers, verify
from tilegc.run_folder import manifest as manifests
from tilegc.run_folder.layout import is_ours
from tilegc.schema import ARRAYS

INPUTS = {"/data/a.fits": "100 bytes, 1234", "/data/kappa.fits": "50 bytes, abcd"}


def settings(**changes):
    content = {
        "recipe": "diego2026",
        "cluster": {"name": "X", "redshift": 0.3, "ra": 10.0, "dec": -5.0},
        "fields": [{"name": "a", "bands": {"F090W": "/data/a.fits"}}, {"name": "b", "store": "/data/b.zarr"}],
    }
    return run_file.resolve({**content, **changes})


CONFIG = settings()


def create(path, config=CONFIG, inputs=INPUTS, **options):
    return RunFolder(path).create(config, inputs=inputs, **options)


def write_store(path: Path, names: tuple[str, ...] = ("mask", "detection")) -> None:
    arrays = [array for array in ARRAYS if array.name in names]
    store.create(
        str(path), arrays, shape=(8, 12), bands=["F090W"], shard=8, attrs={"wcs": "", "header": "SIMPLE = T"}
    )
    for array in arrays:
        values = np.ones((8, 8), array.dtype)
        store.write(str(path), array.name, Box(0, 0, 8, 8), values[None] if "band" in array.dims else values)


def write_products(folder: RunFolder) -> None:
    for name in run_folder.PRODUCTS:
        folder.file(name).parent.mkdir(exist_ok=True)
        folder.file(name).write_text(f"content of {name}")
    for field in ("a", "b"):
        folder.map(field, "rho").parent.mkdir(exist_ok=True)
        folder.map(field, "rho").write_text(field)
        write_store(folder.store(field))
    folder.file("summary.json").write_text('{"n_detected": 3}')
    folder.file("log.txt").write_text("log")
    folder.file("report.html").write_text("page")
    folder.claim([folder.figure("map.png")])
    folder.figure("map.png").parent.mkdir(exist_ok=True)
    folder.figure("map.png").write_text("png")


@pytest.fixture
def finished(tmp_path):
    path = tmp_path / "run"
    with create(path, plan={"ingest": 2}) as folder:
        folder.ledger.mark("ingest", ["a/0", "b/0"])
        write_products(folder)
        folder.finish({"total_s": 1.5})
    return path


def listing(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


# start rules


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("there", ["absent", "empty", "only a lock", "deep"])
def test_an_absent_or_empty_folder_accepts_any_flag(tmp_path, flags, there):
    path = tmp_path / "run"
    if there == "deep":
        path = path / "in" / "folders"
    elif there != "absent":
        path.mkdir()
    if there == "only a lock":
        (path / ".lock").write_text("process 1 on nowhere")
        (path / ".manifest.json.0123456789ab.part").write_text("{")
    with create(path, **flags) as folder:
        assert folder.path == path
        assert json.loads((path / "manifest.json").read_bytes())["state"] == "running"
    assert run_file.load(path / "run.yaml") == CONFIG


def test_a_started_folder_needs_a_flag_and_names_both(finished):
    before = listing(finished)
    with pytest.raises(RunFolderError, match=r"--resume .* --overwrite") as caught, create(finished):
        pass
    assert "\n" not in str(caught.value)
    assert listing(finished) == before


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with (
        pytest.raises(ConfigError, match="exclude each other"),
        create(tmp_path, resume=True, overwrite=True),
    ):
        pass


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize(
    ("name", "content"),
    [("thesis.tex", "years of work"), ("manifest.json", '{"name": "a web app"}'), ("manifest.json", "{torn")],
)
def test_a_foreign_folder_is_always_refused_and_left_as_it_is(tmp_path, flags, name, content):
    (tmp_path / name).write_text(content)
    with (
        pytest.raises(RunFolderError, match="Choose an empty directory") as caught,
        create(tmp_path, **flags),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == {name: content.encode()}


def test_a_file_or_a_dangling_link_in_its_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("run", "link"):
        with pytest.raises(RunFolderError, match="is not a directory"), create(tmp_path / name):
            pass


def test_a_folder_that_cannot_be_made_gets_its_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot be created"), create(tmp_path / "file" / "run"):
        pass


# resume


def test_resume_goes_on_with_the_ledger(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(RunFailedError), create(path) as folder:
        folder.ledger.mark("ingest", ["a/0"])
        raise RunFailedError("the disk\nis full")
    found = status(path)
    assert (found.state, found.error) == ("failed", "RunFailedError: the disk is full")
    with create(path, resume=True) as folder:
        assert folder.ledger.done("ingest") == {"a/0"}
        assert status(path).error is None


MOVED = {f"/elsewhere/{name.removeprefix('/data/')}": digest for name, digest in INPUTS.items()}


def moved():
    bands = [
        {"name": "a", "bands": {"F090W": "/elsewhere/a.fits"}},
        {"name": "b", "store": "/data/b.zarr"},
    ]
    return settings(fields=bands)


def test_inputs_that_moved_are_the_same_inputs(finished):
    marks = listing(finished / "ledger")
    with create(finished, moved(), inputs=MOVED, resume=True) as folder:
        assert folder.ledger.done("ingest") == {"a/0", "b/0"}
        folder.finish()
    assert listing(finished / "ledger") == marks
    run = open_run(finished)
    assert run.manifest["inputs"] == MOVED
    assert run.config.fields[0].bands["F090W"].sci == "/elsewhere/a.fits"
    assert run_file.load(finished / "run.yaml") == moved()
    with create(finished, resume=True) as folder:
        assert folder.manifest["inputs"] == INPUTS


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            {**MOVED, "/elsewhere/a.fits": "other"},
            r"fields\[0\].bands.F090W.*/data/a.fits.*now .*/elsewhere/a.fits",
        ),
        ({"/elsewhere/a.fits": INPUTS["/data/a.fits"]}, r"/data/kappa.fits \(no longer read\)"),
        ({**MOVED, "/elsewhere/more.reg": "1"}, r"/elsewhere/more.reg \(new\)"),
    ],
)
def test_inputs_that_moved_and_changed_are_refused(finished, inputs, said):
    before = listing(finished)
    with pytest.raises(RunFolderError, match=said), create(finished, moved(), inputs=inputs, resume=True):
        pass
    assert listing(finished) == before


def test_inputs_that_changed_places_are_refused(tmp_path):
    """All files have the same content, but the bands are exchanged."""
    fields = [{"name": "a", "bands": {"F090W": "/data/a.fits", "F200W": "/data/b.fits"}}]
    inputs = {"/data/a.fits": "1", "/data/b.fits": "2"}
    with create(tmp_path / "run", settings(fields=fields), inputs=inputs) as folder:
        folder.ledger.mark("ingest", ["a/0"])
    exchanged = {"/data/a.fits": "2", "/data/b.fits": "1"}
    again = create(tmp_path / "run", settings(fields=fields), inputs=exchanged, resume=True)
    with pytest.raises(RunFolderError, match=r"inputs have changed.*/data/a.fits, /data/b.fits"), again:
        pass


def test_what_a_killed_run_was_writing_is_removed_on_resume_and_named_before(finished):
    left = [
        ".here-0123456789abcdef",
        ".here-0123456789abcdef-node7-1234",
        ".summary.json.0123456789ab.part",
        "maps/.a_rho.fits.0123456789ab.part",
        "ledger/.filter.0123456789ab.part",
        f"store/a.zarr/mask/c/0/0.{'0' * 32}.partial",
    ]
    mine = ["notes.txt", "maps/.mine.0123456789ab.part", "store/a.zarr/mask/c/notes"]
    for name in (*left, *mine):
        (finished / name).write_text("x")
    assert strangers(finished) == sorted([*left, *mine])
    assert verify(finished) == []
    with create(finished, resume=True) as folder:
        folder.finish()
    assert strangers(finished) == sorted(mine)
    assert all((finished / name).exists() for name in mine)


def test_resume_refuses_other_settings_and_says_which(finished):
    before = listing(finished)
    other = settings(detect={"keep": 3.0}, tiles={"size": 512})
    with (
        pytest.raises(RunFolderError, match=r"detect\.keep \(2\.0, now 3\.0\)") as caught,
        create(finished, other, resume=True),
    ):
        pass
    assert "tiles.size" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert listing(finished) == before


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({**INPUTS, "/data/a.fits": "101 bytes, 1234"}, "/data/a.fits;"),
        ({**INPUTS, "/data/new.fits": "1"}, r"/data/new.fits \(new\)"),
        ({"/data/a.fits": INPUTS["/data/a.fits"]}, r"/data/kappa.fits \(no longer read\)"),
    ],
)
def test_resume_refuses_other_inputs_and_says_which(finished, inputs, said):
    before = listing(finished)
    with pytest.raises(RunFolderError, match=said), create(finished, inputs=inputs, resume=True):
        pass
    assert listing(finished) == before


def test_resume_refuses_another_schema(finished):
    content = manifests.read(finished)
    manifests.write(finished, {**content, "schema": 0})
    with pytest.raises(RunFolderError, match="schema 0"), create(finished, resume=True):
        pass
    with pytest.raises(RunFolderError, match="schema 0"):
        open_run(finished)
    with create(finished, overwrite=True):
        pass


def test_marks_of_other_settings_do_not_count_after_overwrite(finished):
    with create(finished, settings(detect={"keep": 3.0}), overwrite=True) as folder:
        assert folder.ledger.done("ingest") == set()


# overwrite


def test_overwrite_removes_what_is_ours_and_nothing_else(finished, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("catalogue.parquet", "zarr.json"):
        (outside / name).write_text("someone else's")
    foreign = [
        "notes.txt",
        "maps/mine.fits",
        "figures/mine.png",
        "store/a.zarr/notes.txt",
        "store/other.zarr/zarr.json",
        "store/a.zarr/mask/c/notes",
        "ledger/notes.json",
        "maps/c_rho.fits",
    ]
    for name in foreign:
        (finished / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / name).write_text("mine")
    (finished / "empty").mkdir()
    (finished / "store" / "a.zarr" / "linked").symlink_to(outside, target_is_directory=True)
    (finished / "store" / "b.zarr" / "also-linked").symlink_to(outside, target_is_directory=True)
    assert (finished / "store/a.zarr/mask/c/0/0").exists()
    with create(finished, overwrite=True):
        left = {file.relative_to(finished).as_posix() for file in finished.rglob("*") if file.is_file()}
        assert left == {*foreign, "manifest.json", ".manifest.copy.json", "run.yaml", ".lock"}
        assert (finished / "empty").is_dir()
        assert (finished / "store/a.zarr/linked").is_symlink()
        assert not (finished / "store/a.zarr/detection").exists()
    assert listing(outside) == dict.fromkeys(("catalogue.parquet", "zarr.json"), b"someone else's")


def test_overwrite_of_an_untouched_run_leaves_nothing(finished):
    with create(finished, overwrite=True):
        left = sorted(path.name for path in finished.iterdir())
        assert left == [".lock", ".manifest.copy.json", "manifest.json", "run.yaml"]


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"resume": True}], ids=["overwrite", "resume"])
@pytest.mark.parametrize(
    "name",
    [
        *("store", "maps", "ledger", "store/a.zarr", "store/a.zarr/mask", "store/a.zarr/mask/c/0/0"),
        *("catalogue.parquet", "log.txt", ".lock", "run.yaml"),
    ],
)
def test_a_link_where_a_run_writes_is_refused_and_nothing_is_touched(finished, tmp_path, name, flags):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if (finished / name).exists():
        (finished / name).rename(elsewhere / "target")
    else:
        (elsewhere / "target").write_text("mine")
    (finished / name).parent.mkdir(parents=True, exist_ok=True)
    (finished / name).symlink_to(elsewhere / "target")
    before = listing(elsewhere), listing(finished)
    with pytest.raises(RunFolderError, match="is a symbolic link") as caught, create(finished, **flags):
        pass
    assert str(finished / name) in str(caught.value)
    assert (listing(elsewhere), listing(finished)) == before


@pytest.mark.parametrize("crash_at", ["remove", "first unlink"])
def test_a_crash_while_overwriting_leaves_a_folder_that_is_ours_and_claims_nothing(
    finished, monkeypatch, crash_at
):
    class PowerCut(BaseException):
        pass

    def crash(*_args, **_kwargs):
        raise PowerCut

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        if crash_at == "remove":
            patch.setattr("tilegc.run_folder.folder.remove", crash)
        else:
            patch.setattr("tilegc.run_folder.layout.is_ours", crash)
        with create(finished, overwrite=True):
            pass
    found = status(finished)
    assert found.state == "failed"
    assert all(step.done == 0 for step in found.passes)
    assert verify(finished)
    with create(finished, resume=True) as folder:
        assert folder.ledger.done("ingest") == set()


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("catalogue.parquet", True),
        (".catalogue.parquet.0123456789ab.part", True),
        (".thesis.tex.0123456789ab.part", False),
        ("ledger/000003-ingest.json", True),
        ("ledger/.ingest.0123456789ab.part", True),
        ("ledger/readme", False),
        ("maps/a_rho.fits", True),
        ("maps/.a_rho.fits.0123456789ab.part", True),
        ("maps/a_kappa.fits", False),
        ("maps/sub/a_rho.fits", False),
        ("figures/a.png", False),
        ("figures/claimed.png", True),
        ("store/a.zarr/zarr.json", True),
        ("store/a.zarr/sci/zarr.json", True),
        ("store/a.zarr/sci/c/0/1/2", True),
        ("store/a.zarr/band/c/0", True),
        ("store/a.zarr/sci/c/0/1/2.0123456789abcdef0123456789abcdef.partial", True),
        ("store/a.zarr/zarr.0123456789abcdef0123456789abcdef.partial", True),
        ("store/sky-grid.zarr/n_gc/c/0/0/0", True),
        ("store/a.zarr/sci/c/0/x", False),
        ("store/c.zarr/zarr.json", False),
        ("store/zarr.json", False),
        ("zarr.json", False),
        ("sub/catalogue.parquet", False),
    ],
)
def test_what_is_ours(path, ours):
    assert is_ours(path, ["a", "b"], ["figures/claimed.png"]) is ours


# bad input leaves nothing behind


def test_bad_input_found_late_leaves_nothing_behind(tmp_path):
    path = tmp_path / "new" / "run"
    with pytest.raises(InputError), create(path, plan={"ingest": 3}) as folder:
        folder.ledger.mark("ingest", ["a/0"])
        write_store(folder.store("a"))
        folder.file("log.txt").write_text("log")
        raise InputError("a.fits: truncated")
    assert list(tmp_path.iterdir()) == []


def test_bad_input_leaves_the_users_files_and_an_empty_folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    with pytest.raises(InputError), create(path) as folder:
        (path / "notes.txt").write_text("mine")
        folder.file("log.txt").write_text("log")
        raise InputError("a.fits: truncated")
    assert listing(path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("resume", [True, False])
def test_bad_input_does_not_undo_finished_work(tmp_path, resume):
    if resume:
        with create(tmp_path) as folder:
            folder.ledger.mark("ingest", ["a/0"])
    with pytest.raises(InputError), create(tmp_path, plan={"ingest": 1}, resume=resume) as folder:
        folder.ledger.mark("ingest", ["a/0"])
        raise InputError("kappa.fits: vanished")
    assert status(tmp_path).state == "failed"
    assert status(tmp_path).passes[0].done == 1


# lock


SCRIPT = """
import sys
sys.path[:0] = {sys_path!r}
from tilegc import config
from tilegc.run_folder import RunFolder
with RunFolder({path!r}).create(config.resolve({config!r}), inputs={inputs!r}) as folder:
    folder.ledger.mark("ingest", ["a/0"])
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def held(tmp_path):
    """A run folder in which another process works until it may read a line."""
    path = tmp_path / "run"
    script = SCRIPT.format(
        sys_path=sys.path, path=str(path), config=CONFIG.model_dump(mode="json"), inputs=INPUTS
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as other:
        assert other.stdout.readline() == b"ready\n"
        yield path, other
        other.kill()


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_run_in_the_folder_is_refused_while_the_first_lives(held, flags):
    path, other = held
    before = listing(path)
    assert status(path).alive
    assert status(path).state == "running"
    with pytest.raises(RunFolderError, match="a run is using it") as caught, create(path, **flags):
        pass
    if flags:
        assert f"process {other.pid} on " in str(caught.value)
    assert listing(path) == before
    other.communicate(b"\n")
    assert not status(path).alive
    with create(path, resume=True):
        pass


def test_a_killed_run_leaves_no_lock(held):
    path, other = held
    other.kill()
    other.wait()
    found = status(path)
    assert (found.state, found.alive) == ("stopped", False)
    with create(path, resume=True):
        assert status(path).alive
    assert not (path / ".lock").exists()


def test_looking_at_a_run_does_not_keep_others_out(tmp_path):
    """`status` takes the lock for a moment; a run that starts meanwhile must wait for it, not fail."""
    (tmp_path / ".lock").touch()
    handle = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    release = threading.Timer(0.2, os.close, [handle])
    release.start()
    with create(tmp_path):
        assert status(tmp_path).alive
    release.join()


def test_ctrl_c_leaves_the_ledger_and_a_run_to_resume(held):
    path, other = held
    other.send_signal(signal.SIGINT)
    other.wait()
    found = status(path)
    assert (found.state, found.alive, found.error) == ("stopped", False, "KeyboardInterrupt")
    with create(path, resume=True) as folder:
        assert folder.ledger.done("ingest") == {"a/0"}


# status and verify


def test_status_counts_units_of_passes(tmp_path):
    with create(tmp_path, plan={"ingest": 3}) as folder:
        folder.plan({"mask": 2})
        folder.ledger.mark("ingest", ["a/0", "a/1"])
        folder.ledger.mark("extra", ["a/0"])
        found = status(tmp_path)
    assert [(step.name, step.done, step.total) for step in found.passes] == [
        ("ingest", 2, 3),
        ("mask", 0, 2),
        ("extra", 1, None),
    ]
    assert found.alive
    assert found.products == 0
    assert status(tmp_path).state == "stopped"


def test_status_verify_and_open_say_what_is_not_a_run(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for look in (status, verify, open_run):
        for name, said in (
            ("absent", "no such directory"),
            ("empty", "contains no run"),
            ("file", "no such directory"),
        ):
            with pytest.raises(RunFolderError, match=said) as caught:
                look(tmp_path / name)
            assert "\n" not in str(caught.value)


def test_verify_finds_nothing_in_an_untouched_run(finished):
    assert verify(finished) == []
    assert status(finished).state == "done"
    (finished / "log.txt").write_text("more log")
    assert verify(finished) == []


def test_verify_looks_at_page_figures_and_run_file(finished):
    (finished / "figures/map.png").write_text("cut off")
    (finished / "report.html").write_text("edited")
    (finished / "run.yaml").write_text("{}")
    (finished / "figures/of-someone-else.png").write_text("not ours")
    changed = ["figures/map.png: has changed", "report.html: has changed", "run.yaml: has changed"]
    assert sorted(verify(finished)) == changed
    (finished / "figures/map.png").unlink()
    assert "figures/map.png: is missing" in verify(finished)


def test_a_report_drawn_again_is_as_the_run_wrote_it(finished):
    (finished / "report.html").write_text("drawn again")
    (finished / "figures/new.png").write_text("a figure that the run did not have")
    RunFolder(finished).redrawn()
    assert verify(finished) == []
    (finished / "figures/new.png").write_text("changed")
    assert verify(finished) == ["figures/new.png: has changed"]


def test_verify_of_a_run_whose_manifest_has_no_figures(finished):
    content = manifests.read(finished)
    for name in ("figures/map.png", "report.html", "run.yaml"):
        content["products"].pop(name)
    manifests.write(finished, content)
    assert verify(finished) == []


def test_verify_moves_with_the_folder(finished, tmp_path):
    finished.rename(tmp_path / "moved")
    assert verify(tmp_path / "moved") == []


def test_verify_names_what_changed(finished):
    (finished / "catalogue.parquet").write_text("content of catalogue.parqueT")
    (finished / "profile.ecsv").unlink()
    chunk = finished / "store/a.zarr/mask/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    (finished / "store/b.zarr/detection/c/0/0").unlink()
    (finished / "maps/a_density.fits").write_text("new")
    assert sorted(verify(finished)) == [
        "catalogue.parquet: has changed",
        "maps/a_density.fits: was added after the run ended",
        "profile.ecsv: is missing",
        "store/a.zarr/mask: has changed",
        "store/b.zarr/detection: has changed",
    ]


def test_verify_of_an_unfinished_run_says_so(tmp_path):
    with create(tmp_path):
        pass
    (line,) = verify(tmp_path)
    assert "not finished" in line
    assert "stopped" in line


# reading it back


def test_open_run(finished):
    run = open_run(finished)
    assert run.config == CONFIG
    assert run.fields == ("a", "b")
    assert run.summary == {"n_detected": 3}
    assert run.map_path("a", "rho").read_text() == "a"
    data = run.field("a")
    assert data["mask"].dims == ("y", "x")
    assert data["detection"].attrs["units"] == "nJy"
    np.testing.assert_array_equal(data["mask"][:, :8], 1)
    for read, said in (
        (lambda: run.field("c"), "no field 'c': its fields are a, b"),
        (lambda: run.map_path("a", "kappa"), "the maps are detection"),
        (lambda: run.map_path("a", "density"), "missing"),
        (lambda: run.relation, "no convergence map"),
        (run.sky, "missing"),
    ):
        with pytest.raises(RunFolderError, match=said):
            read()


def test_a_field_with_an_earlier_ingest_shows_its_pixels(tmp_path):
    write_store(tmp_path / "earlier.zarr", ("sci", "wht"))
    config = settings(fields=[{"name": "b", "store": str(tmp_path / "earlier.zarr")}])
    with create(tmp_path / "run", config) as folder:
        write_store(folder.store("b"))
    data = open_run(tmp_path / "run").field("b")
    assert set(data) == {"sci", "wht", "mask", "detection"}
    assert float(data["sci"][0, 0, 0]) == 1.0


def test_tables_come_with_units(tmp_path):
    from astropy import units as u

    from tilegc.io.tables import write_ecsv, write_parquet
    from tilegc.schema import CANDIDATES, PROFILE

    with create(tmp_path) as folder:
        empty = {
            column.name: np.zeros(0, "U1" if column.dtype == "string" else column.dtype)
            for column in CANDIDATES
        }
        write_parquet(folder.file("catalogue.parquet"), CANDIDATES, empty)
        radial = {
            column.name: np.zeros(0, "U1" if column.dtype == "string" else column.dtype) for column in PROFILE
        }
        write_ecsv(folder.file("profile.ecsv"), PROFILE, radial, {})
    run = open_run(tmp_path)
    assert run.catalogue["ra"].unit == u.deg
    assert run.profile["r_lo"].unit == u.arcsec
    with pytest.raises(RunFolderError, match=r"candidates\.parquet: missing"):
        _ = run.candidates


def test_manifest_says_what_made_it(finished):
    manifest = open_run(finished).manifest
    assert manifest["tilegc"]
    assert manifest["recipe"] == "diego2026"
    assert manifest["inputs"] == INPUTS
    assert manifest["environment"]["numpy"] == np.__version__
    assert manifest["products"].keys() >= {"catalogue.parquet", "maps/a_rho.fits", "store/a.zarr/mask"}
    assert manifest["timing"] == {"total_s": 1.5}
    assert Ledger(finished / "ledger", manifest["fingerprint"]).done("ingest") == {"a/0", "b/0"}


def test_on_a_full_disk_the_manifest_says_why(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError), create(tmp_path / "run"):
        monkeypatch.setattr("tilegc.run_folder.manifest.write_bytes", full)
        raise DiskFullError(
            f"{tmp_path}/run/store/a.zarr/mask/c/0/0: No space left on device; free some space"
        )
    found = status(tmp_path / "run")
    assert found.state == "failed"
    assert "mask/c/0/0: No space left on device" in found.error
