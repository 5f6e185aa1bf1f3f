"""Workers in their own processes: what they receive, how they die, and what the user sees on the terminal."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from pathlib import Path

import cloudpickle
import psutil
import pytest

from tests.support.certificates import authority
from tilegc import config as run_file
from tilegc.cluster import ONE_THREAD, TLS, Workers, connect, workers, workers_for
from tilegc.cluster.asking import ask, is_gone
from tilegc.cluster.workers import require_same_software
from tilegc.engine import DaskEngine, SerialEngine, Unit, for_client
from tilegc.errors import ConfigError, InputError, RunFailedError, TilesFailedError, UnitError
from tilegc.run_folder import Ledger, RunFolder, marked, open_run

cloudpickle.register_pickle_by_value(sys.modules[__name__])

UNITS = [Unit(f"a/{i}", 100, i) for i in range(60)]


def add(a, b):
    return a + b


def number(_common, payload):
    return payload


def environment(_common, _payload):
    import numba

    threads = {name: os.environ.get(name) for name in ONE_THREAD}
    return [(os.getpid(), threads, numba.config.NUMBA_NUM_THREADS, str(Path.cwd()))]


def die_once(folder, payload):
    """Kill the worker, the first time that this unit is done."""
    if payload in {7, 33}:
        try:
            (Path(folder) / f"died-{payload}").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return payload


def always_die(_common, payload):
    if payload == 7:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse(_common, payload):
    if payload == 50:
        raise UnitError("a.fits: BUNIT 'furlong' is unknown")
    time.sleep(0.01)


@pytest.fixture(scope="module")
def client():
    with connect(workers=2) as client:
        yield client


def test_workers_are_processes_of_one_thread(client):
    assert list(client.nthreads().values()) == [1, 1]
    found = DaskEngine(client).run("p", environment, UNITS, combine=add, units_per_task=1)
    assert len({pid for pid, *_ in found} - {os.getpid()}) == 2
    for _, threads, numba_threads, folder in found:
        assert threads == ONE_THREAD
        assert numba_threads == 1
        assert folder == str(Path.cwd())


def test_the_dashboard_answers(client):
    address = for_client(client).dashboard
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.status == 200


def test_processes_give_what_the_serial_engine_gives(client):
    for engine in (DaskEngine(client), SerialEngine()):
        assert engine.run("p", number, UNITS, combine=add) == 1770


def test_bad_input_on_a_worker_comes_back_as_itself(client, tmp_path):
    ledger = Ledger(tmp_path, "f")
    with pytest.raises(UnitError, match="furlong"):
        DaskEngine(client).run("p", refuse, UNITS, ledger=ledger, units_per_task=1)
    assert "a/50" not in ledger.done("p")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_survived(tmp_path, workers):
    """With only one worker, everything that it held (common data and partial results) must be recreated."""
    ledger = Ledger(tmp_path / "ledger", "f")
    with connect(workers=workers) as client:
        engine = DaskEngine(client)
        assert (
            engine.run("count", die_once, UNITS, common=str(tmp_path), combine=add, units_per_task=2) == 1770
        )
        assert (tmp_path / "died-7").exists()
        assert (tmp_path / "died-33").exists()
        (tmp_path / "died-33").unlink()
        engine.run("write", die_once, UNITS, common=str(tmp_path), ledger=ledger, units_per_task=2)
    assert ledger.done("write") == {unit.key for unit in UNITS}


def test_a_tile_that_kills_every_worker_is_named_and_the_others_are_marked(tmp_path):
    ledger = Ledger(tmp_path, "f")
    with (
        connect(workers=2) as client,
        pytest.raises(TilesFailedError, match=r"1 of 60 tiles .* a/7 \(it killed 3 workers"),
    ):
        DaskEngine(client).run("p", always_die, UNITS, ledger=ledger, units_per_task=4)
    assert ledger.done("p") == {unit.key for unit in UNITS} - {"a/7"}


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (
            {"cluster": "abacus"},
            ConfigError,
            "abacus: unknown kind; choose local, slurm, pbs, lsf or kubernetes",
        ),
        ({"cluster": "slurm"}, ConfigError, "the number of workers is missing"),
        ({"cluster": "lsf", "workers": 2}, ConfigError, "bsub not found"),
        ({"cluster": "kubernetes", "workers": 2}, ConfigError, "needs a manifest .* or an image"),
        ({"scheduler": "nowhere/scheduler.json"}, InputError, "no such file; start one with"),
        (
            {"scheduler": "tcp://127.0.0.1:9", "tls": TLS("a", "b", "c")},
            InputError,
            "--tls-ca a: no such file",
        ),
        ({"workers": 0, "tls": TLS("a", "b", "c")}, ConfigError, "not used with --workers 0"),
        ({"workers": -1}, ConfigError, "0 .* or more"),
        ({"workers": 2, "scheduler": "tcp://x:1"}, ConfigError, "leave out one of the two"),
        ({"cluster": "local", "scheduler": "tcp://x:1"}, ConfigError, "exclude each other"),
        ({"scheduler": "tcp://127.0.0.1:9"}, InputError, "no scheduler answers there"),
        ({"scheduler": "nonsense://x"}, InputError, "no scheduler answers there"),
        ({"scheduler": ""}, InputError, "no scheduler answers there"),
    ],
)
def test_what_cannot_be_connected_gets_its_line_within_seconds(options, error, said):
    begun = time.monotonic()
    with pytest.raises(error, match=said) as caught, connect(**options):
        pass
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 15


def test_an_address_without_a_scheme_is_one_of_tls_where_certificates_are_given(tmp_path):
    ours = authority(tmp_path / "ours", "127.0.0.1")
    tls = TLS(*(str(ours / name) for name in ("ca.pem", "cert.pem", "key.pem")))
    with (
        pytest.raises(InputError, match=r"^--scheduler 127\.0\.0\.1:9: no scheduler answers there") as caught,
        connect(scheduler="127.0.0.1:9", tls=tls),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_what_is_no_scheduler_is_said_to_be_none(greeting, monkeypatch):
    """The port of a dashboard is silent, or answers in HTTP, whose first eight bytes are not a plausible message
    length."""
    monkeypatch.setattr("tilegc.cluster.address.GREETING_SECONDS", 1.0)
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    calls.append(server.accept()[0])
                    calls[-1].sendall(greeting)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        begun = time.monotonic()
        with (
            pytest.raises(InputError, match="something else than a scheduler is there") as caught,
            connect(scheduler=f"127.0.0.1:{server.getsockname()[1]}"),
        ):
            pass
        assert time.monotonic() - begun < 10
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert calls
    for call in calls:
        call.close()
    assert "\n" not in str(caught.value)


def test_a_worker_that_hangs_is_named_and_one_that_leaves_is_no_obstacle(tmp_path, monkeypatch):
    with connect(workers=2) as client:
        pids = client.run(os.getpid)
        held, other = sorted(pids)
        elsewhere = Workers(client, "--scheduler x", local=False)
        os.kill(pids[held], signal.SIGSTOP)
        try:
            answers = ask(client, os.getpid, seconds=2.0)
            assert isinstance(answers[held], TimeoutError)
            assert answers[other] == pids[other]
            monkeypatch.setattr("tilegc.cluster.asking.ANSWER_SECONDS", 1.0)
            with marked(tmp_path, []) as token, pytest.raises(InputError) as caught:
                elsewhere.admit(token)
        finally:
            os.kill(pids[held], signal.SIGCONT)
        assert f"({held}) does not answer (no answer within 1 s)" in str(caught.value)
        monkeypatch.undo()

        def leaves():
            if os.getpid() == pids[held]:
                os._exit(0)
            return "stays"

        answers = ask(client, leaves)
        assert is_gone(answers[held])
        assert answers[other] == "stays"
        assert not is_gone(answers[other])


@pytest.mark.parametrize("package", ["tilegc", "python", "numpy", "numba", "llvmlite", "distributed"])
def test_a_worker_with_other_arithmetic_is_refused(client, monkeypatch, package):
    theirs = {**workers._software(), package: "0.0.1"}
    monkeypatch.setattr("tilegc.cluster.workers.ask", lambda *_: {"tcp://w:1": theirs})
    with pytest.raises(InputError, match=rf"^there: worker tcp://w:1 has {package} 0.0.1, this process has"):
        require_same_software(client, "there")


def test_what_else_differs_is_named_in_the_manifest(client, monkeypatch, tmp_path):
    theirs = {**workers._software(), "scipy": "0.0.1", "CPU features": "SSE2"}
    monkeypatch.setattr("tilegc.cluster.workers.ask", lambda *_: {"tcp://w:1": theirs})
    [line] = require_same_software(client, "there")
    assert line.startswith("worker tcp://w:1: scipy 0.0.1 (here ")
    assert "CPU features SSE2 (here " in line
    config = run_file.resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "X", "redshift": 0.3, "ra": 10.0, "dec": -5.0},
            "fields": [{"name": "a", "bands": {"F090W": "/data/a.fits"}}],
        }
    )
    with RunFolder(tmp_path / "run").create(config, inputs={}) as folder:
        folder.worked_by((line,))
    assert open_run(tmp_path / "run").manifest["workers"] == [line]


def test_a_worker_without_tilegc_is_named(client, monkeypatch):
    def absent(_client, _function):
        return {"tcp://w:1": ModuleNotFoundError("No module named 'tilegc'")}

    monkeypatch.setattr("tilegc.cluster.workers.ask", absent)
    with pytest.raises(InputError, match=r"^there: worker tcp://w:1 cannot import tilegc \(No module named"):
        require_same_software(client, "there")


def test_without_a_kubernetes_the_terminal_has_one_line(tmp_path):
    pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
    program = """
