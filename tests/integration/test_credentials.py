"""Secrets in URLs, the environment and ~/.aws appear neither in the run directory nor on the terminal."""

from __future__ import annotations

import base64
import http.server
import importlib.util
import re
import threading
from pathlib import Path

import pytest

from tests.support import mock
from tests.support.command import tilegc

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("aiohttp") is None, reason="the extra tilegc[https] is not installed"
)

PASSWORD, SIGNATURE, VARIABLE, PROFILE = (f"CANARY{number}x7f3a9c" for number in range(4))
LOGIN = f"canary:{PASSWORD}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves a directory in ranges to clients that know password and signature."""

    folder = Path()
    asked = 0

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path, _, query = self.path.partition("?")
        basic = "Basic " + base64.b64encode(LOGIN.encode()).decode()
        file = self.folder / path.lstrip("/")
        if self.headers.get("Authorization") != basic or f"X-Amz-Signature={SIGNATURE}" not in query:
            self.send_error(403)
            return
        if not file.is_file():
            self.send_error(404)
            return
        type(self).asked += 1
        content, status = file.read_bytes(), 200
        whole = len(content)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match:
            first, last = int(match[1]), min(int(match[2] or whole - 1), whole - 1)
            content, status = content[first : last + 1], 206
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        if match:
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def url(tmp_path):
    (tmp_path / "in").mkdir()
    handler = type("Served", (Handler,), {"folder": tmp_path / "in"})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        place = f"http://{LOGIN}@127.0.0.1:{server.server_port}/{{}}?X-Amz-Signature={SIGNATURE}&versionId=3"
        yield place, handler
        server.shutdown()


def assert_clean(folder: Path, *texts: str) -> None:
    secrets = [PASSWORD, SIGNATURE, VARIABLE, PROFILE]
    secrets += [base64.b64encode(LOGIN.encode()).decode()]
    leaks = [
        (str(path.relative_to(folder)), secret)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]
    leaks += [(text[:200], secret) for text in texts for secret in secrets if secret in text]
    assert not leaks


def test_no_output_of_a_run_holds_a_secret(tmp_path, url, monkeypatch):
    place, handler = url
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    (tmp_path / "home" / ".aws" / "credentials").write_text(f"[default]\naws_secret_access_key={PROFILE}\n")
    run_file = mock.write_inputs(tmp_path / "in")
    remote = mock.edited(
        run_file,
        "remote.yaml",
        {"fields.0.bands.F090W": place.format("a_f090w_i2d.fits"), "fields.1": None, "convergence": None},
    )
    folder = tmp_path / "run"
    outcome = tilegc("run", remote, "-o", folder, "--workers", "0")
    assert outcome.code == 0, outcome.err
    assert handler.asked
    for name in ("manifest.json", "run.yaml", "report.html"):
        assert "***@127.0.0.1" in (folder / name).read_text(), f"{name} names the redacted URL"
    shown = [
        tilegc(*words) for words in (("run", remote, "--show-config"), ("plan", remote), ("status", folder))
    ]
    assert_clean(folder, outcome.out, outcome.err, *(text for one in shown for text in (one.out, one.err)))
    refused = tilegc(
        "run",
        mock.edited(remote, "other.yaml", {"fields.0.bands.F150W": place.format("no.fits")}),
        "-o",
        folder,
        "--resume",
        "--workers",
        "0",
    )
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "no.fits" in refused.err
    assert_clean(folder, refused.out, refused.err)


BUCKET = f"s3://{LOGIN}@bucket"


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "{run}"),
        ("plan", "{run}", "-o", f"{BUCKET}/run"),
        ("verify", f"{BUCKET}/run"),
        ("run", f"{BUCKET}/run.yaml"),
    ],
)
def test_a_bucket_takes_no_password(words, tmp_path):
    """The client would repeat it in error messages as the name of the bucket."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text(f"recipe: calibrated\nfields: [{{name: a, store: '{BUCKET}/a.zarr'}}]\n")
    found = tilegc(*(word.format(run=run_file) for word in words))
    assert found.code == 2
    assert found.err.count("\n") == 1
    assert "s3://***@bucket" in found.err
    assert "a bucket has no user and password" in found.err
    assert_clean(tmp_path / "nothing", found.out, found.err)


def test_a_server_that_does_not_answer_is_no_absent_file(tmp_path):
    run_file = mock.write_inputs(tmp_path / "in")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/no-such-file"
        wanted = mock.edited(run_file, "absent.yaml", {"fields.0.bands.F090W": address})
        assert "no such file; correct its path" in tilegc("plan", wanted).err
        server.shutdown()
    found = tilegc("plan", wanted)
    assert found.code == 2
    assert f"{address}: cannot be reached (" in found.err


def test_a_renewed_signature_is_no_change_of_settings(tmp_path):
    from tilegc import config

    run_file = mock.write_inputs(tmp_path / "in")
    old, new = (
        config.load(
            mock.edited(run_file, f"{name}.yaml", {"fields.0.bands.F090W": f"https://h/a.fits?sig={name}"})
        )
        for name in ("old", "new")
    )
    assert old != new
    assert config.digest(old) == config.digest(new)
