"""On a real Kubernetes with Dask's operator: the manifests of deploy/, real pods, the same bytes (`make kube`)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.test_image import image  # noqa: F401  (a fixture)
from tests.support import kube as kubernetes
from tests.support import mock
from tilegc import running
from tilegc.samples import load_sample
from tilegc.simulation import simulate
from tilegc.simulation.sample import simulate_sample

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(kubernetes.missing() is not None, reason=str(kubernetes.missing())),
]

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
CLUSTER = "dask.org/cluster-name=tilegc"
LEFT = ("pods", "services", "deployments")
BOX = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "box", "labels": {"app.kubernetes.io/name": "tilegc"}},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
        "containers": [
            {
                "name": "box",
                "image": kubernetes.IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "args": ["sleep", "infinity"],
                "env": [{"name": "DASK_CONFIG", "value": "/etc/dask"}],
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "dask", "mountPath": "/etc/dask", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "tilegc-data"}},
            {"name": "dask", "configMap": {"name": "tilegc-dask"}},
        ],
    },
}
"""A shell beside the cluster: on its volume, in its network."""


def until(holds: Callable[[], object], what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def kube(request: pytest.FixtureRequest) -> Iterator[kubernetes.Kube]:
    """The cluster, with what deploy/kubernetes/overlays/laptop makes there, and a shell."""
    own = not os.environ.get("TILEGC_KUBECONFIG")
    name = os.environ.get("TILEGC_KUBE_BUILT") or (request.getfixturevalue("image") if own else None)
    with kubernetes.reached(name) as found:
        found("apply", "-k", str(DEPLOY / "overlays" / "laptop"))
        box = json.loads(json.dumps(BOX).replace(kubernetes.IMAGE, found.image))
        found("apply", "-f", "-", text=json.dumps(box))
        found("wait", "--for=condition=Ready", "pod/box", "--timeout=300s", seconds=310)
        try:
            yield found
        finally:
            found("delete", "pod", "box", "--now", "--wait=false")
            remove_cluster(found)
            found("delete", "-k", str(DEPLOY / "overlays" / "laptop"), "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated cluster; its run file."""
    folder = tmp_path_factory.mktemp("mosaics")
    run_file = simulate(folder / "in", preset="tiny", seed=1)
    return mock.edited(run_file, run_file.name, {"tiles.size": 128})


