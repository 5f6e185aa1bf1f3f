"""A headless Chromium that tests drive over its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tornado.websocket import websocket_connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def missing() -> str | None:
    """Return why no browser can be driven on this machine, or None."""
    return None if shutil.which("chromium") else "no chromium here (apt-get install chromium)"


@contextmanager
def browser(width=1400, height=900):
    """Yield a `Page` of a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            "chromium",
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            page = Page(_address(Path(profile)))
            yield page
            page.close()
        finally:
            process.terminate()
            process.wait(20)


def _address(profile: Path) -> str:
    active, end = profile / "DevToolsActivePort", time.monotonic() + 60
    while not (active.exists() and active.read_text().count("\n")):
        assert time.monotonic() < end, "chromium does not start"
        time.sleep(0.1)
    port = active.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        return next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page")


class Page:
    """One page: `open` it, `run` JavaScript in it, `wait` for an expression, look at `errors`."""

    def __init__(self, address: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.socket = self._do(self._connect(address))
        self.number = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @staticmethod
    async def _connect(address):
        return await websocket_connect(address, max_message_size=2**28)

    def _do(self, awaitable):
        async def wrapped():
            return await awaitable

        return self.loop.run_until_complete(wrapped())

    def close(self):
        self.socket.close()
        self.loop.run_until_complete(asyncio.sleep(0.1))
        self.loop.close()

    def call(self, method, **params):
        self.number += 1
        text = json.dumps({"id": self.number, "method": method, "params": params})
        self._do(self._send(text))
        while True:
            message = json.loads(self._do(self._receive()))
            self._note(message)
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]

    async def _send(self, text):
        await self.socket.write_message(text)

    async def _receive(self):
        return await self.socket.read_message()

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(
                params["exceptionDetails"].get("exception", {}).get("description", str(params))
            )
        elif (method == "Log.entryAdded" and params["entry"]["level"] == "error") or (
            method == "Runtime.consoleAPICalled" and params["type"] == "error"
        ):
            self.errors.append(str(params))

    def open(self, url):
        self.call("Page.navigate", url=url)

    def run(self, script):
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, (condition, self.errors)
            time.sleep(0.1)

    def picture(self, path):
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
