"""A run in an object store has the same bytes as on a disk, even if the store is unavailable for a while."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.support import ceph, mock
from tests.support.command import tilegc
from tilegc import running
from tilegc.errors import InputError, RunFolderError
from tilegc.io.fits import read_window
from tilegc.io.probe import probe_field
from tilegc.places import content, create, files_below, place
from tilegc.run_folder import lease, log, open_run, status, verify
from tilegc.run_folder.ledger import Ledger
from tilegc.schema import FILES

# Looked for, and imported by those tests alone that need them: together they take half a second of every collection.
absent = [name for name in ("moto", "flask_cors", "s3fs", "botocore") if find_spec(name) is None]
if absent:
    pytest.skip(f"not installed: {', '.join(absent)}", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("no_report")

BUCKET = "sky"
KEY, SECRET = "key", "secret"


class Gate:
    """A proxy in front of the store, on its own port, that can be shut."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = self._listen(0)
        self.port = self.listener.getsockname()[1]
        self.open = True
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _listen(port: int) -> socket.socket:
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", port))
        found.listen(64)
        return found

    def _serve(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                client, _ = self.listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if not self.open:
                return
            with socket.create_connection(("127.0.0.1", self.target)) as store:
                pair = {client: store, store: client}
                while self.open:
                    for ready in select.select(list(pair), [], [], 0.05)[0]:
                        if not (data := ready.recv(1 << 16)):
                            return
                        pair[ready].sendall(data)

    def shut(self, seconds: float) -> None:
        """Cut all connections and refuse new ones for a while."""
        self.open = False
        time.sleep(seconds)
        self.open = True


@contextlib.contextmanager
def moto() -> Iterator[int]:
    """Serve S3 by a process of its own that checks nothing; its port."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/"):
                    break
                time.sleep(0.1)
            else:
                pytest.fail("moto's server does not answer")
            yield port
        finally:
            server.terminate()


def forget() -> None:
    """Let s3fs forget its connections, which know the credentials and the address that they were made with."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


def make_bucket() -> None:
    """Make the bucket of these tests in the store to which the environment points."""
    from botocore.session import get_session

    get_session().create_client("s3").create_bucket(Bucket=BUCKET)


@pytest.fixture(scope="module", params=["moto", pytest.param("radosgw", marks=pytest.mark.slow)])
def gate(request: pytest.FixtureRequest) -> Iterator[Gate]:
    """Serve S3, by a mock or by Ceph, and point everybody's usual settings at it."""
    if request.param == "radosgw" and (why := ceph.missing()) is not None:
        pytest.skip(why)
    serving = moto() if request.param == "moto" else ceph.serving(KEY, SECRET)
    with serving as port, pytest.MonkeyPatch.context() as patch:
        door = Gate(port)
        settings = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{door.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        make_bucket()
        forget()
        yield door
        forget()


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = mock.write_inputs(tmp_path_factory.mktemp("inputs"))
    return mock.edited(path, path.name, {"tiles.size": 64})


@pytest.fixture(scope="module")
def reference(run_file: Path, tmp_path_factory: pytest.TempPathFactory):
    return running.run(run_file, tmp_path_factory.mktemp("reference") / "run", workers=0)


@pytest.fixture(scope="module")
def uploaded(gate: Gate, run_file: Path) -> str:
    """Put the inputs into the store; return the run file's URL."""
    folder = place(f"s3://{BUCKET}/in")
    for path in run_file.parent.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    return f"s3://{BUCKET}/in/{run_file.name}"


def copy_run(source: str, target: str) -> None:
    """Copy a run that another test wrote."""
    for name in files_below(place(source)):
        place(f"{target}/{name}").write_bytes(place(f"{source}/{name}").read_bytes())


def test_everything_in_the_store_is_the_same_bytes_as_on_disk(uploaded, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = running.run(uploaded, f"s3://{BUCKET}/all", workers=0)
    here, there = mock.products(reference), mock.products(found)
    assert sorted(here) == sorted(there)
    assert [name for name in here if here[name] != there[name]] == []
    assert (found.field("a")["mask"].values == reference.field("a")["mask"].values).all()
    assert len(found.catalogue) == len(reference.catalogue)
    assert verify(f"s3://{BUCKET}/all") == []
    assert not place(f"s3://{BUCKET}/all/{FILES.lock}").exists()
    assert list(tmp_path.iterdir()) == []  # nothing is left in the scratch folder


@pytest.mark.slow
def test_processes_of_a_cluster_write_to_the_store(uploaded, reference):
    done = tilegc("run", uploaded, "-o", f"s3://{BUCKET}/two", "--workers", 1)
    assert (done.code, done.err) == (0, "")
    assert f"s3://{BUCKET}/two/report.html" in done.out
    assert mock.products(open_run(f"s3://{BUCKET}/two")) == mock.products(reference)
    again = tilegc("status", f"s3://{BUCKET}/two")
    assert (again.code, again.err) == (0, "")
    assert "done" in again.out


@pytest.mark.slow
def test_a_sample_in_the_store(uploaded, reference):
    """Sample file, inputs, runs and results of a sample are objects; one cluster has no run file."""
    folder, runs = place(f"s3://{BUCKET}/in"), f"s3://{BUCKET}/sample"
    content = {"clusters": [{"name": "one", "run": "run.yaml"}, {"name": "absent", "run": "none.yaml"}]}
    (folder / "sample.yaml").write_bytes(yaml.safe_dump(content).encode())
    done = tilegc("survey", f"{folder}/sample.yaml", "-o", runs, "--workers", 0)
    assert done.code == 3, done.err
    assert "absent: refused" in done.err
    assert mock.products(open_run(f"{runs}/one")) == mock.products(reference)
    table = pq.read_table(io.BytesIO((place(runs) / "clusters.parquet").read_bytes())).to_pydict()
    assert table["state"] == ["done", "refused"]
    for name in ("report.html", "status.html", "sample.json", "sources.parquet", "sources.vot"):
        assert (place(runs) / name).is_file(), name
    said = tilegc("survey", "status", runs)
    assert (said.code, said.err) == (0, "")
    assert "1 done, 1 refused" in said.out
    again = tilegc(
        "survey", f"{folder}/sample.yaml", "-o", runs, "--workers", 0, "--resume", "--keep", "products"
    )
    assert again.code == 3, again.err


@pytest.mark.slow
def test_start_rules_hold_in_the_store(uploaded, reference):
    target = f"s3://{BUCKET}/rules"
    copy_run(f"s3://{BUCKET}/all", target)
    kept = place(f"{target}/notes.txt")
    kept.write_bytes(b"mine")
    with pytest.raises(RunFolderError, match="give --resume to continue it, or --overwrite to start over"):
        running.run(uploaded, target, workers=0)
    assert running.run(uploaded, target, workers=0, resume=True).summary["n_detected"] > 0
    found = running.run(uploaded, target, workers=0, overwrite=True)
    assert kept.read_bytes() == b"mine"
    assert mock.products(found) == mock.products(reference)
    chunk = next(name for name in files_below(place(target)) if name.startswith("store/a.zarr/rho/c/"))
    place(f"{target}/{chunk}").write_bytes(b"spoilt")
    assert verify(target) == ["store/a.zarr/rho: has changed"]


def test_a_folder_of_somebody_else_is_left_alone(uploaded):
    other = place(f"s3://{BUCKET}/other/letter.txt")
    other.write_bytes(b"mine")
    done = tilegc("run", uploaded, "-o", f"s3://{BUCKET}/other", "--overwrite", "--workers", 0)
    assert done.code == 2
    assert "is not a tilegc run directory" in done.err
    assert files_below(place(f"s3://{BUCKET}/other")) == ["letter.txt"]


def test_windows_are_read_by_ranges(gate, tmp_path):
    """A small window of a large mosaic fetches a small part of it."""
    from s3fs import core

    from tilegc.config import Band, FieldInput
    from tilegc.geometry import Box

    data = mock.np.arange(1500 * 1500, dtype=mock.np.float32).reshape(1500, 1500)
    header = mock.header("a")
    header["BUNIT"] = "10.0*nanoJansky"
    mock.fits.writeto(tmp_path / "big.fits", data, header)
    (place(f"s3://{BUCKET}/big.fits")).write_bytes((tmp_path / "big.fits").read_bytes())
    source = probe_field(FieldInput(name="a", bands={"F090W": Band(sci=f"s3://{BUCKET}/big.fits")}))
    counted: list[int] = []
    fetch = core._fetch_range

    def counting(*arguments, **options):
        content = fetch(*arguments, **options)
        counted.append(len(content))
        return content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "_fetch_range", counting)
        window = read_window(source.bands[0].sci, Box(700, 300, 1000, 364))
    assert (window == data[700:1000, 300:364] * mock.np.float32(10)).all()
    assert 0 < sum(counted) < data.nbytes / 2
    assert len(counted) == 1  # a request costs more than the bytes between the rows


def test_marks_are_put_only_where_none_is(gate):
    target = place(f"s3://{BUCKET}/marks/one")
    create(target, b"mine")
    create(target, b"mine")  # the answer to the first was lost
    with pytest.raises(FileExistsError):
        create(target, b"theirs")
    assert target.read_bytes() == b"mine"


def test_two_writers_of_one_ledger_lose_no_mark(gate):
    folder = place(f"s3://{BUCKET}/ledger")
    one, other = Ledger(folder, "f"), Ledger(folder, "f")
    for number in range(3):
        one.mark("filter", [f"a/{number}"])
        other.mark("filter", [f"b/{number}"])
    assert Ledger(folder, "f").done("filter") == {f"{name}/{number}" for name in "ab" for number in range(3)}
    assert Ledger(folder, "g").done("filter") == set()


def test_one_run_at_a_time_and_a_dead_one_holds_for_a_while(gate, monkeypatch):
    path = place(f"s3://{BUCKET}/locked/{FILES.lock}")
    with lease.lease(path):
        assert lease.is_leased(path)
        with (
            pytest.raises(RunFolderError, match=r"a run is using it \(process \d+ on"),
            lease.lease(path),
        ):
            pass
    assert not path.exists()
    path.write_bytes(b"process 1 on a machine that died\n")
    monkeypatch.setattr(lease, "LASTS", 0.5)
    time.sleep(1.6)  # stores tell times to the second
    with lease.lease(path):
        assert b"machine that died" not in path.read_bytes()


def test_the_log_is_in_the_store_before_its_run_ends(gate, monkeypatch):
    path = place(f"s3://{BUCKET}/logged/{FILES.log}")
    path.write_bytes(b"of an earlier run\n")
    monkeypatch.setattr(log, "PUT", 0.05)
    with log.logged(path):
        logging.getLogger("tilegc").info("half of it is done")  # put anew while it is read
        for _ in range(200):
            if b"half of it is done" in (found := content(path)):
                break
            time.sleep(0.05)
        assert found.startswith(b"of an earlier run\n")
        assert found.endswith(b"half of it is done\n")
        logging.getLogger("tilegc").info("all of it is done")
    assert path.read_bytes().endswith(b"all of it is done\n")


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("s3://no-such-bucket/run.yaml", "no such file"),
        ("nosuch://host/run.yaml", "nosuch:// cannot be opened here"),
    ],
)
def test_bad_urls_get_one_line(gate, url, pattern):
    done = tilegc("run", url, "--workers", 0)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert pattern in done.err


