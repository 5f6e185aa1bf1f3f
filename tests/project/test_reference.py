"""The reference pages cover everything that a user can write, read, call or see as a message."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import tilegc
from tilegc import cli, errors, schema
from tilegc.config import RunConfig
from tilegc.products.warnings import CODES
from tilegc.samples.clusters import CLUSTERS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MARKER = re.compile(r"<!-- reference: ([\w ]+) -->")


@pytest.fixture(scope="module")
def pages():
    sys.path.insert(0, str(DOCS))
    try:
        import reference_pages
    finally:
        sys.path.remove(str(DOCS))
    return cache(lambda name: reference_pages.PAGES[name]())


def sections(text: str, rank: str = "## ") -> dict[str, str]:
    """Split a page at its headings of one rank."""
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in f"\n{text}".split(f"\n{rank}")[1:]}


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables, with their heads."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_marker_is_a_page_and_every_page_has_its_marker(pages):
    markers = [name for path in DOCS.rglob("*.md") for name in MARKER.findall(path.read_text("utf-8"))]
    import reference_pages

    assert sorted(markers) == sorted(reference_pages.PAGES)


def test_every_key_of_the_run_file_has_a_type_and_a_meaning(pages):
    described = [row for row in rows(pages("run file")) if row[0] != "key"]
    keys = [row[0].strip("`") for row in described]
    models = RunConfig.model_json_schema()
    for name, model in {"RunConfig": models, **models["$defs"]}.items():
        for key in model.get("properties", {}):
            assert key in keys, f"{name}.{key}"
    for key, kind, _, _, meaning in described:
        assert kind, key
        assert meaning, f"{key} has no docstring"


def test_units_and_defaults_of_keys(pages):
    described = {
        section: {row[0].strip("`"): row for row in rows(text)}
        for section, text in sections(pages("run file")).items()
    }
    assert described["`mask`"]["edge"][2:4] == ["arcsec", "`auto`"]
    assert described["`mask`"]["spikes"][3] == "`auto` (calibrated), `off` (diego2026)"
    assert described["`detect`"]["threshold"][3] == "`{sigma: 2.5}`"
    assert described["`cosmology`"]["H0"][2:4] == ["km/s/Mpc", "`70`"]
    assert described["Top level"]["recipe"][3] == "required"


def test_every_column_of_every_table_is_listed_with_its_unit(pages):
    listed = {(row[0].strip("`"), row[1], row[2], row[3]) for row in rows(pages("columns"))}
    found = 0
    for name, value in {
        "CLUSTERS": CLUSTERS,
        **{one: getattr(schema, one) for one in schema.__all__},
    }.items():
        columns = value(["B"], [0.1]) if name == "photometry_columns" else value
        columns = value(["B"]) if name == "artificial_columns" else columns
        for column in columns if isinstance(columns, tuple) else ():
            if isinstance(column, schema.Column):
                found += 1
                assert column.meaning, column.name
                assert (column.name, column.dtype, column.unit, column.meaning) in listed, (
                    f"{name}: {column.name}"
                )
    assert found > 200


def test_every_array_bit_and_file_is_listed(pages):
    arrays = {row[0].strip("`") for row in rows(pages("arrays"))}
    assert {array.name for array in (*schema.ARRAYS, *schema.SKY_GRID)} <= arrays
    bits = rows(pages("bits"))
    for kind in (schema.Bit, schema.Flag, schema.StarFlag):
        for bit in kind:
            assert [str(int(bit)), f"`{bit.name}`"] in [row[:2] for row in bits], bit
    files = {row[0].strip("`"): row[1] for row in rows(pages("files"))}
    assert set(vars(schema.FILES).values()) <= set(files)
    assert all(row[-1] for row in bits)
    assert all(files.values())


def test_every_command_and_option_is_listed(pages):
    described = sections(pages("commands"))
    waiting = [("tilegc", name, command) for name, command in get_command(cli.app).commands.items()]
    assert len(waiting) > 10
    while waiting:
        path, name, command = waiting.pop()
        waiting += [(f"{path} {name}", *inner) for inner in getattr(command, "commands", {}).items()]
        text = described[f"{path} {name}"]
        said = CliRunner().invoke(cli.app, [*path.split()[1:], name, "-h"]).output
        for option in set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", said, flags=re.MULTILINE)) - {"--help"}:
            assert f"{option}" in re.findall(r"--[a-z-]+", text), f"{path} {name} {option}"
        assert all(row[-1] for row in rows(text)), f"{path} {name}: an option has no help"


def test_every_public_name_is_documented(pages):
    text = pages("public names")
    for name in tilegc.__all__:
        assert re.search(rf"::\s+tilegc\.{name}$", text, flags=re.MULTILINE), name


def test_every_exit_code_and_exception_is_listed(pages):
    codes = {row[0]: row[1] for row in rows(pages("exit codes"))}
    for name in errors.__all__:
        kind = getattr(errors, name)
        if inspect.isclass(kind):
            assert codes[f"`{name}`"] == str(kind.exit_code)
            assert str(kind.exit_code) in codes


def test_every_warning_has_a_meaning(pages):
    raised = set()
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tilegc").rglob("*.py")]
    for text in (text for text in texts if "RunWarning(" in text):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RunWarning":
                code = node.args[0] if node.args else next(k.value for k in node.keywords if k.arg == "code")
                raised |= {
                    one.value
                    for one in ast.walk(code)
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    assert len(raised) > 5
    assert {code.replace("audit_", "audit_<check>") if code == "audit_" else code for code in raised} == set(
        CODES
    )
    assert {row[0].strip("`") for row in rows(pages("warnings"))} >= set(CODES)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs"]
    made = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), ".", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?://[^"]+)', page.read_text("utf-8")
        )
        assert loaded == [], page
