"""The web pages and the HTTP API of scheduler and workers show no secrets, and nothing at all without the token."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import dask
import pytest
import yaml
from bokeh.client import pull_session
from distributed import Client, LocalCluster

from tests.support.threads import thread_workers
from tilegc.cluster.http_guard import COOKIE, OPEN, VARIABLE
from tilegc.cluster.settings import LOOPBACK
from tilegc.engine import DaskEngine, Unit
from tilegc.errors import TilesFailedError

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
TOKEN = "CANARY9token41d2"
PASSWORD = "CANARY8password7b"
ADDRESS = f"https://someone:{PASSWORD}@archive.example/a_f090w_i2d.fits"
DRAWN = ("individual-exceptions", "individual-task-stream", "individual-workers")
"""Those of the pages with text that Bokeh draws: what they show comes after the page, over a second connection."""


def fetched(port, path, method="GET", body=None, **headers):
    """Return status, headers and text of an answer; `Authorization` and others as keywords."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode(errors="replace")
    finally:
        connection.close()


def fails(common, payload):
    """Fail as a client of a web server does: with the address in its message."""
    raise RuntimeError(f"403, message='Forbidden', url='{payload}' ({len(common)})")


def test_pages_of_a_failing_run_hold_no_secret(caplog):
    caplog.set_level(logging.ERROR)
    with (
        thread_workers(1, silence_logs=False) as cluster,
        Client(cluster) as client,
    ):
        units = [Unit(str(n), 1, ADDRESS) for n in range(2)]
        with pytest.raises(TilesFailedError) as caught:
            DaskEngine(client, retries=0).run("fail", fails, units, common=[ADDRESS])
        scheduler, worker = cluster.scheduler, cluster.workers[0]
        port = scheduler.http_server.port
        me = urllib.parse.quote(worker.address, safe="")
        paths = ["info/main/workers.html", "info/main/exceptions.html", "info/main/logs.html", "metrics"]
        paths += [f"info/{kind}/{me}.html" for kind in ("worker", "logs", "call-stacks")]
        paths += ["json/counts.json", "json/identity.json", "json/index.html", "individual-plots.json"]
        shown = {}
        for path in paths:
            status, _, shown[path] = fetched(port, f"/{path}")
            assert status == 200, path
        for name in DRAWN:
            with contextlib.closing(pull_session(url=f"http://127.0.0.1:{port}/{name}")) as session:
                shown[name] = str(session.document.to_json())
        shown["worker: metrics"] = fetched(worker.http_server.port, "/metrics")[2]
        shown["scheduler's log"] = str(client.get_scheduler_logs())
        shown["worker's log"] = str(client.get_worker_logs())
    assert "Compute Failed" in shown["worker's log"]
    assert "Forbidden" in shown[f"info/logs/{me}.html"]
    assert "***@archive.example" in str(caught.value)
    shown["the log"] = caplog.text
    assert [name for name, text in shown.items() if PASSWORD in text] == []


