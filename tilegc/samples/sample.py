"""The sample file: its clusters, and how defaults and overrides are combined into a run file for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tilegc.config import RunConfig, read_yaml, resolve
from tilegc.errors import ConfigError, InputError, one_line
from tilegc.places import Place, parent, place
from tilegc.samples.common import Common

__all__ = ["Entry", "Sample", "default_output", "load_sample"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

_TABLES: Final = {
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
    ".vot": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
}

_KEYS: Final = ("defaults", "clusters", "common")

_SHORT: Final = {
    "ra": "cluster.ra",
    "dec": "cluster.dec",
    "redshift": "cluster.redshift",
    "z": "cluster.redshift",
}
"""Columns of a table that may omit their section."""

_RESERVED: Final = ("name", "run")


@dataclass(frozen=True)
class Entry:
    """One cluster of a sample."""

    name: str
    """Name of its directory."""
    config: RunConfig | None
    """Its settings; None if the run file is invalid."""
    problem: str | None
    """What is wrong with the run file; None if it is valid."""


@dataclass(frozen=True)
class Sample:
    """A sample of clusters."""

    path: str
    entries: tuple[Entry, ...]
    common: Common = field(default_factory=Common)
    """The system to which all clusters are brought."""


def default_output(path: str) -> Place:
    """Return the default directory of a sample: `<sample file's stem>-runs`, beside the sample file."""
    file = place(path)
    return file.with_name(f"{file.stem}-runs")


def load_sample(path: str) -> Sample:
    """Read a sample: a YAML file with `clusters` and optionally `defaults` and `common`, or a table, a row per cluster.

    The run file of a cluster is merged from up to three layers, key by key, later ones taking precedence (lists are
    replaced as a whole): `defaults`; the file named by its key `run`; its other keys. Relative paths refer to the
    directory of that run file, or else of the sample file.

    In a table (CSV, ECSV, VOTable, Parquet) every column is a key preceded by its sections, such as
    `fields.0.bands.F090W` or `convergence.path`; `ra`, `dec` and `redshift` are those of the cluster; empty cells are
    ignored.

    Parameters
    ----------
    path : str
        Path or URL of the sample file.

    Returns
    -------
    Sample
        A cluster with an invalid run file becomes an entry with a problem and does not stop the others.

    Raises
    ------
    ConfigError
        If the sample file itself is invalid.
    """
    suffix = Path(path).suffix.lower()
    content = _of_table(path, _TABLES[suffix]) if suffix in _TABLES else read_yaml(path)
    if (
        not isinstance(content, Mapping)
        or not isinstance(content.get("clusters"), list)
        or not content["clusters"]
    ):
        raise ConfigError(f"{path}: expected a list of clusters under `clusters`, each with a name")
    unknown = sorted(set(map(str, content)) - set(_KEYS))
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r} (valid: {', '.join(_KEYS)})")
    defaults = content.get("defaults") or {}
    if not isinstance(defaults, Mapping):
        raise ConfigError(
            f"{path}: defaults: expected a mapping of run-file keys, got {type(defaults).__name__}"
        )
    described = [_described(path, number, one) for number, one in enumerate(content["clusters"])]
    names = [str(one["name"]) for one in described]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: clusters: duplicate name {twice[0]!r}")
    try:
        common = Common(**(content.get("common") or {}))
    except (ValidationError, TypeError) as error:
        raise ConfigError(f"{path}: common: {one_line(str(error))[:200]}") from None
    return Sample(path, tuple(_entry(path, defaults, one) for one in described), common)


def _described(path: str, number: int, cluster: object) -> Mapping[str, Any]:
    if not isinstance(cluster, Mapping) or "name" not in cluster:
        raise ConfigError(f"{path}: clusters.{number}: expected a mapping with a name")
    if not _NAME.fullmatch(str(cluster["name"])):
        raise ConfigError(
            f"{path}: clusters.{number}.name: {cluster['name']!r} cannot be a directory name; "
            "use letters, digits and . _ + -"
        )
    return cluster


def _entry(path: str, defaults: Mapping[str, Any], described: Mapping[str, Any]) -> Entry:
    name, run = str(described["name"]), described.get("run")
    own = {key: value for key, value in described.items() if key not in _RESERVED}
    try:
        base, layers = parent(path), [defaults, own]
        if run is not None:
            file = str(run) if Path(str(run)).is_absolute() or "://" in str(run) else f"{base}/{run}"
            base, layers = parent(file), [defaults, _mapping(file), own]
        # A blank field has no cluster: then nothing is named after it either.
        named = any(layer.get("cluster") for layer in layers)
        merged: dict[str, Any] = {"cluster": {"name": name}} if named else {}
        for layer in layers:
            merged = merge(merged, layer)
        return Entry(name, resolve(merged, base=base, source=f"cluster {name}"), None)
    except InputError as error:
        return Entry(name, None, one_line(error))


def _mapping(path: str) -> Mapping[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(content).__name__}")
    return content


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two layers of a run file: mappings are merged key by key, anything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _of_table(path: str, form: str) -> dict[str, Any]:
    from astropy.table import Table  # noqa: PLC0415  (only tables pay)

    try:
        table = Table.read(path, format=form)
    except Exception as error:  # noqa: BLE001  (whatever astropy's many readers raise)
        raise ConfigError(f"{path}: cannot be read as a table ({one_line(error)[:200]})") from None
    if "name" not in table.colnames:
        raise ConfigError(
            f"{path}: the table has no column `name` (its columns: {', '.join(table.colnames)})"
        )
    return {"clusters": [_nested(dict(zip(table.colnames, row, strict=True))) for row in table]}


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as nested sections: `fields.0.name` is the name of the first field."""
    nested: dict[str, Any] = {}
    for column, cell in row.items():
        value = cell.item() if hasattr(cell, "item") else cell
        if value is None or value == "" or value != value or "masked" in type(cell).__name__.lower():  # noqa: PLR0124
            continue
        keys = _SHORT.get(column, column).split(".")
        section = nested
        for key in keys[:-1]:
            section = section.setdefault(key, {})
        section[keys[-1]] = value
    return {key: _listed(one) for key, one in nested.items()}


def _listed(value: Any) -> Any:
    """Convert sections with keys 0, 1, ... to lists."""
    if not isinstance(value, dict):
        return value
    items = {key: _listed(one) for key, one in value.items()}
    if items and all(key.isdigit() for key in items):
        return [items[key] for key in sorted(items, key=int)]
    return items
