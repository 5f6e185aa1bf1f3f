"""Types of values in a run file, with the notations they accept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tilegc.errors import shortened

__all__ = [
    "NAME",
    "Memory",
    "Number",
    "Positive",
    "Seconds",
    "Section",
    "Switch",
    "Texts",
    "Unit",
    "Whole",
    "number",
    "switch",
    "toggle",
    "whole",
]


class Section(BaseModel):
    """A section of the run file: immutable, with unknown keys refused.

    The docstring below a key is its description in the reference of the run file, and `Unit` states its unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Unit:
    """The unit of a key, as an annotation of its type."""

    name: str


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


def number(value: object) -> object:
    """Accept a number, or text that is one (PyYAML reads `2e-2` as text); refuse booleans."""
    if isinstance(value, bool):
        raise ValueError("expected a number, not true or false")  # noqa: TRY004  (pydantic wants ValueError)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{shortened(repr(value), 60)} is not a number") from None
    if isinstance(value, int) and abs(value) > 10**300:  # float() of it overflows
        raise ValueError("the number is too large")
    return value


def whole(value: object) -> object:
    """Convert a number without fraction to an integer: 2e3 is 2000."""
    given = number(value)
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return given


def switch(value: object) -> object:
    """Accept off (which YAML reads as False), auto or a number; `on` is not a setting."""
    if value is False:
        return "off"
    if value is True:
        raise ValueError("give off, auto or a number")
    if isinstance(value, str) and value in {"off", "auto"}:
        return value
    given = number(value)
    if not isinstance(given, int | float):
        raise ValueError("give off, auto or a number")  # noqa: TRY004  (pydantic wants ValueError)
    if not given > 0:
        raise ValueError(f"give off, auto or a number above 0, not {given:g}")
    return given


def toggle(value: object) -> object:
    """Accept off (which YAML reads as False) or auto, but no number."""
    if value is False:
        return "off"
    if not isinstance(value, str) or value not in {"off", "auto"}:
        raise ValueError("give off or auto")
    return value


Number = Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(whole)]
Positive = Annotated[float, BeforeValidator(number), Field(gt=0, allow_inf_nan=False)]
Switch = Annotated[
    Literal["off", "auto"] | Annotated[float, Field(gt=0, allow_inf_nan=False)], BeforeValidator(switch)
]


def _bytes(value: object) -> object:
    """Accept memory as "4 GiB", "512MB", or a number of bytes."""
    if isinstance(value, bool):
        raise ValueError("give memory as 4 GiB")  # noqa: TRY004  (pydantic wants ValueError)
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d*)?) *([kKMGT]?)(i?)[bB]?", value.strip())
    if match is None:
        try:
            return float(value)  # 2e9
        except ValueError:
            raise ValueError(
                f"{shortened(repr(value), 60)} is not an amount of memory; give e.g. 4 GiB"
            ) from None
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * float(base ** " KMGT".index((match[2] or " ").upper())))


def _seconds(value: object) -> object:
    """Accept a duration in seconds, minutes:seconds, hours:minutes:seconds, or days-hours:minutes:seconds."""
    if not isinstance(value, str) or ":" not in value:
        return number(value)
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", value.strip())
    if match is None:
        raise ValueError(f"{shortened(repr(value), 60)} is not a duration; give seconds, or e.g. 02:30:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


Memory = Annotated[int, BeforeValidator(whole), BeforeValidator(_bytes), Field(ge=1 << 20)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Texts = tuple[Annotated[str, Field(min_length=1)], ...]