def test_a_bucket_that_does_not_exist_gets_one_line(uploaded):
    done = tilegc("run", uploaded, "-o", "s3://no-such-bucket/run", "--workers", 0)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "s3://no-such-bucket/run" in done.err


def test_without_credentials_there_is_one_line(uploaded, tmp_path, monkeypatch):
    assert uploaded
    run_file = mock.write_inputs(tmp_path / "in")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    forget()
    try:
        done = tilegc("run", run_file, "-o", "s3://bucket/without", "--workers", 0)
    finally:
        forget()
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "cannot be reached (Unable to locate credentials)" in done.err


@pytest.mark.slow
def test_a_store_that_drops_out_for_three_seconds(gate, uploaded, reference):
    drops_out(gate, uploaded, reference, 3.0)


@pytest.mark.slow
def test_a_store_that_drops_out_for_thirty_seconds(gate, uploaded, reference):
    drops_out(gate, uploaded, reference, 30.0)


def drops_out(gate: Gate, uploaded: str, reference, seconds: float) -> None:
    """Shut the store while a run writes to it: the run waits, and gives the same bytes."""
    target = f"s3://{BUCKET}/gap-{seconds:g}"
    seen: list[tuple[str, bool]] = []

    def drop() -> None:
        for _ in range(600):
            with contextlib.suppress(InputError, FileNotFoundError):
                if status(target).passes:
                    break
            time.sleep(0.05)
        found = status(target)
        seen.append((found.state, found.heartbeat is not None and found.heartbeat.process == os.getpid()))
        gate.shut(seconds)

    thread = threading.Thread(target=drop)
    thread.start()
    found = running.run(uploaded, target, workers=0)
    thread.join()
    assert seen == [("running", True)]
    assert not place(f"{target}/{FILES.heartbeat}").exists()
    assert mock.products(found) == mock.products(reference)
