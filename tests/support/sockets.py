"""Which sockets processes listen on, and which of these other machines can reach."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable

__all__ = ["exposed", "listening"]

Address = tuple[int, str, int]
"""Process, IP address and port."""


def listening(processes: Iterable[int] | None = None) -> set[Address]:
    """Return the sockets that processes listen on (TCP) or receive on (UDP).

    Parameters
    ----------
    processes : iterable of int, optional
        Process numbers; by default this process and all that descend from it.
    """
    import psutil

    if processes is None:
        me = psutil.Process(os.getpid())
        processes = [me.pid, *(child.pid for child in me.children(recursive=True))]
    found = set()
    for number in processes:
        try:
            for one in psutil.Process(number).net_connections(kind="inet"):
                if one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr):
                    found.add((number, one.laddr.ip, one.laddr.port))
        except psutil.NoSuchProcess:
            continue
    return found


def exposed(addresses: Iterable[Address]) -> list[Address]:
    """Return those that other machines can reach, as far as this machine's addresses tell."""
    return sorted(one for one in addresses if not ipaddress.ip_address(one[1]).is_loopback)
