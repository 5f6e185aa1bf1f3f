"""A link between a worker and its scheduler that can be cut, or held up for a while."""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["Link"]


class Link:
    """Hands on bytes between whoever connects to `address` and a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.flows = threading.Event()
        self.flows.set()
        self.open = True
        self.sockets: set[socket.socket] = set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close all connections at once, and accept no others until `mend`."""
        self.open = False
        self._drop()

    def mend(self) -> None:
        """Take connections, and let bytes through."""
        self.open = True
        self.flows.set()

    def hold(self) -> None:
        """Keep the connections but let nothing through until `mend`."""
        self.flows.clear()

    def close(self) -> None:
        """End it for good."""
        self.open = False
        self.flows.set()
        self.server.close()
        self._drop()

    def _drop(self) -> None:
        for one in list(self.sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.sockets.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            if not self.open:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self.sockets |= {near, far}
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._hand_on, args=(a, b), daemon=True).start()

    def _hand_on(self, a: socket.socket, b: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := a.recv(2**16):
                self.flows.wait()
                b.sendall(data)
        for one in (a, b):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self.sockets.discard(one)
