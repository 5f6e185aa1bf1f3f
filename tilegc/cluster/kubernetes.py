"""Workers in pods that Dask's operator keeps: a DaskCluster made for the run, and deleted after it.

For a driver outside of the cluster, or in a pod of its own; `deploy/kubernetes` has the other way, a DaskJob whose
driver is given the scheduler's address.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tilegc.cluster.settings import DRIVER, environment
from tilegc.cluster.workers import Workers, require_same_software
from tilegc.config import Compute
from tilegc.deferred import Deferred
from tilegc.errors import ConfigError, InputError, one_line

if TYPE_CHECKING:
    import dask
    import distributed
else:
    dask = Deferred("dask")
    distributed = Deferred("distributed")

__all__ = ["manifest", "pods"]

log = logging.getLogger("tilegc.cluster")

WORKER_SECONDS: Final = 300.0
"""How long the first pod may take: its image may have to be pulled."""
OVERHEAD: Final = 300 * 2**20
"""Memory of a pod beside that of its worker: the process that watches it."""
SCHEDULER_PORT, DASHBOARD_PORT, WORKER_PORT = 8786, 8787, 8788
GUARD: Final = "tilegc.cluster.http_guard"
"""Keeps strangers from the web pages of scheduler and workers. Pods made from an image alone have no token, and their
pages stay closed to everybody; a manifest may name a Secret with one."""


@contextlib.contextmanager
def pods(workers: int, memory: int, compute: Compute) -> Iterator[Workers]:
    """Have the operator start a scheduler and workers; delete them on leaving.

    Raises
    ------
    ConfigError
        Without dask-kubernetes, or for a manifest that is none.
    InputError
        If no cluster answers, or no worker comes.
    """
    name = "--cluster kubernetes"
    try:
        from dask_kubernetes.operator import KubeCluster  # noqa: PLC0415  (an extra)
    except ImportError:
        raise ConfigError(f"{name}: needs dask-kubernetes; `pip install 'tilegc[kubernetes]'`") from None
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(DRIVER))
        spec = manifest(compute, workers, memory)
        try:
            cluster = stack.enter_context(
                KubeCluster(
                    custom_cluster_spec=spec,
                    namespace=compute.kubernetes.namespace,
                    shutdown_on_close=True,
                    quiet=True,
                    port_forward_cluster_ip=_outside(),
                )
            )
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except Exception as error:  # noqa: BLE001  (of kr8s, httpx, the operator)
            _remove(KubeCluster, spec["metadata"]["name"])
            raise InputError(
                f"{name}: {type(error).__name__}: {one_line(error)}; see `kubectl get daskclusters,pods`"
            ) from None
        differences = require_same_software(client, name)
        log.info("kubernetes: %s, dashboard at %s", spec["metadata"]["name"], client.dashboard_link)
        yield Workers(
            client,
            name,
            local=False,
            patience=compute.patience or 600.0,
            expected=workers,
            memory=memory,
            differences=differences,
        )


def _remove(kind: Any, name: str) -> None:
    """Remove what there is of a cluster that could not be made.

    dask-kubernetes would try it at the end of the process, and end that with a traceback where no server answers.
    """
    for made in list(kind._instances):  # noqa: SLF001  (a constructor that raises hands out nothing else)
        if made.name == name:
            with contextlib.suppress(Exception):
                made.close(timeout=10)
            kind._instances.discard(made)  # noqa: SLF001


def _outside() -> bool | None:
    """Whether this process is in no pod: services have no names there, and looking for one may take minutes.

    In a pod it is left to Dask's config (`kubernetes.port-forward-cluster-ip`).
    """
    return None if "KUBERNETES_SERVICE_HOST" in os.environ else True


def manifest(compute: Compute, workers: int, memory: int) -> dict[str, Any]:
    """Return the DaskCluster of a run: the user's own with a name and a size, or one of an image.

    Parameters
    ----------
    compute : Compute
        The run file's section.
    workers : int
        Pods of one worker of one thread each.
    memory : int
        Bytes of each worker.

    Raises
    ------
    ConfigError
        If there is neither, or the manifest is no DaskCluster.
    """
    given = compute.kubernetes
    name = f"tilegc-{secrets.token_hex(4)}"
    if given.manifest is not None:
        spec = _read(Path(given.manifest))
        spec.setdefault("metadata", {})["name"] = name
        spec["spec"]["worker"]["replicas"] = workers
        selector = spec["spec"]["scheduler"]["service"]["selector"]
        selector["dask.org/cluster-name"] = name
        return spec
    if given.image is None:
        raise ConfigError(
            "--cluster kubernetes: compute.kubernetes needs a manifest (such as "
            "deploy/kubernetes/cluster/cluster.yaml) or an image"
        )
    return _of_image(name, given.image, workers, memory, compute.scratch or "/tmp")  # noqa: S108  (in a pod of its own)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"compute.kubernetes.manifest: {path} cannot be read ({one_line(error)})") from None
    try:
        if found["kind"] != "DaskCluster":
            raise ConfigError(
                f"compute.kubernetes.manifest: {path} is a {found['kind']}, expected a DaskCluster"
            )
        _ = found["spec"]["worker"], found["spec"]["scheduler"]["service"]["selector"]
    except (KeyError, TypeError):
        raise ConfigError(
            f"compute.kubernetes.manifest: {path} is not a DaskCluster with a worker and a scheduler service"
        ) from None
    spec: dict[str, Any] = copy.deepcopy(found)
    return spec


def _of_image(name: str, image: str, workers: int, memory: int, scratch: str) -> dict[str, Any]:
    """Return a DaskCluster of explicit commands: the operator's own call programs that distributed no longer has."""
    guarded = {f"DASK_DISTRIBUTED__{role}__PRELOAD": GUARD for role in ("SCHEDULER", "WORKER")}
    variables = [{"name": key, "value": value} for key, value in {**environment(), **guarded}.items()]
    limit = f"{math.ceil((memory + OVERHEAD) / 2**20)}Mi"
    worker = {
        "name": "worker",
        "image": image,
        "args": [
            "dask",
            "worker",
            "--name",
            "$(DASK_WORKER_NAME)",
            "--nthreads",
            "1",
            "--memory-limit",
            str(memory),
            "--local-directory",
            scratch,
            "--dashboard-address",
            f":{WORKER_PORT}",
            "--death-timeout",
            "120",
        ],
        "env": variables,
        "ports": [_port("http-dashboard", WORKER_PORT)],
        "resources": {"requests": {"cpu": "1", "memory": limit}, "limits": {"cpu": "1", "memory": limit}},
    }
    scheduler = {
        "name": "scheduler",
        "image": image,
        "args": [
            "dask",
            "scheduler",
            "--host",
            "0.0.0.0",  # noqa: S104  (in a pod)
            "--port",
            str(SCHEDULER_PORT),
            "--dashboard-address",
            f":{DASHBOARD_PORT}",
        ],
        "env": [
            *variables,
            {"name": "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION", "value": "1.0"},
            {"name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "value": "3"},
        ],
        "ports": [_port("tcp-comm", SCHEDULER_PORT), _port("http-dashboard", DASHBOARD_PORT)],
        "readinessProbe": {"httpGet": {"port": "http-dashboard", "path": "/health"}, "periodSeconds": 5},
        "livenessProbe": {
            "httpGet": {"port": "http-dashboard", "path": "/health"},
            "initialDelaySeconds": 15,
            "periodSeconds": 20,
        },
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
    }
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {
            "idleTimeout": 0,
            "worker": {"replicas": workers, "spec": {"containers": [worker]}},
            "scheduler": {
                "spec": {"containers": [scheduler]},
                "service": {
                    "type": "ClusterIP",
                    "selector": {"dask.org/cluster-name": name, "dask.org/component": "scheduler"},
                    "ports": [
                        _service("tcp-comm", SCHEDULER_PORT),
                        _service("http-dashboard", DASHBOARD_PORT),
                    ],
                },
            },
        },
    }


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _service(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "protocol": "TCP", "port": number, "targetPort": name}
