"""A run file as commented YAML: every key with its meaning, unit and value, taken from the models."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from tilegc.config.inputs import Cluster, EncircledEnergy
from tilegc.config.loading import resolve
from tilegc.config.run import RunConfig, section_order
from tilegc.config.steps import SigmaThreshold, ValueThreshold
from tilegc.config.values import Section, Unit
from tilegc.redaction import redacted

__all__ = ["annotated", "template"]

_POINTER = re.compile(r"[;,]? ?(?:[Ss]ee|or) the section `\w+`")
"""Reference to a section of the reference pages: in a run file the section is in sight."""

WIDTH = 100

_INLINE = (SigmaThreshold, ValueThreshold, EncircledEnergy)
"""Sections that are written on the line of their key."""

_EXAMPLE: Mapping[str, Any] = {
    "recipe": "calibrated",
    "cluster": {"name": "AS1063", "redshift": 0.348, "ra": 342.18322, "dec": -44.53091},
    "fields": [{"name": "a", "bands": {"F150W": "a_f150w_i2d.fits"}}],
    "convergence": {"path": "kappa.fits", "source_redshift": 3.0},
    "photometry": {},
    "completeness": {},
    "luminosity": {},
}
"""What the template shows; all other keys have their defaults."""

_REQUIRED = ("recipe", "cluster", "name", "redshift", "ra", "dec", "fields", "bands", "F150W", "sci")
"""Keys of the example that are not commented out."""


def annotated(config: RunConfig) -> str:
    """Return a run file with every key, each below a comment with its meaning and unit.

    Parameters
    ----------
    config : RunConfig
        Settings of a run.

    Returns
    -------
    str
        YAML, without credentials in URLs. Where a key says `auto`, its comment says what this means for this run.
    """
    notes = _resolved(config)
    lines = _section(config, "", lambda _: True, notes)
    return "\n".join(lines) + "\n"


def template() -> str:
    """Return a run file that lists every key; all but the required ones are commented out, with their defaults.

    Returns
    -------
    str
        YAML that a run accepts once its files exist, with or without the `#` in front of each key.
    """
    config = resolve(_EXAMPLE)
    head = [
        "# Run file of tilegc with every key. A line that begins with `#` and a key shows the default of",
        "# recipe calibrated; remove the `#` to change it. Paths are relative to this file.",
        "",
    ]

    def active(place: str) -> bool:
        section, _, rest = place.partition(".")
        return section in {"recipe", "cluster", "fields"} and rest.split(".")[-1] in {"", *_REQUIRED}

    return "\n".join([*head, *_section(config, "", active, {})]) + "\n"


def _section(values: Section, place: str, active: Any, notes: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a section: for each key its meaning, then the key with its value."""
    model = type(values)
    names = section_order() if model is RunConfig else list(model.model_fields)
    for name in names:
        value = getattr(values, name)
        if value == "" or value != value:  # noqa: PLR0124  (NaN: no cluster, or its centre is not known yet)
            continue
        if value is None and isinstance(values, Cluster) and not values.known:
            continue  # a mass without a cluster would ask for the cluster's name
        key = f"{place}.{name}".lstrip(".")
        info = model.model_fields[name]
        lines = list(_entry(name, value, info, key, active, notes))
        if not lines:  # a pointing whose place on the sky is not known yet
            continue
        if model is RunConfig and name != names[0]:
            yield ""
        yield from _comment(_meaning(info, value, notes.get(key)))
        yield from lines