@pytest.fixture(scope="module")
def reference(mosaics: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return running.run(mosaics, tmp_path_factory.mktemp("reference") / "run", workers=0).path


@pytest.fixture(scope="module")
def volume(kube: kubernetes.Kube, mosaics: Path) -> str:
    """Put the mosaics onto the pods' volume; the run file's path there."""
    with subprocess.Popen(["tar", "-C", mosaics.parent, "-c", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(
            [*in_box(kube), "sh", "-c", "mkdir -p /data/in && tar -x --no-same-owner -C /data/in"],
            stdin=packed.stdout,
            check=True,
            timeout=300,
        )
    return f"/data/in/{mosaics.name}"


def in_box(kube: kubernetes.Kube) -> list[str]:
    return [*kube.inside, "kubectl", "--kubeconfig", str(kube.kubeconfig), "exec", "-i", "box", "--"]


def fetched(kube: kubernetes.Kube, path: str, target: Path) -> Path:
    """Copy a run from the pods' volume."""
    target.mkdir()
    with subprocess.Popen([*in_box(kube), "tar", "-C", path, "-c", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(
            ["tar", "-x", "--no-same-owner", "-C", target], stdin=packed.stdout, check=True, timeout=300
        )
    return target


def workers(kube: kubernetes.Kube, label: str = CLUSTER) -> list[str]:
    """Return the names of the worker pods that are ready."""
    return [
        pod["metadata"]["name"]
        for pod in kube.look("pods", f"{label},dask.org/component=worker")
        if all(each.get("ready") for each in pod["status"].get("containerStatuses", [{}]))
        and "deletionTimestamp" not in pod["metadata"]
    ]


def remove_cluster(kube: kubernetes.Kube) -> None:
    """Delete the DaskCluster and wait until it is gone: a new one would adopt what is left, and be deleted with it."""
    kube("delete", "daskcluster", "tilegc", "--ignore-not-found", "--timeout=120s")
    until(
        lambda: (
            not any(kube.look(kind, CLUSTER) for kind in LEFT)
            and "tilegc-default" not in {found["metadata"]["name"] for found in kube.look("daskworkergroups")}
        ),
        "the cluster's pods do not go",
    )


def test_a_worker_pod_is_killed_and_the_bytes_are_those_of_one_process(kube, volume, reference, tmp_path):
    until(lambda: len(workers(kube)) == 2, "the workers do not come")
    with subprocess.Popen(
        [
            *in_box(kube),
            "entrypoint.sh",
            "tilegc",
            "run",
            volume,
            "-o",
            "/data/killed",
            "--scheduler",
            "tcp://tilegc-scheduler:8786",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as driver:
        until(
            lambda: (
                driver.poll() is not None
                or "-filter.json" in kube("exec", "box", "--", "sh", "-c", "ls /data/killed/ledger || true")
            ),
            "no tile is filtered",
        )
        victim = workers(kube)[0]
        kube("delete", "pod", victim, "--grace-period=0", "--force")
        out, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, out
    log = kube("exec", "box", "--", "cat", "/data/killed/log.txt")
    assert "left: tcp://" in log
    mock.assert_same(fetched(kube, "/data/killed", tmp_path / "run"), reference)
    until(lambda: len(workers(kube)) == 2, "the operator does not replace the worker")
    assert victim not in workers(kube)


def test_a_sample_of_four_clusters_on_the_pods(kube, tmp_path):
    """A survey beside the scheduler: its drivers share the workers, every cluster has the bytes of one process."""
    until(lambda: len(workers(kube)) == 2, "the workers do not come")
    sample = simulate_sample(tmp_path / "sky", 4, size=(256, 192))
    with subprocess.Popen(["tar", "-C", sample.parent, "-c", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(
            [*in_box(kube), "sh", "-c", "mkdir -p /data/sky && tar -x --no-same-owner -C /data/sky"],
            stdin=packed.stdout,
            check=True,
            timeout=300,
        )
    command = [
        "tilegc",
        "survey",
        "/data/sky/sample.yaml",
        "-o",
        "/data/sample",
        "--scheduler",
        "tcp://tilegc-scheduler:8786",
    ]
    done = subprocess.run(
        [*in_box(kube), "entrypoint.sh", *command], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    first = load_sample(str(sample)).entries[0]
    alone = running.run(first.config, tmp_path / "alone", workers=0)
    mock.assert_same(fetched(kube, f"/data/sample/{first.name}", tmp_path / "run"), alone.path)


def test_what_the_server_enforces(kube):
    """Pods run as an unprivileged user on a read-only root without rights; the driver may do its work and nothing
    else."""
    said = kube("exec", "box", "--", "id", "-u").strip()
    assert said == "10001"
    scheduler = kube.look("pods", f"{CLUSTER},dask.org/component=scheduler")[0]["metadata"]["name"]
    for pod in (scheduler, workers(kube)[0]):
        script = (
            "id -u; touch /here 2>&1; ls /var/run/secrets/kubernetes.io 2>&1; grep CapEff /proc/self/status"
        )
        told = kube("exec", pod, "--", "sh", "-c", script)
        assert told.startswith("10001\n")
        assert "Read-only file system" in told
        assert "No such file" in told
        assert "CapEff:\t0000000000000000" in told

    def may(account: str, *what: str) -> bool:
        with contextlib.suppress(RuntimeError):
            return (
                kube("auth", "can-i", *what, f"--as=system:serviceaccount:default:{account}").strip() == "yes"
            )
        return False

    assert may("tilegc-driver", "create", "daskclusters.kubernetes.dask.org")
    assert may("tilegc-driver", "get", "pods")
    for what in (("delete", "pods"), ("get", "secrets"), ("create", "pods"), ("create", "pods/exec")):
        assert not may("tilegc-driver", *what), what
        assert not may("tilegc", *what), what
    assert not may("tilegc", "get", "pods")


@contextlib.contextmanager
def store(kube: kubernetes.Kube, log: Path) -> Iterator[dict[str, str]]:
    """Serve S3 where driver and pods reach it; what both must have in their environment."""
    pytest.importorskip("moto", reason="moto, which serves S3 to the tests, is not installed")
    port = "19000"
    server = kube.client(  # a pipe that nobody reads would stop it
        sys.executable, "-c", "from moto.server import main; main()", "-H", kube.here, "-p", port, log=log
    )
    url = f"http://{kube.here}:{port}"
    try:
        until(lambda: call(kube, "curl", "-sf", "-X", "PUT", f"{url}/sky") == 0, "moto does not answer", 60)
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.kill()
        server.wait()


def call(kube: kubernetes.Kube, *command: str) -> int:
    return subprocess.run([*kube.inside, *command], check=False, capture_output=True, timeout=60).returncode


def as_driver(kube: kubernetes.Kube, folder: Path) -> Path:
    """Return a kubeconfig with no more rights than deploy/kubernetes/base gives the driver."""
    try:
        token = kube("create", "token", "tilegc-driver", "--duration=1h").strip()
    except RuntimeError:  # servers before 1.24 keep them in secrets
        import base64

        (secret,) = (
            found
            for found in kube.look("secrets")
            if found["metadata"].get("annotations", {}).get("kubernetes.io/service-account.name")
            == "tilegc-driver"
        )
        token = base64.b64decode(secret["data"]["token"]).decode()
    config = yaml.safe_load(kube("config", "view", "--raw", "--minify", "--flatten"))
    config["users"] = [{"name": "driver", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "driver"
    path = folder / "driver.conf"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_driver_outside_with_the_rights_of_its_role(kube, mosaics, reference, tmp_path):
    """--cluster kubernetes with everything in an object store: a cluster is created and deleted, after a check by
    doctor."""
    if kube.here is None:
        pytest.skip("TILEGC_KUBE_HERE does not say how pods reach an object store on this machine")
    built = kube("kustomize", str(DEPLOY / "overlays" / "laptop"))
    cluster = next(found for found in yaml.safe_load_all(built) if found["kind"] == "DaskCluster")
    with store(kube, tmp_path / "store.log") as environment:
        for role in ("worker", "scheduler"):
            cluster["spec"][role]["spec"]["containers"][0]["env"] += [
                {"name": name, "value": value} for name, value in environment.items()
            ]
        (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(cluster))
        content = yaml.safe_load(mosaics.read_text())
        content["compute"] = {
            "kubernetes": {"manifest": str(tmp_path / "cluster.yaml"), "namespace": "default"}
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
        put = (
            "import sys; from pathlib import Path; from tilegc.places import place\n"
            "for path in [*Path(sys.argv[1]).iterdir(), Path(sys.argv[2])]:\n"
            "    if path.is_file(): place('s3://sky/in/' + path.name).write_bytes(path.read_bytes())\n"
        )
        config = as_driver(kube, tmp_path)

        def python(*arguments: object) -> str:
            process = kube.client(sys.executable, *arguments, kubeconfig=config, **environment)
            try:
                out, err = process.communicate(timeout=1800)
            finally:
                process.kill()
            if process.returncode:
                events = kube("get", "events", "--sort-by=.lastTimestamp").splitlines()[-40:]
                pytest.fail("\n".join((out, err, *events)))
            return out

        python("-c", put, mosaics.parent, tmp_path / "run.yaml")
        told = python("-m", "tilegc", "doctor", "s3://sky/in/run.yaml", "--cluster", "kubernetes")
        assert "it reads what is written in s3://sky/in" in told
        assert "has the bytes of this machine's" in told
        python(
            "-m",
            "tilegc",
            "run",
            "s3://sky/in/run.yaml",
            "-o",
            "s3://sky/run",
            "--cluster",
            "kubernetes",
            "--workers",
            "1",
        )
        get = (
            "import sys; from pathlib import Path; from tilegc.places import place, files_below\n"
            "for name in files_below(place('s3://sky/run')):\n"
            "    path = Path(sys.argv[1]) / name; path.parent.mkdir(parents=True, exist_ok=True)\n"
            "    path.write_bytes((place('s3://sky/run') / name).read_bytes())\n"
        )
        python("-c", get, tmp_path / "run")
    mock.assert_same(tmp_path / "run", reference)
    until(
        lambda: {found["metadata"]["name"] for found in kube.look("daskclusters")} <= {"tilegc"},
        "the run's own cluster stays",
    )


def test_a_job_with_its_driver_inside(kube, volume, reference, tmp_path):
    """deploy/kubernetes/job: scheduler, workers and driver start, and are gone when the run ends."""
    remove_cluster(kube)
    inputs = f"cp -r /data/in/. /data/ && cp -n {volume} /data/run.yaml; rm -rf /data/run-run"
    kube("exec", "box", "--", "sh", "-c", inputs)
    # What it stands on is there, and a claim cannot be changed.
    kube("apply", "-f", str(DEPLOY / "job" / "job.yaml"))

    def state() -> str:
        return kube("get", "daskjob", "tilegc-job", "-o", "jsonpath={.status.jobStatus}")

    until(lambda: state() in {"Successful", "Failed"}, "the job does not end", 900)
    assert state() == "Successful", kube("logs", "tilegc-job-runner", "--all-containers")
    mock.assert_same(fetched(kube, "/data/run-run", tmp_path / "run"), reference)
    until(lambda: not kube.look("pods", "dask.org/component=worker"), "the job's workers stay")
    kube("delete", "daskjob", "tilegc-job", "--timeout=120s")