import sys
from tilegc.cluster import connect
from tilegc.config import Compute
from tilegc.errors import InputError
try:
    with connect(cluster="kubernetes", workers=1, compute=Compute.model_validate({"kubernetes": {"image": "x"}})):
        pass
except InputError as error:
    print(error, file=sys.stderr)
"""
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environ["KUBECONFIG"] = str(tmp_path / "none")
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0
    assert done.stderr.startswith("--cluster kubernetes: ")
    assert done.stderr.count("\n") == 1


def test_a_performance_report_that_is_a_folder_is_refused(tmp_path):
    with (
        workers_for(workers=1) as found,
        pytest.raises(ConfigError, match="is a directory; give the name of an"),
        found.performance_report(tmp_path),
    ):
        pass


def test_no_workers_is_no_client():
    with connect(workers=0) as client:
        assert client is None
        assert isinstance(for_client(client), SerialEngine)


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler with two workers, each started as a user would."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    dask = [sys.executable, "-m", "dask"]
    place = tmp_path / "scheduler.json"
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [*dask, *arguments],
            env=environ,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place))
    for _ in range(300):
        if place.exists() and place.stat().st_size:
            break
        time.sleep(0.1)
    address = json.loads(place.read_text())["address"]
    for _ in range(2):
        start("worker", address, "--nthreads", "1", "--no-dashboard")
    yield address, started
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def slow(_common, payload):
    time.sleep(0.05)
    return payload


def test_a_scheduler_that_runs_already_gives_the_same_and_its_loss_is_one_line(scheduler, tmp_path):
    address, processes = scheduler
    ledger = Ledger(tmp_path / "ledger", "f")
    with connect(scheduler=address) as client:
        engine = for_client(client)
        assert engine.workers in {1, 2}
        assert engine.run("p", number, UNITS, combine=add) == 1770

        class KillsTheScheduler:
            """A progress display that kills the scheduler during the work."""

            def start(self, name, total_pixels, total_units):
                self.left = 20

            def advance(self, pixels, units):
                self.left -= units
                if self.left == 0:
                    processes[0].kill()

            def finish(self, name):
                pass

        with pytest.raises(RunFailedError, match="--resume") as caught:
            DaskEngine(client, KillsTheScheduler()).run("q", slow, UNITS, ledger=ledger, units_per_task=1)
    assert "\n" not in str(caught.value)
    assert 20 <= len(ledger.done("q")) < 60


SCRIPT = """
import sys, time
sys.path[:0] = {path!r}
from tilegc.cluster import connect
from tilegc.engine import Unit, for_client
from tilegc.run_folder import Ledger

