"""Removal of credentials from everything that a person, a log or a file receives.

Mosaics may be at URLs that contain a password (`https://user:password@host/...`) or a signature that serves as one
(presigned S3 URLs, shared access signatures of Azure). Run directories and reports are meant to be shared, so no
output may repeat them. Every output passes through `redact`: error messages, the log, the copy of the run file, the
manifest and the report.
"""

from __future__ import annotations

import os
import re
from typing import Final, TypeVar

__all__ = ["HIDDEN", "redact", "redacted"]

HIDDEN: Final = "***"
"""Replacement of a secret."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>`]+")
# A password may itself hold "@" or "/", so everything up to the last "@" goes once a colon shows that there is one;
# "host:8080/" is a port, and an "@" in a path without a colon before it belongs to the file's name.
_USER: Final = re.compile(r"(?<=://)(?:[^/@:?#]*:(?!\d+(?:[/?#]|$))[^?#]*@|[^/@?#]+@)")
_PARAMETER: Final = re.compile(r"(?<=[?&;#])([^=&;#?]+)=([^&;#),]*)")
_TELLING: Final = re.compile(
    r"(?:^|[^a-z])(?:sig|key|sas|auth|pwd|code)(?:[^a-z]|$)"
    r"|signature|token|secret|passw|credential|authori[sz]ation|session|policy|api-?key|access-?key|accesskeyid",
    re.IGNORECASE,
)
"""Names of query parameters that contain a secret, or part of one."""
_LONG: Final = re.compile(r"[A-Za-z0-9+/=_%-]{40,}")
"""A value of this form is more likely a signature than the name of a file, which contains a dot."""
_ASSIGNED: Final = re.compile(
    r"(?P<name>[\w.-]{0,40}(?:secret|passw(?:or)?d|token|signature|credential|authorization|access[_-]?key|api[_-]?key|"
    r"account[_-]?key|connection[_-]?string)[\w.-]*)"
    r"(?P<sign>[\"']?\s*(?:=|:\s)\s*[\"']?(?:(?:Bearer|Basic|AWS4-HMAC-SHA256)\s+)?)(?P<value>[^\s\"',;&]{8,})",
    re.IGNORECASE,
)
"""Matches `SECRET_KEY=...` or `Authorization: Bearer ...`, as quoted by clients of object stores in their errors."""
_VARIABLE: Final = re.compile(
    r"SECRET|PASSW|TOKEN|SIGNATURE|CREDENTIAL|(?:ACCESS|ACCOUNT|API|STORAGE)_KEY|CONNECTION_STRING"
)
_LEAST: Final = 8
"""Minimum length of a value of an environment variable to be searched for."""

Value = TypeVar("Value")


def redact(text: str) -> str:
    """Return a text without credentials.

    Parameters
    ----------
    text : str
        Text of any length and any number of lines.

    Returns
    -------
    str
        The text, with HIDDEN in place of user and password in URLs, of query parameters that sign or authorise, of
        values assigned to names such as `secret_key`, and of the values of environment variables of this process
        whose names indicate a secret.
    """
    for secret in _of_environment():
        text = text.replace(secret, HIDDEN)
    if "://" in text:
        text = _URL.sub(lambda match: _redact_url(match[0]), text)
    return _ASSIGNED.sub(_redact_assigned, text)


def redacted(value: Value) -> Value:
    """Return a copy of nested dicts, lists and tuples with every text redacted, including keys.

    If two keys become equal, "#2" is appended to the second one.
    """
    if isinstance(value, str):
        return redact(value)  # type: ignore[return-value]
    if isinstance(value, dict):
        copy: dict[object, object] = {}
        for key, item in value.items():
            name = shown = redacted(key)
            number = 1
            while name in copy:
                number += 1
                name = f"{shown}#{number}"
            copy[name] = redacted(item)
        return copy  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return type(value)(map(redacted, value))
    return value


def _redact_url(url: str) -> str:
    url = _USER.sub(f"{HIDDEN}@", url)
    head, mark, query = re.match(r"([^?#]*)([?#]?)(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    if not mark:
        return head
    return head + _PARAMETER.sub(_redact_parameter, mark + query)


def _redact_parameter(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    hide = value and (_TELLING.search(name) or _LONG.fullmatch(value))
    return f"{name}={HIDDEN if hide else value}"


def _redact_assigned(match: re.Match[str]) -> str:
    if match["value"].startswith(HIDDEN):
        return match[0]
    return f"{match['name']}{match['sign']}{HIDDEN}"


def _of_environment() -> list[str]:
    """Return the secrets in the environment of this process, longest first, because one may be part of another."""
    found = {
        value
        for name, value in os.environ.items()
        if len(value) >= _LEAST and _VARIABLE.search(name.upper()) and not os.path.exists(value)  # noqa: PTH110
    }
    return sorted(found, key=len, reverse=True)
