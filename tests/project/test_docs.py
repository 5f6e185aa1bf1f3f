"""Files, tests, sections, commands and options named in the documents exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from tilegc import cli, config, schema
from tilegc.filter.detection_map import COARSE, MID_SCALES
from tilegc.mask.mask_map import ELONGATED_AREA, EXTENDED_AREA, EXTENDED_GROWTH

ROOT = Path(__file__).resolve().parents[2]
README, DEPLOY = ROOT / "README.md", ROOT / "deploy" / "README.md"
ARCHITECTURE, INVARIANTS = ROOT / "docs" / "architecture.md", ROOT / "docs" / "invariants.md"
ALGORITHM, PRODUCTS = ROOT / "docs" / "algorithm.md", ROOT / "docs" / "products.md"
DETECTION = ROOT / "docs" / "detection.md"
DOCUMENTS = [
    README,
    DEPLOY,
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
SOURCES = [
    path
    for folder in ("tilegc", "tests", "benchmarks", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:tilegc|tests|docs|notebooks|deploy|benchmarks)/[\w./-]*|pyproject\.toml")
CITATION = re.compile(
    r"([\w/]+\.md),\s+sections?\s+((?:\d[\d.]*\d|\d)(?:(?:,\s+|-|\s+and\s+)(?:\d[\d.]*\d|\d))*)"
)
IN_CODE = re.compile(
    r"\b(?:tests|benchmarks|docs|deploy|notebooks|tilegc)/[\w/.-]*\w\.(?:py|md|ya?ml|ipynb|j2)(?:::\w+)?"
)
MODULE = re.compile(r"`(tilegc(?:\.\w+)+)`")


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(path: Path, title: str) -> str:
    """The text under a heading, to the next one of its rank."""
    body = text_of(path).split(f"\n## {title}\n", 1)[1]
    return body.split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


@cache
def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(text_of(path))) if isinstance(node, ast.FunctionDef)}


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as hosts of repositories make them."""
    heads = re.findall(r"^#+ (.+)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def references(text: str) -> list[tuple[Path, str | None]]:
    """Paths in code spans, with the test behind `::`."""
    found = []
    for span in SPAN.findall(text):
        path, _, test = span.partition("::")
        if PATH.fullmatch(path):
            found.append((ROOT / path, test or None))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in LINK.findall(text_of(document)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = document.parent / path if path else document
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_tests_that_are_named_exist(document):
    for path, test in references(text_of(document)):
        assert path.exists(), path
        if test is not None:
            assert test in functions(path), f"{path}::{test}"


@cache
def numbers(path: Path) -> set[str]:
    """Numbers of a document's sections."""
    return set(re.findall(r"^#+ (\d+(?:\.\d+)*)\.? ", text_of(path), flags=re.MULTILINE))


def cited(text: str) -> list[tuple[Path, str]]:
    """Sections that a text cites: document and number; both ends of a range."""
    found = []
    for name, listed in CITATION.findall(text):
        document = ROOT / (name if "/" in name else f"docs/{name}")
        found += [(document, number) for number in re.findall(r"\d+(?:\.\d+)*", listed)]
    return found


@cache
def exists(dotted: str) -> bool:
    """Return whether a dotted name is a module or is defined in one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if module.exists():
            return length == len(parts) or re.search(rf"\b{parts[length]}\b", text_of(module)) is not None
    return False


def dangling(text: str) -> list[str]:
    """References of a source file that lead nowhere: sections, files, tests and modules."""
    found = [
        f"{document.name}, section {number}"
        for document, number in cited(text)
        if not document.exists() or number not in numbers(document)
    ]
    for path, _, test in (reference.partition("::") for reference in IN_CODE.findall(text)):
        if not (ROOT / path).exists() or (test and test not in functions(ROOT / path)):
            found.append(f"{path}::{test}" if test else path)
    return found + [name for name in MODULE.findall(text) if not exists(name)]


@pytest.mark.parametrize(
    "reference",
    [
        "algorithm.md, section 99",
        "algorithm.md, sections 3 and 98",
        "docs/missing.md, section 1",
        "see tests/project/test_docs.py::test_that_is_gone",
        "see docs/missing.md",
        "`tilegc.nowhere`",
        "`tilegc.geometry.Nothing`",
    ],
)
def test_a_dangling_reference_is_seen(reference):
    assert dangling(reference)
    assert not dangling(
        "algorithm.md, sections 3-5, 14.2 and 4.1; tests/project/test_docs.py; `tilegc.geometry.Box`"
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_references_in_the_code_lead_somewhere(source):
    if source != Path(__file__).resolve():
        assert dangling(text_of(source)) == []


def test_nothing_cites_what_does_not_ship():
    tracked = [
        *SOURCES,
        *DOCUMENTS,
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
        *(ROOT / "tilegc").rglob("*.j2"),
    ]
    for path in tracked:
        if path != Path(__file__).resolve():
            gone = re.findall(r"\bDESIGN\b|\bSTYLE\b|\bPHOTOMETRY\b|/work/", text_of(path))
            assert gone == [], path


def test_every_requirement_names_code_and_a_test():
    table = rows(section(INVARIANTS, "3. Requirements"))
    assert [row[0].split()[0] for row in table] == [
        "chunked",
        "DoG",
        "detections",
        "density/kappa",
        "packages:",
    ]
    for row in table:
        assert references(row[2]), row[0]
        assert all(test is not None for _, test in references(row[3])), row[0]
        assert references(row[3]), row[0]


@pytest.mark.parametrize("title", ["1. What always holds", "2. When something goes wrong"])
def test_every_promise_names_its_test(title):
    table = rows(section(INVARIANTS, title))
    assert len(table) > 10
    for row in table:
        assert any(test is not None for _, test in references(row[-1])), row[0]


def test_the_required_packages_are_dependencies():
    requirement = rows(section(INVARIANTS, "3. Requirements"))[-1][0]
    named = set(requirement.removeprefix("packages:").replace(" ", "").split(","))
    assert named == {"dask", "distributed", "xarray", "numpy", "scipy", "astropy", "zarr"}
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    required = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert named <= required
    assert {"numba", "pyarrow", "pydantic", "typer", "rich", "matplotlib", "regions"} <= required
    assert "reproject" not in required


def test_the_modules_are_those_of_the_code_in_the_contracts_order():
    places = [
        path.relative_to(ROOT / "tilegc")
        for row in rows(section(ARCHITECTURE, "4. Modules"))
        for path, _ in references(row[0])
    ]
    named = [place.stem for place in places]
    contract = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    level = {
        name.strip(" ()"): number
        for number, line in enumerate(reversed(contract["layers"]))
        for name in line.split("|")
    }
    assert [level[name] for name in named] == sorted(level[name] for name in named)
    modules = {path.stem for path in (ROOT / "tilegc").iterdir() if not path.name.startswith(("_", "py."))}
    assert set(named) == modules


def test_the_table_of_passes_is_that_of_the_code():
    """Rewrite it with `python docs/passes.py`."""
    spec = importlib.util.spec_from_file_location("passes", ROOT / "docs" / "passes.py")
    passes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(passes)
    assert passes.page() == text_of(ARCHITECTURE)
    written = re.findall(r" store: ([a-z_, ]+)", passes.table())
    names = {name.strip() for line in written for name in line.split(",")}
    assert names >= {"light", "detection", "flags", "ridges", "regions", "objects", "mask", "density", "rho"}
    assert names <= {array.name for array in schema.ARRAYS}


def test_the_numbers_of_the_masks_are_those_of_the_code():
    masks = section(ALGORITHM, "2. Mask")
    assert f"components of at least {EXTENDED_AREA} px, or {ELONGATED_AREA} px" in masks
    assert f"grown by {EXTENDED_GROWTH:g} px" in masks
    for widths in MID_SCALES:
        narrow, wide = (f"{fwhm:g}".translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for fwhm in widths)
        assert f"S{narrow} − S{wide}" in masks
    assert f"{config.Mask().extended_nJy:g} nJy" in masks
    assert f"{COARSE * config.Mask().extended_nJy:g} nJy" in masks


def test_the_commands_are_those_of_the_command_line():
    table = rows(section(README, "Commands"))
    described = [row[0].strip("`").split()[1] for row in table]
    commands = get_command(cli.app).commands
    assert sorted(described) == sorted(commands)
    for row in table:
        options = {
            option for parameter in commands[row[0].strip("`").split()[1]].params for option in parameter.opts
        }
        assert set(re.findall(r"--[a-z-]+", row[1])) <= options


def test_options_in_examples_exist():
    commands = get_command(cli.app).commands
    for document in (README, DEPLOY):
        lines = re.findall(r"^\$ tilegc (\w+)([^#\n]*)", text_of(document), flags=re.MULTILINE)
        assert lines, document
        for name, rest in lines:
            options = {option for parameter in commands[name].params for option in parameter.opts}
            assert set(re.findall(r"--?[a-z-]+\b(?=\s|$)", rest)) <= options, (name, rest)


def test_the_run_file_of_the_readme_is_one(tmp_path):
    (example,) = re.findall(r"```yaml\n(.+?)```", text_of(README), flags=re.DOTALL)
    found = config.resolve(yaml.safe_load(example), base=tmp_path)
    assert found.recipe == "calibrated"
    assert list(found.fields[0].bands) == ["F090W", "F200W"]
    assert found.convergence.path == str(tmp_path / "kappa.fits")


def test_keys_that_are_described_are_written():
    keys = {key.split(".")[-1] for key in SPAN.findall(section(PRODUCTS, "Keys of `summary.json`"))}
    keys = {key for key in keys if not key.startswith("<")}
    assert {"truth", "local_noise", "beta_err"} <= keys
    written = "".join(text_of(path) for path in (ROOT / "tilegc").rglob("*.py"))
    for key in keys:
        assert re.search(rf'"{key}"|\b{key}=', written), key


def test_tests_that_the_check_leaves_out_exist():
    for line in text_of(ROOT / "tests" / "support" / "long_tests.txt").split():
        path, _, name = line.partition("::")
        assert (ROOT / path).exists(), line
        assert name.split("::")[-1] in functions(ROOT / path), line


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall(text_of(folder / "README.md")))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}
    assert len(listed) > 20


def test_documents_stand_without_the_internet():
    for document in DOCUMENTS:
        assert not re.search(r"!\[[^\]]*\]\(\w+://", text_of(document)), document
    assert (ROOT / "docs" / "figures" / "demo.png").stat().st_size <= 400_000
