"""Writes docs/licences.md: the licence of every locked package that is installed here.

python -m tests.project.licences
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

__all__ = ["PAGE", "listed", "locked", "page"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"


def locked() -> list[tuple[str, str]]:
    """Return name and version of every package in requirements.lock; one may have several, for several platforms."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", text, re.MULTILINE)


def licence(name: str) -> str | None:
    """Return what an installed package says of its licence, in a few words; None where it is not installed."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if about.get("License-Expression"):
        return str(about["License-Expression"])
    classes = [
        entry.rpartition(" :: ")[2]
        for entry in about.get_all("Classifier") or []
        if entry.startswith("License ::") and not entry.endswith("OSI Approved")
    ]
    if classes:
        return ", ".join(dict.fromkeys(classes))
    first = (str(about.get("License") or "").strip().splitlines() or ["not stated"])[0]
    return first[:60] or "not stated"


def listed() -> dict[str, str]:
    """Return the licences on the page, by package."""
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1:])


def page() -> str:
    """Return the page."""
    found = {name: licence(name) for name, _ in locked()}
    rows = [f"| {name} | {kind} |" for name, kind in sorted(found.items()) if kind is not None]
    return "\n".join(
        [
            "# Licences",
            "",
            "What the packages in `requirements.lock` say of their licences, as installed. Those of extras that are",
            "not installed are left out. `python -m tests.project.licences` writes this page.",
            "",
            "| package | licence |",
            "|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
