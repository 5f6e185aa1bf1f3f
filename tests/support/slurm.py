"""A SLURM of two nodes on this machine's loopback: real daemons, all their state in one folder.

Debian's packages `slurm-wlm` and `munge` are all it needs; without them whoever asks for it is skipped.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Slurm", "missing", "running"]

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo", "scontrol")
FIRST_PORT = 16817
PLACES = ("/usr/sbin", "/sbin")
"""Where Debian puts daemons, beside PATH."""

CONF = """
ClusterName=tilegc
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/ctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmdParameters=config_overrides
ProctrackType=proctrack/{tracking}
TaskPlugin=task/{task}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=100000
PropagateResourceLimits=NONE
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=2
MinJobAge=300
OverTimeLimit=0
{nodes}
PartitionName=debug Nodes=tn[1-2] Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName=tn{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000 State=UNKNOWN"
CGROUP = """
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainCores=no
"""


def program(name: str) -> str | None:
    """Return the path of one of SLURM's programs."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *PLACES)))


def missing(*, memory: bool = False) -> str | None:
    """Return why SLURM cannot run on this machine, or None; with `memory`, a SLURM that enforces limits."""
    absent = [name for name in PROGRAMS if program(name) is None]
    if absent:
        return f"no SLURM here: {', '.join(absent)} not found (apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "SLURM's daemons are started as root only"
    if memory and not os.access("/sys/fs/cgroup/memory/tasks", os.W_OK):
        return "no writable cgroup v1 for memory here: SLURM cannot enforce its limits"
    return None


@dataclass(frozen=True)
class Slurm:
    """A SLURM that runs."""

    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment that its clients need."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __call__(self, *command: str) -> str:
        """Run one of its commands and return what it prints."""
        done = subprocess.run(
            [str(program(command[0])), *command[1:]],
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of each job that is in the queue, by its number."""
        rows = self("squeue", "--noheader", "--format", "%i %T").splitlines()
        return dict(row.split() for row in rows)

    def ended(self) -> list[str]:
        """Return the states of the jobs that are over, oldest first."""
        rows = self("scontrol", "show", "job", "-o").splitlines()
        facts = [dict(word.partition("=")[::2] for word in row.split()) for row in rows if "JobId" in row]
        return [
            fact["JobState"] for fact in facts if fact["JobState"] not in {"RUNNING", "PENDING", "COMPLETING"}
        ]


@contextlib.contextmanager
def running(folder: Path, *, memory: bool = False) -> Iterator[Slurm]:
    """Start controller and nodes, and stop them; `memory`: jobs are killed that take more than they asked for."""
    for name in ("ctld", "log", "munge", "spool.tn1", "spool.tn2"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "munge").chmod(0o755)
    key = folder / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    ports = free_ports(3)
    host = socket.gethostname().partition(".")[0]
    nodes = "\n".join(NODE.format(number=n, host=host, port=ports[n]) for n in (1, 2))
    tracking, task = ("cgroup", "cgroup") if memory else ("linuxproc", "none")
    (folder / "slurm.conf").write_text(
        CONF.format(
            folder=folder, host=host, port=ports[0], user="root", nodes=nodes, tracking=tracking, task=task
        )
    )
    if memory:
        (folder / "cgroup.conf").write_text(CGROUP)
    slurm = Slurm(folder)
    munge = folder / "munge"
    try:
        start(
            slurm,
            "munged",
            "--force",
            f"--key-file={munge}/key",
            f"--socket={munge}/sock",
            "--num-threads=2",
            f"--pid-file={munge}/pid",
            f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
        )
        start(slurm, "slurmctld", "-c")
        for number in (1, 2):
            start(slurm, "slurmd", "-N", f"tn{number}")
        for _ in range(120):
            with contextlib.suppress(subprocess.CalledProcessError):
                if slurm("sinfo", "-h", "-N", "-o", "%t").split() == ["idle", "idle"]:
                    break
            time.sleep(0.25)
        else:
            raise RuntimeError((folder / "log" / "ctld.log").read_text()[-2000:])
        yield slurm
    finally:
        with contextlib.suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
            slurm("scancel", "--quiet", "--user", "root")
            for _ in range(40):
                if not slurm.jobs():
                    break
                time.sleep(0.25)
        for pid_file in (*folder.glob("slurmd.*.pid"), folder / "ctld.pid", munge / "pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(pid_file.read_text()), signal.SIGTERM)


def start(slurm: Slurm, name: str, *arguments: str) -> None:
    """Start a daemon, which puts itself into the background."""
    subprocess.run(
        [str(program(name)), *arguments],
        env={**os.environ, **slurm.environment},
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
