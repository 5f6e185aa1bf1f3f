"""A web server for one folder, on the loopback address alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["serve"]


class _Handler(SimpleHTTPRequestHandler):
    """Serves files and says nothing on the terminal."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def end_headers(self) -> None:
        """Let a page that was written anew be read anew."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def serve(folder: Path, *, port: int = 0, ready: Callable[[str], None] | None = None) -> None:
    """Serve a folder until Ctrl-C.

    Parameters
    ----------
    folder : Path
        What is served, and nothing above it.
    port : int, optional
        0: any free one.
    ready : callable, optional
        Called with the page's address once it answers.
    """
    with ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(folder))) as server:
        if ready is not None:
            ready(f"http://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever(poll_interval=0.2)
