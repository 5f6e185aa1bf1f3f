"""A web server for one directory, on the loopback address only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["serve"]


class _Handler(SimpleHTTPRequestHandler):
    """Request handler that serves files without printing to the terminal."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Suppress the log."""

    def end_headers(self) -> None:
        """Disable caching, so that a viewer that was written again is loaded again."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def serve(folder: Path, *, port: int = 0, ready: Callable[[str], None] | None = None) -> None:
    """Serve a directory until Ctrl-C.

    Parameters
    ----------
    folder : Path
        Directory to serve; nothing above it is accessible.
    port : int, optional
        Local port; 0 for any free port.
    ready : callable, optional
        Called with the address of the page once the server answers.
    """
    with ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder))) as server:
        if ready is not None:
            ready(f"http://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever(poll_interval=0.2)
