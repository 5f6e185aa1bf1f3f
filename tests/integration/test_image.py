"""The image, built without an engine: Buildah in a chroot, over a stand-in for the base image it names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
BASE = "docker.io/library/python:3.11-slim"
IMAGE = "localhost/tilegc:under-test"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
TOOLS = ("buildah", "debootstrap")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS), reason=f"{' or '.join(TOOLS)} is not installed"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and Buildah's chroot want root"),
]


def call(*arguments: object, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build deploy/docker/Dockerfile, and give the name of the image."""
    work = tmp_path_factory.mktemp("image")
    if BASE not in call("buildah", "images", "--format", "{{.Name}}:{{.Tag}}"):
        call("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", work / "rootfs")
        call("tar", "-C", work / "rootfs", "-cf", work / "rootfs.tar", ".")
        shutil.rmtree(work / "rootfs")
        (work / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar /\nCMD ["/bin/sh"]\n')
        call("buildah", "bud", "-q", "-t", BASE, ".", cwd=work)
        (work / "rootfs.tar").unlink()
    # Where packages come from, and whom to trust, is this machine's affair: mounted while building, never kept.
    mounts = ["-v", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.exists() else []
    settings = Path("/etc/pip.conf")
    mounts += ["-v", f"{settings}:{settings}:ro"] if settings.exists() else []
    call(
        "buildah",
        "bud",
        "--pull-never",
        "--network",
        "host",
        *mounts,
        "--env",
        f"PIP_CERT={CERTIFICATES}",
        "--unsetenv",
        "PIP_CERT",
        "--ignorefile",
        DOCKER / "Dockerfile.dockerignore",
        "-f",
        DOCKER / "Dockerfile",
        "-t",
        IMAGE,
        ".",
    )
    yield IMAGE
    call("buildah", "rmi", "-f", IMAGE)


@pytest.fixture
def container(image: str) -> Iterator[str]:
    name = call("buildah", "from", "--pull-never", image).strip()
    yield name
    call("buildah", "rm", name)


def test_image_is_for_nobody_in_particular(image: str) -> None:
    config = json.loads(call("buildah", "inspect", "--type", "image", image))["OCIv1"]["config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["entrypoint.sh"]
    names = {entry.split("=", 1)[0] for entry in config["Env"]}
    assert "NUMBA_CACHE_DIR" in names
    assert not {name for name in names if name.startswith("PIP_")}


def test_run_in_the_image_with_the_warmed_kernels(container: str) -> None:
    """The chain runs as the image's user, and compiles nothing: its kernels are those that the image brought."""
    script = (
        "set -e; tilegc simulate /tmp/w --preset tiny >/dev/null; tilegc run /tmp/w/run.yaml --workers 1 >&2;"
        "cd /opt/tilegc/numba && find . -name '*.nbc' | sort > /tmp/warmed;"
        "cd /tmp/numba && find . -name '*.nbc' | sort > /tmp/used;"
        "diff /tmp/warmed /tmp/used >&2; id -u; wc -l < /tmp/used; cat /tmp/w/run-run/summary.json"
    )
    out = call("buildah", "run", container, "--", "entrypoint.sh", "sh", "-c", script)
    user, kernels, summary = out.split("\n", 2)
    assert user == "10001"
    assert int(kernels) > 10
    assert json.loads(summary)["n_detected"] > 0
