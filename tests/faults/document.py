"""Writes docs/failure-modes.md from the tests that provoke failures, and from the figures that were measured last.

python -m tests.faults.document                     (the page alone)
python -m tests.faults.document --measure           (20,000 damaged inputs, every crash point: hours)
python -m tests.faults.document --measure --cases 500 --processes 20 --faults 20
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["FIGURES", "PAGE", "page"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failure-modes.md"
FIGURES = ROOT / "docs" / "failure-figures.json"

SECTIONS = {
    "Crashes and disks": (
        "tests/faults/test_crash_points.py",
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
    """Return the whole page."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    lines = [
        "# Failure modes",
        "",
        "What is done to the program in its tests, and what it must then do. This page is generated from the tests by",
        "`python -m tests.faults.document`; `make failures` measures the figures again. The reasons are in",
        "[`invariants.md`](invariants.md), and what happens to NaN, infinities and overflows is in",
        "[`numbers.md`](numbers.md).",
        "",
        "## Figures",
        "",
        "| what was tried | how much | survived |",
        "|---|---|---|",
        *(f"| {name} | {of['tried']} | {of['survived']} |" for name, of in figures.items()),
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


def _measured(cases: int, processes: int, faults: int | None) -> dict[str, dict[str, object]]:
    """Run the harnesses and return their figures."""
    found: dict[str, dict[str, object]] = {}
    fuzz = ["tests.fuzz.harness", "--cases", str(cases), "--processes", str(processes)]
    said = _said(fuzz)
    bad = int(re.findall(r"faults: (\d+)", said)[-1])
    found["damaged inputs through the command line"] = {
        "tried": cases + processes,
        "survived": cases + processes - bad,
    }
    said = _said(["tests.faults.crash_points", *([] if faults is None else ["--sample", str(faults)])])
    events, tried, survived = map(int, re.findall(r"events: (\d+); faults: (\d+); survived: (\d+)", said)[-1])
    found[f"SIGKILL, ENOSPC, EIO at {events} file events of a run, then --resume"] = {
        "tried": tried,
        "survived": survived,
    }
    return found


def _said(words: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    print(done.stdout, end="", flush=True)
    return done.stdout


def main() -> None:
    """Write the page, and the figures if asked to."""
    parser = argparse.ArgumentParser(description="docs/failure-modes.md, from the tests.")
    parser.add_argument("--measure", action="store_true", help="measure the figures first")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--faults", type=int, help="a sample of the crash points; default: all")
    asked = parser.parse_args()
    if asked.measure:
        figures = _measured(asked.cases, asked.processes, asked.faults)
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
