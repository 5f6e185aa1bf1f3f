"""A web server for the viewer of a run, on the loopback address only: its files, and exact pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import numpy as np

from tilegc.errors import TileGCError
from tilegc.geometry import Box
from tilegc.viewer.exact import Pixels

__all__ = ["serve"]

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""Names by which the page may be asked for. A foreign page whose name was made to point here is refused."""

EXACT: Final = b"Sky.exact = true;\n"
"""What the page is told instead of the file `exact.js`: this server knows the exact pixels."""


class _Handler(SimpleHTTPRequestHandler):
    """Request handler that serves files and pixels without printing to the terminal."""

    def __init__(self, *args: Any, pixels: Pixels | None, **options: Any) -> None:
        self.pixels = pixels
        super().__init__(*args, **options)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Suppress the log."""

    def end_headers(self) -> None:
        """Disable caching, so that a viewer that was written again is loaded again."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def do_GET(self) -> None:
        """Answer with a file, or with the pixels of `/pixels?field=&layer=&y0=&x0=&y1=&x1=` (little-endian float32)."""
        if self.headers.get("Host", "").rpartition(":")[0] not in LOOPBACK:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        address = urlsplit(self.path)
        if self.pixels is None or address.path not in {"/pixels", "/exact.js"}:
            super().do_GET()
        elif address.path == "/exact.js":
            self._send(EXACT, "text/javascript")
        else:
            self._send_pixels({key: values[0] for key, values in parse_qs(address.query).items()})

    def _send_pixels(self, query: dict[str, str]) -> None:
        assert self.pixels is not None
        try:
            box = Box(*(int(query[key]) for key in ("y0", "x0", "y1", "x1")))
            values = self.pixels(query["field"], query["layer"], box)
        except (KeyError, ValueError, TileGCError) as error:
            self.send_error(HTTPStatus.BAD_REQUEST, "bad window", str(error))
            return
        self._send(np.ascontiguousarray(values, "<f4").tobytes(), "application/octet-stream")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def serve(
    folder: Path,
    *,
    port: int = 0,
    pixels: Pixels | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a directory until Ctrl-C.

    Parameters
    ----------
    folder : Path
        Directory to serve; nothing above it is accessible.
    port : int, optional
        Local port; 0 for any free port.
    pixels : callable, optional
        Reads exact pixels, from `exact_pixels`; without it the page shows what its tiles say.
    ready : callable, optional
        Called with the address of the page once the server answers.
    """
    handler = partial(_Handler, directory=str(folder), pixels=pixels)
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        if ready is not None:
            ready(f"http://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever(poll_interval=0.2)