def work(seconds, payload):
    time.sleep(seconds)
    return payload

{body}
"""


def script(tmp_path, body):
    """Write a script as a user writes one: without `if __name__ == "__main__"`."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(path=sys.path, body=textwrap.dedent(body)))
    return [sys.executable, "-W", "error", str(path)]


def test_a_plain_script_runs_once_and_leaves_a_clean_terminal(tmp_path):
    command = script(
        tmp_path,
        """
        print("begun")
        with connect(workers=2) as client:
            units = [Unit(str(i), 1, i) for i in range(100)]
            print(for_client(client).run("p", work, units, common=0.001, combine=lambda a, b: a + b))
        print(__file__.endswith("script.py"))
        """,
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["begun", "4950", "True"]
    assert done.stderr == ""


def test_runs_one_after_the_other_in_one_process(tmp_path):
    """Dask keeps its defaults, and its log stays off the terminal, whenever it is imported."""
    command = script(
        tmp_path,
        """
        import logging, dask
        for _ in range(2):
            with connect(workers=1):
                assert not any(type(one) is logging.StreamHandler for one in logging.getLogger("distributed").handlers)
            print(dask.config.get("distributed.comm.tls.ciphers", "nothing"))
        """,
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["None", "None"], "")


def test_a_worker_that_dies_leaves_no_trace_on_the_terminal(tmp_path):
    command = script(
        tmp_path,
        f"""
        import os, pathlib
        def die(folder, payload):
            if payload == 3 and not (folder / "died").exists():
                (folder / "died").touch()
                os.kill(os.getpid(), 9)
            if payload == 5:
                raise ValueError("no luck")

        with connect(workers=1) as client:
            try:
                for_client(client).run("p", die, [Unit(str(i), 1, i) for i in range(9)],
                                       common=pathlib.Path({str(tmp_path)!r}))
            except Exception as error:
                print(type(error).__name__)
        """,
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("TilesFailedError\n", "")
    assert (tmp_path / "died").exists()


def nobody_left(group):
    """Return whether all processes of a group end within some seconds."""
    for _ in range(100):
        left = []
        for process in psutil.process_iter(["pid", "status", "cmdline"]):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                    left.append(process.info)
        if not left:
            return True
        time.sleep(0.1)
    raise AssertionError(left)


def test_ctrl_c_ends_all_processes_and_leaves_the_ledger_right(tmp_path):
    command = script(
        tmp_path,
        f"""
        units = [Unit(str(i), 1, i) for i in range(1000)]
        try:
            with connect(workers=2) as client:
                class Say:
                    def start(self, *_): pass
                    def advance(self, *_): print("moves", flush=True)
                    def finish(self, *_): pass
                for_client(client, Say()).run("p", work, units, common=0.02, ledger=Ledger(
                    __import__("pathlib").Path({str(tmp_path / "ledger")!r}), "f"), units_per_task=1)
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for _ in range(30):
            assert process.stdout.readline() == "moves\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        out, err = process.communicate(timeout=60)
    assert out.split()[-1] == "interrupted"
    assert err == ""
    done = Ledger(tmp_path / "ledger", "f").done("p")
    assert 30 <= len(done) < 1000
    assert nobody_left(process.pid)
