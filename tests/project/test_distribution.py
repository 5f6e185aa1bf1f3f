"""Wheel and source distribution: built, installed alone, and complete."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tilegc import __version__

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "tilegc").rglob("*")
    if path.is_file() and path.suffix not in {".pyc", ".nbc", ".nbi"} and "__pycache__" not in path.parts
}


def shell(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return wheel and source distribution; the wheel is built from the latter, as installers do."""
    folder = tmp_path_factory.mktemp("dist")
    shell(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / f"tilegc-{__version__}"
    shell(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return wheel, source


def test_both_hold_the_whole_package_and_no_caches(built):
    wheel, source = built
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("tilegc-")}
        about = next(name for name in archive.namelist() if name.endswith("METADATA"))
        text = archive.read(about).decode()
    assert names == SHIPPED
    assert f"Version: {__version__}" in text
    assert "License-Expression: BSD-3-Clause" in text
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside >= SHIPPED
    assert {"README.md", "LICENSE", "CITATION.cff", "requirements.lock", "pyproject.toml"} <= inside


def test_the_wheel_runs_where_nothing_else_of_the_project_is(built, tmp_path):
    """Installed into an environment of its own, whose other packages are those of this one."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    shell(
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        built[0],
    )
    # Its own packages come first; those of this environment are found behind them, without their editable install.
    around = {
        key: value
        for key, value in os.environ.items()
        if key not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    }
    around["PYTHONPATH"] = sysconfig.get_path("purelib")
    where = shell(python, "-c", "import tilegc; print(tilegc.__file__)", env=around, cwd=tmp_path).strip()
    assert Path(where).is_relative_to(home)
    said = shell(home / "bin" / "tilegc", "--version", env=around, cwd=tmp_path)
    assert said == f"tilegc {__version__}\n"
    template = shell(home / "bin" / "tilegc", "init", "--template", env=around, cwd=tmp_path)
    assert "recipe:" in template
