"""Coordinates in the formats people use: degrees, or sexagesimal."""

from __future__ import annotations

import re

from tilegc.config.values import number
from tilegc.errors import shortened

__all__ = ["both_coordinates", "declination", "right_ascension"]

_SIXTIES = re.compile(
    r"(?P<sign>[-+\u2212]?)\s*(?P<first>\d{1,3})\s*(?:[:hd\u00b0\s])\s*(?P<minutes>\d{1,2})"
    r"(?:\s*(?:[:m'\u2032\s])\s*(?P<seconds>\d{1,2}(?:\.\d*)?)\s*(?:s|\"|\u2033|'')?)?\s*[m'\u2032]?",
    re.IGNORECASE,
)


def right_ascension(value: object) -> object:
    """Return a right ascension in degrees: a number is in degrees, sexagesimal text in hours.

    Our YAML loader keeps an unquoted 22:48:43.97 as text. Other YAML 1.1 readers turn it into 22 x 3600 + 48 x 60 +
    43.97, which from 1:00:00 on is distinguished from degrees by its size.

    Raises
    ------
    ValueError
        If minutes or seconds are 60 or more.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 3600 <= value < 86_400:
        return float(value) / 240.0
    units = _sexagesimal(value)
    if units is None:
        return number(value)
    degrees = isinstance(value, str) and re.match(r"\s*\d+\s*[d\u00b0]", value)
    return units if degrees else 15.0 * units


def declination(value: object) -> object:
    """Return a declination in degrees, from a number or from degrees, minutes and seconds.

    As with right ascensions, the number that a YAML 1.1 reader makes of -44:31:51 is recognised by its size as
    arcseconds.

    Raises
    ------
    ValueError
        If minutes or seconds are 60 or more.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 3600 <= abs(value) <= 324_000:
        return float(value) / 3600.0
    degrees = _sexagesimal(value)
    return number(value) if degrees is None else degrees


def both_coordinates(value: object) -> tuple[str, str]:
    """Return right ascension and declination from one text, as printed by astropy's SkyCoord.

    Raises
    ------
    ValueError
        If it is not a text, or does not contain two coordinates.
    """
    if not isinstance(value, str):
        raise ValueError("give the centre as text in quotes, e.g. '22:48:43.97 -44:31:51'")  # noqa: TRY004
    text = value.strip().replace(",", " ").replace("\u2212", "-")
    words = text.split()
    signed = re.fullmatch(r"(\S.*?)\s*(?<![eE])\s?(?<=[\s\dsS\".])([-+]\s?\d.*)", text)
    if len(words) == 2:
        return words[0], words[1]
    if signed is not None:
        return signed[1], signed[2]
    if len(words) == 6:
        return " ".join(words[:3]), " ".join(words[3:])
    raise ValueError(
        f"{shortened(repr(value), 60)} is not a position; give e.g. '22:48:43.97 -44:31:51' or '342.18322 -44.53091'"
    )


def _sexagesimal(value: object) -> float | None:
    """Return the hours or degrees of a sexagesimal text; None for anything else.

    Raises
    ------
    ValueError
        If minutes or seconds are 60 or more.
    """
    match = _SIXTIES.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 80 else None
    if match is None:
        return None
    minutes, seconds = float(match["minutes"]), float(match["seconds"] or 0.0)
    if minutes >= 60 or seconds >= 60:
        raise ValueError(f"{value!r}: minutes and seconds must be below 60")
    size = (float(match["first"]) * 3600.0 + minutes * 60.0 + seconds) / 3600.0
    return -size if match["sign"] in {"-", "\u2212"} else size
