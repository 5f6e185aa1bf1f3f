"""A Kubernetes to test on: one at hand, or one node started on this machine from binaries that the environment names.

`TILEGC_KUBECONFIG` names the kubeconfig of a cluster on which Dask's operator runs and which finds the image
`TILEGC_KUBE_IMAGE`; with `TILEGC_KUBE_HERE`, the address at which its pods reach this machine, more is tested.

`TILEGC_KUBE_BIN` names a folder with the binaries of kube-apiserver, -controller-manager, -scheduler, -proxy and
kubelet: then all of it runs here as root, in a network namespace of its own that no packet leaves, and nothing is left
behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["GATEWAY", "Kube", "missing", "reached"]

BINARIES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")
PROGRAMS = (
    "etcd",
    "containerd",
    "ctr",
    "runc",
    "kubectl",
    "ip",
    "nsenter",
    "iptables",
    "conntrack",
    "dnsmasq",
    "openssl",
    "buildah",
)
PLUGINS = Path("/usr/lib/cni")
GATEWAY = "10.244.0.1"
"""This machine, as the pods of the node that is started here see it."""
IMAGE = "tilegc:0.1.0"
"""What the manifests name."""
BASE = "docker.io/library/python:3.11-slim"
KERNEL = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)
"""What a kubelet sets for the whole machine: put back at the end."""

OLD_SERVER = """
import importlib

def mend(api):
    ask = api.Api.async_api_resources_uncached
    async def asked(self, *arguments, **options):
        found = await ask(self, *arguments, **options)
        for each in found:
            each["singularName"] = each.get("singularName") or each["kind"].lower()
        return found
    api.Api.async_api_resources_uncached = asked

try:
    mend(importlib.import_module("kr8s._api"))
except ImportError:
    pass
"""
"""A sitecustomize: servers before 1.27 leave out a name that kr8s asks for."""

CONTAINERD = """
version = 2
root = "{folder}/ctr/root"
state = "{folder}/ctr/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{folder}/ctr/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
"""
BRIDGE = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "subnet": "10.244.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}
KUBELET = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {gateway}
readOnlyPort: 0
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: false}}
  x509: {{clientCAFile: {folder}/pki/ca.crt}}
authorization: {{mode: AlwaysAllow}}
cgroupDriver: cgroupfs
clusterDNS: [{gateway}]
clusterDomain: cluster.local
resolvConf: ""
failSwapOn: false
oomScoreAdj: 0
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: one, cluster: {{server: "https://127.0.0.1:16443", certificate-authority: {folder}/pki/ca.crt}}}}]
users: [{{name: admin, user: {{client-certificate: {folder}/pki/admin.crt, client-key: {folder}/pki/admin.key}}}}]
contexts: [{{name: one, context: {{cluster: one, user: admin}}}}]
current-context: one
"""
NAMES = f"IP:127.0.0.1,IP:10.96.0.1,IP:{GATEWAY},DNS:localhost,DNS:kubernetes.default.svc"


def missing() -> str | None:
    """Return why there is no Kubernetes to test on, or None."""
    if os.environ.get("TILEGC_KUBECONFIG"):
        absent = [] if shutil.which("kubectl") else ["kubectl"]
    elif folder := os.environ.get("TILEGC_KUBE_BIN"):
        if os.geteuid() != 0:
            return "TILEGC_KUBE_BIN: a node is started as root only"
        absent = [
            str(Path(folder) / name) for name in BINARIES if not os.access(Path(folder) / name, os.X_OK)
        ]
        absent += [name for name in PROGRAMS if which(name) is None]
        absent += [] if (PLUGINS / "bridge").exists() else [str(PLUGINS / "bridge")]
    else:
        return (
            "no Kubernetes named: TILEGC_KUBECONFIG (a cluster with Dask's operator, and TILEGC_KUBE_IMAGE) or "
            "TILEGC_KUBE_BIN (a folder with the binaries of one node)"
        )
    return f"not found: {', '.join(absent)}" if absent else None