@pytest.fixture(scope="module")
def guarded():
    """A scheduler and a worker with the settings of the manifests, in this process."""
    settings = yaml.safe_load((MANIFESTS / "base" / "dask.yaml").read_text(encoding="utf-8"))
    with (
        dask.config.set(dask.config.merge(dask.config.config, settings)),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(VARIABLE, TOKEN)
        with thread_workers(1) as cluster:
            yield cluster


CLOSED = (
    "/status",
    "/status/ws",
    "/",
    "/info/main/workers.html",
    "/json/identity.json",
    "/metrics",
    "/api/v1",
    "/api/v1/get_workers",
    "/api/v1/check_idle",
    "/sitemap.json",
    "/statics/css/base.css",
    "/health/../status",
    "/health/",
    "//health",
    "/no-such-page",
)


@pytest.mark.parametrize("who", ["scheduler", "worker"])
def test_without_the_token_nothing_is_shown(guarded, who):
    server = guarded.scheduler if who == "scheduler" else next(iter(guarded.workers.values()))
    port = server.http_server.port
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Cookie": f"{COOKIE}="},
    ):
        for path in CLOSED:
            status, told, text = fetched(port, path, **headers)
            assert status == 401, path
            assert told["WWW-Authenticate"] == "Bearer"
            assert "tcp://" not in text
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            assert fetched(port, "/health", method, **headers)[0] == 401
        assert fetched(port, "/health", **headers)[::2] == (200, "ok")
    assert fetched(port, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_nobody_dismisses_workers_without_the_token(guarded):
    port = guarded.scheduler.http_server.port
    (worker,) = guarded.scheduler.workers
    wish = f'{{"workers": ["{worker}"]}}'
    assert fetched(port, "/api/v1/retire_workers", "POST", wish)[0] == 401
    assert list(guarded.scheduler.workers) == [worker]
    known = {"Authorization": f"Bearer {TOKEN}"}
    status, _, text = fetched(port, "/api/v1/get_workers", **known)
    assert (status, worker in text) == (200, True)


def test_what_is_open_tells_a_number(guarded):
    """The operator's autoscaler cannot send a token; its other questions go over Dask's own protocol."""
    assert {path for _, path in OPEN} == {"/health", "/api/v1/adaptive_target"}
    status, _, text = fetched(guarded.scheduler.http_server.port, "/api/v1/adaptive_target")
    assert status == 200
    assert re.fullmatch(r'\{"workers": \d+\}', text)


def test_a_browser_logs_in_once(guarded):
    port = guarded.scheduler.http_server.port
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, text = fetched(port, "/login", "POST", "token=wrong", **form)
    assert (status, "Set-Cookie" in headers) == (401, False)
    assert 'type="password"' in text
    status, headers, _ = fetched(port, "/login", "POST", f"token={TOKEN}", **form)
    assert (status, headers["Location"]) == (302, "/status")
    assert {"HttpOnly", "SameSite=Strict"} <= set(headers["Set-Cookie"].split("; "))
    cookie = headers["Set-Cookie"].partition(";")[0]
    status, _, text = fetched(port, "/status", Cookie=cookie)
    assert status == 200
    assert TOKEN not in text


def test_without_a_token_in_the_environment_nobody_is_let_in(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    preload = {"distributed.scheduler.preload": ["tilegc.cluster.http_guard"]}
    with (
        dask.config.set(preload),
        LocalCluster(
            n_workers=0, processes=False, dashboard_address=LOOPBACK, silence_logs=logging.CRITICAL
        ) as cluster,
    ):
        port = cluster.scheduler.http_server.port
        for headers in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Cookie": f"{COOKIE}="},
        ):
            assert fetched(port, "/status", **headers)[0] == 401
        assert fetched(port, "/login", "POST", "token=")[0] == 401
        assert fetched(port, "/health")[0] == 200


def ended(process):
    """End a process and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def waited(found, what, seconds=60.0):
    """Return what `found` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if got := found():
                return got
        time.sleep(0.1)
    raise AssertionError(what)


@pytest.mark.slow
def test_processes_as_the_manifests_start_them(tmp_path):
    """Scheduler and worker with the arguments and the settings of the pods; the operator's own code asks them."""
    cluster = yaml.safe_load((MANIFESTS / "cluster" / "cluster.yaml").read_text(encoding="utf-8"))
    shutil.copy(MANIFESTS / "base" / "dask.yaml", tmp_path)
    place = tmp_path / "scheduler.json"
    changed = {
        "0.0.0.0": "127.0.0.1",
        "8786": "0",
        ":8787": LOOPBACK,
        ":8788": LOOPBACK,
        "$(DASK_WORKER_NAME)": "pod",
    }
    environ = {
        **os.environ,
        "DASK_CONFIG": str(tmp_path),
        VARIABLE: TOKEN,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def start(role, *more):
        words = cluster["spec"][role]["spec"]["containers"][0]["args"]
        command = [sys.executable, "-m", *(changed.get(word, word) for word in words), *more]
        with (tmp_path / f"{role}.log").open("wb") as stream:
            return subprocess.Popen(
                command, env=environ, stdout=stream, stderr=stream, start_new_session=True
            )

    scheduler = start("scheduler", "--scheduler-file", str(place))
    worker = None
    try:
        known = waited(lambda: json.loads(place.read_bytes()), "the scheduler does not come")
        worker = start("worker", "--scheduler-file", str(place))
        http = known["services"]["dashboard"]
        allowed = {"Authorization": f"Bearer {TOKEN}"}

        def listed():
            return json.loads(fetched(http, "/api/v1/get_workers", **allowed)[2])["workers"]

        waited(listed, "the worker does not come")
        page = waited(lambda: fetched(http, "/info/main/workers.html", **allowed)[2], "no page")
        (port,) = set(re.findall(r"127\.0\.0\.1:(\d+)", json.dumps(worker_pages(known["address"]))))
        for number in (http, int(port)):
            assert fetched(number, "/health")[0] == 200
            for path in CLOSED:
                assert fetched(number, path)[0] == 401, path
        assert TOKEN not in page
        controller = pytest.importorskip("dask_kubernetes.operator.controller.controller")

        async def address(*_, port_name="tcp-comm", **__):
            return known["address"] if port_name == "tcp-comm" else f"http://127.0.0.1:{http}"

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(controller, "get_scheduler_address", address)
            assert asyncio.run(controller.get_desired_workers("tilegc-scheduler", "here")) >= 0
            log = logging.getLogger("operator")
            retired = asyncio.run(controller.retire_workers(1, "tilegc-scheduler", "group", "here", log))
        assert retired == ["pod"]
        waited(lambda: not listed(), "the worker does not go")
    finally:
        for process in (worker, scheduler):
            if process is not None:
                ended(process)
    for role in ("scheduler", "worker"):
        assert TOKEN not in (tmp_path / f"{role}.log").read_text()


def worker_pages(address):
    """Return where the workers of a scheduler serve their pages."""
    with Client(address) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return [f"127.0.0.1:{worker['services']['dashboard']}" for worker in workers]
