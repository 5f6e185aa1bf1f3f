"""Text of the reference pages of the documentation, generated from the code.

`docs/conf.py` puts each of these texts in place of its marker, `<!-- reference: NAME -->`, when the site is built, so
the reference cannot fall behind the code. `tests/project/test_reference.py` checks that nothing is missing.
"""

# ruff: noqa: INP001  (read by Sphinx, not part of a package)

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntFlag
from pathlib import Path
from typing import Any, Final

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tilegc import config, schema
from tilegc.config import RunConfig
from tilegc.config.run import RECIPES, section_order
from tilegc.config.values import Unit
from tilegc.samples.clusters import CLUSTERS

sys.path.insert(0, str(Path(__file__).parent))
from command_pages import commands, exit_codes, public_names, warning_codes

__all__ = ["PAGES", "TABLES"]

TABLES: Final[Mapping[str, Sequence[schema.Column]]] = {
    f"{schema.FILES.candidates} and {schema.FILES.catalogue}": schema.CANDIDATES,
    f"{schema.FILES.candidates} and {schema.FILES.catalogue}, recipe calibrated": schema.SURROUNDINGS,
    f"{schema.FILES.candidates} and {schema.FILES.catalogue}, photometry of bands B": schema.photometry_columns(
        ["B"], config.Photometry().apertures
    ),
    f"{schema.FILES.candidates} and {schema.FILES.catalogue}, artificial stars": schema.COMPLETENESS_COLUMNS,
    f"{schema.FILES.candidates} and {schema.FILES.catalogue}, luminosity function": schema.MEMBERSHIP_COLUMNS,
    schema.FILES.inpainted: schema.INPAINTED,
    schema.FILES.artificial: schema.artificial_columns(["B"]),
    schema.FILES.completeness: schema.COMPLETENESS,
    schema.FILES.response: schema.RESPONSE,
    schema.FILES.luminosity: schema.LUMINOSITY,
    schema.FILES.relation: schema.RELATION,
    schema.FILES.ranking: schema.RANKING,
    schema.FILES.sensitivity: schema.SENSITIVITY,
    schema.FILES.assumptions: schema.ASSUMPTIONS,
    schema.FILES.goodness: schema.GOODNESS,
    schema.FILES.cumulative: schema.CUMULATIVE,
    schema.FILES.excesses: schema.EXCESSES,
    schema.FILES.profile: schema.PROFILE,
    schema.FILES.radial: schema.RADIAL,
    schema.FILES.shape: schema.SHAPE,
    schema.FILES.masses: schema.MASSES,
    schema.FILES.contamination: schema.CONTAMINATION,
    schema.FILES.purity: schema.PURITY,
    schema.FILES.pattern: schema.PATTERN,
    schema.FILES.masked: schema.MASKED,
    schema.FILES.stars: schema.STARS,
    schema.FILES.audit: schema.AUDIT,
    f"{schema.FILES.study}/mask.ecsv": schema.STUDY_MASK,
    "clusters.parquet of a sample": CLUSTERS,
}
"""Columns of every table, under the heading of its section."""

ENTRIES: Final = {
    config.FieldInput: "fields[]",
    config.Band: "fields[].bands.<band>",
    config.Mosaic: "fields[].bands.<band>.mosaics[]",
    config.Rival: "convergence.compare[]",
    config.Alternative: "convergence.alternatives[]",
    config.SigmaThreshold: "detect.threshold: {sigma: number}",
    config.ValueThreshold: "detect.threshold: {value: number}",
}
"""Headings of sections that are entries of a list or a mapping, or one of several forms."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def run_file() -> str:
    """Return all keys of a run file: type, unit, default and meaning, section by section."""
    whole = {name: RunConfig.model_fields[name] for name in section_order()}
    parts = [
        "## Top level\n\n",
        table(HEAD, [_key(name, field, "") for name, field in whole.items()]),
    ]
    written: set[type[pydantic.BaseModel]] = {RunConfig, config.LensMap}
    for name, field in whole.items():
        for model in _models(field.annotation):
            parts += _sections(model, name, written)
    return "".join(parts)


HEAD: Final = ("key", "type", "unit", "default", "meaning")


def _sections(
    model: type[pydantic.BaseModel], path: str, written: set[type[pydantic.BaseModel]]
) -> Iterator[str]:
    """Yield the section of a model, and then those of its keys; models that occur twice are described once."""
    if model in written:
        return
    written.add(model)
    path = ENTRIES.get(model, path)
    fields = model.model_fields
    if model in {config.Rival, config.Alternative}:
        fields = {name: field for name, field in fields.items() if name not in config.LensMap.model_fields}
    yield f"\n## `{path}`\n\n{_prose(inspect.getdoc(model) or '')}\n\n"
    if model in {config.Rival, config.Alternative}:
        yield "The keys of a lens model in the section `convergence`, `path` to `weak_lensing`, and:\n\n"
    section = path.partition(".")[0]
    yield table(HEAD, [_key(name, field, section) for name, field in fields.items()])
    for name, field in fields.items():
        for inner in _models(field.annotation):
            yield from _sections(inner, f"{path}.{name}", written)


def _key(name: str, field: FieldInfo, section: str) -> list[str]:
    units = [mark.name for mark in field.metadata if isinstance(mark, Unit)]
    default = _default(field)
    other = RECIPES["calibrated"].get(section, {}).get(name)
    if other is not None:
        default = f"`{_text(other)}` (calibrated), {default} (diego2026)"
    return [f"`{name}`", _type(field.annotation), ", ".join(units), default, _prose(field.description or "")]


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, pydantic.BaseModel):
        if not type(field.default).model_fields or not isinstance(field.default, config.SigmaThreshold):
            return ""
        return f"`{_text(field.default.model_dump())}`"
    return f"`{_text(field.default)}`"


def _text(value: object) -> str:
    """Return a value as it is written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_text(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(one)}' for key, one in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