def which(name: str) -> str | None:
    """Return the path of a program; Debian puts daemons beside PATH."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


@dataclass(frozen=True)
class Kube:
    """A Kubernetes that answers."""

    kubeconfig: Path
    image: str = IMAGE
    inside: tuple[str, ...] = ()
    """What its clients are started by: those of a node that was started here live in its network ..."""
    outside: tuple[str, ...] = ()
    """... or do so without the names of its services."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of clients that are Python programs."""
    here: str | None = None
    """The address at which pods reach what listens on this machine, if they do."""

    def __call__(self, *command: str, text: str | None = None, seconds: float = 120) -> str:
        """Run kubectl; what it prints."""
        done = subprocess.run(
            [*self.inside, "kubectl", "--kubeconfig", str(self.kubeconfig), *command],
            input=text,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(command)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def look(self, kind: str, label: str = "") -> list[dict]:
        """Return the objects of a kind."""
        return json.loads(self("get", kind, "-o", "json", *(("-l", label) if label else ())))["items"]

    def client(
        self, *command: object, kubeconfig: Path | None = None, log: Path | None = None, **more: str
    ) -> subprocess.Popen[str]:
        """Start a Python program that talks to the cluster; what it says goes into pipes, or into one file."""
        environment = {
            **os.environ,
            **self.environment,
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            **more,
        }
        with contextlib.ExitStack() as stack:
            said = subprocess.PIPE if log is None else stack.enter_context(log.open("w"))
            return subprocess.Popen(
                [*self.outside, *map(str, command)],
                env=environment,
                stdout=said,
                stderr=said,
                text=True,
                start_new_session=True,
            )


@contextlib.contextmanager
def reached(image: str | None) -> Iterator[Kube]:
    """Yield the cluster at hand, or start one on this machine that has this image of Buildah's."""
    if named := os.environ.get("TILEGC_KUBECONFIG"):
        yield Kube(
            Path(named), os.environ.get("TILEGC_KUBE_IMAGE", IMAGE), here=os.environ.get("TILEGC_KUBE_HERE")
        )
        return
    assert image is not None
    # Sockets lie in it, whose paths are short.
    folder = Path(tempfile.mkdtemp(prefix="tgk-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield stack.enter_context(_Node(folder, Path(os.environ["TILEGC_KUBE_BIN"])).running(image))


class _Node:
    """One node and what rules it."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self.binaries = binaries
        self.network = f"tgk{os.getpid() % 100000}"
        self.enter = ("nsenter", f"--net=/run/netns/{self.network}")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.before = {*pod_networks(), *pod_groups()}

    @contextlib.contextmanager
    def running(self, image: str) -> Iterator[Kube]:
        for name in ("log", "pki", "ctr", "cni", "dns", "data", "site"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        (self.folder / "data").chmod(0o777)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._kernel())
            stack.enter_context(self._namespace())
            stack.callback(self._end)
            self._certificates()
            self._files()
            self._rulers()
            kube = self._kube()
            self._until(lambda: kube("get", "--raw", "/readyz") == "ok")
            self._worker(image)
            self._until(
                lambda: any(
                    state["type"] == "Ready" and state["status"] == "True"
                    for node in kube.look("nodes")
                    for state in node["status"].get("conditions", ())
                )
            )
            self._until(lambda: bool(kube.look("serviceaccounts")))
            stack.enter_context(self._names(kube))
            kube("apply", "-f", str(operator_resources()))
            self._start(
                "operator",
                sys.executable,
                "-m",
                "kopf",
                "run",
                "-m",
                "dask_kubernetes.operator.controller",
                "-A",
                KUBECONFIG=str(kube.kubeconfig),
                **kube.environment,
            )
            self._volume(kube)
            yield kube

    def _kube(self) -> Kube:
        path = os.pathsep.join((str(self.folder / "site"), *sys.path))
        return Kube(
            self.folder / "admin.conf",
            inside=("ip", "netns", "exec", self.network),
            outside=self.enter,
            environment={"PYTHONPATH": path, "AWS_EC2_METADATA_DISABLED": "true"},
            here=GATEWAY,
        )

    def _start(self, name: str, *command: object, **environment: str) -> None:
        with (self.folder / "log" / f"{name}.log").open("ab") as stream:
            self.processes[name] = subprocess.Popen(
                [*self.enter, *map(str, command)],
                env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", **environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def _until(self, holds, seconds: float = 180) -> None:
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                if holds():
                    return
            for name, process in self.processes.items():
                if process.poll() is not None or time.monotonic() > end:
                    told = (self.folder / "log" / f"{name}.log").read_text(errors="replace")[-1500:]
                    if process.poll() is not None:
                        raise RuntimeError(f"{name} ended: {told}")
            if time.monotonic() > end:
                raise RuntimeError(f"no answer in {seconds:.0f} s; logs: {self.folder}/log")
            time.sleep(0.5)

    @contextlib.contextmanager
    def _kernel(self) -> Iterator[None]:
        before = {key: call("sysctl", "-n", key).strip() for key in KERNEL}
        try:
            yield
        finally:
            for key, value in before.items():
                call("sysctl", "-q", "-w", f"{key}={value}")

    @contextlib.contextmanager
    def _namespace(self) -> Iterator[None]:
        settings = Path("/etc/netns") / self.network
        call("ip", "netns", "add", self.network)
        try:
            for command in (
                "link set lo up",
                "link add cni0 type bridge",
                f"addr add {GATEWAY}/24 dev cni0",
                "link set cni0 up",
                "route add default dev cni0",
            ):
                call(*self.enter, "ip", *command.split())
            settings.mkdir(parents=True)
            (settings / "resolv.conf").write_text(
                f"nameserver {GATEWAY}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\n"
                "options timeout:1 attempts:2\n"
            )
            yield
        finally:
            shutil.rmtree(settings, ignore_errors=True)
            with contextlib.suppress(OSError):
                settings.parent.rmdir()
            call("ip", "netns", "del", self.network)

    def _certificates(self) -> None:
        pki = self.folder / "pki"
        call(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=one",
            "-keyout",
            pki / "ca.key",
            "-out",
            pki / "ca.crt",
        )
        call("openssl", "genrsa", "-out", pki / "sa.key", "2048")
        for name, subject in (("apiserver", "/CN=kube-apiserver"), ("admin", "/O=system:masters/CN=admin")):
            call(
                "openssl",
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                subject,
                "-keyout",
                pki / f"{name}.key",
                "-out",
                pki / f"{name}.csr",
            )
            (pki / f"{name}.ext").write_text(f"subjectAltName={NAMES}\n" if name == "apiserver" else "")
            call(
                "openssl",
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                pki / f"{name}.csr",
                "-CA",
                pki / "ca.crt",
                "-CAkey",
                pki / "ca.key",
                "-CAcreateserial",
                "-extfile",
                pki / f"{name}.ext",
                "-out",
                pki / f"{name}.crt",
            )

    def _files(self) -> None:
        texts = {
            "ctr/config.toml": CONTAINERD.format(folder=self.folder, plugins=PLUGINS),
            "cni/10-bridge.conflist": json.dumps(BRIDGE),
            "kubelet.yaml": KUBELET.format(folder=self.folder, gateway=GATEWAY),
            "admin.conf": KUBECONFIG.format(folder=self.folder),
            "site/sitecustomize.py": OLD_SERVER,
            "dns/hosts": "",
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def _rulers(self) -> None:
        """Start etcd, the server, and who decides."""
        pki, admin = self.folder / "pki", self.folder / "admin.conf"
        self._start("etcd", "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync")
        self._start(
            "apiserver",
            self.binaries / "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            f"--advertise-address={GATEWAY}",
            "--secure-port=16443",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--service-account-key-file={pki}/sa.key",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--api-audiences=https://kubernetes.default.svc",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
        )
        kube = self._kube()
        self._until(lambda: kube("get", "--raw", "/readyz") == "ok")
        self._start(
            "controllers",
            self.binaries / "kube-controller-manager",
            f"--kubeconfig={admin}",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            "--leader-elect=false",
        )
        self._start(
            "scheduler", self.binaries / "kube-scheduler", f"--kubeconfig={admin}", "--leader-elect=false"
        )

    def _worker(self, image: str) -> None:
        """Start what runs pods, with the image."""
        admin, socket = self.folder / "admin.conf", self.folder / "ctr" / "c.sock"
        self._start("containerd", which("containerd"), "-c", self.folder / "ctr" / "config.toml")
        self._until(lambda: call("ctr", "-a", socket, "version") != "")
        (self.folder / "pause").mkdir()
        (self.folder / "pause" / "Dockerfile").write_text(f'FROM {BASE}\nENTRYPOINT ["sleep", "infinity"]\n')
        call("buildah", "bud", "-q", "--pull-never", "-t", "localhost/pause:1", self.folder / "pause")
        for name, tag in (("localhost/pause:1", "localhost/pause:1"), (image, f"docker.io/library/{IMAGE}")):
            archive = self.folder / "image.tar"
            call("buildah", "push", "-q", name, f"docker-archive:{archive}:{tag}", seconds=600)
            call("ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive, seconds=900)
            archive.unlink()
        call("buildah", "rmi", "localhost/pause:1")
        self._start(
            "kubelet",
            self.binaries / "kubelet",
            f"--config={self.folder}/kubelet.yaml",
            f"--kubeconfig={admin}",
            "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{socket}",
            f"--root-dir={self.folder}/kubelet",
            "--hostname-override=node1",
            f"--node-ip={GATEWAY}",
            f"--cert-dir={self.folder}/kubelet-pki",
        )
        self._start(
            "proxy",
            self.binaries / "kube-proxy",
            f"--kubeconfig={admin}",
            "--proxy-mode=iptables",
            "--masquerade-all",
            "--hostname-override=node1",
            "--conntrack-max-per-core=0",
        )

    @contextlib.contextmanager
    def _names(self, kube: Kube) -> Iterator[None]:
        """Answer the names of services."""
        hosts = self.folder / "dns" / "hosts"
        self._start(
            "dns",
            which("dnsmasq"),
            "-k",
            "--no-resolv",
            "--no-hosts",
            f"--addn-hosts={hosts}",
            "--user=root",
            f"--listen-address={GATEWAY}",
            "--bind-interfaces",
            "--pid-file=",
        )
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(1.0):
                rows = []
                with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                    for found in json.loads(kube("get", "services", "-A", "-o", "json"))["items"]:
                        name, space = found["metadata"]["name"], found["metadata"]["namespace"]
                        short = f"{name}.{space}"
                        rows.append(
                            f"{found['spec']['clusterIP']} {short}.svc.cluster.local {short}.svc {short}"
                        )
                    text = "\n".join(sorted(rows)) + "\n"
                    if text != hosts.read_text():
                        hosts.write_text(text)
                        self.processes["dns"].send_signal(signal.SIGHUP)

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _volume(self, kube: Kube) -> None:
        """Offer the claim of the manifests a folder of this machine."""
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "data"},
            "spec": {
                "capacity": {"storage": "200Gi"},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "hostPath": {"path": str(self.folder / "data")},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }
        kube("apply", "-f", "-", text=json.dumps(volume))

    def _end(self) -> None:
        """Stop everything: the pods' processes first, then the processes that would restart them."""
        socket = self.folder / "ctr" / "c.sock"
        for name in ("operator", "kubelet", "proxy", "controllers", "scheduler", "apiserver", "dns", "etcd"):
            self._kill(name)
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            for task in call("ctr", "-a", socket, "-n", "k8s.io", "tasks", "ls", "-q").split():
                call("ctr", "-a", socket, "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", task)
        time.sleep(1.0)
        self._kill("containerd")
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ProcessLookupError):
                if str(socket) in (process / "cmdline").read_text():  # a pod's shim
                    os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.5)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            call("umount", "-l", mount, check=False)
        for name in pod_networks() - self.before:
            call("ip", "netns", "del", name, check=False)
        for group in pod_groups() - self.before:
            for path in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()

    def _kill(self, name: str) -> None:
        process = self.processes.get(name)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def pod_networks() -> set[str]:
    """Return the network namespaces that were made for pods."""
    return {word for word in call("ip", "netns", "list").split() if word.startswith("cni-")}


def pod_groups() -> set[Path]:
    """Return the cgroups that were made for pods."""
    return {path for path in Path("/sys/fs/cgroup").glob("*/kubepods*") if path.is_dir()}


def operator_resources() -> Path:
    """Return the folder of the operator's custom resources, as dask-kubernetes brings them."""
    import dask_kubernetes

    return Path(dask_kubernetes.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"


def call(*command: object, seconds: float = 120, check: bool = True) -> str:
    """Run a program; what it prints."""
    words: Sequence[str] = [str(word) for word in command]
    done = subprocess.run(
        [which(words[0]) or words[0], *words[1:]],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()[-1500:]}")
    return done.stdout
