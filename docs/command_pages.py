"""Text of the reference pages about commands, errors, warnings and Python, generated from the code.

The other half of `docs/reference_pages.py`, which says what these texts are for.
"""

# ruff: noqa: INP001  (read by Sphinx, not part of a package)

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

import tilegc
from tilegc import cli, errors
from tilegc.products.warnings import CODES

__all__ = ["commands", "exit_codes", "public_names", "warning_codes"]

VALUES: Final = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "FILE"}
"""What stands for a value where an option names none."""


def commands() -> str:
    """Return every command with its arguments and options."""
    group = get_command(cli.app)
    return "".join(
        text for name in sorted(group.commands) for text in _command(f"tilegc {name}", group.commands[name])
    )


def _command(path: str, command: Any) -> Iterator[str]:
    yield f"\n## {path}\n\n{_prose(command.help)}\n\n"
    rows = [_parameter(one) for one in command.params if one.name != "help"]
    arguments = [
        row[0] for row, one in zip(rows, command.params, strict=False) if one.param_type_name == "argument"
    ]
    inner = getattr(command, "commands", {})
    usage = [path, *(argument.strip("`") for argument in arguments)]
    usage += ["[OPTIONS]"] if len(rows) > len(arguments) else []
    usage += ["COMMAND"] if inner else []
    yield f"```text\n{' '.join(usage)}\n```\n\n"
    if rows:
        yield _table(("argument or option", "default", "meaning"), rows)
    for name, one in sorted(inner.items()):
        yield from _command(f"{path} {name}", one)


def _parameter(parameter: Any) -> list[str]:
    """Return a row: how the parameter is written, its default and its help."""
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        written = metavar or str(parameter.name).upper()
    else:
        annotation = parameter.type_descriptor.annotation
        choices = "|".join(map(str, typing.get_args(annotation)))
        value = "" if parameter.is_flag else metavar or choices or VALUES[annotation]
        written = ", ".join([*parameter.opts, *parameter.secondary_opts]) + (f" {value}" if value else "")
    default = parameter.default
    plain = isinstance(default, str | int | float | Path) and not isinstance(default, bool) and default != ""
    return [f"`{written}`", f"`{default}`" if plain else "", _prose(parameter.help)]


def _prose(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def exit_codes() -> str:
    """Return the exit codes, and the exceptions behind them."""
    codes = [
        ("0", "Success."),
        ("1", "The run failed."),
        ("2", "The input or the command line is wrong; nothing was written."),
        (
            "3",
            "Partial success: some tiles, or some clusters of a sample, failed; everything else was finished.",
        ),
        ("130", "Interrupted with Ctrl-C. After another signal: 128 plus its number (SIGTERM: 143)."),
    ]
    kinds = [
        [f"`{name}`", str(kind.exit_code), _prose(inspect.getdoc(kind)).partition(" Parameters ")[0]]
        for name in errors.__all__
        if inspect.isclass(kind := getattr(errors, name))
    ]
    return (
        _table(("code", "meaning"), codes)
        + "\n## Exceptions\n\nIn Python each kind of failure has an exception; all derive from `tilegc.TileGCError`, "
        "and each message is one line.\n\n" + _table(("exception", "exit code", "when"), kinds)
    )


def warning_codes() -> str:
    """Return the codes of the warnings in `summary.json`."""
    return _table(("code", "meaning"), [[f"`{code}`", meaning] for code, meaning in CODES.items()])


def public_names() -> str:
    """Return directives that document every public name."""
    functions, classes, exceptions = [], [], []
    for name in tilegc.__all__:
        value = getattr(tilegc, name)
        if inspect.isfunction(value):
            functions.append(f".. autofunction:: tilegc.{name}\n")
        elif inspect.isclass(value) and issubclass(value, Exception):
            exceptions.append(f".. autoexception:: tilegc.{name}\n   :no-members:\n")
        elif inspect.isclass(value):
            members = "" if name == "RunConfig" else "   :members:\n"
            classes.append(f".. autoclass:: tilegc.{name}\n{members}")
        elif inspect.ismodule(value):
            classes.append(f".. automodule:: tilegc.{name}\n   :members:\n")
        else:
            classes.append(f".. autodata:: tilegc.{name}\n   :no-value:\n")
    parts = []
    for title, listed in (
        ("Functions", functions),
        ("Classes and modules", classes),
        ("Exceptions", exceptions),
    ):
        parts.append(f"\n## {title}\n\n```{{eval-rst}}\n" + "\n".join(listed) + "```\n")
    return "".join(parts)
