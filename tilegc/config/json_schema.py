"""The JSON schema of a run file, with which editors complete and check it."""

from __future__ import annotations

from typing import Any

from tilegc.config.run import RunConfig

__all__ = ["json_schema"]

_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}

_TEXT = {"type": "string"}

_NOTATIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("Cluster", "ra"): [_TEXT],
    ("Cluster", "dec"): [_TEXT],
    ("Cluster", "name"): [{"type": "number"}],
    ("Origin", "ra"): [_TEXT],
    ("Origin", "dec"): [_TEXT],
    ("Compute", "memory"): [_TEXT],
    ("Compute", "patience"): [_TEXT],
    ("Jobs", "walltime"): [_TEXT],
    ("Jobs", "lifetime"): [_TEXT],
    ("FieldInput", "name"): [{"type": "number"}],
}
"""Further types that a key accepts: sexagesimal coordinates, durations, sizes with a unit."""


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a run file.

    Returns
    -------
    dict
        Draft 2020-12. Every key has its description, its bounds and its default. What must agree between keys, such as
        `path` or `par` of a convergence, is checked when the run file is read, not by the schema.
    """
    schema: dict[str, Any] = RunConfig.model_json_schema()
    schema = _walk(schema)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Run file of tilegc"
    sections = schema["$defs"]
    for (section, key), further in _NOTATIONS.items():
        _accept(sections[section]["properties"], key, *further)
    # Bands may be given as a path alone, the cluster's centre as one text, and a blank field has neither name nor
    # redshift.
    mosaic = {"anyOf": [{"$ref": "#/$defs/Mosaic"}, _TEXT]}
    listed = {"type": "array", "items": mosaic, "minItems": 1}
    _accept(sections["FieldInput"]["properties"]["bands"]["anyOf"][0], "additionalProperties", _TEXT, listed)
    sections["Band"]["properties"]["mosaics"]["items"] = mosaic
    sections["Cluster"]["properties"]["centre"] = {
        "type": "string",
        "description": "Right ascension and declination in one text, instead of `ra` and `dec`.",
    }
    sections["Cluster"]["required"] = []
    return schema


def _walk(node: Any) -> Any:
    """Return a schema with pydantic's bounds under their standard names, and `false` beside `off`.

    YAML 1.1 reads `off` as false, so both reach the models.
    """
    if isinstance(node, list):
        return [_walk(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {_BOUNDS.get(key, key) if key in _BOUNDS else key: _walk(value) for key, value in node.items()}
    words = found.get("enum")
    if isinstance(words, list) and "off" in words:
        found["enum"] = [*words, False]
        found.pop("type", None)
    return found


def _accept(properties: dict[str, Any], key: str, *further: dict[str, Any]) -> None:
    """Let a key accept further types."""
    given = properties[key]
    about = {name: given.pop(name) for name in ("description", "default", "title") if name in given}
    choices = given["anyOf"] if set(given) == {"anyOf"} else [given]
    properties[key] = {"anyOf": [*choices, *further], **about}
