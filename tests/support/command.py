"""The command line in this process: arguments in, exit code and both streams out."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from tilegc.cli import main

__all__ = ["Outcome", "listing", "tilegc"]


@dataclass(frozen=True)
class Outcome:
    """The output of a command as a user sees it."""

    code: int
    out: str
    err: str


def tilegc(*arguments: object) -> Outcome:
    """Run `tilegc ARGUMENTS` as at a prompt."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["tilegc", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
    return Outcome(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def listing(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its bytes, and every folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
