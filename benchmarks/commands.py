"""Commands as a user runs them: wall clock and processor time of all processes, start-up included.

`python -m benchmarks.commands` runs `tilegc detect` and SExtractor in turns on the same four bands, and `tilegc plan`;
with `--run RUN.yaml` also a whole run in one process, with one worker and with two. The kernels are compiled before.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from rich.table import Table

from benchmarks.chain import BANDS
from benchmarks.command_line import Parser, at_least, existing_file, said
from benchmarks.measure import Case, console, environment
from benchmarks.whole_chain import EXTRACTOR, OFF, Planes, extractor, write_planes

TILEGC = (sys.executable, "-m", "tilegc")


@dataclass(frozen=True)
class Spent:
    """What one run of a command took, seconds."""

    wall: float
    cpu: float
    """Of the process and all that it started."""


def spent(work: Callable[[], Any]) -> Spent:
    """Return what is spent on a function that starts processes and waits for them."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def command(*words: str | Path, code: int = 0) -> Callable[[], None]:
    """Return a function that runs tilegc, and requires its exit code."""

    def run() -> None:
        done = subprocess.run([*TILEGC, *map(str, words)], capture_output=True, check=False)
        if done.returncode != code:
            raise RuntimeError(
                f"tilegc {words[0]}: exit code {done.returncode}: {done.stderr.decode()[-500:]}"
            )

    return run


def in_turns(contestants: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[Spent]]:
    """Return what every run took; each contestant once unmeasured, then all in turns."""
    for work in contestants.values():
        work()
    found: dict[str, list[Spent]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, work in contestants.items():
            found[name].append(spent(work))
    return found


def run_files(folder: Path, planes: Sequence[Planes]) -> dict[str, Path]:
    """Write the run files, by the name of the work."""
    common = {
        "recipe": "diego2026",
        "cluster": {"name": "bench", "redshift": 0.3, "ra": 10.0, "dec": -30.0},
        "photometry": "off",
        "completeness": "off",
    }

    def bands(*names: str) -> list[dict[str, Any]]:
        files = {
            band: {name: getattr(one, name) for name in names}
            for band, one in zip(BANDS, planes, strict=True)
        }
        return [{"name": "f", "bands": files}]

    whole = bands("sci", "err", "wht")
    contents = {
        "bare": common | {"fields": bands("sci"), "mask": OFF, "detect": {"threshold": {"sigma": 5.0}}},
        "defaults": common | {"fields": whole},
        "photometry": common | {"fields": whole, "photometry": {"apertures": [0.1, 0.2]}},
        "mistake": common | {"fields": whole, "tresholds": 1},
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = folder / f"{name}.yaml"
        paths[name].write_text(yaml.safe_dump(content, sort_keys=False))
    return paths


def compare(size: int, runs: int) -> dict[str, dict[str, list[Spent]]]:
    """Run all commands on four bands of one size; return what each took, by work and by who did it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        planes = write_planes(folder, size)
        files = run_files(folder, planes)

        def detect(name: str) -> dict[str, Callable[[], Any]]:
            ours = command("detect", files[name], "-o", folder / "run", "--overwrite")
            if not shutil.which(EXTRACTOR):
                return {"tilegc": ours}
            return {"tilegc": ours, "SExtractor": extractor(folder, planes, weights=name != "bare")}

        works: dict[str, dict[str, Callable[[], Any]]] = {
            "detect, SCI only, masks off, 5 sigma": detect("bare"),
            "detect, defaults with ERR and WHT": detect("defaults"),
            "detect, with photometry": detect("photometry"),
            "plan": {"tilegc": command("plan", files["defaults"], "-o", folder / "new")},
            "a run file with a mistake": {"tilegc": command("run", files["mistake"], code=2)},
        }
        return {name: in_turns(contestants, runs) for name, contestants in works.items()}


def whole_runs(run_file: Path, runs: int) -> dict[str, dict[str, list[Spent]]]:
    """Run a run file in one process, with one worker and with two."""
    with tempfile.TemporaryDirectory(dir=run_file.parent) as place:
        contestants = {
            name: command("run", run_file, "-o", Path(place) / "run", "--overwrite", "--workers", str(count))
            for name, count in (("two workers", 2), ("one worker", 1), ("this process", 0))
        }
        return {f"run {run_file}": in_turns(contestants, runs)}


def cases(size: int, runs: int) -> list[Case]:
    """Return the commands as cases of the suite: wall clock, and processor time beside it."""
    found = []
    for name, contestants in compare(size, runs).items():
        seconds = {who: [one.wall for one in all_runs] for who, all_runs in contestants.items()}
        counted = {
            f"CPU of all processes, s ({who})": round(median(one.cpu for one in all_runs), 2)
            for who, all_runs in contestants.items()
        }
        pixels = len(BANDS) * size * size if name.startswith("detect") else 0
        found.append(Case(f"tilegc {name}", pixels, seconds, "as a command, start-up included", counted))
    return found


def table(found: Mapping[str, Mapping[str, Sequence[Spent]]]) -> Table:
    """Return medians, and the ratio of tilegc to its peer, run by run."""
    shown = Table(title="Medians, seconds", title_justify="left", box=None, pad_edge=False)
    for name in ("work", "by", "wall", "CPU", "wall over that of tilegc", "CPU over that of tilegc"):
        shown.add_column(name, justify="left" if name in {"work", "by"} else "right")
    for name, contestants in found.items():
        ours = next(iter(contestants.values()))
        for who, all_runs in contestants.items():
            pairs = list(zip(all_runs, ours, strict=True))
            shown.add_row(
                name if all_runs is ours else "",
                who,
                f"{median(one.wall for one in all_runs):.2f}",
                f"{median(one.cpu for one in all_runs):.2f}",
                "" if all_runs is ours else f"{median(one.wall / other.wall for one, other in pairs):.2f}",
                "" if all_runs is ours else f"{median(one.cpu / other.cpu for one, other in pairs):.2f}",
            )
    return shown


@said
def main() -> None:
    """Measure commands as a user runs them."""
    options = Parser(prog="python -m benchmarks.commands", description=main.__doc__)
    options.add_argument("--size", type=at_least(64), default=4096, help="side of the four bands, pixels")
    options.add_argument("--runs", type=at_least(1), default=3, help="runs of which the median counts")
    options.add_argument("--run", type=existing_file, help="also run this run file, with and without workers")
    given = options.parse_args()
    found = compare(given.size, given.runs)
    if given.run is not None:
        found |= whole_runs(given.run, given.runs)
    console().print(table(found))
    print(f"load {environment()['load']:.1f}")


if __name__ == "__main__":
    main()
