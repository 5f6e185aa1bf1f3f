"""Errors of a run file as text: pydantic's list of errors becomes one line with keys and remedies."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

from tilegc.config.inputs import Band, FieldInput, Mosaic
from tilegc.config.run import RunConfig, section_order
from tilegc.config.values import Section
from tilegc.errors import shortened

__all__ = ["mistakes"]

MOST_MISTAKES = 10
"""Maximum number of mistakes listed at once."""

LONGEST = 420
"""Maximum length of the list in characters, so that it remains readable on a terminal."""


def mistakes(error: ValidationError) -> str:
    """Return all mistakes in one line: up to ten, each with its key and remedy."""
    details = _distinct(error.errors(include_url=False))
    if len(details) == 1:
        return _mistake(details[0])
    length = max(LONGEST // min(len(details), MOST_MISTAKES), 40)
    lines = [shortened(_mistake(one, brief=True), length) for one in details[:MOST_MISTAKES]]
    more = f"; and {len(details) - len(lines)} more" if len(details) > len(lines) else ""
    return f"{len(details)} mistakes: " + "; ".join(f"({n}) {line}" for n, line in enumerate(lines, 1)) + more


def _distinct(details: Any) -> list[Any]:
    """Return pydantic's errors without repetitions of the same mistake.

    Every branch of a union reports its own errors; those of the first describe what the key accepts. A list in which
    every item is wrong is also reported as too short.
    """
    distinct: list[Any] = []
    seen: set[tuple[object, ...]] = set()
    places = [one["loc"] for one in details]
    for one in details:
        place = one["loc"]
        if one["type"] == "too_short" and any(
            len(p) > len(place) and p[: len(place)] == place for p in places
        ):
            continue
        branch = next((k for k, part in enumerate(place) if _is_branch(part)), None)
        key = place[:branch]
        if key in seen:
            continue
        seen.add(key)
        distinct.append(one)
    return distinct


def _mistake(detail: Any, *, brief: bool = False) -> str:
    """Return one of pydantic's errors as text: the key, the mistake, and the remedy."""
    # For these errors the last part of the location is the key itself, whatever it looks like.
    last = len(detail["loc"]) if detail["type"] in {"extra_forbidden", "missing"} else 0
    place = [part for number, part in enumerate(detail["loc"], 1) if number == last or not _is_branch(part)]
    key = shortened(".".join(str(part) for part in place), 100)
    if detail["type"] == "extra_forbidden":
        valid = _valid_keys(place[:-1])
        close = difflib.get_close_matches(str(place[-1])[:100], valid, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key{hint}" + ("" if brief else f" (valid: {', '.join(valid)})")
    if detail["type"] == "missing":
        return f"{key}: required, but missing"
    message = shortened(str(detail["msg"]).removeprefix("Value error, "), 240)
    shown = "" if detail["type"] == "value_error" else f" (found {shortened(repr(detail['input']), 60)})"
    return f"{key}: {message}{shown}" if key else message


def _is_branch(part: object) -> bool:
    """Return whether a part of pydantic's location names a branch of a union rather than a key."""
    return isinstance(part, str) and (
        "[" in part or part in {"float", "int", "str", "SigmaThreshold", "ValueThreshold", "Deflection"}
    )


def _valid_keys(place: list[object]) -> list[str]:
    model: Any = RunConfig
    for part in place:
        if isinstance(part, int) or model is None:
            continue
        if model is FieldInput and part == "bands":
            model = Band
            continue
        if model is Band:
            model = Mosaic if part == "mosaics" else Band
            continue
        annotation = model.model_fields[str(part)].annotation
        model = next((kind for kind in _kinds(annotation) if issubclass(kind, Section)), None)
    if model is RunConfig:
        return section_order()
    return list(model.model_fields) if model is not None else []


def _kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type):
        return [annotation]
    return [kind for argument in getattr(annotation, "__args__", ()) for kind in _kinds(argument)]
