"""Writes docs/failure-modes.md from the tests that provoke failures, and from the figures that the long runs recorded.

python -m tests.faults.document                     (the page alone)
python -m tests.faults.document --measure           (everything that the table asks for: hours)
python -m tests.faults.document --measure --cases 500 --processes 20 --faults 20 --chaos 20 --minutes 5
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.faults.figures import table

__all__ = ["PAGE", "page"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failure-modes.md"

SECTIONS = {
    "Crashes and disks": (
        "tests/faults/test_crash_points.py",
        "tests/faults/test_chaos.py",
        "tests/integration/test_resume.py",
        "tests/run_folder/test_ledger.py",
        "tests/run_folder/test_heartbeat.py",
    ),
    "Damaged stores and products": (
        "tests/property/test_damaged_stores.py",
        "tests/run_folder/test_checking.py",
    ),
    "Run folders": ("tests/run_folder/test_run_folder.py",),
    "Bad and changing input": (
        "tests/fuzz/test_fuzz.py",
        "tests/integration/test_damaged_headers.py",
        "tests/integration/test_bad_input.py",
        "tests/integration/test_changed_inputs.py",
    ),
    "Workers, schedulers and networks": (
        "tests/integration/test_cluster.py",
        "tests/integration/test_network.py",
        "tests/integration/test_slurm.py",
        "tests/run_folder/test_token.py",
        "tests/project/test_soak.py",
    ),
    "Tiles": ("tests/property/test_poison_tiles.py",),
    "Memory and size": ("tests/integration/test_plan.py",),
    "Strangers and secrets": (
        "tests/integration/test_sockets.py",
        "tests/integration/test_web_pages.py",
        "tests/integration/test_credentials.py",
        "tests/run_folder/test_redaction.py",
        "tests/project/test_dependencies.py",
    ),
    "Numbers at the edges": ("tests/property/test_number_policy.py",),
}
"""The tests of each kind of failure."""


def page() -> str:
    """Return the page."""
    lines = [
        "# Failure modes",
        "",
        "What is done to the program in its tests, and what it must then do. This page is generated from the tests by",
        "`python -m tests.faults.document`. The reasons are in [`invariants.md`](invariants.md), and what happens to",
        "NaN, infinities and overflows is in [`numbers.md`](numbers.md).",
        "",
        "## Figures",
        "",
        "What the long runs have found so far, each on the version of its day; faults that were corrected became",
        "tests, others are named. `make figures` prints the table, `make failures` goes on with the runs (hours).",
        "",
        *table(markdown=True),
        "",
    ]
    for title, modules in SECTIONS.items():
        lines += [f"## {title}", ""]
        for module in modules:
            path = ROOT / module
            if path.exists():
                lines += _module(path, module)
    return "\n".join(lines).rstrip() + "\n"


def _module(path: Path, name: str) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    about = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ").strip()
    tests = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    return [f"**{about}** (`{name}`)", "", *(f"- {_sentence(test)}" for test in tests), ""]


def _sentence(test: ast.FunctionDef) -> str:
    """Return what a test says: its name as words, and its docstring's first paragraph."""
    words = re.sub(r"\s+", " ", test.name.removeprefix("test_").replace("_", " ")).strip()
    told = (ast.get_docstring(test) or "").split("\n\n")[0].replace("\n", " ").strip()
    slow = any("slow" in ast.unparse(decorator) for decorator in test.decorator_list)
    return words + (f": {told}" if told else "") + (" *(slow)*" if slow else "")


def _measure(asked: argparse.Namespace) -> None:
    """Run the harnesses, which add to the figures."""
    faults = [] if asked.faults is None else ["--sample", str(asked.faults)]
    for words in (
        ["tests.fuzz.harness", "--cases", str(asked.cases), "--processes", str(asked.processes)],
        ["tests.faults.crash_points", *faults],
        ["tests.faults.chaos", "--runs", str(asked.chaos)],
        ["benchmarks.soak", "--minutes", str(asked.minutes)],
        ["tests.faults.listeners"],
    ):
        subprocess.run([sys.executable, "-m", *words, "--record"], check=False, cwd=ROOT)


def main() -> None:
    """Write the page, and the figures if asked to."""
    parser = argparse.ArgumentParser(description="docs/failure-modes.md, from the tests.")
    parser.add_argument("--measure", action="store_true", help="measure the figures first")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--faults", type=int, help="a sample of the crash points; default: all")
    parser.add_argument("--chaos", type=int, default=200, help="runs with random faults")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the soak")
    asked = parser.parse_args()
    if asked.measure:
        _measure(asked)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