def _entry(
    name: str, value: object, info: FieldInfo, place: str, active: Any, notes: Mapping[str, str]
) -> Iterator[str]:
    """Yield a key with its value, which may be a section, a list of sections, or a mapping of them."""
    mark = "" if active(place) else "#"
    if isinstance(value, Section) and not isinstance(value, _INLINE):
        lines = list(_section(value, place, active, notes))
        if lines:
            yield f"{mark}{name}:"
            yield from _indented(lines)
    elif isinstance(value, Mapping):
        yield f"{mark}{name}:"
        for key, inner in value.items():
            yield from _indented(_entry(key, inner, info, f"{place}.{key}", active, notes))
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        yield f"{mark}{name}:"
        for inner in value:
            lines = list(_section(inner, place, active, notes))
            first = next(number for number, line in enumerate(lines) if not line.startswith("# "))
            lines[first] = f"{'#' * lines[first].startswith('#')}- {lines[first].lstrip('#')}"
            yield from (f"  {line}" if n == first else f"    {line}" for n, line in enumerate(lines))
    else:
        yield f"{mark}{name}: {_text(value)}"
        yield from _keys_within(info, value)


def _keys_within(info: FieldInfo, value: object) -> Iterator[str]:
    """Yield the keys of a section that is not there, as a comment: they cannot stand beside `null`."""
    if (value is not None and value != ()) or "keys above" in (info.description or ""):
        return
    for kind in _kinds(info.annotation):
        if issubclass(kind, Section):
            for name, inner in kind.model_fields.items():
                yield from _comment(f"{name}: {_meaning(inner, None, None)}", "    ")
            return


def _meaning(info: FieldInfo, value: object, note: str | None) -> str:
    """Return what a key means, the words it accepts, its unit, and what `auto` stands for."""
    text = " ".join((info.description or "").split())
    if isinstance(value, Section) and "see the section" in text:
        about = " ".join((inspect.getdoc(type(value)) or "").split("\n\n")[0].split())
        text = about if "off" not in text else f"{about} {text}"
    text = _POINTER.sub("", text)
    extra = []
    words = _words(info.annotation)
    if words:
        extra.append(f"One of: {', '.join(words)}.")
    unit = next((one.name for one in info.metadata if isinstance(one, Unit)), None)
    if unit is not None:
        extra.append(f"Unit: {unit}.")
    if note is not None:
        extra.append(f"In this run: {note}.")
    return " ".join([text, *extra])


def _words(annotation: Any) -> tuple[str, ...]:
    """Return the words that a key accepts if it accepts nothing else."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for argument in get_args(annotation) for kind in _kinds(argument)]


def _text(value: object) -> str:
    """Return a value as YAML on one line."""
    plain = value.model_dump(mode="json", exclude_none=True) if isinstance(value, Section) else value
    if isinstance(plain, tuple):
        plain = [list(item) if isinstance(item, tuple) else item for item in plain]
    text: str = yaml.safe_dump(redacted(plain), default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _comment(text: str, indent: str = "") -> list[str]:
    further = indent + "  " if indent else ""
    return textwrap.wrap(text, WIDTH, initial_indent=f"# {indent}", subsequent_indent=f"# {further}")


def _indented(lines: Any) -> Iterator[str]:
    return (f"  {line}" if line else line for line in lines)


def _resolved(config: RunConfig) -> dict[str, str]:
    """Return what `auto` stands for in this run, by key."""
    mask = config.mask
    notes = {
        "mask.edge": f"{mask.edge_arcsec:g}",
        "mask.bright": f"{mask.bright_nJy:g}",
        "mask.extended": f"{mask.extended_nJy:g}",
        "inpaint.iterations": str(config.inpaint_iterations),
        "photometry": _switched(config.photometry_settings),
        "completeness": _switched(config.completeness_settings),
        "luminosity": _switched(config.luminosity_settings),
    }
    values = {
        "mask.edge": mask.edge,
        "mask.bright": mask.bright,
        "mask.extended": mask.extended,
        "inpaint.iterations": config.inpaint.iterations,
        "photometry": config.photometry,
        "completeness": config.completeness,
        "luminosity": config.luminosity,
    }
    return {key: note for key, note in notes.items() if values[key] == "auto"}


def _switched(settings: Section | None) -> str:
    return "off" if settings is None else _text(settings)
