"""An object store as computing centres have it: Ceph's gateway on a monitor and one disk in memory, on the loopback.

Debian's packages `ceph-mon ceph-osd radosgw ceph-common` are all it needs; without them whoever asks for it is skipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.support.slurm import free_ports

__all__ = ["missing", "serving"]

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

CONF = """
[global]
fsid={id}
mon host=[v1:127.0.0.1:{monitor}]
public addr=127.0.0.1
cluster addr=127.0.0.1
auth cluster required=none
auth service required=none
auth client required=none
osd pool default size=1
osd pool default min size=1
osd pool default pg num=4
osd pool default pgp num=4
osd pool default pg autoscale mode=off
mon allow pool size one=true
osd crush chooseleaf type=0
osd objectstore=memstore
memstore device bytes=4294967296
mon max pg per osd=1000
mon data avail crit=1
run dir={folder}/run
admin socket={folder}/run/$name.asok
log file={folder}/log/$name.log
pid file={folder}/run/$name.pid
keyring={folder}/keyring
[mon.a]
mon data={folder}/mon
[osd.0]
osd data={folder}/osd
[client.rgw.a]
rgw frontends=beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable apis=s3
rgw data={folder}/rgw
"""
# Without tcp_nodelay every small answer waits for 40 ms.


def missing() -> str | None:
    """Return why a gateway cannot run on this machine, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no Ceph here: {', '.join(absent)} not found (apt-get install ceph-mon ceph-osd radosgw ceph-common)"
    return None if os.geteuid() == 0 else "Ceph's daemons are started as root only"


@contextlib.contextmanager
def serving(key: str, secret: str) -> Iterator[int]:
    """Start it for an owner of these credentials, and stop it; the gateway's port."""
    folder = Path(tempfile.mkdtemp(prefix="tgc-"))  # sockets lie in it, whose paths are short
    monitor, port = free_ports(2)
    for name in ("run", "log", "mon", "osd", "rgw"):
        (folder / name).mkdir()
    number, conf = uuid.uuid4(), folder / "ceph.conf"
    conf.write_text(CONF.format(id=number, folder=folder, monitor=monitor, port=port))

    def call(*command: object) -> None:
        done = subprocess.run(
            [str(word) for word in command],
            check=False,
            capture_output=True,
            text=True,
            timeout=180,
            env={**os.environ, "CEPH_ARGS": f"--conf {conf}"},
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stderr[-1500:]}")

    try:
        rights = ("--cap", "mon", "allow *")
        call("ceph-authtool", "--create-keyring", folder / "keyring", "--gen-key", "-n", "mon.", *rights)
        call(
            "ceph-authtool",
            folder / "keyring",
            "--gen-key",
            "-n",
            "client.admin",
            *rights,
            "--cap",
            "osd",
            "allow *",
            "--cap",
            "mgr",
            "allow *",
        )
        places = ("--addv", "a", f"[v1:127.0.0.1:{monitor}]")
        call("monmaptool", "--create", *places, "--fsid", number, folder / "monmap")
        call("ceph-mon", "--mkfs", "-i", "a", "--monmap", folder / "monmap", "--keyring", folder / "keyring")
        call("ceph-mon", "-i", "a")
        disk = uuid.uuid4()
        call("ceph", "osd", "new", disk)
        call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        call("ceph", "osd", "crush", "add", "0", "1.0", "root=default", "host=h")
        for last in (False, False, False, True):
            try:
                call("ceph-osd", "-i", "0")
                break
            except RuntimeError as error:  # it spoke to the monitor before it had that one's map
                if last or "wrong fsid" not in str(error):
                    raise
        call("radosgw", "-n", "client.rgw.a")
        call(
            "radosgw-admin",
            "user",
            "create",
            "--uid=tg",
            "--display-name=tg",
            f"--access-key={key}",
            f"--secret-key={secret}",
        )
        for _ in range(240):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                break
            time.sleep(0.5)
        else:
            raise RuntimeError("Ceph's gateway does not answer")
        yield port
    finally:
        for path in (folder / "run").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        time.sleep(0.5)
        shutil.rmtree(folder, ignore_errors=True)