WORDS: Final = {str: "text", float: "number", int: "integer", bool: "true or false", type(None): "null"}


def _type(annotation: Any) -> str:
    """Return a type in words."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in WORDS:
        return WORDS[annotation]
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_type(one) for one in inner))
    if origin is tuple:
        several = _type(inner[0]).replace("section", "sections")
        return f"list of {several}" if inner[-1] is Ellipsis else f"list of {len(inner)} ({several})"
    if origin is not None and issubclass(origin, Mapping):
        return "mapping"
    return "section"


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    """Yield the models within a type."""
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def _prose(text: str) -> str:
    return inspect.cleandoc(text).replace("\n\n", "\x00").replace("\n", " ").replace("\x00", "\n\n")


def files() -> str:
    """Return the files and directories of a run."""
    meanings = attribute_docstrings(schema.Files)
    rows = [[f"`{getattr(schema.FILES, name)}`", meanings.get(name, "")] for name in vars(schema.FILES)]
    return table(("file", "contents"), rows)


def columns() -> str:
    """Return the columns of all tables."""
    parts = []
    for title, table_columns in TABLES.items():
        parts += [f"\n### {title}\n\n", _columns(table_columns)]
    return "".join(parts)


def _columns(listed: Sequence[schema.Column]) -> str:
    rows = [[f"`{one.name}`", one.dtype, one.unit, one.meaning] for one in listed]
    return table(("column", "type", "unit", "meaning"), rows)


def arrays() -> str:
    """Return the arrays of the stores of a field and of the sky grid."""
    parts = []
    for title, listed in (
        ("Store of a field, `store/<field>.zarr`", schema.ARRAYS),
        (f"Store of the sky grid, `store/{schema.SKY_STORE}.zarr`", schema.SKY_GRID),
    ):
        rows = [
            [f"`{one.name}`", ", ".join(one.dims), one.dtype, one.unit, one.meaning]
            + ([f"`{one.name}`" if one.name in schema.MAPS else ""] if listed is schema.ARRAYS else [])
            for one in listed
        ]
        head = ("array", "dimensions", "type", "unit", "meaning")
        parts += [f"\n### {title}\n\n", table((*head, "in `outputs`")[: len(rows[0])], rows)]
    return "".join(parts)


def bits() -> str:
    """Return the bits of the mask, and those of the flags of sources and artificial stars."""
    masks = [[str(int(bit)), f"`{bit.name}`", meaning] for bit, meaning in schema.MASK_MEANINGS.items()]
    parts = ["\n### Mask\n\n", table(("bit", "name", "meaning"), masks)]
    for title, kind in (("Flags of a source", schema.Flag), ("Flags of an artificial star", schema.StarFlag)):
        parts += [f"\n### {title}\n\n", table(("bit", "name", "meaning"), _flags(kind))]
    return "".join(parts)


def _flags(kind: type[IntFlag]) -> list[list[str]]:
    meanings = attribute_docstrings(kind)
    return [[str(int(flag)), f"`{flag.name}`", meanings.get(str(flag.name), "")] for flag in kind]


def attribute_docstrings(kind: type) -> dict[str, str]:
    """Return the text below each attribute of a class."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    found = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (
            isinstance(target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[target.id] = _prose(str(after.value.value))
    return found


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "run file": run_file,
    "files": files,
    "columns": columns,
    "arrays": arrays,
    "bits": bits,
    "commands": commands,
    "exit codes": exit_codes,
    "warnings": warning_codes,
    "public names": public_names,
}
"""Text of each marker."""
